"""A tile of sums in registers: the rung above the strip, and the last that needs no vector instructions by name."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from tinycnn.kernels import contracts
from tinycnn.kernels.cpu.ranges import OPTIONS, over_ranges
from tinycnn.kernels.ladder.strip import cut, fill, refuse_groups, store
from tinycnn.runtime import memory
from tinycnn.windows import Padding, Pair, output_shape

__all__ = ["conv2d_forward"]

FOUR = 4  # filters and taps of a tile: 16 weights, 4 pixels and 4 sums are what the registers hold


def conv2d_forward(
    x: np.ndarray,
    weight: np.ndarray,
    bias: np.ndarray | None,
    stride: Pair = (1, 1),
    padding: Padding = (0, 0, 0, 0),
    dilation: Pair = (1, 1),
    groups: int = 1,
) -> np.ndarray:
    """Twin of `reference.naive.conv2d_forward`. On the strip, four taps of four filters at a time.

    A pixel, once loaded, serves four filters; a sum, once loaded, takes up four taps: eight loads and four stores for
    sixteen products, where the strip alone needs thirty-two and sixteen.

    What limits it: between four taps and the next four the sums still go to the L1 cache and back. The production
    kernel keeps a larger tile, 8 filters × 3 vectors, in registers through all taps; LLVM does not come upon that by
    itself, so there the vectors are spelled out (`tinycnn.kernels.cpu.expert`). For one group only.
    """
    refuse_groups(groups)
    strip = cut(x.shape, weight.shape, stride, padding, dilation)
    output = output_shape(x.shape[2:], weight.shape[2:], stride, padding, dilation)
    y = memory.empty((len(x), len(weight), *output), x.dtype)
    blocks, taps = -(-len(weight) // FOUR), len(strip.distances)
    zeros = (
        strip.shape[0] * strip.shape[1] * strip.shape[2]
    )  # behind the pixels there are zeros, for taps that are none
    strip = strip._replace(distances=np.pad(strip.distances, (0, -taps % FOUR), constant_values=zeros))
    tiles = np.zeros((blocks * FOUR, len(strip.distances)), x.dtype)
    tiles[: len(weight), :taps] = weight.reshape(len(weight), -1)
    tiles = np.ascontiguousarray(tiles.reshape(blocks, FOUR, -1, FOUR).swapaxes(1, 2))  # block, four taps, filter, tap
    biases = np.zeros(blocks * FOUR, x.dtype)
    biases[: len(weight)] = 0 if bias is None else bias
    jobs = len(x) * -(-output[0] // strip.rows)
    arrays = np.ascontiguousarray(x), tiles, biases, y
    over_ranges(_strips, jobs, y[:1, :, : strip.rows].nbytes, *arrays, strip, stride, padding)
    return y


@njit(**OPTIONS)
def _strips(
    first: int, last: int, x: Any, tiles: Any, bias: Any, y: Any, strip: Any, stride: Any, padding: Any
) -> None:
    pixels = np.zeros(strip.shape[0] * strip.shape[1] * strip.shape[2] + strip.positions, x.dtype)
    buffer = pixels[: -strip.positions].reshape(strip.shape)
    sums = np.empty((FOUR, strip.positions), x.dtype)
    strips = -(-y.shape[2] // strip.rows)
    for job in range(first, last):
        n, top = job // strips, job % strips * strip.rows
        fill(buffer, x[n], top * stride[0] - padding[0], padding[2])
        for block in range(len(tiles)):
            filters = range(block * FOUR, min(y.shape[1], (block + 1) * FOUR))
            for f in range(FOUR):
                sums[f] = bias[block * FOUR + f]
            for t in range(tiles.shape[1]):
                _add_tile(sums, tiles[block, t], pixels, strip.distances[t * FOUR :])
            for o in filters:
                store(y[n, o, top : top + strip.rows], sums[o % FOUR], stride[0] * strip.shape[2], stride[1])


@njit(**OPTIONS)
def _add_tile(sums: Any, w: Any, pixels: Any, distances: Any) -> None:
    """sums[f, q] += Σ_t w[f, t] · pixels[q + distances[t]], written out: names of their own stay in registers."""
    p0, p1, p2, p3 = pixels[distances[0] :], pixels[distances[1] :], pixels[distances[2] :], pixels[distances[3] :]
    s0, s1, s2, s3 = sums[0], sums[1], sums[2], sums[3]
    a0, a1, a2, a3 = w[0, 0], w[0, 1], w[0, 2], w[0, 3]
    b0, b1, b2, b3 = w[1, 0], w[1, 1], w[1, 2], w[1, 3]
    c0, c1, c2, c3 = w[2, 0], w[2, 1], w[2, 2], w[2, 3]
    d0, d1, d2, d3 = w[3, 0], w[3, 1], w[3, 2], w[3, 3]
    for q in range(len(s0)):
        x0, x1, x2, x3 = p0[q], p1[q], p2[q], p3[q]
        s0[q] += a0 * x0 + a1 * x1 + a2 * x2 + a3 * x3
        s1[q] += b0 * x0 + b1 * x1 + b2 * x2 + b3 * x3
        s2[q] += c0 * x0 + c1 * x1 + c2 * x2 + c3 * x3
        s3[q] += d0 * x0 + d1 * x1 + d2 * x2 + d3 * x3


contracts.guard(globals(), __all__)
