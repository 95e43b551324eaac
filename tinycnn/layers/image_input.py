"""The input layer: images as they come, and what is subtracted from them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from tinycnn import kernels
from tinycnn.backend import get_array_module
from tinycnn.layers.base import Array, InputLayer, Shape

NORMALIZATIONS = ("none", "zerocenter", "zscore")


class ImageInput(InputLayer):
    """The first layer of a network: y = x ("none"), x − mean ("zerocenter") or (x − mean) / std ("zscore").

    mean and std are images: each pixel's own over the training set, or all the same in a channel. They are state, saved
    with the network, and measured by `fit` (the Trainer calls it); until then they are 0 and 1. Pixels keep their
    scale: nothing divides by 255.

    Args:
        shape: (C, H, W) of one image.
        normalization: "none", "zerocenter" or "zscore".
        mean_of: what mean and std are taken over, each "pixel" or each "channel".

    Raises:
        ValueError: for a shape that is not three positive numbers, or an unknown normalization or mean_of.

    Source: MATLAB's imageInputLayer.

    >>> layer = ImageInput((1, 2, 2), normalization="zerocenter")
    >>> layer.build((1, 2, 2), np.float32, np.random.default_rng(0))
    >>> layer.fit(np.array([[[[0, 2], [4, 6]]], [[[2, 4], [6, 8]]]]))
    >>> layer.forward(np.full((1, 1, 2, 2), 5, np.float32))
    array([[[[ 4.,  2.],
             [ 0., -2.]]]], dtype=float32)
    """

    def __init__(
        self, shape: tuple[int, int, int], normalization: str = "none", name: str | None = None, mean_of: str = "pixel"
    ):
        super().__init__(name)
        if len(shape) != 3 or any(int(size) != size or size < 1 for size in shape):
            raise ValueError(f"shape is {shape!r}: give three positive whole numbers (channels, height, width)")
        if normalization not in NORMALIZATIONS:
            raise ValueError(f"normalization is {normalization!r}: choose one of {', '.join(NORMALIZATIONS)}")
        self.shape = tuple(int(size) for size in shape)
        if mean_of not in ("pixel", "channel"):
            raise ValueError(f'mean_of is {mean_of!r}: choose "pixel" or "channel"')
        self.normalization, self.mean_of = normalization, mean_of
        self.fitted = normalization == "none"

    def build(self, input_shape: Shape, dtype: Any, rng: np.random.Generator) -> None:
        if self.normalization != "none":
            self.state["mean"] = np.zeros(self.shape, dtype)
        if self.normalization == "zscore":
            self.state["std"] = np.ones(self.shape, dtype)

    def fit(self, images: Iterable[Array]) -> None:
        """Measure mean (and std) over images (C, H, W), taken one by one; a pixel that never changes gets std 1.

        Raises:
            ValueError: for an image of another shape, one with NaN or infinite pixels, or no images at all.
        """
        total, squares, count = np.zeros(self.shape), np.zeros(self.shape), 0
        for image in images:
            if image.shape != self.shape:
                raise ValueError(f"image {count} has shape {image.shape}, but the network takes images {self.shape}")
            if not np.isfinite(image).all():
                raise ValueError(
                    f"image {count} holds NaN or infinite pixels: clean the data, for instance with numpy.nan_to_num"
                )
            total += image
            squares += np.square(image, dtype=np.float64)
            count += 1
        if count == 0:
            raise ValueError("there are no images to measure the mean image on: give at least one")
        mean, square = total / count, squares / count
        if self.mean_of == "channel":
            mean, square = (image.mean(axis=(1, 2), keepdims=True) for image in (mean, square))
        std = np.sqrt(np.maximum(square - mean**2, 0))
        statistics = {"mean": mean, "std": np.where(std < 1e-6, 1, std)}
        for name, array in self.state.items():
            array[...] = get_array_module(array).asarray(statistics[name])
        self.fitted = True

    def forward(self, x: Array, training: bool = False) -> Array:
        if self.normalization == "none":
            return x
        return kernels.for_array(x).image_input_forward(x, self.state["mean"], self.state.get("std"))

    def backward(self, dy: Array) -> Array:
        return dy / self.state["std"] if self.normalization == "zscore" else dy
