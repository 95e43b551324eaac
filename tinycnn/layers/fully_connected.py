"""The fully connected layer: every output sees every input."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from tinycnn import initializers, kernels
from tinycnn.initializers import Initializer
from tinycnn.layers.base import Array, Layer, Shape, checked_factors


class FullyConnected(Layer):
    """y = x Wᵀ + b: x (N, …), flattened in C, H, W order to (N, D) → y (N, outputs).

    Parameters: weight (outputs, D), bias (outputs,).

    Args:
        outputs: how many numbers come out.
        bias: whether to add b.
        initializer: of the weights: a name of `tinycnn.initializers`, or a function f(shape, rng) → array. A function
            is not saved: a loaded layer has None in its place, and its weights from the file.
        lr_factors, l2_factors: {"weight": …, "bias": …}, multipliers of the learning rate and of the weight decay.

    >>> FullyConnected(3).output_shape((64, 12, 12))
    (3,)
    """

    def __init__(
        self,
        outputs: int,
        bias: bool = True,
        initializer: Initializer = "glorot_uniform",
        lr_factors: Mapping[str, float] | None = None,
        l2_factors: Mapping[str, float] | None = None,
        name: str | None = None,
    ):
        super().__init__(name)
        if outputs < 1:
            raise ValueError(f"outputs is {outputs!r}: give a whole number of at least 1")
        self.outputs, self.bias = int(outputs), bool(bias)
        self.initializer = initializers.checked(initializer)
        self.lr_factors = checked_factors(lr_factors, "lr_factors")
        self.l2_factors = checked_factors(l2_factors, "l2_factors")

    def config(self) -> dict[str, Any]:
        return {**super().config(), "initializer": initializers.stored(self.initializer)}

    def output_shape(self, input_shape: Shape) -> Shape:
        return (self.outputs,)

    def build(self, input_shape: Shape, dtype: Any, rng: np.random.Generator) -> None:
        shape = (self.outputs, math.prod(input_shape))
        self.parameters["weight"] = initializers.initialize(self.initializer, shape, dtype, rng)
        if self.bias:
            self.parameters["bias"] = np.zeros(self.outputs, dtype)

    def forward(self, x: Array, training: bool = False) -> Array:
        rows = x.reshape(len(x), -1)
        self.cache = rows, x.shape
        return kernels.for_array(x).fully_connected_forward(
            rows, self.parameters["weight"], self.parameters.get("bias")
        )

    def backward(self, dy: Array) -> Array:
        rows, input_shape = self.cache
        dx, dweight, dbias = kernels.for_array(dy).fully_connected_backward(dy, rows, self.parameters["weight"])
        self.gradients["weight"] = dweight
        if self.bias:
            self.gradients["bias"] = dbias
        return dx.reshape(input_shape)
