"""The leaky activation: negative numbers become small ones."""

from __future__ import annotations

import math

from tinycnn import kernels
from tinycnn.layers.base import Array, Layer


class LeakyReLU(Layer):
    """y = x where x > 0, else slope · x, any shape; its derivative is 1 where x > 0 and slope elsewhere.

    Args:
        slope: of the negative side, PyTorch's `negative_slope`; 0 makes it ReLU.

    Raises:
        ValueError: for a slope that is negative or not finite.

    Source: Maas, Hannun & Ng, "Rectifier nonlinearities improve neural network acoustic models" (2013).

    >>> import numpy as np
    >>> LeakyReLU(0.1).forward(np.array([[-1.0, 2.0]]))
    array([[-0.1,  2. ]])
    """

    def __init__(self, slope: float = 0.01, name: str | None = None):
        super().__init__(name)
        if not (slope >= 0 and math.isfinite(slope)):
            raise ValueError(f"slope is {slope!r}: give a number of at least 0, such as 0.01")
        self.slope = float(slope)

    def forward(self, x: Array, training: bool = False) -> Array:
        self.cache = y = kernels.for_array(x).leaky_relu_forward(x, self.slope)
        return y

    def backward(self, dy: Array) -> Array:
        return kernels.for_array(dy).leaky_relu_backward(dy, self.cache, self.slope)
