"""Convolution, forward and backward, on the compiled kernels of `correlate`."""

from __future__ import annotations

import numpy as np

from tinycnn.kernels.cpu.expert import correlate as core
from tinycnn.kernels.cpu.expert.plan import JOBS, Plan, backward_plan, forward_plan
from tinycnn.kernels.cpu.expert.simd import ROWS, VECTORS
from tinycnn.kernels.cpu.norm import channel_sums
from tinycnn.kernels.cpu.ranges import over_ranges
from tinycnn.kernels.windows import Padding, Pair
from tinycnn.runtime import memory, threads

LEAST_FLOPS = 40_000_000  # half a millisecond's: less is not worth waking a thread for
PARTIAL_BYTES = 16 * 2**20  # for the weight gradients of chunks of images


def conv2d_forward(
    x: np.ndarray,
    weight: np.ndarray,
    bias: np.ndarray | None,
    stride: Pair = (1, 1),
    padding: Padding = (0, 0, 0, 0),
    dilation: Pair = (1, 1),
    groups: int = 1,
) -> np.ndarray:
    # Twin: reference.conv2d_forward. Taps are shifts of one padded strip in cache: no im2col.
    plan = forward_plan(x.shape, weight.shape, stride, padding, dilation, groups, x.itemsize)
    y = memory.empty((len(x), len(weight), plan.layout.out_h, plan.layout.out_w), x.dtype)
    _correlate(x, weight, weight[0].size, bias, y, plan)
    return y


def conv2d_backward_input(
    dy: np.ndarray,
    weight: np.ndarray,
    input_shape: tuple[int, ...],
    stride: Pair = (1, 1),
    padding: Padding = (0, 0, 0, 0),
    dilation: Pair = (1, 1),
    groups: int = 1,
) -> np.ndarray:
    # Twin: reference.conv2d_backward_input. dx gathers: it is dy correlated with the flipped weights, phase by phase.
    plan = backward_plan(dy.shape, weight.shape, tuple(input_shape), stride, padding, dilation, groups, dy.itemsize)
    dx = memory.empty(tuple(input_shape), dy.dtype)
    _correlate(dy, weight, weight[0, 0].size, None, dx, plan)
    return dx


def conv2d_backward_weight(
    dy: np.ndarray,
    x: np.ndarray,
    kernel: Pair,
    stride: Pair = (1, 1),
    padding: Padding = (0, 0, 0, 0),
    dilation: Pair = (1, 1),
    groups: int = 1,
) -> np.ndarray:
    # Twin: reference.conv2d_backward_weight. Dot products of dy with shifted strips, summed over chunks of images.
    filters, channels = dy.shape[1] // groups, x.shape[1] // groups
    plan = forward_plan(x.shape, (dy.shape[1], channels, *kernel), stride, padding, dilation, groups, x.itemsize)
    layout, taps = plan.layout, len(plan.offsets)
    offsets = plan.offsets[np.minimum(np.arange(taps + -taps % VECTORS), taps - 1)]
    batches, blocks = -(-layout.n // layout.images), layout.blocks
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
    return np.ascontiguousarray(total[:, :filters]).reshape(dy.shape[1], channels, *kernel)


def conv2d_backward_bias(dy: np.ndarray) -> np.ndarray:
    # Twin: reference.conv2d_backward_bias.
    return channel_sums(dy).astype(dy.dtype)


def _correlate(
    x: np.ndarray, weight: np.ndarray, filter_step: int, bias: np.ndarray | None, y: np.ndarray, plan: Plan
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


def _flat(x: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(x).reshape(-1)


def _workspace(size: int, dtype: np.dtype) -> np.ndarray:
    """Scratch memory that starts on a cache line."""
    return memory.empty((max(size, memory.SMALLEST // dtype.itemsize),), dtype)[:size]
