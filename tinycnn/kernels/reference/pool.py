"""Pooling: each window becomes one number."""

from __future__ import annotations

from typing import Any

import numpy as np

from tinycnn.backend import get_array_module
from tinycnn.windows import Padding, Pair, output_shape, window_pixel

Array = Any  # numpy.ndarray or cupy.ndarray


def max_pool2d_forward(x: Array, pool: Pair, stride: Pair, padding: Padding = (0, 0, 0, 0)) -> tuple[Array, Array]:
    """Each window's maximum, and which pixel of the window (in row order) it was; the first one if several tie.

    x (N, C, H, W) → y (N, C, OH, OW) and argmax (N, C, OH, OW) int32 in 0 … PH·PW − 1. Padding never wins.
    """
    xp = get_array_module(x)
    top, bottom, left, right = padding
    output = output_shape(x.shape[2:], pool, stride, padding)
    padded = xp.pad(x, ((0, 0), (0, 0), (top, bottom), (left, right)), constant_values=-xp.inf)
    windows = xp.stack(
        [window_pixel(padded, i, j, output, stride, (1, 1)) for i in range(pool[0]) for j in range(pool[1])]
    )
    argmax = windows.argmax(axis=0)
    return xp.take_along_axis(windows, argmax[None], axis=0)[0], argmax.astype(np.int32)


def max_pool2d_backward(
    dy: Array, argmax: Array, input_shape: tuple[int, ...], pool: Pair, stride: Pair, padding: Padding = (0, 0, 0, 0)
) -> Array:
    """Send each dy to the pixel that was the maximum: (N, C, OH, OW) → dx of `input_shape`."""
    xp = get_array_module(dy)
    (top, bottom, left, right), (h, w) = padding, input_shape[2:]
    dx = xp.zeros((*input_shape[:2], top + h + bottom, left + w + right), dy.dtype)
    for i in range(pool[0]):
        for j in range(pool[1]):
            pixel = window_pixel(dx, i, j, dy.shape[2:], stride, (1, 1))
            pixel += dy * (argmax == i * pool[1] + j)
    return dx[:, :, top : top + h, left : left + w]


def average_pool2d_forward(x: Array, pool: Pair, stride: Pair, padding: Padding = (0, 0, 0, 0)) -> Array:
    """Each window's mean, padding counted as zeros: x (N, C, H, W) → y (N, C, OH, OW)."""
    xp = get_array_module(x)
    top, bottom, left, right = padding
    output = output_shape(x.shape[2:], pool, stride, padding)
    padded = xp.pad(x, ((0, 0), (0, 0), (top, bottom), (left, right)))
    y = xp.zeros((*x.shape[:2], *output), x.dtype)
    for i in range(pool[0]):
        for j in range(pool[1]):
            y += window_pixel(padded, i, j, output, stride, (1, 1))
    return y / (pool[0] * pool[1])


def average_pool2d_backward(
    dy: Array, input_shape: tuple[int, ...], pool: Pair, stride: Pair, padding: Padding = (0, 0, 0, 0)
) -> Array:
    """Share each dy equally among its window's pixels: (N, C, OH, OW) → dx of `input_shape`."""
    xp = get_array_module(dy)
    (top, bottom, left, right), (h, w) = padding, input_shape[2:]
    dx = xp.zeros((*input_shape[:2], top + h + bottom, left + w + right), dy.dtype)
    share = dy / (pool[0] * pool[1])
    for i in range(pool[0]):
        for j in range(pool[1]):
            pixel = window_pixel(dx, i, j, dy.shape[2:], stride, (1, 1))
            pixel += share
    return dx[:, :, top : top + h, left : left + w]
