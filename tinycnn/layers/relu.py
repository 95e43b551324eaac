"""The activation: negative numbers become zero."""

from __future__ import annotations

from tinycnn import kernels
from tinycnn.layers.base import Array, Layer


class ReLU(Layer):
    """y = max(0, x), any shape; its derivative is 1 where x > 0 and 0 elsewhere.

    >>> import numpy as np
    >>> ReLU().forward(np.array([[-1.0, 2.0]]))
    array([[0., 2.]])
    """

    def forward(self, x: Array, training: bool = False) -> Array:
        self.cache = y = kernels.for_array(x).relu_forward(x)
        return y

    def backward(self, dy: Array) -> Array:
        return kernels.for_array(dy).relu_backward(dy, self.cache)
