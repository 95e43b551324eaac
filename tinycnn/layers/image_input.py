"""The input layer for images: as they come, and what is subtracted from them."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import numpy as np

from tinycnn.layers.normalized_input import NormalizedInput

COLOURS = (1, 3)  # how many channels grey and RGB images have


class ImageInput(NormalizedInput):
    """The first layer of a network for images: y = x ("none"), x − mean ("zerocenter") or (x − mean) / std ("zscore").

    mean and std are images: each pixel's own over the training set, or all the same in a channel. They are state, saved
    with the network, and measured by `fit` (the Trainer calls it); until then they are 0 and 1. Pixels keep their
    scale: nothing divides by 255.

    Args:
        shape: (C, H, W) of one image. One that looks like (H, W, C), such as (28, 28, 1), is taken as it stands, 28
            channels of 28 × 1 pixels, with a warning.
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

    sample = "image"

    def __init__(
        self, shape: tuple[int, int, int], normalization: str = "none", name: str | None = None, mean_of: str = "pixel"
    ):
        super().__init__(_image_shape(shape), normalization, name)
        if mean_of not in ("pixel", "channel"):
            raise ValueError(f'mean_of is {mean_of!r}: choose "pixel" or "channel"')
        self.mean_of = mean_of

    def expected(self) -> str:
        return f"{super().expected()}: channels come before height and width"

    def joined(self, means: np.ndarray) -> np.ndarray:
        return means.mean(axis=(1, 2), keepdims=True) if self.mean_of == "channel" else means


def _image_shape(shape: Sequence[int]) -> tuple[int, int, int]:
    """`shape` as (C, H, W), with a warning when that seems to be meant as (H, W, C)."""
    sizes = tuple(shape) if isinstance(shape, Sequence) else (shape,)
    if any(not isinstance(size, (int, np.integer)) or size < 1 for size in sizes) or len(sizes) != 3:
        remedy = f", or VectorInput({sizes[0]}) for vectors" if len(sizes) == 1 else ""
        raise ValueError(f"shape is {shape!r}: give three positive whole numbers (channels, height, width){remedy}")
    c, h, w = map(int, sizes)
    if w in COLOURS and min(c, h) > max(COLOURS):
        warnings.warn(
            f"ImageInput({shape!r}) means {c} channels of {h} × {w} pixels: channels come first, so give ({w}, {c}, "
            f"{h}) for images of {c} × {h} pixels, and turn arrays by x.transpose(0, 3, 1, 2)",
            stacklevel=3,
        )
    return c, h, w
