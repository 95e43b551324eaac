"""Flatten: an image becomes one long row."""

from __future__ import annotations

import math

from tinycnn.layers.base import Array, Layer, Shape


class Flatten(Layer):
    """y[n] = x[n] with its axes joined, in C, H, W order: x (N, C, H, W) → y (N, C·H·W).

    >>> Flatten().output_shape((64, 12, 12))
    (9216,)
    """

    def output_shape(self, input_shape: Shape) -> Shape:
        return (math.prod(input_shape),)

    def forward(self, x: Array, training: bool = False) -> Array:
        self.cache = x.shape
        return x.reshape(len(x), -1)

    def backward(self, dy: Array) -> Array:
        return dy.reshape(self.cache)
