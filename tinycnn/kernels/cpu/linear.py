"""Fully connected layers.

Not by NumPy's matmul: OpenBLAS's threads spin for some 40 ms after each product, on the cores that the next kernels
need.
"""

from __future__ import annotations

import numpy as np

from tinycnn.kernels.cpu.expert.products import product, product_with_transpose


def fully_connected_forward(x: np.ndarray, weight: np.ndarray, bias: np.ndarray | None) -> np.ndarray:
    """Twin of `reference.fully_connected_forward`. Dot products of rows of x and rows of weight, both read in order."""
    y = product_with_transpose(x, weight)
    return np.ascontiguousarray(y) if bias is None else y + bias


def fully_connected_backward(
    dy: np.ndarray, x: np.ndarray, weight: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Twin of `reference.fully_connected_backward`. Both products are sums of rows, each times a number of dy."""
    return product(dy, weight), product(dy.T, x), dy.sum(axis=0)
