"""What convolution and im2col ask of their arguments."""

from __future__ import annotations

import functools

from tinycnn.kernels.contracts.checks import (
    IMAGES,
    REMEMBERED,
    Array,
    Shape,
    check_count,
    check_dimensions,
    check_divisible,
    check_floats,
    check_shape,
    convolution,
    windows_over,
)
from tinycnn.windows import Padding, Pair


def im2col(
    x: Array, kernel: Pair, stride: Pair = (1, 1), padding: Padding = (0, 0, 0, 0), dilation: Pair = (1, 1)
) -> None:
    windows_over("x", x.shape, kernel, stride, padding, dilation)
    check_floats("x", x)


def col2im(
    columns: Array,
    input_shape: Shape,
    kernel: Pair,
    stride: Pair = (1, 1),
    padding: Padding = (0, 0, 0, 0),
    dilation: Pair = (1, 1),
) -> None:
    oh, ow = windows_over("input_shape", input_shape, kernel, stride, padding, dilation)
    n, c, _, _ = input_shape
    check_shape("columns", columns, (n, c * kernel[0] * kernel[1], oh * ow), "(N, C·KH·KW, OH·OW) for this input_shape")
    check_floats("columns", columns)


def conv2d_forward(
    x: Array,
    weight: Array,
    bias: Array | None,
    stride: Pair = (1, 1),
    padding: Padding = (0, 0, 0, 0),
    dilation: Pair = (1, 1),
    groups: int = 1,
) -> None:
    convolution("x", x.shape, weight.shape, stride, padding, dilation, groups)
    if bias is not None:
        check_shape("bias", bias, weight.shape[:1], "one number a filter")
    check_floats("x weight bias", x, weight, bias)


def conv2d_backward_input(
    dy: Array,
    weight: Array,
    input_shape: Shape,
    stride: Pair = (1, 1),
    padding: Padding = (0, 0, 0, 0),
    dilation: Pair = (1, 1),
    groups: int = 1,
) -> None:
    output = convolution("input_shape", input_shape, weight.shape, stride, padding, dilation, groups)
    check_shape("dy", dy, output, "the shape of the output")
    check_floats("dy weight", dy, weight)


def conv2d_backward_weight(
    dy: Array,
    x: Array,
    kernel: Pair,
    stride: Pair = (1, 1),
    padding: Padding = (0, 0, 0, 0),
    dilation: Pair = (1, 1),
    groups: int = 1,
) -> None:
    output = _gradient_of_filters(dy.shape, x.shape, kernel, stride, padding, dilation, groups)
    check_shape("dy", dy, output, "the shape of the output")
    check_floats("dy x", dy, x)


def conv2d_backward_bias(dy: Array) -> None:
    check_dimensions("dy", dy.shape, IMAGES)
    check_floats("dy", dy)


@functools.lru_cache(REMEMBERED)
def _gradient_of_filters(
    dy: Shape, x: Shape, kernel: Pair, stride: Pair, padding: Padding, dilation: Pair, groups: int
) -> Shape:
    """(N, O, OH, OW) as it must be for dy."""
    check_count("groups", groups)
    check_dimensions("dy", dy, ("N", "O", "OH", "OW"))
    output = windows_over("x", x, kernel, stride, padding, dilation)
    check_divisible("x", x, 1, groups)
    check_divisible("dy", dy, 1, groups)
    return (x[0], dy[1], *output)
