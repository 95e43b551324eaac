"""Fully connected layers: kernels of their own for few outputs, cuBLAS for more."""

from __future__ import annotations

import numpy as np

from tinycnn.backend import get_array_module
from tinycnn.kernels.gpu.launch import Array, blocks, launch
from tinycnn.kernels.gpu.replay import matmul

FEW = 16  # outputs; a recording that needs no cuBLAS stays in one piece
THREADS = 256


def fully_connected_forward(x: Array, weight: Array, bias: Array | None) -> Array:
    """Twin of `reference.fully_connected_forward`. A block for each of few outputs, cuBLAS for many."""
    xp, (n, depth), k = get_array_module(x), x.shape, len(weight)
    if k > FEW:
        y = matmul(x, weight.T)
        return y if bias is None else y + bias
    x, weight, y = xp.ascontiguousarray(x), xp.ascontiguousarray(weight), xp.empty((n, k), x.dtype)
    launch("linear", "forward", n * k, THREADS, x, weight, bias, y, depth, k, dtype=x.dtype)
    return y


def fully_connected_backward(dy: Array, x: Array, weight: Array) -> tuple[Array, Array, Array]:
    """Twin of `reference.fully_connected_backward`. Passes over x and weight for few outputs, cuBLAS for many."""
    xp, (n, depth), k = get_array_module(x), x.shape, len(weight)
    if k > FEW:
        return matmul(dy, weight), matmul(dy.T, x), dy.sum(axis=0)
    dy, x, weight = (xp.ascontiguousarray(array) for array in (dy, x, weight))
    dx, dweight, dbias = (xp.empty(shape, x.dtype) for shape in ((n, depth), (k, depth), (k,)))
    launch(
        "linear",
        "backward_input",
        blocks(dx.size, THREADS),
        THREADS,
        dy,
        weight,
        dx,
        depth,
        k,
        np.int64(dx.size),
        dtype=x.dtype,
    )
    launch(
        "linear", "backward_weight", (blocks(depth, 32), k), THREADS, dy, x, dweight, dbias, n, depth, k, dtype=x.dtype
    )
    return dx, dweight, dbias
