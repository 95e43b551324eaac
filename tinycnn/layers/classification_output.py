"""The output layer: probabilities go through, and the loss starts here."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from types import ModuleType
from typing import Any

import numpy as np

from tinycnn import kernels
from tinycnn.backend import get_array_module
from tinycnn.checks import checked_labels
from tinycnn.layers.base import Array, Layer, OutputLayer, Shape
from tinycnn.layers.softmax import Softmax


class ClassificationOutput(OutputLayer):
    """Cross-entropy: loss = −Σ_n w[t_n] · log p[n, t_n] / Σ_n w[t_n], the mean of −log p where all w are equal.

    forward passes probabilities p (N, K) through. backward takes the integer labels t (N,) in place of dy, since this
    is where the loss begins, and returns dloss/dp.

    Args:
        class_weights: w, one number ≥ 0 a class, or None for equal weights. Normalized as PyTorch does.

    Raises:
        ValueError: for class weights that are negative or not one a class.

    >>> output = ClassificationOutput()
    >>> p = output.forward(np.array([[0.25, 0.75]]))
    >>> float(output.loss(p, np.array([1])))  # −log 0.75
    0.2876820724517809
    >>> output.backward(np.array([1]))
    array([[ 0.        , -1.33333333]])
    """

    def __init__(self, class_weights: Sequence[float] | None = None, name: str | None = None):
        super().__init__(name)
        self.class_weights = None if class_weights is None else [float(w) for w in class_weights]
        if self.class_weights is not None and (min(self.class_weights) < 0 or max(self.class_weights) == 0):
            raise ValueError(f"class_weights is {class_weights!r}: give numbers ≥ 0, at least one above 0")

    def check_before(self, before: Layer | None) -> None:
        if not isinstance(before, Softmax):
            raise ValueError("needs probabilities: put Softmax before it")

    def output_shape(self, input_shape: Shape) -> Shape:
        if len(input_shape) != 1:
            raise ValueError(f"needs one probability a class, shape (K,), but gets data of shape {input_shape}")
        if self.class_weights is not None and len(self.class_weights) != input_shape[0]:
            raise ValueError(f"class_weights has {len(self.class_weights)} numbers for {input_shape[0]} classes")
        return input_shape

    def forward(self, x: Array, training: bool = False) -> Array:
        self.cache = x
        return x

    def targets(self, t: Any, n: int, output_shape: Shape) -> Array:
        return checked_labels(t, n, output_shape[0])

    def loss(self, p: Array, t: Array) -> Array:
        """The mean cross-entropy of probabilities p (N, K) with labels t (N,)."""
        xp = get_array_module(p)
        log_p = xp.log(xp.maximum(p, p.dtype.type(1e-30)))
        return kernels.for_array(p).cross_entropy_forward(log_p, t, self.weights(p))

    def backward(self, t: Array) -> Array:
        p = self.cache
        xp = get_array_module(p)
        rows, weights = xp.arange(len(t)), self.weights(p)
        shares = xp.ones(len(t), p.dtype) if weights is None else weights[t]
        dp = xp.zeros_like(p)
        dp[rows, t] = -shares / (shares.sum() * p[rows, t])
        return dp

    def weights(self, like: Array) -> Array | None:
        """The class weights as an array beside `like`, or None."""
        if self.class_weights is None:
            return None
        return _array(get_array_module(like), tuple(self.class_weights), like.dtype)


@functools.cache
def _array(xp: ModuleType, numbers: tuple[float, ...], dtype: np.dtype[Any]) -> Array:
    """The numbers as an array, made once: copying them to a GPU in every step would not do in a recording."""
    return xp.asarray(numbers, dtype)
