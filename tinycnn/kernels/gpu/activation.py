"""The activations with an exponential or a slope: a launch each."""

from __future__ import annotations

import numpy as np

from tinycnn.backend import get_array_module
from tinycnn.kernels.gpu.launch import Array, blocks, launch

THREADS = 256


def leaky_relu_forward(x: Array, slope: float = 0.01) -> Array:
    """Twin of `reference.leaky_relu_forward`. A thread an element."""
    return _each("leaky_relu_forward", x, slope=slope)


def leaky_relu_backward(dy: Array, y: Array, slope: float = 0.01) -> Array:
    """Twin of `reference.leaky_relu_backward`. A thread an element."""
    return _each("leaky_relu_backward", dy, y, slope=slope)


def sigmoid_forward(x: Array) -> Array:
    """Twin of `reference.sigmoid_forward`. A thread an element."""
    return _each("sigmoid_forward", x)


def sigmoid_backward(dy: Array, y: Array) -> Array:
    """Twin of `reference.sigmoid_backward`. A thread an element."""
    return _each("sigmoid_backward", dy, y)


def tanh_forward(x: Array) -> Array:
    """Twin of `reference.tanh_forward`. A thread an element."""
    return _each("tanh_forward", x)


def tanh_backward(dy: Array, y: Array) -> Array:
    """Twin of `reference.tanh_backward`. A thread an element."""
    return _each("tanh_backward", dy, y)


def _each(kernel: str, *arrays: Array, **scalars: float) -> Array:
    """The result, shaped like the first array, of a kernel with a thread for each element."""
    xp = get_array_module(*arrays)
    arrays = tuple(xp.ascontiguousarray(array) for array in arrays)
    result = xp.empty(arrays[0].shape, arrays[0].dtype)
    count, numbers = np.int64(result.size), map(float, scalars.values())
    launch(
        "activation", kernel, blocks(result.size, THREADS), THREADS, *arrays, *numbers, result, count,
        dtype=result.dtype,
    )  # fmt: skip
    return result
