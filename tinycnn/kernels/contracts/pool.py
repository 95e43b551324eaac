"""What pooling asks of its arguments."""

from __future__ import annotations

import functools

from tinycnn.kernels.contracts.checks import (
    REMEMBERED,
    Array,
    Shape,
    check_floats,
    check_integers,
    check_shape,
    windows_over,
)
from tinycnn.windows import Padding, Pair


def max_pool2d_forward(x: Array, pool: Pair, stride: Pair, padding: Padding = (0, 0, 0, 0)) -> None:
    _pooling("x", x.shape, pool, stride, padding)
    check_floats("x", x)


def max_pool2d_backward(
    dy: Array, argmax: Array, input_shape: Shape, pool: Pair, stride: Pair, padding: Padding = (0, 0, 0, 0)
) -> None:
    output = _pooling("input_shape", input_shape, pool, stride, padding)
    check_shape("dy", dy, output, "the shape of the output")
    check_shape("argmax", argmax, output, "dy's shape")
    check_floats("dy", dy)
    check_integers("argmax", argmax)


def average_pool2d_forward(x: Array, pool: Pair, stride: Pair, padding: Padding = (0, 0, 0, 0)) -> None:
    _pooling("x", x.shape, pool, stride, padding)
    check_floats("x", x)


def average_pool2d_backward(
    dy: Array, input_shape: Shape, pool: Pair, stride: Pair, padding: Padding = (0, 0, 0, 0)
) -> None:
    check_shape("dy", dy, _pooling("input_shape", input_shape, pool, stride, padding), "the shape of the output")
    check_floats("dy", dy)


@functools.lru_cache(REMEMBERED)
def _pooling(name: str, images: Shape, pool: Pair, stride: Pair, padding: Padding) -> Shape:
    """(N, C, OH, OW) of pooling's windows, none of which may hold nothing but padding."""
    output = windows_over(name, images, pool, stride, padding, (1, 1))
    if max(padding[:2]) >= pool[0] or max(padding[2:]) >= pool[1]:
        raise ValueError(f"padding is {padding}, with windows of {pool[0]} × {pool[1]}: give less than a window's size")
    return (*images[:2], *output)
