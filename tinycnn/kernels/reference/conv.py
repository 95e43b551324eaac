"""Convolution as im2col and one matrix product."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from tinycnn.backend import get_array_module
from tinycnn.windows import Padding, Pair, output_shape, window_pixel

Array = Any  # numpy.ndarray or cupy.ndarray

WORKSPACE_BYTES = 64 * 2**20  # im2col copies each pixel KH·KW times; a tile of images at a time keeps that bounded


def im2col(
    x: Array, kernel: Pair, stride: Pair = (1, 1), padding: Padding = (0, 0, 0, 0), dilation: Pair = (1, 1)
) -> Array:
    """Copy every window of x (N, C, H, W) into a column: (N, C·KH·KW, OH·OW)."""
    xp = get_array_module(x)
    (n, c, h, w), (kh, kw) = x.shape, kernel
    top, bottom, left, right = padding
    oh, ow = output_shape((h, w), kernel, stride, padding, dilation)
    x = xp.pad(x, ((0, 0), (0, 0), (top, bottom), (left, right)))
    columns = xp.empty((n, c, kh, kw, oh, ow), x.dtype)
    for i in range(kh):
        for j in range(kw):
            columns[:, :, i, j] = window_pixel(x, i, j, (oh, ow), stride, dilation)
    return columns.reshape(n, c * kh * kw, oh * ow)


def col2im(
    columns: Array,
    input_shape: tuple[int, ...],
    kernel: Pair,
    stride: Pair = (1, 1),
    padding: Padding = (0, 0, 0, 0),
    dilation: Pair = (1, 1),
) -> Array:
    """Add every column (N, C·KH·KW, OH·OW) back to the pixels of `input_shape` it was copied from: im2col's adjoint."""
    xp = get_array_module(columns)
    (n, c, h, w), (kh, kw) = input_shape, kernel
    top, bottom, left, right = padding
    oh, ow = output_shape((h, w), kernel, stride, padding, dilation)
    columns = columns.reshape(n, c, kh, kw, oh, ow)
    x = xp.zeros((n, c, top + h + bottom, left + w + right), columns.dtype)
    for i in range(kh):
        for j in range(kw):
            window_pixel(x, i, j, (oh, ow), stride, dilation)[...] += columns[:, :, i, j]
    return x[:, :, top : top + h, left : left + w]


def conv2d_forward(
    x: Array,
    weight: Array,
    bias: Array | None,
    stride: Pair = (1, 1),
    padding: Padding = (0, 0, 0, 0),
    dilation: Pair = (1, 1),
    groups: int = 1,
) -> Array:
    """y[n,o,i,j] = b[o] + Σ_c Σ_kh Σ_kw W[o,c,kh,kw] · x[n, c, i·s+kh·d, j·s+kw·d], as a matrix product: W · im2col(x).

    x (N, C, H, W), weight (O, C/groups, KH, KW), bias (O,) or None → y (N, O, OH, OW). Filter o of group g sees the
    channels of group g only.
    """
    xp = get_array_module(x)
    n, (o, _, kh, kw) = x.shape[0], weight.shape
    oh, ow = output_shape(x.shape[2:], (kh, kw), stride, padding, dilation)
    y = xp.empty((n, o, oh, ow), x.dtype)
    rows = weight.reshape(groups, o // groups, -1)
    for images in _tiles(x.shape, (kh, kw), (oh, ow), x.dtype.itemsize):
        columns = im2col(x[images], (kh, kw), stride, padding, dilation)
        columns = columns.reshape(columns.shape[0], groups, -1, oh * ow)
        y[images] = (rows @ columns).reshape(-1, o, oh, ow)
    if bias is not None:
        y += bias[:, None, None]
    return y


def conv2d_backward_input(
    dy: Array,
    weight: Array,
    input_shape: tuple[int, ...],
    stride: Pair = (1, 1),
    padding: Padding = (0, 0, 0, 0),
    dilation: Pair = (1, 1),
    groups: int = 1,
) -> Array:
    """dx = col2im(Wᵀ · dy): dy (N, O, OH, OW) → dx of `input_shape` (N, C, H, W)."""
    xp = get_array_module(dy)
    (_, o, oh, ow), (kh, kw) = dy.shape, weight.shape[2:]
    dx = xp.empty(input_shape, dy.dtype)
    rows = weight.reshape(groups, o // groups, -1).swapaxes(1, 2)
    for images in _tiles(input_shape, (kh, kw), (oh, ow), dy.dtype.itemsize):
        columns = rows @ dy[images].reshape(-1, groups, o // groups, oh * ow)
        dx[images] = col2im(columns, (len(columns), *input_shape[1:]), (kh, kw), stride, padding, dilation)
    return dx


def conv2d_backward_weight(
    dy: Array,
    x: Array,
    kernel: Pair,
    stride: Pair = (1, 1),
    padding: Padding = (0, 0, 0, 0),
    dilation: Pair = (1, 1),
    groups: int = 1,
) -> Array:
    """dW = Σ_n dy[n] · im2col(x[n])ᵀ: dy (N, O, OH, OW), x (N, C, H, W) → (O, C/groups, KH, KW)."""
    xp = get_array_module(dy)
    (_, o, oh, ow), c = dy.shape, x.shape[1]
    total = xp.zeros((groups, o // groups, c // groups * kernel[0] * kernel[1]), dy.dtype)
    for images in _tiles(x.shape, kernel, (oh, ow), x.dtype.itemsize):
        columns = im2col(x[images], kernel, stride, padding, dilation)
        columns = columns.reshape(columns.shape[0], groups, -1, oh * ow)
        outputs = dy[images].reshape(-1, groups, o // groups, oh * ow)
        total += (outputs @ columns.swapaxes(2, 3)).sum(axis=0)
    return total.reshape(o, c // groups, *kernel)


def conv2d_backward_bias(dy: Array) -> Array:
    """db[o] = Σ_n Σ_i Σ_j dy[n,o,i,j]: (N, O, OH, OW) → (O,)."""
    return dy.sum(axis=(0, 2, 3), dtype=np.float64).astype(dy.dtype)


def _tiles(input_shape: tuple[int, ...], kernel: Pair, output: Pair, itemsize: int) -> Iterator[slice]:
    """Slices of the batch whose im2col stays within WORKSPACE_BYTES (or is a single image's)."""
    n, c = input_shape[:2]
    bytes_per_image = c * kernel[0] * kernel[1] * output[0] * output[1] * itemsize
    step = max(1, WORKSPACE_BYTES // max(1, bytes_per_image))
    for start in range(0, n, step):
        yield slice(start, start + step)
