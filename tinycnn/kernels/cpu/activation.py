"""The activations with an exponential or a slope: one pass over memory each, cut into ranges that threads share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numba import njit

from tinycnn.kernels.cpu.ranges import OPTIONS, over_ranges
from tinycnn.runtime import memory


def leaky_relu_forward(x: np.ndarray, slope: float = 0.01) -> np.ndarray:
    """Twin of `reference.leaky_relu_forward`. One pass instead of three."""
    return _one_pass(_leaky_relu_forward, x, scalars=(x.dtype.type(slope),))


def leaky_relu_backward(dy: np.ndarray, y: np.ndarray, slope: float = 0.01) -> np.ndarray:
    """Twin of `reference.leaky_relu_backward`. One pass instead of three."""
    return _one_pass(_leaky_relu_backward, dy, y, scalars=(dy.dtype.type(slope),))


def sigmoid_forward(x: np.ndarray) -> np.ndarray:
    """Twin of `reference.sigmoid_forward`. One pass instead of six."""
    return _one_pass(_sigmoid_forward, x)


def sigmoid_backward(dy: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Twin of `reference.sigmoid_backward`. One pass instead of three."""
    return _one_pass(_sigmoid_backward, dy, y)


def tanh_forward(x: np.ndarray) -> np.ndarray:
    """Twin of `reference.tanh_forward`. NumPy's own tanh, which computes in vectors, a range on each thread."""
    return _one_pass(lambda first, last, x, y: np.tanh(x[first:last], out=y[first:last]), x)


def tanh_backward(dy: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Twin of `reference.tanh_backward`. One pass instead of three."""
    return _one_pass(_tanh_backward, dy, y)


def _one_pass(kernel: Callable[..., Any], *arrays: np.ndarray, scalars: tuple[Any, ...] = ()) -> np.ndarray:
    """The result, shaped like the first array, of kernel(first, last, *arrays, *scalars, result), all of them flat."""
    arrays = tuple(np.ascontiguousarray(array) for array in arrays)
    result = memory.empty(arrays[0].shape, arrays[0].dtype)
    flat = (array.reshape(-1) for array in arrays)
    over_ranges(kernel, result.size, result.itemsize, *flat, *scalars, result.reshape(-1))
    return result


@njit(**OPTIONS)
def _leaky_relu_forward(first: int, last: int, x: Any, slope: Any, y: Any) -> None:
    x, y = x[first:last], y[first:last]
    for i in range(len(x)):
        y[i] = x[i] if x[i] > 0 else x[i] * slope


@njit(**OPTIONS)
def _leaky_relu_backward(first: int, last: int, dy: Any, y: Any, slope: Any, dx: Any) -> None:
    dy, y, dx = dy[first:last], y[first:last], dx[first:last]
    for i in range(len(dy)):
        dx[i] = dy[i] if y[i] > 0 else dy[i] * slope


@njit(**OPTIONS)
def _sigmoid_forward(first: int, last: int, x: Any, y: Any) -> None:
    x, y = x[first:last], y[first:last]
    one = x.dtype.type(1)
    for i in range(len(x)):
        e = np.exp(-abs(x[i]))
        y[i] = (e if x[i] < 0 else one) / (one + e)


@njit(**OPTIONS)
def _sigmoid_backward(first: int, last: int, dy: Any, y: Any, dx: Any) -> None:
    dy, y, dx = dy[first:last], y[first:last], dx[first:last]
    one = dy.dtype.type(1)
    for i in range(len(dy)):
        dx[i] = dy[i] * y[i] * (one - y[i])


@njit(**OPTIONS)
def _tanh_backward(first: int, last: int, dy: Any, y: Any, dx: Any) -> None:
    dy, y, dx = dy[first:last], y[first:last], dx[first:last]
    one = dy.dtype.type(1)
    for i in range(len(dy)):
        dx[i] = dy[i] * (one - y[i] * y[i])
