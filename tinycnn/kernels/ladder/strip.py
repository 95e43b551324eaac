"""One padded strip, whose taps are shifts of it: the rung above compiled loops."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numba import njit

from tinycnn.kernels import contracts
from tinycnn.kernels.cpu.ranges import OPTIONS, over_ranges
from tinycnn.runtime import memory
from tinycnn.windows import Padding, Pair, output_shape

__all__ = ["conv2d_forward"]

POSITIONS = 1024  # sums at a time, about: with the pixels that they read, little enough for the L1 cache


def conv2d_forward(
    x: np.ndarray,
    weight: np.ndarray,
    bias: np.ndarray | None,
    stride: Pair = (1, 1),
    padding: Padding = (0, 0, 0, 0),
    dilation: Pair = (1, 1),
    groups: int = 1,
) -> np.ndarray:
    """Twin of `reference.naive.conv2d_forward`. A few rows of all channels are copied, padded, into one short buffer.

    There a tap is a distance: what it sees at position q is the pixel at q + distance, for all rows at once. So a tap
    is one long loop instead of one for each row, and all filters find the strip in cache. (Between two rows of outputs
    lie positions whose windows run over the edge; they are summed too, and not stored.)

    What limits it: still two loads and a store for each vector of products. And with a stride, the sums between the
    outputs are made for nothing. For one group only.
    """
    refuse_groups(groups)
    strip = cut(x.shape, weight.shape, stride, padding, dilation)
    output = output_shape(x.shape[2:], weight.shape[2:], stride, padding, dilation)
    y = memory.empty((len(x), len(weight), *output), x.dtype)
    bias = np.zeros(len(weight), x.dtype) if bias is None else bias
    arrays = np.ascontiguousarray(x), np.ascontiguousarray(weight).reshape(len(weight), -1), bias, y
    jobs = len(x) * -(-output[0] // strip.rows)
    over_ranges(_strips, jobs, y[:1, :, : strip.rows].nbytes, *arrays, strip, stride, padding)
    return y


class Strip(NamedTuple):
    """Where things lie in the buffer, for `rows` rows of outputs."""

    shape: tuple[int, int, int]  # of the buffer: channels, rows, pixels of a padded row
    rows: int  # of outputs
    positions: int  # from the first output to the last
    distances: np.ndarray  # (C·KH·KW,): how far behind its window's first pixel a tap's lies


def cut(x_shape: tuple[int, ...], filters: tuple[int, ...], stride: Pair, padding: Padding, dilation: Pair) -> Strip:
    """Strips of as many rows as make about POSITIONS sums."""
    (_, channels, h, w), (kh, kw) = x_shape, filters[2:]
    oh, ow = output_shape((h, w), (kh, kw), stride, padding, dilation)
    row = padding[2] + w + padding[3]
    rows = max(1, min(oh, POSITIONS // (row * stride[0])))
    shape = channels, (rows - 1) * stride[0] + (kh - 1) * dilation[0] + 1, row
    c, a, b = np.ogrid[:channels, :kh, :kw]
    distances = (c * shape[1] + a * dilation[0]) * row + b * dilation[1]
    return Strip(shape, rows, (rows - 1) * stride[0] * row + (ow - 1) * stride[1] + 1, distances.reshape(-1))


@njit(**OPTIONS)
def _strips(
    first: int, last: int, x: Any, weight: Any, bias: Any, y: Any, strip: Any, stride: Any, padding: Any
) -> None:
    buffer, sums = np.empty(strip.shape, x.dtype), np.empty(strip.positions, x.dtype)
    pixels = buffer.reshape(-1)
    strips = -(-y.shape[2] // strip.rows)
    for job in range(first, last):
        n, top = job // strips, job % strips * strip.rows
        fill(buffer, x[n], top * stride[0] - padding[0], padding[2])
        for o in range(len(weight)):
            sums[:] = bias[o]
            for tap in range(len(strip.distances)):
                _add(sums, weight[o, tap], pixels[strip.distances[tap] :])
            store(y[n, o, top : top + strip.rows], sums, stride[0] * strip.shape[2], stride[1])


@njit(**OPTIONS)
def _add(sums: Any, factor: Any, pixels: Any) -> None:
    for q in range(len(sums)):
        sums[q] += factor * pixels[q]


@njit(**OPTIONS)
def fill(buffer: Any, image: Any, top: int, left: int) -> None:
    """Copy the image's rows from `top` on into the buffer, with zeros wherever there is no pixel."""
    _, height, width = image.shape
    buffer[:] = 0
    for c in range(len(buffer)):
        for r in range(max(0, -top), min(buffer.shape[1], height - top)):
            buffer[c, r, left : left + width] = image[c, top + r]


@njit(**OPTIONS)
def store(outputs: Any, sums: Any, down: int, right: int) -> None:
    """Pick rows of outputs from the sums: neighbours lie `down` and `right` positions apart."""
    for i in range(outputs.shape[0]):
        for j in range(outputs.shape[1]):
            outputs[i, j] = sums[i * down + j * right]


def refuse_groups(groups: int) -> None:
    if groups != 1:
        raise ValueError(f"groups is {groups}: this rung has one group only; tinycnn.kernels.cpu has any number")


contracts.guard(globals(), __all__)
