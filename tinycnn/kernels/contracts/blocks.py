"""What convolution, batch norm, ReLU and pooling computed as one ask of their arguments."""

from __future__ import annotations

import functools
import operator
from collections.abc import Sequence
from typing import Any

import numpy as np

from tinycnn.kernels.contracts.checks import (
    FLOATS,
    REMEMBERED,
    Array,
    Shape,
    check_filters,
    check_floats,
    check_shape,
    convolution,
)
from tinycnn.windows import Padding, Pair

shape_of, dtype_of = operator.attrgetter("shape"), operator.attrgetter("dtype")


def conv_block_forward(
    x: Array,
    weight: Array,
    bias: Array | None,
    gamma: Array,
    beta: Array,
    eps: float,
    stride: Pair,
    padding: Padding,
    dilation: Pair,
    groups: int,
) -> None:
    _pooled_convolution(x.shape, weight.shape, stride, padding, dilation, groups)
    check_filters("bias gamma beta", len(weight), bias, gamma, beta)
    check_floats("x weight bias gamma beta", x, weight, bias, gamma, beta)


def conv_block_backward(
    dy: Array,
    cache: Any,
    weight: Array,
    gamma: Array,
    beta: Array,
    eps: float,
    stride: Pair,
    padding: Padding,
    dilation: Pair,
    groups: int,
    input_gradient: bool = True,
) -> None:
    output = _pooled_convolution(cache.x.shape, weight.shape, stride, padding, dilation, groups)
    check_shape("dy", dy, output, "the shape of the output")
    check_filters("gamma beta", len(weight), gamma, beta)
    check_floats("dy cache.x weight gamma beta", dy, cache.x, weight, gamma, beta)


def conv_blocks_inference(x: Array, blocks: Sequence[tuple[Any, ...]]) -> None:
    shape = x.shape
    if not blocks:
        raise ValueError("blocks is empty: give at least one block")
    for block in blocks:
        if len(block) != 11:
            raise ValueError(
                f"a block has {len(block)} members: give weight, bias, γ, β, mean, variance, eps, stride, padding, "
                "dilation and groups"
            )
        arrays = block[:6] if block[1] is not None else (block[0], *block[2:6])
        shape = _block(shape, x.dtype, tuple(map(shape_of, arrays)), tuple(map(dtype_of, arrays)), *block[7:])


@functools.lru_cache(REMEMBERED)
def _pooled_convolution(
    images: Shape, filters: Shape, stride: Pair, padding: Padding, dilation: Pair, groups: int
) -> Shape:
    """(N, O, OH // 2, OW // 2): what 2 × 2 pooling leaves of the convolution."""
    n, o, oh, ow = convolution("x", images, filters, stride, padding, dilation, groups)
    if min(oh, ow) < 2:
        raise ValueError(f"the convolution of x {images} with weight {filters} gives {oh} × {ow}: pooling needs 2 × 2")
    return n, o, oh // 2, ow // 2


@functools.lru_cache(REMEMBERED)
def _block(
    images: Shape, dtype: np.dtype, shapes: tuple[Shape, ...], dtypes: tuple[np.dtype, ...], *geometry: Any
) -> Shape:
    """What a block gives in evaluation; shapes and dtypes are of weight, bias (unless None), γ, β, mean, variance."""
    names = ["weight", "bias", "gamma", "beta", "mean", "variance"]
    if len(shapes) < len(names):
        names.remove("bias")
    output = _pooled_convolution(images, shapes[0], *geometry)
    for name, shape in zip(names[1:], shapes[1:], strict=True):
        if shape != shapes[0][:1]:
            raise ValueError(f"{name} has shape {shape}: it must be {shapes[0][:1]}, one number a filter")
    if dtype not in FLOATS:
        raise TypeError(f"x is of {dtype}: give float32 or float64")
    for name, other in zip(names, dtypes, strict=True):
        if other != dtype:
            raise TypeError(f"{name} is of {other} and x of {dtype}: give both the same dtype")
    return output
