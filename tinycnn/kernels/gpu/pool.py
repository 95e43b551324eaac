"""Pooling over windows of any size, with overlap, gaps and padding."""

from __future__ import annotations

from typing import Any

import numpy as np

from tinycnn.backend import get_array_module
from tinycnn.kernels.gpu.launch import Array, blocks, launch
from tinycnn.windows import Padding, Pair, output_shape

THREADS = 256
BYTE = 256  # how many pixels of a window one byte can tell apart


def max_pool2d_forward(x: Array, pool: Pair, stride: Pair, padding: Padding = (0, 0, 0, 0)) -> tuple[Array, Array]:
    """Twin of `reference.max_pool2d_forward`. A thread for each window; a byte is enough for most argmaxes."""
    xp = get_array_module(x)
    x, y = xp.ascontiguousarray(x), _pooled(x, pool, stride, padding)
    argmax = xp.empty(y.shape, np.uint8 if pool[0] * pool[1] <= BYTE else np.int32)
    _launch("max_forward", (x, y, argmax), x.shape, y, pool, stride, padding, argmax.dtype)
    return y, argmax


def max_pool2d_backward(
    dy: Array, argmax: Array, input_shape: tuple[int, ...], pool: Pair, stride: Pair, padding: Padding = (0, 0, 0, 0)
) -> Array:
    """Twin of `reference.max_pool2d_backward`. A thread for each pixel gathers from the windows that hold it."""
    xp = get_array_module(dy)
    dy, argmax = xp.ascontiguousarray(dy), xp.ascontiguousarray(argmax)
    argmax = argmax if argmax.dtype == np.uint8 else argmax.astype(np.int32, copy=False)
    dx = xp.empty(input_shape, dy.dtype)
    _launch("max_backward", (dy, argmax, dx), dx.shape, dx, pool, stride, padding, argmax.dtype)
    return dx


def average_pool2d_forward(x: Array, pool: Pair, stride: Pair, padding: Padding = (0, 0, 0, 0)) -> Array:
    """Twin of `reference.average_pool2d_forward`. A thread for each window."""
    x, y = get_array_module(x).ascontiguousarray(x), _pooled(x, pool, stride, padding)
    _launch("average_forward", (x, y), x.shape, y, pool, stride, padding)
    return y


def average_pool2d_backward(
    dy: Array, input_shape: tuple[int, ...], pool: Pair, stride: Pair, padding: Padding = (0, 0, 0, 0)
) -> Array:
    """Twin of `reference.average_pool2d_backward`. A thread for each pixel gathers from the windows that hold it."""
    xp = get_array_module(dy)
    dy, dx = xp.ascontiguousarray(dy), xp.empty(input_shape, dy.dtype)
    _launch("average_backward", (dy, dx), dx.shape, dx, pool, stride, padding)
    return dx


def _pooled(x: Array, pool: Pair, stride: Pair, padding: Padding) -> Array:
    return get_array_module(x).empty((*x.shape[:2], *output_shape(x.shape[2:], pool, stride, padding)), x.dtype)


def _launch(
    kernel: str,
    arrays: tuple[Array, ...],
    shape: tuple[int, ...],
    result: Array,
    pool: Pair,
    stride: Pair,
    padding: Padding,
    index: Any = np.uint8,
) -> None:
    """A thread for each number of `result`; `shape` is that of the images."""
    height, width = shape[2:]
    windows = (
        height,
        width,
        *output_shape((height, width), pool, stride, padding),
        *pool,
        *stride,
        padding[0],
        padding[2],
    )
    launch(
        "pool",
        kernel,
        blocks(result.size, THREADS),
        THREADS,
        *arrays,
        windows,
        np.uint32(result.size),
        dtype=result.dtype,
        INDEX="byte" if index == np.uint8 else "int",
    )
