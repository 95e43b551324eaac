"""Blocks of convolution → batch norm → ReLU → 2 × 2 max pooling, one after another, in evaluation mode.

Batch norm becomes part of the weights, a strip of a convolution's output is pooled while
it is in cache, and all blocks are one compiled call: a single image takes less than a millisecond, and waking threads
for each block, or going back to Python between them, would take as long again.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from numba import njit
from numba.np.unsafe.ndarray import to_fixed_tuple

from tinycnn.kernels.cpu.expert import atomics, simd
from tinycnn.kernels.cpu.expert.correlate import Layout, correlate_strip, fill_buffer, new_scratch, place_of
from tinycnn.kernels.cpu.expert.plan import forward_plan
from tinycnn.kernels.cpu.expert.simd import ROWS, VECTOR_BYTES
from tinycnn.kernels.cpu.ranges import OPTIONS
from tinycnn.runtime import memory, threads
from tinycnn.windows import Padding, Pair

FIELDS = len(Layout._fields)
LINE = 8  # counters on cache lines of their own
LEAST_FLOPS = 10_000_000  # a tenth of a millisecond's: less is not worth waking a thread for


class Block(NamedTuple):
    """One block: the convolution's and batch norm's parameters, batch norm's statistics, and the geometry."""

    weight: np.ndarray  # (O, C/groups, KH, KW)
    bias: np.ndarray | None  # (O,), as are the next four
    gamma: np.ndarray
    beta: np.ndarray
    mean: np.ndarray
    variance: np.ndarray
    eps: float
    stride: Pair
    padding: Padding
    dilation: Pair
    groups: int

    @property
    def shape(self) -> tuple[Any, ...]:
        """(shape of the weights, stride, padding, dilation, groups): what the plan depends on."""
        return self.weight.shape, self.stride, self.padding, self.dilation, self.groups


class Chain(NamedTuple):
    """The plans of all blocks, end to end."""

    layouts: np.ndarray  # (blocks, fields of Layout)
    starts: np.ndarray  # (blocks + 1, 4): where a block's weights, biases, offsets and output begin
    offsets: np.ndarray
    buffer_size: int
    strip_size: int
    flops: int
    shape: tuple[int, ...]  # of what the last block puts out


def conv_blocks_inference(x: np.ndarray, blocks: Sequence[tuple[Any, ...]]) -> np.ndarray:
    """Twin of `reference.conv_blocks_inference`. All blocks are one compiled call, on threads that are woken once.

    Each block is a tuple of the fields of `Block`.
    """
    parts = [Block(*block) for block in blocks]
    chain = _chain(x.shape, tuple(part.shape for part in parts), x.itemsize)
    weights_size, biases_size, _, maps_size = chain.starts[-1].tolist()
    weights, biases = np.empty(weights_size, x.dtype), np.empty(biases_size, x.dtype)
    for part, start in zip(parts, chain.starts[:-1], strict=True):
        bias = np.zeros_like(part.mean) if part.bias is None else part.bias
        fold_norm(
            np.ascontiguousarray(part.weight).reshape(-1),
            bias,
            part.gamma,
            part.beta,
            part.mean,
            part.variance,
            x.dtype.type(part.eps),
            part.groups,
            weights[start[0] :],
            biases[start[1] :],
        )
    y = memory.empty(chain.shape, x.dtype)
    maps = memory.empty((maps_size,), x.dtype)  # what the blocks before the last put out
    counters = np.zeros(len(parts) * 2 * LINE, np.int64)
    shared = (
        np.require(x, None, ["C", "W"]).reshape(-1),
        chain.layouts,
        chain.starts,
        weights,
        biases,
        chain.offsets,
        maps,
        y.reshape(-1),
        counters,
    )

    def work() -> None:
        run_blocks(*shared, memory.empty((chain.buffer_size,), x.dtype), memory.empty((chain.strip_size,), x.dtype))

    if chain.flops < LEAST_FLOPS:
        work()
    else:
        threads.together(work)
    return y


@lru_cache(maxsize=64)
def _chain(shape: tuple[int, ...], blocks: tuple[tuple[Any, ...], ...], itemsize: int) -> Chain:
    plans, starts, flops = [], [(0, 0, 0, 0)], 0
    for weight_shape, *geometry in blocks:
        plan = forward_plan(shape, weight_shape, *geometry, itemsize, pooled=True)
        g = plan.layout
        shape = (shape[0], weight_shape[0], g.out_h // 2, g.out_w // 2)
        rows, taps = g.groups * g.blocks * ROWS, len(plan.offsets)
        flops += 2 * shape[0] * weight_shape[0] * g.out_h * g.out_w * taps
        weights, biases, offsets, maps = starts[-1]
        starts.append((weights + rows * taps, biases + rows, offsets + taps, maps + math.prod(shape)))
        plans.append(plan)
    return Chain(
        np.array([plan.layout for plan in plans]),
        np.array(starts),
        np.concatenate([plan.offsets for plan in plans]),
        max(plan.buffer_size for plan in plans),
        max(plan.strip_size for plan in plans) + 2 * VECTOR_BYTES // itemsize,
        flops,
        shape,
    )


@njit(**OPTIONS)
def fold_norm(weight, bias, gamma, beta, mean, variance, eps, groups, weights, biases):  # type: ignore[no-untyped-def]
    """Weights and biases of a convolution whose output is normalized, ROWS filters together: [group, block, tap, r]."""
    filters, taps = len(gamma) // groups, len(weight) // len(gamma)
    rows = -(-filters // ROWS) * ROWS
    for group in range(groups):
        for row in range(rows):
            target = (group * rows + row // ROWS * ROWS) * taps + row % ROWS
            o = group * filters + row
            if row < filters:
                scale = gamma[o] / np.sqrt(variance[o] + eps)
                biases[group * rows + row] = beta[o] + (bias[o] - mean[o]) * scale
                for t in range(taps):
                    weights[target + t * ROWS] = weight[o * taps + t] * scale
            else:
                biases[group * rows + row] = 0
                for t in range(taps):
                    weights[target + t * ROWS] = 0


@njit(**OPTIONS)
def run_blocks(x, layouts, starts, weights, biases, offsets, maps, y, counters, buffer, z):  # type: ignore[no-untyped-def]
    """Run all blocks, together with whatever other threads do the same: each takes the next job until none is left.

    Nothing in here may fail between taking a job and counting it as done: the others would wait for ever.
    """
    scratch = new_scratch(buffer)
    for b in range(len(layouts)):
        g = Layout(*to_fixed_tuple(layouts[b], FIELDS))  # type: ignore[call-arg]
        start, end = starts[b], starts[b + 1]
        source = maps[starts[b - 1, 3] :] if b > 0 else x
        target = maps[start[3] :] if b + 1 < len(layouts) else y
        taken, done = 2 * b * LINE, (2 * b + 1) * LINE
        jobs = -(-g.n // g.images) * g.groups * g.strips * g.splits
        while True:
            job = atomics.fetch_add(counters, taken, 1)
            if job >= jobs:
                break
            run_job(
                job,
                source,
                weights[start[0] : end[0]],
                biases[start[1] : end[1]],
                offsets[start[2] : end[2]],
                target,
                buffer,
                z,
                scratch,
                g,
            )
            atomics.fetch_add(counters, done, 1)
        atomics.wait_for(counters, done, jobs)  # the next block reads what other threads still write


@njit(**OPTIONS)
def run_job(job, x, weights, biases, offsets, y, buffer, z, scratch, g):  # type: ignore[no-untyped-def]
    """A strip of some images, and of some filters: convolved into z, and pooled from there into y."""
    place = place_of(job, g)
    batch, group, strip, split = place
    fill_buffer(buffer, x, batch, group, strip, g)
    first = split * g.blocks // g.splits * ROWS
    filters = min(g.filters, (split + 1) * g.blocks // g.splits * ROWS) - first
    plane, image = g.strip_rows * g.out_w, filters * g.strip_rows * g.out_w  # of z (images, filters, rows, columns)
    correlate_strip(
        place, (0, 0, 0, len(offsets)), buffer, weights, offsets, biases, z, -first * plane, plane, image, scratch, g
    )
    height, width = g.out_h // 2, g.out_w // 2
    top, bottom = strip * g.strip_rows // 2, min(height, (strip + 1) * g.strip_rows // 2)
    for m in range(min(g.images, g.n - batch * g.images)):
        for k in range(filters):
            channel = ((batch * g.images + m) * g.groups + group) * g.filters + first + k
            above = m * image + k * plane
            for i in range(channel * height + top, channel * height + bottom):
                for j in range(0, width, simd.lanes(y)):
                    simd.relu_pool(z, above + 2 * j, above + g.out_w + 2 * j, y, i * width + j, width - j)
                above += 2 * g.out_w
