"""Operations element by element: single passes over memory."""

from __future__ import annotations

from typing import Any

import numpy as np

from tinycnn.backend import get_array_module
from tinycnn.kernels.gpu.launch import MOST_BLOCKS, Array, blocks, launch

FLOATS = (np.float32, np.float64)
THREADS = 256


def all_finite(x: Array) -> bool:
    """Twin of `reference.all_finite`. Waits for the answer, so a training step should not ask."""
    xp = get_array_module(x)
    if x.dtype not in FLOATS:
        return bool(xp.isfinite(x).all())
    x = xp.ascontiguousarray(x)
    strange = xp.empty(min(MOST_BLOCKS, blocks(x.size, 4 * THREADS)), np.int32)
    launch("elementwise", "count_strange", strange.size, THREADS, x, strange, np.int64(x.size), dtype=x.dtype)
    return not bool(strange.any())


def image_input_forward(x: Array, mean: Array, std: Array | None = None) -> Array:
    """Twin of `reference.image_input_forward`. A thread for each number."""
    xp = get_array_module(x)
    mean, std = (a if a is None else xp.ascontiguousarray(a, x.dtype) for a in (mean, std))
    return _each(x, "standardize", mean, std, size=mean.size)


def relu_forward(x: Array) -> Array:
    """Twin of `reference.relu_forward`. A thread for each number."""
    return _each(x, "relu_forward")


def relu_backward(dy: Array, y: Array) -> Array:
    """Twin of `reference.relu_backward`. A thread for each number."""
    return _each(dy, "relu_backward", get_array_module(y).ascontiguousarray(y))


def dropout_backward(dy: Array, mask: Array) -> Array:
    """Twin of `reference.dropout_backward`. A thread for each number."""
    return _each(dy, "multiply", get_array_module(mask).ascontiguousarray(mask))


def _each(x: Array, kernel: str, *others: Any, size: int | None = None) -> Array:
    """y, shaped like x, from a kernel with a thread for each element."""
    xp = get_array_module(x)
    x = xp.ascontiguousarray(x)
    y = xp.empty(x.shape, x.dtype)
    sizes = [np.int64(x.size)] if size is None else [np.uint32(size), np.uint32(x.size)]
    launch("elementwise", kernel, blocks(x.size, THREADS), THREADS, x, *others, y, *sizes, dtype=x.dtype)
    return y
