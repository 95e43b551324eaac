"""Dropout: while training, some numbers are left out at random."""

from __future__ import annotations

from typing import Any

import numpy as np

from tinycnn import kernels
from tinycnn.layers.base import Array, Layer, Shape


class Dropout(Layer):
    """y = x · m in training, where m is 0 with probability `rate` and 1/(1 − rate) otherwise; y = x in evaluation.

    The mask comes from the network's one random generator, so the same seed gives the same masks.

    Args:
        rate: the share of numbers left out, 0 ≤ rate < 1.

    Raises:
        ValueError: for a rate outside that range.

    Source: Srivastava et al., "Dropout" (2014), in the inverted form.

    >>> Dropout(0.5).forward(np.ones((1, 3)))
    array([[1., 1., 1.]])
    """

    def __init__(self, rate: float, name: str | None = None):
        super().__init__(name)
        if not 0 <= rate < 1:
            raise ValueError(f"rate is {rate!r}: give a number from 0 to below 1")
        self.rate = float(rate)
        self.rng = np.random.default_rng(0)
        self.paused = False  # lets everything through in training, too

    def build(self, input_shape: Shape, dtype: Any, rng: np.random.Generator) -> None:
        self.rng = rng

    def forward(self, x: Array, training: bool = False) -> Array:
        self.cache = None
        if not training or self.paused or self.rate == 0:
            return x
        y, self.cache = kernels.for_array(x).dropout_forward(x, self.rate, self.rng)
        return y

    def backward(self, dy: Array) -> Array:
        return dy if self.cache is None else kernels.for_array(dy).dropout_backward(dy, self.cache)
