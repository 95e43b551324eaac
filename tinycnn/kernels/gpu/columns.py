"""Convolution as matrix products on im2col's columns, for every shape: cuBLAS computes them, some images at a time."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from tinycnn.backend import get_array_module
from tinycnn.kernels.gpu import norm
from tinycnn.kernels.gpu.launch import Array, blocks, launch
from tinycnn.kernels.gpu.replay import matmul
from tinycnn.windows import Padding, Pair, output_shape

WORKSPACE_BYTES = 256 * 2**20  # of columns, at a time
THREADS = 256


def im2col(
    x: Array, kernel: Pair, stride: Pair = (1, 1), padding: Padding = (0, 0, 0, 0), dilation: Pair = (1, 1)
) -> Array:
    """Twin of `reference.im2col`. A thread for each number of the columns looks up its pixel."""
    xp = get_array_module(x)
    x, oh_ow = xp.ascontiguousarray(x), output_shape(x.shape[2:], kernel, stride, padding, dilation)
    columns = xp.empty((x.shape[0], x.shape[1] * math.prod(kernel), math.prod(oh_ow)), x.dtype)
    launch(
        "columns",
        "im2col",
        blocks(columns.size, THREADS),
        THREADS,
        x,
        columns,
        _geometry(x.shape, kernel, oh_ow, stride, padding, dilation),
        np.uint32(columns.size),
        dtype=x.dtype,
    )
    return columns


def col2im(
    columns: Array,
    input_shape: tuple[int, ...],
    kernel: Pair,
    stride: Pair = (1, 1),
    padding: Padding = (0, 0, 0, 0),
    dilation: Pair = (1, 1),
) -> Array:
    """Twin of `reference.col2im`. A thread for each pixel sums the columns' numbers that were copied from it."""
    xp = get_array_module(columns)
    columns, x = xp.ascontiguousarray(columns), xp.empty(input_shape, columns.dtype)
    oh_ow = output_shape(x.shape[2:], kernel, stride, padding, dilation)
    launch(
        "columns",
        "col2im",
        blocks(x.size, THREADS),
        THREADS,
        columns,
        x,
        _geometry(x.shape, kernel, oh_ow, stride, padding, dilation),
        np.uint32(x.size),
        dtype=x.dtype,
    )
    return x


def conv2d_forward(
    x: Array, weight: Array, bias: Array | None, stride: Pair, padding: Padding, dilation: Pair, groups: int
) -> Array:
    """W · im2col(x) + b: see reference.conv2d_forward."""
    xp = get_array_module(x)
    o, _, kh, kw = weight.shape
    oh, ow = output_shape(x.shape[2:], (kh, kw), stride, padding, dilation)
    rows, parts = weight.reshape(groups, o // groups, -1), []
    for images in _tiles(x.shape, (kh, kw), (oh, ow), x.dtype.itemsize):
        columns = im2col(x[images], (kh, kw), stride, padding, dilation)
        columns = columns.reshape(len(columns), groups, -1, oh * ow)
        parts.append(matmul(rows, columns).reshape(-1, o, oh, ow))
    y = parts[0] if len(parts) == 1 else xp.concatenate(parts)
    if bias is not None:
        y += bias[:, None, None]
    return y


def conv2d_backward_input(
    dy: Array, weight: Array, input_shape: tuple[int, ...], stride: Pair, padding: Padding, dilation: Pair, groups: int
) -> Array:
    """col2im(Wᵀ · dy): see reference.conv2d_backward_input."""
    xp = get_array_module(dy)
    (_, o, oh, ow), (kh, kw) = dy.shape, weight.shape[2:]
    rows, parts = weight.reshape(groups, o // groups, -1).swapaxes(1, 2), []
    for images in _tiles(input_shape, (kh, kw), (oh, ow), dy.dtype.itemsize):
        columns = matmul(rows, dy[images].reshape(-1, groups, o // groups, oh * ow))
        parts.append(col2im(columns, (len(columns), *input_shape[1:]), (kh, kw), stride, padding, dilation))
    return parts[0] if len(parts) == 1 else xp.concatenate(parts)


def conv2d_backward_weight(
    dy: Array, x: Array, kernel: Pair, stride: Pair, padding: Padding, dilation: Pair, groups: int
) -> Array:
    """Σ_n dy[n] · im2col(x[n])ᵀ: see reference.conv2d_backward_weight."""
    xp = get_array_module(dy)
    (_, o, oh, ow), c = dy.shape, x.shape[1]
    total = xp.zeros((groups, c // groups * math.prod(kernel), o // groups), dy.dtype)
    for images in _tiles(x.shape, kernel, (oh, ow), x.dtype.itemsize):
        columns = im2col(x[images], kernel, stride, padding, dilation)
        columns = columns.reshape(len(columns), groups, -1, oh * ow)
        outputs = dy[images].reshape(-1, groups, o // groups, oh * ow)
        total += matmul(columns, outputs.swapaxes(2, 3)).sum(axis=0)  # CuPy copies what is transposed: the smaller
    return total.swapaxes(1, 2).reshape(o, c // groups, *kernel)


def conv2d_backward_bias(dy: Array) -> Array:
    """Twin of `reference.conv2d_backward_bias`. Blocks sum planes; then one block a channel joins the sums."""
    return norm.channel_sums(dy)


def _geometry(
    shape: tuple[int, ...], kernel: Pair, output: Pair, stride: Pair, padding: Padding, dilation: Pair
) -> tuple[int, ...]:
    top, _, left, _ = padding
    return *shape[1:], *kernel, *output, *stride, top, left, *dilation


def _tiles(input_shape: tuple[int, ...], kernel: Pair, output: Pair, itemsize: int) -> Iterator[slice]:
    """Slices of the batch whose columns stay within WORKSPACE_BYTES (or are a single image's)."""
    n, c = input_shape[:2]
    step = max(1, WORKSPACE_BYTES // max(1, c * math.prod(kernel) * math.prod(output) * itemsize))
    for start in range(0, n, step):
        yield slice(start, start + step)
