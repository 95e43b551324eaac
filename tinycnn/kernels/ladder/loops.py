"""Short loops, compiled by Numba: the rung above array code.

What makes them fast is how they are written. They make no arrays in between: im2col writes and reads each pixel KH·KW
times, a loop reads it where it is. The innermost loop runs along a row, so that neighbouring numbers are neighbours in
memory and LLVM makes one vector instruction of eight steps or sixteen; with the window's sum innermost, which is the
definition's order, the same compiled loops take several times as long. And what is read again is still in cache.
Images, or channels, are shared out among threads.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from tinycnn.kernels import contracts
from tinycnn.kernels.cpu.ranges import OPTIONS, over_ranges
from tinycnn.runtime import memory
from tinycnn.windows import Padding, Pair, output_shape

__all__ = [
    "batch_norm_forward",
    "batch_norm_statistics",
    "conv2d_backward_input",
    "conv2d_backward_weight",
    "conv2d_forward",
    "max_pool2d_forward",
]

# ---- convolution


def conv2d_forward(
    x: np.ndarray,
    weight: np.ndarray,
    bias: np.ndarray | None,
    stride: Pair = (1, 1),
    padding: Padding = (0, 0, 0, 0),
    dilation: Pair = (1, 1),
    groups: int = 1,
) -> np.ndarray:
    """Twin of `reference.naive.conv2d_forward`. Each tap adds its multiple of a row of pixels to a row of outputs.

    What limits it: every vector of products loads the row of outputs and stores it again, two trips to the L1 cache for
    one multiplication; and each filter reads all of x anew.
    """
    output = output_shape(x.shape[2:], weight.shape[2:], stride, padding, dilation)
    y = memory.empty((len(x), len(weight), *output), x.dtype)
    bias = np.zeros(len(weight), x.dtype) if bias is None else bias
    arrays = _columns_apart(_padded(x, padding), stride[1]), np.ascontiguousarray(weight), bias, y
    over_ranges(_forward, len(x), y[:1].nbytes, *arrays, stride, dilation, groups)
    return y


@njit(**OPTIONS)
def _forward(
    first: int, last: int, x: Any, weight: Any, bias: Any, y: Any, stride: Any, dilation: Any, groups: int
) -> None:
    filters, channels, kh, kw = weight.shape
    for n in range(first, last):
        for o in range(filters):
            group = o // (filters // groups) * channels
            for i in range(y.shape[2]):
                outputs = y[n, o, i]
                outputs[:] = bias[o]
                for c in range(channels):
                    for a in range(kh):
                        row = x[n, group + c, i * stride[0] + a * dilation[0]]
                        for b in range(kw):
                            _add(outputs, weight[o, c, a, b], _from(row, b * dilation[1], stride[1]))


@njit(**OPTIONS)
def _add(target: Any, factor: Any, source: Any) -> None:
    for j in range(len(target)):
        target[j] += factor * source[j]


def conv2d_backward_input(
    dy: np.ndarray,
    weight: np.ndarray,
    input_shape: tuple[int, ...],
    stride: Pair = (1, 1),
    padding: Padding = (0, 0, 0, 0),
    dilation: Pair = (1, 1),
    groups: int = 1,
) -> np.ndarray:
    """Twin of `reference.naive.conv2d_backward_input`. A row of dx gathers from the rows of dy whose windows saw it.

    What limits it: as in `conv2d_forward`, a load and a store of dx for each product.
    """
    (n, c, h, w), (top, bottom, left, right) = input_shape, padding
    dx = memory.empty((n, c, top + h + bottom, stride[1], -(-(left + w + right) // stride[1])), dy.dtype)
    arrays = np.ascontiguousarray(dy), np.ascontiguousarray(weight), dx
    over_ranges(_input_gradient, n, dx[:1].nbytes, *arrays, stride, dilation, groups)
    dx = dx.swapaxes(3, 4).reshape(n, c, top + h + bottom, -1)  # as `_columns_apart` found it
    return np.ascontiguousarray(dx[:, :, top : top + h, left : left + w])


@njit(**OPTIONS)
def _input_gradient(
    first: int, last: int, dy: Any, weight: Any, dx: Any, stride: Any, dilation: Any, groups: int
) -> None:
    filters, (_, channels, kh, kw) = len(weight) // groups, weight.shape
    for n in range(first, last):
        for c in range(dx.shape[1]):
            group, k = c // channels * filters, c % channels
            for r in range(dx.shape[2]):
                row = dx[n, c, r]
                row[:] = 0
                for a in range(kh):
                    down = r - a * dilation[0]  # the first row of the windows whose tap a is at r
                    i = down // stride[0]
                    if down < 0 or down % stride[0] != 0 or i >= dy.shape[2]:
                        continue
                    for o in range(group, group + filters):
                        for b in range(kw):
                            pixels = _from(row, b * dilation[1], stride[1])
                            _add(pixels[: dy.shape[3]], weight[o, k, a, b], dy[n, o, i])


def conv2d_backward_weight(
    dy: np.ndarray,
    x: np.ndarray,
    kernel: Pair,
    stride: Pair = (1, 1),
    padding: Padding = (0, 0, 0, 0),
    dilation: Pair = (1, 1),
    groups: int = 1,
) -> np.ndarray:
    """Twin of `reference.naive.conv2d_backward_weight`. Dot products of rows of dy with the rows of x that they met.

    A row of dy stays in the L1 cache for all taps. What limits it: two loads for each product, sums that are added up
    row by row, and each filter reads all of x anew.
    """
    dweight = np.empty((dy.shape[1], x.shape[1] // groups, *kernel), dy.dtype)
    arrays = np.ascontiguousarray(dy), _columns_apart(_padded(x, padding), stride[1]), dweight
    over_ranges(_weight_gradient, len(dweight), dy[:, :1].nbytes, *arrays, stride, dilation, groups)
    return dweight


@njit(**OPTIONS)
def _weight_gradient(
    first: int, last: int, dy: Any, x: Any, dweight: Any, stride: Any, dilation: Any, groups: int
) -> None:
    filters, channels, kh, kw = dweight.shape
    for o in range(first, last):
        group = o // (filters // groups) * channels
        total = np.zeros((channels, kh, kw))  # in float64, of rows' sums in the arrays' own precision
        for n in range(len(dy)):
            for c in range(channels):
                for i in range(dy.shape[2]):
                    for a in range(kh):
                        row = x[n, group + c, i * stride[0] + a * dilation[0]]
                        for b in range(kw):
                            total[c, a, b] += _dot(dy[n, o, i], _from(row, b * dilation[1], stride[1]))
        dweight[o] = total


@njit(**OPTIONS)
def _dot(gradients: Any, pixels: Any) -> Any:
    total = gradients.dtype.type(0)
    for j in range(len(gradients)):
        total += gradients[j] * pixels[j]
    return total


def _padded(x: np.ndarray, padding: Padding, value: float = 0.0) -> np.ndarray:
    top, bottom, left, right = padding
    return np.pad(x, ((0, 0), (0, 0), (top, bottom), (left, right)), constant_values=value) if any(padding) else x


def _columns_apart(x: np.ndarray, stride: int) -> np.ndarray:
    """Put every stride-th pixel of a row side by side: (N, C, H, W) → (N, C, H, stride, W/stride).

    What a tap sees at neighbouring windows are then neighbours in memory, as they are without a stride, when nothing
    moves.
    """
    n, c, h, w = x.shape
    x = _padded(x, (0, 0, 0, -w % stride))
    return np.ascontiguousarray(x.reshape(n, c, h, -1, stride).swapaxes(3, 4))


@njit(**OPTIONS)
def _from(row: Any, column: int, stride: int) -> Any:
    """The pixels column, column + stride, column + 2·stride … of a row whose columns are apart."""
    return row[column % stride, column // stride :]


# ---- pooling


def max_pool2d_forward(
    x: np.ndarray, pool: Pair, stride: Pair, padding: Padding = (0, 0, 0, 0)
) -> tuple[np.ndarray, np.ndarray]:
    """Twin of `reference.naive.max_pool2d_forward`. A window's pixels are read once and compared in registers.

    Array code stacks a copy of x for every pixel of the window before it looks for the largest.
    What limits it: each output's branch on the one before leaves vector instructions unused.
    """
    shape = (*x.shape[:2], *output_shape(x.shape[2:], pool, stride, padding))
    y, argmax = memory.empty(shape, x.dtype), memory.empty(shape, np.int32)
    over_ranges(_max_forward, len(x), x[:1].nbytes, _padded(x, padding, -np.inf), pool, stride, y, argmax)
    return y, argmax


@njit(**OPTIONS)
def _max_forward(first: int, last: int, x: Any, pool: Any, stride: Any, y: Any, argmax: Any) -> None:
    _, channels, oh, ow = y.shape
    for n in range(first, last):
        for c in range(channels):
            for i in range(oh):
                for j in range(ow):
                    best, index = y.dtype.type(-np.inf), 0
                    for a in range(pool[0]):
                        for b in range(pool[1]):
                            value = x[n, c, i * stride[0] + a, j * stride[1] + b]
                            if value > best or (value != value and best == best):  # only a NaN is not itself
                                best, index = value, a * pool[1] + b
                    y[n, c, i, j], argmax[n, c, i, j] = best, index


# ---- batch norm


def batch_norm_statistics(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Twin of `reference.naive.batch_norm_statistics`. Two passes over x; it writes two numbers a channel.

    Array code writes x − μ and its square, two arrays of x's size, and reads them again.
    What limits it: memory. A channel does not fit the cache, so the second pass fetches it again.
    """
    mean, variance = np.empty(x.shape[1]), np.empty(x.shape[1])
    over_ranges(_statistics, x.shape[1], x[:, :1].nbytes, np.ascontiguousarray(x), mean, variance)
    return mean.astype(x.dtype), variance.astype(x.dtype)


@njit(**OPTIONS)
def _statistics(first: int, last: int, x: Any, mean: Any, variance: Any) -> None:
    images, _, h, w = x.shape
    for c in range(first, last):
        total, squares = 0.0, 0.0
        for n in range(images):
            for i in range(h):
                for j in range(w):
                    total += x[n, c, i, j]
        mean[c] = total / (images * h * w)
        for n in range(images):
            for i in range(h):
                for j in range(w):
                    squares += (x[n, c, i, j] - mean[c]) ** 2
        variance[c] = squares / (images * h * w)


def batch_norm_forward(
    x: np.ndarray, mean: np.ndarray, variance: np.ndarray, weight: np.ndarray, bias: np.ndarray, eps: float
) -> np.ndarray:
    """Twin of `reference.naive.batch_norm_forward`. A number is read, normalized in a register, and written: one pass.

    Array code makes three, one for each operator. What limits it: memory, x in and y out.
    """
    y = memory.empty(x.shape, x.dtype)
    scale = (weight / np.sqrt(variance + eps)).astype(x.dtype)
    over_ranges(_normalize, len(x), x[:1].nbytes, np.ascontiguousarray(x), mean, scale, bias, y)
    return y


@njit(**OPTIONS)
def _normalize(first: int, last: int, x: Any, mean: Any, scale: Any, bias: Any, y: Any) -> None:
    for n in range(first, last):
        for c in range(x.shape[1]):
            for i in range(x.shape[2]):
                for j in range(x.shape[3]):
                    y[n, c, i, j] = (x[n, c, i, j] - mean[c]) * scale[c] + bias[c]


contracts.guard(globals(), __all__)
