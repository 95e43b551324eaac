"""Matrix products on the convolution's register tiles, for fully connected layers."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from tinycnn.kernels.cpu.expert import simd
from tinycnn.kernels.cpu.expert.correlate import OPTIONS, pack_weights
from tinycnn.kernels.cpu.expert.simd import ROWS, VECTOR_BYTES, VECTORS
from tinycnn.kernels.cpu.ranges import over_ranges
from tinycnn.runtime import memory

DEPTH = 704  # elements of one block of dot products: ROWS rows of them fit the L1 cache


def product_with_transpose(x: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """x @ weight.T for x (N, D), weight (K, D): ROWS × VECTORS dot products of rows at a time share their loads."""
    (n, depth), k = x.shape, len(weight)
    blocks, groups = -(-n // ROWS), -(-k // VECTORS)
    rows = np.ascontiguousarray(x) if n % ROWS == 0 else np.concatenate([x, np.zeros((-n % ROWS, depth), x.dtype)])
    sums = np.zeros((groups, blocks, VECTORS, ROWS), x.dtype)
    by_group = groups > blocks  # share out whichever there are more of
    count, others = (groups, blocks) if by_group else (blocks, groups)
    over_ranges(
        _dot_products,
        count,
        depth * x.itemsize * others * 4,
        rows.reshape(-1),
        np.ascontiguousarray(weight).reshape(-1),
        depth,
        sums,
        by_group,
    )
    return sums.transpose(1, 3, 0, 2).reshape(blocks * ROWS, groups * VECTORS)[:n, :k]


def product(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """a @ b for a (R, T), b (T, D): tiles of ROWS × VECTORS vectors."""
    (rows, inner), depth = a.shape, b.shape[1]
    width = VECTORS * VECTOR_BYTES // b.itemsize
    if depth < width:
        return np.ascontiguousarray(product(a, np.pad(b, ((0, 0), (0, width - depth))))[:, :depth])
    packed = np.empty(-(-rows // ROWS) * ROWS * inner, a.dtype)
    pack_weights(0, -(-rows // ROWS), packed, np.ascontiguousarray(a).reshape(-1), np.arange(inner), inner, rows)
    y = memory.empty((rows, depth), a.dtype)
    tiles = -(-depth // width)
    over_ranges(
        _outer_products,
        tiles,
        (rows + inner) * width * b.itemsize,
        packed,
        np.ascontiguousarray(b).reshape(-1),
        depth,
        y.reshape(-1),
    )
    return y


@njit(**OPTIONS)
def _dot_products(first: int, last: int, x: Any, weight: Any, depth: int, sums: Any, by_group: bool) -> None:
    """sums[g, b, v, r] = Σ_d x[b·ROWS + r, d] · weight[g·VECTORS + v, d], for a range of g or of b."""
    lanes = simd.lanes(x)
    groups, blocks = sums.shape[:2]
    first_group, last_group = (first, last) if by_group else (0, groups)
    first_block, last_block = (0, blocks) if by_group else (first, last)
    flat = sums.reshape(-1)
    end = (len(weight) // depth - 1) * depth
    whole = depth // lanes * lanes
    for start in range(0, depth, DEPTH):
        stop = min(start + DEPTH, whole)
        for g in range(first_group, last_group):
            row = g * VECTORS * depth
            rows = (min(end, row), min(end, row + depth), min(end, row + 2 * depth))
            for block in range(first_block, last_block):
                tile = simd.zeros(x)
                column = block * ROWS * depth
                starts = (rows[0] - column, rows[1] - column, rows[2] - column)
                for d in range(column + start, column + stop, lanes):
                    tile = simd.add_products(tile, x, d, depth, weight, starts)
                simd.add_sums(tile, flat, (g * blocks + block) * VECTORS * ROWS)
    for g in range(first_group, last_group):
        for block in range(first_block, last_block):
            for v in range(VECTORS):
                row = min(end, (g * VECTORS + v) * depth)
                for r in range(ROWS):
                    for d in range(whole, depth):
                        sums[g, block, v, r] += x[(block * ROWS + r) * depth + d] * weight[row + d]


@njit(**OPTIONS)
def _outer_products(first: int, last: int, packed: Any, b: Any, depth: int, y: Any) -> None:
    """Columns first … last − 1, a tile wide each, of y = a @ b; the last tile overlaps the one before."""
    width = VECTORS * simd.lanes(b)
    inner, rows = len(b) // depth, len(y) // depth
    for k in range(first, last):
        q = min(k * width, depth - width)
        for row in range(0, rows, ROWS):
            tile = simd.zeros(b)
            for t in range(inner):
                tile = simd.add_outer(tile, packed, row * inner + t * ROWS, b, t * depth + q)
            simd.store(tile, y, row * depth + q, depth, rows - row, 0, width)
