"""Where a convolution's taps lie, and how its output is cut into strips that fit the cache: once for each shape."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np

from tinycnn.kernels.cpu.expert.correlate import Layout
from tinycnn.kernels.cpu.expert.simd import ROWS, VECTOR_BYTES, VECTORS
from tinycnn.windows import Padding, Pair, output_shape

BUFFER_BYTES = 384 * 1024  # the part of the L2 cache for one strip of the source
POOLED_BYTES = 384 * 1024  # and, where it is pooled at once, for the strip's output
SPREAD_POSITIONS = 1280  # of dy at a time in the weight gradient: ROWS channels of them nearly fit the L1 cache
JOBS = 8  # as many as let threads of unequal speed finish together

Reach = tuple[np.ndarray, np.ndarray]  # taps, and how far from its own output each one's is


class Plan(NamedTuple):
    """What the kernels of `correlate` need to know of a convolution."""

    layout: Layout
    offsets: np.ndarray  # (taps,): where a tap's pixels lie in the buffer
    taps: np.ndarray  # (taps,): where its weight lies within a filter
    phases: np.ndarray  # (phases, 4), see `correlate.correlate`
    buffer_size: int  # elements
    spread_size: int

    @property
    def strip_size(self) -> int:
        """Elements of the output that one job makes."""
        g = self.layout
        return g.images * -(-g.blocks // g.splits) * ROWS * g.strip_rows * g.out_w


@lru_cache(maxsize=256)
def forward_plan(
    x_shape: tuple[int, ...],
    weight_shape: tuple[int, ...],
    stride: Pair,
    padding: Padding,
    dilation: Pair,
    groups: int,
    itemsize: int,
    pooled: bool = False,
) -> Plan:
    """Outputs from x: for the forward pass and for the weight gradient.

    With `pooled` they will be pooled by twos strip by strip: no window lies in two strips, and a last odd row is left
    out.
    """
    n, _, h, w = x_shape
    o, channels, kh, kw = weight_shape
    out = output_shape((h, w), (kh, kw), stride, padding, dilation)
    if pooled:
        out = out[0] // 2 * 2, out[1]
    down, phase_h = np.divmod(np.arange(kh) * dilation[0], stride[0])
    right, phase_w = np.divmod(np.arange(kw) * dilation[1], stride[1])
    phases = int(phase_h.max()) + 1, int(phase_w.max()) + 1
    layout = _layout(
        n,
        groups,
        channels,
        (h, w),
        o // groups,
        stride,
        phases,
        (-padding[0], -padding[2]),
        (int(down.max()), int(right.max())),
        out,
        (1, 1),
        itemsize,
        pooled,
    )
    plane = (np.arange(channels)[:, None, None] * phases[0] + phase_h[:, None]) * phases[1] + phase_w
    offsets = (plane * layout.images * layout.image_rows + down[:, None]) * layout.row + right
    return _plan(layout, offsets.reshape(-1), np.arange(offsets.size), [(0, 0, 0, offsets.size)], itemsize)


@lru_cache(maxsize=256)
def backward_plan(
    dy_shape: tuple[int, ...],
    weight_shape: tuple[int, ...],
    input_shape: tuple[int, ...],
    stride: Pair,
    padding: Padding,
    dilation: Pair,
    groups: int,
    itemsize: int,
) -> Plan:
    """dx from dy: each phase of the stride (every s-th pixel) is a correlation with those taps that reach it."""
    n, o, *output = dy_shape
    _, channels, kh, kw = weight_shape
    h, w = input_shape[2:]
    filters = np.arange(o // groups)[:, None, None]
    vertical = [_reach(a + padding[0], stride[0], dilation[0], kh) for a in range(stride[0])]
    horizontal = [_reach(b + padding[2], stride[1], dilation[1], kw) for b in range(stride[1])]
    top, bottom = _extent(vertical)
    left, right = _extent(horizontal)
    layout = _layout(
        n,
        groups,
        len(filters),
        (output[0], output[1]),
        channels,
        (1, 1),
        (1, 1),
        (top, left),
        (bottom - top, right - left),
        (h, w),
        stride,
        itemsize,
    )
    phases, offsets, taps, end = [], [], [], 0
    for a, (rows, down) in enumerate(vertical):
        for b, (columns, across) in enumerate(horizontal):
            plane_rows = filters * layout.images * layout.image_rows + down[:, None] - top
            offsets.append((plane_rows * layout.row + across - left).reshape(-1))
            taps.append(((filters * channels * kh + rows[:, None]) * kw + columns).reshape(-1))
            phases.append((a, b, end, end + len(taps[-1])))
            end += len(taps[-1])
    return _plan(layout, np.concatenate(offsets), np.concatenate(taps), phases, itemsize)


def _reach(start: int, stride: int, dilation: int, kernel: int) -> Reach:
    """The taps through which outputs see the pixel `start` of the padded input, and those outputs."""
    taps = np.arange(kernel)
    outputs, apart = np.divmod(start - taps * dilation, stride)
    return taps[apart == 0], outputs[apart == 0]


def _extent(reaches: list[Reach]) -> Pair:
    outputs = np.concatenate([outputs for _, outputs in reaches])
    return int(outputs.min()), int(outputs.max())


def _plan(
    layout: Layout, offsets: np.ndarray, taps: np.ndarray, phases: list[tuple[int, int, int, int]], itemsize: int
) -> Plan:
    lanes = VECTOR_BYTES // itemsize
    planes = layout.channels * layout.phases_h * layout.phases_w
    padding_rows = 1 + max(0, -layout.origin_h)  # beyond the last image, in place of a next one's padding
    buffer = (planes * layout.images * layout.image_rows + padding_rows) * layout.row + max(0, -layout.origin_w)
    # an odd number of vectors: rows a power of two apart would compete for the same cache lines
    spread = (-(-layout.spread_rows * layout.row // lanes) | 1) * lanes
    return Plan(layout, offsets, taps, np.array(phases), buffer + VECTORS * lanes, ROWS * spread)


def _layout(
    n: int,
    groups: int,
    channels: int,
    size: Pair,
    filters: int,
    stride: Pair,
    phases: Pair,
    origin: Pair,
    halo: Pair,
    out: Pair,
    out_step: Pair,
    itemsize: int,
    pooled: bool = False,
) -> Layout:
    """Cut the output into strips whose buffer fits the cache, and into enough jobs even if there is one image."""
    rows, columns = -(-out[0] // out_step[0]), -(-out[1] // out_step[1])
    row = _period(columns, halo[1], size[1], origin[1], stride[1])
    image_rows = _period(rows, halo[0], size[0], origin[0], stride[0])
    buffer_rows = BUFFER_BYTES // (channels * phases[0] * phases[1] * row * itemsize)
    blocks = -(-filters // ROWS)
    pooled_rows = POOLED_BYTES // (blocks * ROWS * columns * itemsize) if pooled else rows
    strips = -(-rows // max(1, min(rows, buffer_rows - halo[0], pooled_rows)))
    if n * groups * strips < JOBS:
        strips = max(strips, min(rows, -(-JOBS // (n * groups)), rows * row // 256))
    unit = 2 if pooled else 1
    strip_rows = -(-rows // (strips * unit)) * unit
    strips = -(-rows // strip_rows)
    images = 1
    if strips == 1:
        most = min(
            n, n * groups * blocks // (2 * JOBS), buffer_rows // image_rows, pooled_rows // rows if pooled else n
        )
        images = _images_together(most, image_rows * row, VECTORS * VECTOR_BYTES // itemsize)
    else:
        image_rows = strip_rows + halo[0]
    splits = max(1, min(blocks, -(-JOBS // (-(-n // images) * groups * strips))))
    spread_rows = -(-images * image_rows // -(-images * image_rows * row // SPREAD_POSITIONS))
    return Layout(
        n,
        groups,
        channels,
        *size,
        *stride,
        *phases,
        *origin,
        images,
        image_rows,
        row,
        strips,
        strip_rows,
        filters,
        blocks,
        splits,
        *out,
        *out_step,
        spread_rows,
    )


def _period(outputs: int, halo: int, size: int, origin: int, stride: int) -> int:
    """Positions from one row (image) to the next: where possible, the next one's padding also ends this one."""
    if stride > 1 or origin > 0:
        return outputs + halo
    return min(outputs + halo, max(outputs, size - origin, outputs + halo + origin))


def _images_together(most: int, positions: int, width: int) -> int:
    """How many images of so many positions waste least of tiles of `width`; one tile stands for the fixed costs."""
    return min(range(1, max(1, min(most, 8)) + 1), key=lambda images: (-(-images * positions // width) + 1) / images)
