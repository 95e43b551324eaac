"""How a convolution's work is cut into jobs, and what each job is handed: packed weights, a buffer, its place."""

from __future__ import annotations

import numpy as np

from tinycnn.kernels.cpu.expert import correlate as core
from tinycnn.kernels.cpu.expert.plan import JOBS, Plan
from tinycnn.kernels.cpu.expert.simd import ROWS, VECTORS
from tinycnn.kernels.cpu.ranges import over_ranges
from tinycnn.runtime import memory, threads

LEAST_FLOPS = 40_000_000  # half a millisecond's: less is not worth waking a thread for
PARTIAL_BYTES = 16 * 2**20  # for the weight gradients of chunks of images


def correlate(
    plan: Plan, x: np.ndarray, weight: np.ndarray, bias: np.ndarray | None, y: np.ndarray, filter_step: int
) -> None:
    """y = bias + weight ⋆ x, where an output channel's weights are `filter_step` apart from the next one's."""
    layout, offsets, taps, phases = plan.layout, plan.offsets, plan.taps, plan.phases
    packed = memory.empty((layout.groups, layout.blocks * len(taps) * ROWS), x.dtype)
    for group, weights in enumerate(weight.reshape(layout.groups, -1)):
        for _, _, first, last in phases:
            over_ranges(
                core.pack_weights,
                layout.blocks,
                (last - first) * ROWS * x.itemsize,
                packed[group, first * layout.blocks * ROWS :],
                _flat(weights),
                taps[first:last],
                filter_step,
                layout.filters,
            )
    biases = np.zeros((layout.groups, layout.blocks * ROWS), x.dtype)
    if bias is not None:
        biases[:, : layout.filters] = bias.reshape(layout.groups, -1)
    arrays = _flat(x), _flat(packed), offsets, phases, _flat(biases), _flat(y)
    jobs = -(-layout.n // layout.images) * layout.groups * layout.strips * layout.splits
    flops = 2 * (y.size // (phases.shape[0] or 1)) * len(taps)
    threads.parallel_ranges(
        lambda first, last: core.correlate(first, last, *arrays, _workspace(plan.buffer_size, x.dtype), layout),
        jobs,
        min(4 * JOBS, flops // LEAST_FLOPS),
    )


def weight_gradient(plan: Plan, dy: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Σ dy · x over images and pixels for every tap: (O, taps). Chunks of images have sums of their own, added last."""
    layout, taps = plan.layout, len(plan.offsets)
    groups, blocks = layout.groups, layout.blocks
    offsets = plan.offsets[np.minimum(np.arange(taps + -taps % VECTORS), taps - 1)]
    batches = -(-layout.n // layout.images)
    chunks = max(1, min(batches, 2 * JOBS, PARTIAL_BYTES // (groups * blocks * ROWS * taps * x.itemsize)))
    splits = 1 if threads.is_serial() else min(blocks, -(-2 * JOBS // (chunks * groups)))
    partial = np.empty((chunks, groups, blocks, len(offsets), ROWS), x.dtype)
    x_flat, dy_flat = _flat(x), _flat(dy)

    def work(piece: int) -> None:
        chunk, group, split = piece // splits // groups, piece // splits % groups, piece % splits
        first, last = split * blocks // splits, (split + 1) * blocks // splits
        core.weight_gradient(
            x_flat,
            dy_flat,
            offsets,
            _flat(partial[chunk, group, first:last]),
            _workspace(plan.buffer_size, x.dtype),
            _workspace(plan.spread_size, x.dtype),
            layout,
            chunk * batches // chunks,
            (chunk + 1) * batches // chunks,
            group,
            first,
            last,
        )

    threads.parallel_for(work, chunks * groups * splits)
    total = partial.sum(axis=0)[:, :, :taps].swapaxes(2, 3).reshape(groups, blocks * ROWS, taps)
    return np.ascontiguousarray(total[:, : layout.filters]).reshape(groups * layout.filters, taps)


def _flat(x: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(x).reshape(-1)


def _workspace(size: int, dtype: np.dtype) -> np.ndarray:
    """Scratch memory that starts on a cache line."""
    return memory.empty((max(size, memory.SMALLEST // dtype.itemsize),), dtype)[:size]
