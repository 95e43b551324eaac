"""Convolution: small filters slide over the image."""

from __future__ import annotations

from collections.abc import Mapping
from types import ModuleType
from typing import Any

import numpy as np

from tinycnn import initializers, kernels
from tinycnn.initializers import Initializer
from tinycnn.layers.base import Array, Layer, Shape, checked_factors, image_shape, pair
from tinycnn.windows import Padding, output_shape

ALGORITHMS = ("auto", "direct", "im2col")


class Conv2D(Layer):
    """2-D cross-correlation: y[n,o,i,j] = b[o] + Σ_c Σ_kh Σ_kw W[o,c,kh,kw] · x[n, c, i·s+kh·d, j·s+kw·d].

    x (N, C, H, W) → y (N, filters, OH, OW) with OH = ⌊(H + padding − d·(KH−1) − 1)/s⌋ + 1. Parameters: weight
    (filters, C/groups, KH, KW), bias (filters,).

    Args:
        filters: how many output channels.
        kernel: KH and KW, as one number or a pair; likewise stride and dilation.
        padding: zeros around the image: a number, a pair (vertical, horizontal), four numbers (top, bottom, left,
            right), or "same" for OH = ⌈H/s⌉, with the odd zero at the bottom and right.
        groups: the channels are cut into so many groups, and each filter sees one of them.
        bias: whether to add b.
        initializer: of the weights: a name of `tinycnn.initializers`, or a function f(shape, rng) → array. A function
            is not saved: a loaded layer has None in its place, and its weights from the file.
        algorithm: "direct", windows as shifts of the image, without copying them; "im2col", the textbook's: every
            window copied into a column, then one matrix product; "auto", the faster, which is "direct" for every shape
            measured. The results are equal but for rounding.
        lr_factors, l2_factors: {"weight": …, "bias": …}, multipliers of the learning rate and of the weight decay.

    Raises:
        ValueError: when an argument is out of range, or (at build) channels do not divide or the image is too small.

    Source: Dumoulin & Visin, "A guide to convolution arithmetic for deep learning" (2016).

    >>> layer = Conv2D(8, 3, padding="same")
    >>> layer.output_shape((1, 224, 224))
    (8, 224, 224)
    """

    def __init__(
        self,
        filters: int,
        kernel: int | tuple[int, int],
        stride: int | tuple[int, int] = 1,
        padding: int | str | tuple[int, ...] = 0,
        dilation: int | tuple[int, int] = 1,
        groups: int = 1,
        bias: bool = True,
        initializer: Initializer = "glorot_uniform",
        algorithm: str = "auto",
        lr_factors: Mapping[str, float] | None = None,
        l2_factors: Mapping[str, float] | None = None,
        name: str | None = None,
    ):
        super().__init__(name)
        if filters < 1 or groups < 1 or filters % groups:
            raise ValueError(f"filters is {filters} and groups {groups}: filters must be a positive multiple of groups")
        self.filters, self.groups, self.bias = int(filters), int(groups), bool(bias)
        self.kernel, self.stride = pair(kernel, "kernel"), pair(stride, "stride")
        self.dilation = pair(dilation, "dilation")
        self.padding = padding if padding == "same" else _four_sides(padding)
        self.initializer = initializers.checked(initializer)
        if algorithm not in ALGORITHMS:
            raise ValueError(f"algorithm is {algorithm!r}: choose one of {', '.join(ALGORITHMS)}")
        self.algorithm = algorithm
        self.lr_factors = checked_factors(lr_factors, "lr_factors")
        self.l2_factors = checked_factors(l2_factors, "l2_factors")

    def config(self) -> dict[str, Any]:
        return {**super().config(), "initializer": initializers.stored(self.initializer)}

    def output_shape(self, input_shape: Shape) -> Shape:
        c, h, w = image_shape(input_shape)
        if c % self.groups:
            raise ValueError(f"groups is {self.groups}, which does not divide the {c} channels it gets")
        sides = self._sides((h, w))
        oh, ow = output_shape((h, w), self.kernel, self.stride, sides, self.dilation)
        if oh < 1 or ow < 1:
            raise ValueError(
                f"a {self.kernel[0]}×{self.kernel[1]} kernel with dilation {self.dilation} does not fit "
                f"into {h}×{w} pixels with padding {sides}"
            )
        return self.filters, oh, ow

    def build(self, input_shape: Shape, dtype: Any, rng: np.random.Generator) -> None:
        shape = (self.filters, input_shape[0] // self.groups, *self.kernel)
        self.parameters["weight"] = initializers.initialize(self.initializer, shape, dtype, rng)
        if self.bias:
            self.parameters["bias"] = np.zeros(self.filters, dtype)

    def forward(self, x: Array, training: bool = False) -> Array:
        self.cache = x
        return self._kernels(x).conv2d_forward(
            x, self.parameters["weight"], self.parameters.get("bias"), *self.geometry(x.shape[2:])
        )

    def backward(self, dy: Array) -> Array:
        self.backward_parameters(dy)
        x = self.cache
        return self._kernels(dy).conv2d_backward_input(
            dy, self.parameters["weight"], x.shape, *self.geometry(x.shape[2:])
        )

    def backward_parameters(self, dy: Array) -> None:
        x, k = self.cache, self._kernels(dy)
        self.gradients["weight"] = k.conv2d_backward_weight(dy, x, self.kernel, *self.geometry(x.shape[2:]))
        if self.bias:
            self.gradients["bias"] = k.conv2d_backward_bias(dy)

    def _kernels(self, x: Array) -> ModuleType:
        return kernels.im2col_for_array(x) if self.algorithm == "im2col" else kernels.for_array(x)

    def geometry(self, size: tuple[int, int]) -> tuple[tuple[int, int], Padding, tuple[int, int], int]:
        """stride, padding as (top, bottom, left, right), dilation and groups, for images of `size` (H, W)."""
        return self.stride, self._sides(size), self.dilation, self.groups

    def _sides(self, size: tuple[int, int]) -> Padding:
        """(top, bottom, left, right) zeros for an image of `size`."""
        if isinstance(self.padding, tuple):
            return self.padding
        top, bottom = _same(size[0], self.kernel[0], self.stride[0], self.dilation[0])
        left, right = _same(size[1], self.kernel[1], self.stride[1], self.dilation[1])
        return top, bottom, left, right


def _same(size: int, kernel: int, stride: int, dilation: int) -> tuple[int, int]:
    """Zeros before and after so that ⌈size / stride⌉ windows fit."""
    total = max(0, (-(-size // stride) - 1) * stride + dilation * (kernel - 1) + 1 - size)
    return total // 2, total - total // 2


def _four_sides(padding: int | str | tuple[int, ...]) -> Padding:
    if isinstance(padding, str):
        raise ValueError(f'padding is {padding!r}: give "same", a number, a pair, or (top, bottom, left, right)')
    if not isinstance(padding, (int, np.integer)) and len(padding) == 4:
        (top, bottom), (left, right) = pair(padding[:2], "padding", 0), pair(padding[2:], "padding", 0)
        return top, bottom, left, right
    vertical, horizontal = pair(padding, "padding", 0)
    return vertical, vertical, horizontal, horizontal
