"""The hyperbolic tangent: any number becomes one between −1 and 1."""

from __future__ import annotations

from tinycnn import kernels
from tinycnn.layers.base import Array, Layer


class Tanh(Layer):
    """y = tanh(x) = (exp(x) − exp(−x)) / (exp(x) + exp(−x)), any shape; its derivative is 1 − y².

    >>> import numpy as np
    >>> Tanh().forward(np.array([[0.0, np.log(2), 1000.0]]))
    array([[0. , 0.6, 1. ]])
    """

    def forward(self, x: Array, training: bool = False) -> Array:
        self.cache = y = kernels.for_array(x).tanh_forward(x)
        return y

    def backward(self, dy: Array) -> Array:
        return kernels.for_array(dy).tanh_backward(dy, self.cache)
