"""The sigmoid: any number becomes one between 0 and 1."""

from __future__ import annotations

from tinycnn import kernels
from tinycnn.layers.base import Array, Layer


class Sigmoid(Layer):
    """y = 1 / (1 + exp(−x)), any shape; its derivative is y · (1 − y), which is never more than ¼.

    >>> import numpy as np
    >>> Sigmoid().forward(np.array([[0.0, np.log(3), -1000.0]]))
    array([[0.5 , 0.75, 0.  ]])
    """

    def forward(self, x: Array, training: bool = False) -> Array:
        self.cache = y = kernels.for_array(x).sigmoid_forward(x)
        return y

    def backward(self, dy: Array) -> Array:
        return kernels.for_array(dy).sigmoid_backward(dy, self.cache)
