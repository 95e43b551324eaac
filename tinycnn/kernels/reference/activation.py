"""Activations, element by element."""

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
