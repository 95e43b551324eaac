"""Convolution: by `direct` where its kernels serve the shape, by `columns` and cuBLAS everywhere else."""

from __future__ import annotations

from tinycnn.backend import get_array_module
from tinycnn.kernels.gpu import columns, direct
from tinycnn.kernels.gpu.launch import Array
from tinycnn.windows import Padding, Pair, output_shape


def conv2d_forward(
    x: Array,
    weight: Array,
    bias: Array | None,
    stride: Pair = (1, 1),
    padding: Padding = (0, 0, 0, 0),
    dilation: Pair = (1, 1),
    groups: int = 1,
) -> Array:
    """Twin of `reference.conv2d_forward`. A thread keeps 4 × 2 pixels of several filters in registers; no im2col."""
    xp = get_array_module(x)
    x, weight = xp.ascontiguousarray(x), xp.ascontiguousarray(weight)
    if not direct.serves(weight.shape, stride, dilation, groups):
        return columns.conv2d_forward(x, weight, bias, stride, padding, dilation, groups)
    y = xp.empty((len(x), len(weight), *output_shape(x.shape[2:], weight.shape[2:], stride, padding)), x.dtype)
    direct.correlate(direct.plain(x), weight, (bias, y, *y.shape[1:]), len(x), padding[0], padding[2])
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
    """Twin of `reference.conv2d_backward_input`. dx gathers: the forward kernel, with the filters turned around."""
    xp = get_array_module(dy)
    dy, weight = xp.ascontiguousarray(dy), xp.ascontiguousarray(weight)
    if not direct.serves(weight.shape, stride, dilation, groups):
        return columns.conv2d_backward_input(dy, weight, input_shape, stride, padding, dilation, groups)
    return direct.input_gradient(direct.plain(dy), weight, input_shape, padding[0], padding[2])


def conv2d_backward_weight(
    dy: Array,
    x: Array,
    kernel: Pair,
    stride: Pair = (1, 1),
    padding: Padding = (0, 0, 0, 0),
    dilation: Pair = (1, 1),
    groups: int = 1,
) -> Array:
    """Twin of `reference.conv2d_backward_weight`. Blocks sum tiles of dy · x; their sums are added in order."""
    xp = get_array_module(dy)
    dy, x = xp.ascontiguousarray(dy), xp.ascontiguousarray(x)
    if not direct.serves((dy.shape[1], x.shape[1], *kernel), stride, dilation, groups):
        return columns.conv2d_backward_weight(dy, x, kernel, stride, padding, dilation, groups)
    return direct.weight_gradient(direct.plain(dy), x, kernel, padding[0], padding[2])
