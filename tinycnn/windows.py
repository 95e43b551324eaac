"""Sizes of sliding windows: the arithmetic that convolution and pooling share."""

from __future__ import annotations

from typing import Any

Pair = tuple[int, int]
Padding = tuple[int, int, int, int]  # top, bottom, left, right


def output_size(size: int, kernel: int, stride: int, padding: int, dilation: int = 1) -> int:
    """How many windows fit: ⌊(size + padding − dilation·(kernel − 1) − 1) / stride⌋ + 1; padding is both sides' sum.

    >>> output_size(224, kernel=3, stride=1, padding=0)
    222
    """
    return (size + padding - dilation * (kernel - 1) - 1) // stride + 1


def output_shape(shape: Pair, kernel: Pair, stride: Pair, padding: Padding, dilation: Pair = (1, 1)) -> Pair:
    """(OH, OW) of a window sliding over (H, W); padding is (top, bottom, left, right)."""
    top, bottom, left, right = padding
    return (
        output_size(shape[0], kernel[0], stride[0], top + bottom, dilation[0]),
        output_size(shape[1], kernel[1], stride[1], left + right, dilation[1]),
    )


def window_pixel(x: Any, i: int, j: int, output: Pair, stride: Pair, dilation: Pair) -> Any:
    """The view of padded x that holds pixel (i, j) of every window: (N, C, OH, OW)."""
    top, left = i * dilation[0], j * dilation[1]
    bottom, right = top + output[0] * stride[0], left + output[1] * stride[1]
    return x[:, :, top : bottom : stride[0], left : right : stride[1]]
