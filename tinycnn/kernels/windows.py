"""Sizes of sliding windows: the arithmetic that convolution and pooling share."""

from __future__ import annotations

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
