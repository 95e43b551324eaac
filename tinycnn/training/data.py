"""Batches: which images an epoch shows in which order, prepared while the last batch is computed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from tinycnn.backend import to_device
from tinycnn.checks import as_array, as_labels, checked_count, described
from tinycnn.training.prefetch import prefetch

Augment = Callable[[np.ndarray, np.random.Generator], np.ndarray]


class Dataset:
    """Images x (N, C, H, W) of any number type, in memory or memory-mapped, with their targets t.

    Args:
        x: the images, or flat data (N, D): whatever `tinycnn.checks.as_array` takes.
        t: integer labels (N,), or for a regression numbers (N, …).
        indices: which of them belong to this dataset, in order, or a mask (N,) of booleans; all by default.

    Raises:
        ValueError: for x of another shape, x and t that differ in length, or an index out of range.
        TypeError: for what is no array of numbers.

    >>> data = Dataset(np.zeros((10, 1, 8, 8), np.uint8), np.arange(10) % 3)
    >>> len(data), data[[0, 4]][1]
    (10, array([0, 1]))
    """

    def __init__(self, x: Any, t: Any, indices: Any = None):
        self.x = to_device(as_array(x, "the images"), "cpu")
        self.t = to_device(as_labels(t), "cpu")
        if self.x.ndim not in (2, 4):
            raise ValueError(
                f"the images have shape {self.x.shape}: give an array (N, C, H, W), or (N, D) for flat data"
            )
        if self.t.shape[:1] != (len(self.x),):
            raise ValueError(
                f"there are {len(self.x)} images, but the labels have shape {self.t.shape}: give one label an image"
            )
        self.indices = np.arange(len(self.x)) if indices is None else self._checked(indices)

    def _checked(self, indices: Any) -> np.ndarray:
        indices = to_device(as_array(indices, "indices"), "cpu")
        n = len(self.x)
        if indices.dtype.kind == "b" and indices.shape == (n,):
            return np.flatnonzero(indices)
        if indices.size == 0:
            return np.empty(0, np.intp)
        if indices.ndim != 1 or indices.dtype.kind not in "iu":
            raise ValueError(
                f"indices have shape {indices.shape} and dtype {indices.dtype}: give whole numbers in one row, "
                f"or a mask of {n} booleans"
            )
        if indices.min() < -n or indices.max() >= n:
            raise ValueError(f"indices go from {indices.min()} to {indices.max()}, but there are {n} images")
        return indices

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, key: Any) -> tuple[np.ndarray, np.ndarray]:
        """Images and labels at the given positions."""
        rows = self.indices[key]
        return self.x[rows], self.t[rows]

    def images(self) -> Iterator[np.ndarray]:
        """This dataset's images (C, H, W), one by one, in order."""
        return (self.x[i] for i in self.indices)

    @property
    def labels(self) -> np.ndarray:
        """The targets of this dataset's images, in order: labels (N,), or numbers (N, …)."""
        return self.t[self.indices]

    @classmethod
    def of(cls, data: Any, name: str = "the data") -> Dataset:
        """`data` itself if it is a Dataset; the Dataset of a pair (x, t). Errors call it `name`."""
        if isinstance(data, cls):
            return data
        if not isinstance(data, (tuple, list)) or len(data) != 2:
            raise TypeError(f"{name} is {described(data)}: give images and labels as one pair (x, t), or a Dataset")
        return cls(*data)


class Batches:
    """The batches of each epoch. An epoch's order depends on the seed and its number alone, so training can resume.

    Args:
        data: a Dataset.
        batch_size: images a batch.
        shuffle: a new order every epoch; otherwise the dataset's own.
        drop_last: leave out the last batch of an epoch if it is smaller; another order leaves out other images.
        balanced: show every class equally often: an epoch is as long, but repeats images of the rarer classes.
        augment: changes a batch's images before they are converted: augment(x, generator) → x, of the same shape.
        seed: of the orders and of what `augment` draws.
        dtype: what the images are converted to.

    Raises:
        ValueError: when no batch would be left.

    >>> data = Dataset(np.zeros((10, 1, 8, 8), np.uint8), np.arange(10) % 3)
    >>> [len(x) for x, t in Batches(data, 4).epoch(1)]
    [4, 4, 2]
    """

    def __init__(
        self,
        data: Dataset,
        batch_size: int = 64,
        *,
        shuffle: bool = True,
        drop_last: bool = False,
        balanced: bool = False,
        augment: Augment | None = None,
        seed: int = 0,
        dtype: Any = np.float32,
    ):
        checked_count(batch_size, "batch_size", "images")
        if len(data) == 0:
            raise ValueError("there are no images to make batches of: give at least one")
        if drop_last and len(data) < batch_size:
            raise ValueError(
                f"{len(data)} images do not fill a batch of {batch_size}: give more images, "
                "a smaller batch_size, or drop_last=False"
            )
        if balanced and (data.labels.ndim != 1 or data.labels.dtype.kind not in "iu"):
            raise ValueError("balanced=True needs integer labels: leave it out where the targets are no classes")
        self.data, self.batch_size, self.shuffle, self.drop_last = data, batch_size, shuffle, drop_last
        self.balanced, self.augment, self.seed, self.dtype = balanced, augment, seed, dtype

    def __len__(self) -> int:
        """Batches in an epoch."""
        return len(self.data) // self.batch_size if self.drop_last else -(-len(self.data) // self.batch_size)

    @property
    def smallest(self) -> int:
        """Images in the smallest batch."""
        rest = len(self.data) % self.batch_size
        return rest if rest and not self.drop_last else self.batch_size

    def epoch(self, number: int, send: Callable[[np.ndarray, np.ndarray], Any] | None = None) -> Iterator[Any]:
        """The (images, labels) of epoch `number`, batch by batch; or what send(images, labels) makes of each.

        `send` is called by the thread that prepares the batches, with the images not converted yet.
        """
        rng = np.random.default_rng((self.seed, number))
        order = _balanced(self.data.labels, rng) if self.balanced else np.arange(len(self.data))
        if self.shuffle:
            rng.shuffle(order)

        def batch(i: int) -> tuple[np.ndarray, np.ndarray]:
            x, t = self.data[order[i * self.batch_size : (i + 1) * self.batch_size]]
            if self.augment:
                x = self.augment(x, np.random.default_rng((self.seed, number, i)))
            return send(x, t) if send else (x.astype(self.dtype, copy=False), t)

        return prefetch(batch, len(self))


def _balanced(labels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """As many positions as there are labels, the classes in equal parts: a class's images in turn, over and over."""
    members = [rng.permutation(np.flatnonzero(labels == label)) for label in np.unique(labels)]
    parts = np.array_split(np.arange(len(labels)), len(members))
    return np.concatenate([np.resize(positions, len(part)) for positions, part in zip(members, parts, strict=True)])
