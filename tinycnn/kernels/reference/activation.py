"""Activations, element by element. Each backward pass needs only y, what its forward pass returned."""

from __future__ import annotations

from typing import Any

from tinycnn.backend import get_array_module

Array = Any  # numpy.ndarray or cupy.ndarray


def relu_forward(x: Array) -> Array:
    """y = max(0, x), any shape."""
    return get_array_module(x).maximum(x, 0)


def relu_backward(dy: Array, y: Array) -> Array:
    """dx = dy where y > 0, else 0 (the derivative at 0 is taken as 0)."""
    return dy * (y > 0)


def leaky_relu_forward(x: Array, slope: float = 0.01) -> Array:
    """y = x where x > 0, else slope · x, any shape; slope ≥ 0."""
    return get_array_module(x).where(x > 0, x, x * x.dtype.type(slope))


def leaky_relu_backward(dy: Array, y: Array, slope: float = 0.01) -> Array:
    """dx = dy where y > 0, else slope · dy (the derivative at 0 is taken as slope): y has the sign of x."""
    return get_array_module(dy).where(y > 0, dy, dy * dy.dtype.type(slope))


def sigmoid_forward(x: Array) -> Array:
    """y = 1 / (1 + exp(−x)), any shape; for x < 0 as exp(x) / (1 + exp(x)), so that no exponential overflows."""
    xp = get_array_module(x)
    e = xp.exp(-abs(x))
    return xp.where(x < 0, e, xp.ones_like(e)) / (1 + e)


def sigmoid_backward(dy: Array, y: Array) -> Array:
    """dx = dy · y · (1 − y)."""
    return dy * y * (1 - y)


def tanh_forward(x: Array) -> Array:
    """y = tanh(x) = (exp(x) − exp(−x)) / (exp(x) + exp(−x)), any shape."""
    return get_array_module(x).tanh(x)


def tanh_backward(dy: Array, y: Array) -> Array:
    """dx = dy · (1 − y²)."""
    return dy * (1 - y * y)
