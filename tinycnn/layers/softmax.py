"""Softmax: scores become probabilities."""

from __future__ import annotations

from tinycnn import kernels
from tinycnn.layers.base import Array, Layer, Shape


class Softmax(Layer):
    """y[n,k] = exp(x[n,k]) / Σ_j exp(x[n,j]): x (N, K) → y (N, K), each row summing to 1.

    >>> import numpy as np
    >>> Softmax().forward(np.log(np.array([[1.0, 3.0]])))
    array([[0.25, 0.75]])
    """

    def output_shape(self, input_shape: Shape) -> Shape:
        if len(input_shape) != 1:
            raise ValueError(
                f"needs one score a class, shape (K,), but gets data of shape {input_shape}: "
                "put a FullyConnected or Flatten layer before it"
            )
        return input_shape

    def forward(self, x: Array, training: bool = False) -> Array:
        self.cache = y = kernels.for_array(x).softmax_forward(x)
        return y

    def backward(self, dy: Array) -> Array:
        return kernels.for_array(dy).softmax_backward(dy, self.cache)
