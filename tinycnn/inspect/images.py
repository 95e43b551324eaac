"""Small operations on maps: resizing and blurring, on NumPy and CuPy arrays."""

from __future__ import annotations

import math

import numpy as np

from tinycnn.backend import get_array_module
from tinycnn.layers.base import Array


def resize(maps: Array, size: tuple[int, int]) -> Array:
    """Maps (…, h, w) as (…, H, W), bilinear: pixel centres keep their place, and edges repeat.

    Output row i is read at (i + ½)·h/H − ½, as in PyTorch's interpolate(mode="bilinear", align_corners=False).

    >>> resize(np.array([[0.0, 1.0]]), (1, 4))
    array([[0.  , 0.25, 0.75, 1.  ]])
    """
    return _along(_along(maps, size[0], -2), size[1], -1)


def _along(maps: Array, size: int, axis: int) -> Array:
    xp, length = get_array_module(maps), maps.shape[axis]
    at = np.clip((np.arange(size) + 0.5) * length / size - 0.5, 0, length - 1)
    low = np.minimum(at.astype(int), max(length - 2, 0))
    high = np.minimum(low + 1, length - 1)
    share = xp.asarray(at - low, maps.dtype).reshape((-1, 1) if axis == -2 else (-1,))
    return xp.take(maps, xp.asarray(low), axis) * (1 - share) + xp.take(maps, xp.asarray(high), axis) * share


def blur(images: Array, sigma: float) -> Array:
    """Images (…, H, W) convolved with a Gaussian of standard deviation σ pixels, cut off at 4σ; edges repeat.

    >>> blur(np.array([[0.0, 1.0, 0.0]]), 0.5).round(3)
    array([[0.106, 0.787, 0.106]])
    """
    if sigma <= 0:
        return images
    xp, radius = get_array_module(images), math.ceil(4 * sigma)
    weights = np.exp(-0.5 * (np.arange(-radius, radius + 1) / sigma) ** 2)
    weights /= weights.sum()
    for axis in (-2, -1):
        places = np.arange(images.shape[axis])
        images = sum(
            images.dtype.type(weight)
            * xp.take(images, xp.asarray(np.clip(places + shift, 0, images.shape[axis] - 1)), axis)
            for shift, weight in zip(range(-radius, radius + 1), weights, strict=True)
        )
    return images
