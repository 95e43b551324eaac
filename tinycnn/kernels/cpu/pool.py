"""Pooling: row by row of the output, so that a row and its argmax stay in cache while the window's pixels pass by."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from tinycnn.kernels.cpu.ranges import OPTIONS, over_ranges
from tinycnn.runtime import memory
from tinycnn.windows import Padding, Pair, output_shape

BYTE = 256  # how many pixels of a window one byte can tell apart


def max_pool2d_forward(
    x: np.ndarray, pool: Pair, stride: Pair, padding: Padding = (0, 0, 0, 0)
) -> tuple[np.ndarray, np.ndarray]:
    """Twin of `reference.max_pool2d_forward`. An output row stays in cache while its windows' pixels pass by.

    A byte is enough for an argmax of windows of up to 256 pixels.
    """
    shape = (*x.shape[:2], *output_shape(x.shape[2:], pool, stride, padding))
    y = memory.empty(shape, x.dtype)
    argmax = memory.empty(shape, np.uint8 if pool[0] * pool[1] <= BYTE else np.int32)
    planes = _planes(x)
    over_ranges(_max_forward, len(planes), planes[0].nbytes, planes, pool, stride, padding, _planes(y), _planes(argmax))
    return y, argmax


def max_pool2d_backward(
    dy: np.ndarray,
    argmax: np.ndarray,
    input_shape: tuple[int, ...],
    pool: Pair,
    stride: Pair,
    padding: Padding = (0, 0, 0, 0),
) -> np.ndarray:
    """Twin of `reference.max_pool2d_backward`. Planes are independent, so each adds its dy up on its own."""
    dx = memory.empty(tuple(input_shape), dy.dtype)
    planes = _planes(dx)
    over_ranges(
        _max_backward, len(planes), planes[0].nbytes, _planes(dy), _planes(argmax), pool, stride, padding, planes
    )
    return dx


def average_pool2d_forward(x: np.ndarray, pool: Pair, stride: Pair, padding: Padding = (0, 0, 0, 0)) -> np.ndarray:
    """Twin of `reference.average_pool2d_forward`. An output row stays in cache while its windows' pixels are added."""
    y = memory.empty((*x.shape[:2], *output_shape(x.shape[2:], pool, stride, padding)), x.dtype)
    planes = _planes(x)
    over_ranges(_average_forward, len(planes), planes[0].nbytes, planes, pool, stride, padding, _planes(y))
    return y


def average_pool2d_backward(
    dy: np.ndarray, input_shape: tuple[int, ...], pool: Pair, stride: Pair, padding: Padding = (0, 0, 0, 0)
) -> np.ndarray:
    """Twin of `reference.average_pool2d_backward`. Planes are independent, so each adds its dy up on its own."""
    dx = memory.empty(tuple(input_shape), dy.dtype)
    planes = _planes(dx)
    over_ranges(_average_backward, len(planes), planes[0].nbytes, _planes(dy), pool, stride, padding, planes)
    return dx


def _planes(x: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(x).reshape(-1, *x.shape[2:])


@njit(**OPTIONS)
def _columns(b: int, stride: int, left: int, width: int, count: int) -> tuple[int, int]:
    """The range of windows j < count whose pixel b, at j·stride + b − left, is not padding."""
    start = b - left
    low = min(count, max(0, -(start // stride)))
    return low, max(low, min(count, (width - start + stride - 1) // stride))


@njit(**OPTIONS)
def _max_forward(first: int, last: int, x: Any, pool: Any, stride: Any, padding: Any, y: Any, argmax: Any) -> None:
    height, width = x.shape[1:]
    for p in range(first, last):
        for i in range(y.shape[1]):
            best, index = y[p, i], argmax[p, i]
            if pool == stride == (2, 2) and padding == (0, 0, 0, 0):
                _max_of_four(x[p, 2 * i], x[p, 2 * i + 1], best, index)
                continue
            best[:] = -np.inf
            index[:] = 0
            for a in range(pool[0]):
                r = i * stride[0] + a - padding[0]
                if r < 0 or r >= height:
                    continue
                for b in range(pool[1]):
                    low, high = _columns(b, stride[1], padding[2], width, len(best))
                    if low < high:
                        source = x[p, r, low * stride[1] + b - padding[2] :]
                        k = argmax.dtype.type(a * pool[1] + b)
                        _keep_larger(best[low:high], index[low:high], source, k, stride[1])


@njit(**OPTIONS)
def _max_of_four(above: Any, below: Any, best: Any, index: Any) -> None:
    """2 × 2 windows side by side, all four pixels at once."""
    for j in range(len(best)):
        left = np.uint64(2) * np.uint64(j)  # unsigned: no index counts from the end, so the loop becomes vectors
        right = left + np.uint64(1)
        largest, k = above[left], np.int32(0)
        for value, number in ((above[right], 1), (below[left], 2), (below[right], 3)):
            if _exceeds(value, largest):
                largest, k = value, np.int32(number)
        best[j] = largest
        index[j] = k


@njit(**OPTIONS)
def _keep_larger(best: Any, index: Any, source: Any, k: Any, step: int) -> None:
    for j in range(len(best)):
        value, old = source[np.uint64(j) * np.uint64(step)], best[j]
        larger = _exceeds(value, old)
        best[j] = value if larger else old
        index[j] = k if larger else index[j]


@njit(**OPTIONS)
def _exceeds(value: Any, old: Any) -> bool:
    """Whether value takes old's place as the maximum; the first NaN does, and stays."""
    return not (value <= old) and old == old


@njit(**OPTIONS)
def _max_backward(first: int, last: int, dy: Any, argmax: Any, pool: Any, stride: Any, padding: Any, dx: Any) -> None:
    height, width = dx.shape[1:]
    zero = dy.dtype.type(0)
    for p in range(first, last):
        dx[p] = 0
        for i in range(dy.shape[1]):
            gradient, index = dy[p, i], argmax[p, i]
            if pool == stride == (2, 2) and padding == (0, 0, 0, 0):  # windows side by side: whole rows at once
                for a in range(2):
                    row = dx[p, 2 * i + a]
                    for j in range(len(gradient)):
                        row[2 * j] = gradient[j] if index[j] == 2 * a else zero
                        row[2 * j + 1] = gradient[j] if index[j] == 2 * a + 1 else zero
            else:
                for j in range(len(gradient)):
                    r = i * stride[0] + index[j] // pool[1] - padding[0]
                    c = j * stride[1] + index[j] % pool[1] - padding[2]
                    if 0 <= r < height and 0 <= c < width:
                        dx[p, r, c] += gradient[j]


@njit(**OPTIONS)
def _average_forward(first: int, last: int, x: Any, pool: Any, stride: Any, padding: Any, y: Any) -> None:
    height, width = x.shape[1:]
    area = y.dtype.type(pool[0] * pool[1])
    for p in range(first, last):
        for i in range(y.shape[1]):
            total = y[p, i]
            total[:] = 0
            for a in range(pool[0]):
                r = i * stride[0] + a - padding[0]
                if 0 <= r < height:
                    for b in range(pool[1]):
                        low, high = _columns(b, stride[1], padding[2], width, len(total))
                        for j in range(low, high):
                            total[j] += x[p, r, j * stride[1] + b - padding[2]]
            for j in range(len(total)):
                total[j] /= area


@njit(**OPTIONS)
def _average_backward(first: int, last: int, dy: Any, pool: Any, stride: Any, padding: Any, dx: Any) -> None:
    height, width = dx.shape[1:]
    area = dy.dtype.type(pool[0] * pool[1])
    for p in range(first, last):
        dx[p] = 0
        for i in range(dy.shape[1]):
            for a in range(pool[0]):
                r = i * stride[0] + a - padding[0]
                if 0 <= r < height:
                    for b in range(pool[1]):
                        low, high = _columns(b, stride[1], padding[2], width, dy.shape[2])
                        for j in range(low, high):
                            dx[p, r, j * stride[1] + b - padding[2]] += dy[p, i, j] / area
