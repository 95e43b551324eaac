"""Batches: which images an epoch shows in which order, prepared while the last batch is computed."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import numpy as np

T = TypeVar("T")
AHEAD = 2  # how many batches are prepared while one is computed with
Augment = Callable[[np.ndarray, np.random.Generator], np.ndarray]


class Dataset:
    """Images x (N, C, H, W) of any number type, in memory or memory-mapped, with their integer labels t (N,).

    Args:
        x: the images.
        t: the labels.
        indices: which of them belong to this dataset, in order; all by default.

    Raises:
        ValueError: when x is not four-dimensional, or x and t differ in length.

    >>> data = Dataset(np.zeros((10, 1, 8, 8), np.uint8), np.arange(10) % 3)
    >>> len(data), data[[0, 4]][1]
    (10, array([0, 1]))
    """

    def __init__(self, x: np.ndarray, t: Any, indices: Any = None):
        t = np.asarray(t)
        if np.ndim(x) != 4:
            raise ValueError(f"the images have shape {np.shape(x)}: give an array (N, C, H, W)")
        if t.shape != (len(x),):
            raise ValueError(f"there are {len(x)} images, but the labels have shape {t.shape}: give one label an image")
        self.x, self.t = x, t
        self.indices = np.arange(len(x)) if indices is None else np.asarray(indices)

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
        """The labels (N,) of this dataset's images, in order."""
        return self.t[self.indices]

    @classmethod
    def of(cls, data: Any) -> Dataset:
        """`data` itself if it is a Dataset; the Dataset of a pair (x, t)."""
        if isinstance(data, cls):
            return data
        try:
            x, t = data
        except (TypeError, ValueError):
            raise TypeError(f"the data is a {type(data).__name__}: give a pair (images, labels) or a Dataset") from None
        return cls(x, t)


class Batches:
    """The batches of each epoch. An epoch's order depends on the seed and its number alone, so training can resume.

    Args:
        data: a Dataset.
        batch_size: images a batch.
        shuffle: a new order every epoch; otherwise the dataset's own.
        drop_last: leave out the last, smaller batch of an epoch; another order leaves out other images.
        balanced: show every class equally often: an epoch is as long, but repeats images of the rarer classes.
        augment: changes a batch's images before they are converted: augment(x, generator) → x, of the same shape.
        seed: of the orders and of what `augment` draws.
        dtype: what the images are converted to.

    Raises:
        ValueError: when no batch would be left.

    >>> data = Dataset(np.zeros((10, 1, 8, 8), np.uint8), np.arange(10) % 3)
    >>> [len(x) for x, t in Batches(data, 4, drop_last=False).epoch(1)]
    [4, 4, 2]
    """

    def __init__(
        self,
        data: Dataset,
        batch_size: int = 64,
        *,
        shuffle: bool = True,
        drop_last: bool = True,
        balanced: bool = False,
        augment: Augment | None = None,
        seed: int = 0,
        dtype: Any = np.float32,
    ):
        if batch_size < 1:
            raise ValueError(f"batch_size is {batch_size}: give a whole number of at least 1")
        if len(data) < (batch_size if drop_last else 1):
            raise ValueError(
                f"{len(data)} images do not fill a batch of {batch_size}: give more images, "
                "a smaller batch_size, or drop_last=False"
            )
        self.data, self.batch_size, self.shuffle, self.drop_last = data, batch_size, shuffle, drop_last
        self.balanced, self.augment, self.seed, self.dtype = balanced, augment, seed, dtype

    def __len__(self) -> int:
        """Batches in an epoch."""
        return len(self.data) // self.batch_size if self.drop_last else -(-len(self.data) // self.batch_size)

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


def prefetch(make: Callable[[int], T], count: int, ahead: int = AHEAD) -> Iterator[T]:
    """make(0) … make(count − 1), each computed by another thread up to `ahead` places before it is asked for."""
    with ThreadPoolExecutor(1, "prefetch") as worker:
        waiting = deque(worker.submit(make, i) for i in range(min(ahead, count)))
        for i in range(count):
            if i + ahead < count:
                waiting.append(worker.submit(make, i + ahead))
            yield waiting.popleft().result()
