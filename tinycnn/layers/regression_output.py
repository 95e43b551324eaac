"""The output layer of regression: numbers go through, and the mean squared error starts here."""

from __future__ import annotations

from typing import Any

from tinycnn import kernels
from tinycnn.checks import checked_targets
from tinycnn.layers.base import Array, OutputLayer, Shape


class RegressionOutput(OutputLayer):
    """Mean squared error: loss = 1/(N·D) · Σ_n Σ_d (y[n,d] − t[n,d])², the mean over images and outputs.

    forward passes the outputs y (N, …) of any shape through, D numbers each. backward takes the targets t, floats of
    y's shape, in place of dy, since this is where the loss begins, and returns dloss/dy = 2 · (y − t) / (N·D).

    This is PyTorch's MSELoss. MATLAB's regressionLayer has the half-mean-squared-error, 1/(2N) · Σ_n Σ_d (y − t)²: of D
    outputs, its loss and gradients are D/2 times these, so what MATLAB learns at a rate α is learnt here at α·D/2.

    Source: PyTorch's MSELoss(reduction="mean").

    >>> import numpy as np
    >>> output = RegressionOutput()
    >>> y = output.forward(np.array([[1.0, 2.0]]))
    >>> float(output.loss(y, np.array([[1.0, 5.0]])))
    4.5
    >>> output.backward(np.array([[1.0, 5.0]]))
    array([[ 0., -3.]])
    """

    def forward(self, x: Array, training: bool = False) -> Array:
        self.cache = x
        return x

    def targets(self, t: Any, n: int, output_shape: Shape) -> Array:
        return checked_targets(t, n, output_shape)

    def loss(self, y: Array, t: Array) -> Array:
        """The mean squared error of the outputs y (N, …) with targets t of the same shape."""
        return kernels.for_array(y).squared_error_forward(y, t.astype(y.dtype, copy=False))

    def backward(self, t: Array) -> Array:
        y = self.cache
        return kernels.for_array(y).squared_error_backward(y, t.astype(y.dtype, copy=False))
