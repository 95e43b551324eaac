"""The compiled core of convolution: one tile kernel for every stride, padding, dilation and group, and no im2col.

A strip of the source is copied, padded, into a buffer that stays in the L2 cache. There a window's pixel (c, kh, kw)
lies at the same distance from the window's first pixel whatever the window, so each *tap* is the whole buffer shifted
by one number, its offset, and

    y[o, p] = b[o] + Σ_t W[o, t] · buffer[offset[t] + p]

is a matrix product whose right-hand rows are overlapping slices of the buffer. p runs over rows of `Layout.row`
positions, a few of which at each row's end are computed and not stored. A stride only rearranges the buffer: it is
split into stride × stride phases (every s-th pixel), within which windows lie next to each other again. Small images
lie below each other in one buffer, so that p runs through all of them.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numba import njit

from tinycnn.kernels.cpu.expert import simd
from tinycnn.kernels.cpu.expert.simd import ROWS, VECTORS

OPTIONS: dict[str, Any] = {"nogil": True, "cache": True, "error_model": "numpy"}


class Layout(NamedTuple):
    """The sizes that the compiled functions need. "Source" is x (forward, weight gradient) or dy (input gradient)."""

    n: int  # images
    groups: int
    channels: int  # of the source, in one group
    height: int
    width: int
    stride_h: int  # of the windows over the source
    stride_w: int
    phases_h: int  # how many of the stride's phases hold a tap
    phases_w: int
    origin_h: int  # the source pixel in the buffer's first corner (negative: padding)
    origin_w: int
    images: int  # in one buffer
    image_rows: int  # buffer rows from one image to the next
    row: int  # positions a buffer row
    strips: int
    strip_rows: int  # output rows made from one buffer, of each image
    filters: int  # output channels of one group
    blocks: int  # ⌈filters / ROWS⌉
    splits: int  # parts that the blocks of one strip are divided into
    out_h: int  # the output, all phases
    out_w: int
    out_step_h: int  # distance between neighbouring outputs of one phase
    out_step_w: int
    spread_rows: int  # buffer rows that one block of the weight gradient's dot products covers


@njit(**OPTIONS)
def fill_buffer(buffer, x, batch, group, strip, g):  # type: ignore[no-untyped-def]
    """Copy one strip of a batch of images, channels of one group, into the buffer: phase by phase, padded."""
    target = 0
    for c in range(g.channels):
        for a in range(g.phases_h):
            top = g.origin_h + strip * g.strip_rows * g.stride_h + a
            first, last = inside(top, g.stride_h, g.height, g.image_rows)
            for b in range(g.phases_w):
                left = g.origin_w + b
                low, high = inside(left, g.stride_w, g.width, g.row)
                whole = g.stride_h == g.stride_w == 1 and high - low == g.width == g.row
                for m in range(batch * g.images, (batch + 1) * g.images):
                    present = m < g.n
                    if not (present and whole and last - first == g.image_rows):
                        buffer[target : target + g.image_rows * g.row] = 0
                    if present:
                        source = (((m * g.groups + group) * g.channels + c) * g.height + top) * g.width + left
                        if whole:
                            simd.copy(buffer, target + first * g.row, x, source + first * g.row, (last - first) * g.row)
                        else:
                            for r in range(first, last):
                                copy_row(
                                    buffer,
                                    target + r * g.row + low,
                                    x,
                                    source + r * g.stride_h * g.width + low * g.stride_w,
                                    high - low,
                                    g.stride_w,
                                )
                    target += g.image_rows * g.row
    buffer[target:] = 0


@njit(**OPTIONS)
def inside(start, step, size, count):  # type: ignore[no-untyped-def]
    """The range of k < count for which 0 ≤ start + k·step < size."""
    low = min(count, max(0, -(start // step)))
    return low, max(low, min(count, (size - start + step - 1) // step))


@njit(**OPTIONS)
def copy_row(target, i, source, j, count, step):  # type: ignore[no-untyped-def]
    """target[i + k] = source[j + k·step] for k < count."""
    if step == 1:
        simd.copy(target, i, source, j, count)
    else:
        for k in range(count):
            target[i + k] = source[j + k * step]


@njit(**OPTIONS)
def pack_weights(first_block, last_block, packed, weight, taps, step, filters):  # type: ignore[no-untyped-def]
    """packed[block, t, r] = weight[(block·ROWS + r)·step + taps[t]], or 0 beyond the filters."""
    k = first_block * len(taps) * ROWS
    for first in range(first_block * ROWS, last_block * ROWS, ROWS):
        for t in range(len(taps)):
            source = first * step + taps[t]
            if first + ROWS <= filters:
                for r in range(ROWS):
                    packed[k + r] = weight[source + r * step]
            else:
                for r in range(ROWS):
                    packed[k + r] = weight[source + r * step] if first + r < filters else 0
            k += ROWS


@njit(**OPTIONS)
def place_of(job, g):  # type: ignore[no-untyped-def]
    """(batch of images, group, strip, split) of a job: they are numbered in this order."""
    strip = job // g.splits
    group = strip // g.strips
    return group // g.groups, group % g.groups, strip % g.strips, job % g.splits


@njit(**OPTIONS)
def correlate(first, last, x, weights, offsets, phases, bias, y, buffer, g):  # type: ignore[no-untyped-def]
    """Jobs first … last − 1 of y = bias + weights ⋆ x.

    A row of `phases` is (first output row, first output column, first tap, end of taps): one for the forward pass, one
    for each phase of the stride for the input gradient.
    """
    plane = g.out_h * g.out_w
    scratch = new_scratch(buffer)
    for job in range(first, last):
        place = place_of(job, g)
        batch, group, strip, _ = place
        fill_buffer(buffer, x, batch, group, strip, g)
        for top, left, tap, end in phases:
            corner = (batch * g.images * g.groups + group) * g.filters * plane
            corner += (top + strip * g.strip_rows * g.out_step_h) * g.out_w + left
            correlate_strip(
                place,
                (top, left, tap, end),
                buffer,
                weights,
                offsets,
                bias,
                y,
                corner,
                plane,
                g.groups * g.filters * plane,
                scratch,
                g,
            )


@njit(**OPTIONS)
def new_scratch(buffer):  # type: ignore[no-untyped-def]
    """Room for one tile, for outputs that do not lie next to each other."""
    return np.empty(ROWS * VECTORS * simd.lanes(buffer), buffer.dtype)


@njit(**OPTIONS)
def correlate_strip(place, phase, buffer, weights, offsets, bias, y, corner, plane, image, scratch, g):  # type: ignore[no-untyped-def]
    """One job's outputs of one phase, from the filled buffer into y.

    In y the group's first filter begins, as far as this strip goes, at `corner`; the next filter lies `plane`, the next
    image `image` further on.
    """
    batch, group, strip, split = place
    top, left, tap, end = phase
    width = VECTORS * simd.lanes(buffer)
    images = min(g.images, g.n - batch * g.images)
    rows = min(g.strip_rows, (g.out_h - top + g.out_step_h - 1) // g.out_step_h - strip * g.strip_rows)
    columns = (g.out_w - left + g.out_step_w - 1) // g.out_step_w
    if rows <= 0 or columns <= 0:
        return
    phase_weights = (group * len(offsets) + tap) * g.blocks * ROWS
    for q in range(0, ((images - 1) * g.image_rows + rows - 1) * g.row + columns, width):
        for block in range(split * g.blocks // g.splits, (split + 1) * g.blocks // g.splits):
            tile = simd.broadcast_rows(bias, (group * g.blocks + block) * ROWS)
            column = phase_weights + block * (end - tap) * ROWS
            for t in range(tap, end):
                tile = simd.add_outer(tile, weights, column, buffer, q + offsets[t])
                column += ROWS
            store_tile(
                tile,
                y,
                corner + block * ROWS * plane,
                plane,
                image,
                min(ROWS, g.filters - block * ROWS),
                q,
                images,
                rows,
                columns,
                scratch,
                g,
            )


@njit(**OPTIONS, inline="always")
def store_tile(tile, y, start, plane, image, filters, q, images, rows, columns, scratch, g):  # type: ignore[no-untyped-def]
    """Store the tile of positions q, q + 1 … : those of them that are outputs."""
    width = VECTORS * simd.lanes(y)
    if g.out_step_w > 1:
        simd.store(tile, scratch, 0, width, ROWS, 0, width)
    i = q // g.row
    begin = i * g.row - q  # where in the tile row i begins
    while begin < width:
        m, r = i // g.image_rows, i % g.image_rows
        if m < images and r < rows:
            target = start + m * image + r * g.out_step_h * g.out_w
            low, high = max(0, begin), min(width, begin + columns)
            if g.out_step_w == 1:
                simd.store(tile, y, target - begin, plane, filters, low, high)
            else:
                for k in range(filters):
                    for v in range(low, high):
                        y[target + k * plane + (v - begin) * g.out_step_w] = scratch[k * width + v]
        begin += g.row
        i += 1


@njit(**OPTIONS)
def weight_gradient(  # type: ignore[no-untyped-def]
    x, dy, offsets, total, buffer, spread, g, first_batch, last_batch, group, first_block, last_block
):
    """total[block, t, r] = Σ over images and positions of dy[o, p] · buffer[offset[t] + p], where o = block·ROWS + r.

    ROWS channels of dy, spread out to the buffer's rows with zeros in between, stay in the L1 cache while all taps pass
    by; each ROWS × VECTORS dot products share their loads. (A NaN in x may so reach a neighbouring tap's sum, too.)
    """
    lanes = simd.lanes(buffer)
    plane = g.out_h * g.out_w
    length = len(spread) // ROWS
    total[:] = 0
    spread[:] = 0
    for batch in range(first_batch, last_batch):
        images = min(g.images, g.n - batch * g.images)
        for strip in range(g.strips):
            fill_buffer(buffer, x, batch, group, strip, g)
            rows = min(g.strip_rows, g.out_h - strip * g.strip_rows)
            all_rows = (images - 1) * g.image_rows + rows
            for top in range(0, all_rows, g.spread_rows):
                bottom = min(top + g.spread_rows, all_rows)
                end = (bottom - top) * g.row
                for block in range(first_block, last_block):
                    for r in range(min(ROWS, g.filters - block * ROWS)):
                        for i in range(top, bottom):
                            target = r * length + (i - top) * g.row
                            if i % g.image_rows < rows:
                                image = batch * g.images + i // g.image_rows
                                channel = (image * g.groups + group) * g.filters + block * ROWS + r
                                row = strip * g.strip_rows + i % g.image_rows
                                simd.copy(spread, target, dy, channel * plane + row * g.out_w, g.out_w)
                            else:
                                spread[target : target + g.out_w] = 0
                        spread[r * length + end : (r + 1) * length] = 0
                    for t in range(0, len(offsets), VECTORS):
                        starts = (offsets[t] + top * g.row, offsets[t + 1] + top * g.row, offsets[t + 2] + top * g.row)
                        tile = simd.zeros(buffer)
                        for p in range(0, end, lanes):
                            tile = simd.add_products(tile, spread, p, length, buffer, starts)
                        simd.add_sums(tile, total, ((block - first_block) * len(offsets) + t) * ROWS)
