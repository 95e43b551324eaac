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

    With label smoothing ε a label stands for 1 − ε of its own class and ε/K of every class, itself included:
    loss = −Σ_n ((1 − ε) · w[t_n] · log p[n, t_n] + ε/K · Σ_k w[k] · log p[n, k]) / Σ_n w[t_n].

    forward passes probabilities p (N, K) through. backward takes the integer labels t (N,) in place of dy, since this
    is where the loss begins, and returns dloss/dp.

    Args:
        class_weights: w, one number ≥ 0 a class, or None for equal weights. Normalized as PyTorch does.

        label_smoothing: ε, from 0 to below 1.

    Raises:
        ValueError: for class weights that are negative or not one a class, or label smoothing out of range.

    Source: PyTorch's CrossEntropyLoss(weight, label_smoothing); Szegedy et al., "Rethinking the Inception architecture"
    (2016).

    >>> output = ClassificationOutput()
    >>> p = output.forward(np.array([[0.25, 0.75]]))
    >>> float(output.loss(p, np.array([1])))  # −log 0.75
    0.2876820724517809
    >>> output.backward(np.array([1]))
    array([[ 0.        , -1.33333333]])
    """

    def __init__(
        self, class_weights: Sequence[float] | None = None, label_smoothing: float = 0.0, name: str | None = None
    ):
        super().__init__(name)
        if not 0 <= label_smoothing < 1:
            raise ValueError(f"label_smoothing is {label_smoothing!r}: give a number from 0 to below 1, such as 0.1")
        self.label_smoothing = float(label_smoothing)
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
        log_p = xp.log(xp.maximum(p, p.dtype.type(kernels.LEAST_PROBABILITY)))
        return kernels.for_array(p).cross_entropy_forward(log_p, t, self.weights(p), self.label_smoothing)

    def backward(self, t: Array) -> Array:
        p = self.cache
        xp, (n, classes) = get_array_module(p), p.shape
        rows, w, smoothing = xp.arange(n), self.weights(p), self.label_smoothing
        w = xp.ones(classes, p.dtype) if w is None else w
        total = w[t].sum()
        dp = -p.dtype.type(smoothing / classes) * w / (total * p) if smoothing else xp.zeros_like(p)
        dp[rows, t] -= p.dtype.type(1 - smoothing) * w[t] / (total * p[rows, t])
        return dp

    def weights(self, like: Array) -> Array | None:
        """The class weights as an array beside `like`, or None."""
        if self.class_weights is None:
            return None
        return _array(get_array_module(like), tuple(self.class_weights), like.dtype)


@functools.cache
def _array(xp: ModuleType, numbers: tuple[float, ...], dtype: np.dtype[Any]) -> Array:
    """The numbers as an array, made once: not at every step, nor, on a GPU, sent there at every step."""
    return xp.asarray(numbers, dtype)
