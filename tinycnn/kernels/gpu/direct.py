"""Convolution without copying windows, for stride 1 and few channels: how the work is cut into tiles and threads."""

from __future__ import annotations

import functools
import math
from typing import Any, NamedTuple

from tinycnn.backend import get_array_module
from tinycnn.kernels.gpu.launch import WARP, Array, blocks, launch, multiprocessors
from tinycnn.windows import Pair

THREADS = 256  # of a block, at most
SHARED_BYTES = 47 * 1024  # of a block, at most: more than 48 KiB would have to be asked for
PARTS = 2  # blocks for each multiprocessor that share the sum over all images
ENOUGH = 1.5  # blocks of a launch, for each multiprocessor
MOST_TAPS = 5  # of a filter's side
MOST_PRODUCTS = 4096  # filters × channels; with more, matrix products have enough to do, and cuBLAS does them best


def serves(filters: tuple[int, ...], stride: Pair, dilation: Pair, groups: int) -> bool:
    """Whether these kernels compute convolutions with filters of shape (O, C, KH, KW)."""
    o, c, kh, kw = filters
    return stride == dilation == (1, 1) and groups == 1 and max(kh, kw) <= MOST_TAPS and o * c <= MOST_PRODUCTS


class Cut(NamedTuple):
    """How a kernel's work is cut: tiles (down, across) of each image, blocks, threads and the kernel's constants."""

    tiles: Pair
    blocks: int  # for each image's tile, or for each part of the sum
    threads: int
    defines: dict[str, int]


def correlate(
    source: tuple[Any, ...],
    weight: Array,
    target: tuple[Any, ...],
    images: int,
    top: int,
    left: int,
    *,
    flip: bool = False,
    kinds: tuple[str, str] = ("Plain", "Stored"),
) -> None:
    """Slide `weight` over `source` with so many zeros above and to the left; `target` takes the sums.

    Both are structs of the .cu files, named by `kinds`. A source's last members are its (C, H, W), a target's (O, OH,
    OW).
    """
    cut = correlate_cut(images, source[-3], target[-3], weight.shape[2:], target[-2:], weight.dtype.itemsize)
    block = {} if kinds[1] == "Stored" else {"BLOCK": 1}
    launch(
        "correlate",
        "correlate",
        (images * math.prod(cut.tiles), cut.blocks),
        cut.threads,
        source,
        weight,
        target,
        top,
        left,
        *cut.tiles,
        dtype=weight.dtype,
        **cut.defines,
        FLIP=int(flip),
        SOURCE=kinds[0],
        TARGET=kinds[1],
        **block,
    )


@functools.cache
def correlate_cut(images: int, channels: int, filters: int, kernel: Pair, size: Pair, itemsize: int) -> Cut:
    """Tiles for `correlate`: large, but not so large that multiprocessors are left without work."""
    for threads in (THREADS, THREADS // 2, THREADS // 4):
        cut = _correlate_cut(threads, channels, filters, kernel, size, itemsize)
        if images * math.prod(cut.tiles) * cut.blocks >= ENOUGH * multiprocessors():
            break
    return cut


def _correlate_cut(threads: int, channels: int, filters: int, kernel: Pair, size: Pair, itemsize: int) -> Cut:
    """As large as a block of so many threads allows, and nearly equal, so that few threads idle."""
    (kh, kw), (oh, ow) = kernel, size
    most = 32 // itemsize if kh * kw <= 9 else 16 // itemsize  # more sums than these do not fit the registers
    per_thread = min(most, 1 << (filters - 1).bit_length())
    groups = min(8, math.ceil(filters / per_thread))
    across = _even(math.ceil(ow / 2), 32)
    down = _even(math.ceil(oh / 4), max(1, threads // (groups * across)))

    def bytes_used(stage: int) -> int:
        tile = stage * (4 * down + kh - 1) * ((2 * across + kw) // 2 * 2)
        sums = 2 * groups * per_thread * down * across
        return itemsize * (max(tile, sums) + (stage * kh * kw + 1) * groups * per_thread)

    stage = next(s for s in (8, 4, 2, 1) if s == 1 or (s <= channels and bytes_used(s) <= SHARED_BYTES))
    return Cut(
        (math.ceil(oh / (4 * down)), math.ceil(ow / (2 * across))),
        math.ceil(filters / (groups * per_thread)),
        _whole_warps(groups * down * across),
        {"KH": kh, "KW": kw, "FILTERS": per_thread, "GROUPS": groups, "DOWN": down, "ACROSS": across, "STAGE": stage},
    )


def input_gradient(
    source: tuple[Any, ...], weight: Array, input_shape: tuple[int, ...], top: int, left: int, *, kind: str = "Plain"
) -> Array:
    """dx of `input_shape` from a source of dy: a convolution of dy with the filters turned around."""
    (kh, kw), dx = weight.shape[2:], get_array_module(weight).empty(input_shape, weight.dtype)
    correlate(
        source,
        weight,
        (None, dx, *input_shape[1:]),
        input_shape[0],
        kh - 1 - top,
        kw - 1 - left,
        flip=True,
        kinds=(kind, "Stored"),
    )
    return dx


def weight_gradient(
    source: tuple[Any, ...], x: Array, kernel: Pair, top: int, left: int, *, kind: str = "Plain"
) -> Array:
    """Σ dy · x over all images and pixels, from a source of dy: (O, C, KH, KW)."""
    xp, images, filters, channels = get_array_module(x), x.shape[0], source[-3], x.shape[1]
    cut = weight_gradient_cut(channels, filters, tuple(kernel), source[-2:], x.dtype.itemsize)
    count = max(1, min(PARTS * multiprocessors() // cut.blocks, images * math.prod(cut.tiles)))
    dweight = xp.empty((filters, channels, *kernel), x.dtype)
    parts = xp.empty((count, dweight.size), x.dtype)
    launch(
        "weight_gradient",
        "weight_gradient",
        (count, cut.blocks),
        cut.threads,
        source,
        plain(x),
        parts,
        images,
        top,
        left,
        *cut.tiles,
        dtype=x.dtype,
        **cut.defines,
        SOURCE=kind,
    )
    launch("parts", "add_parts", blocks(dweight.size, WARP), 512, parts, dweight, count, dweight.size, dtype=x.dtype)
    return dweight


@functools.cache
def weight_gradient_cut(channels: int, filters: int, kernel: Pair, size: Pair, itemsize: int) -> Cut:
    """Tiles for `weight_gradient`: what fits the shared memory and costs least."""
    (kh, kw), (oh, ow) = kernel, size
    threads = THREADS * 4 // itemsize
    per_thread = max(1, min(32 // itemsize, 288 // itemsize // (kh * kw), 1 << (filters - 1).bit_length()))
    some = min(32, channels)
    groups = min(math.ceil(filters / per_thread), threads // some)
    slices = threads // (groups * some)

    def bytes_used(down: int, across: int) -> int:
        x_plane = ((down + kh - 1) * math.ceil((4 * across + kw - 1) / 4) | 1) * 4
        tile = groups * per_thread * down * 4 * across + some * x_plane
        return itemsize * max(tile, kh * kw * groups * some * slices)

    def rows(down: int) -> int:
        """Rows of pixels computed, in part by threads without work, plus rows loaded a second time."""
        rounds = math.ceil(down * across / slices)
        return math.ceil(oh / down) * (math.ceil(rounds * slices / across) + kh - 1)

    across = next(
        a for a in (_even(math.ceil(ow / 4), most) for most in (16, 8, 4, 2, 1)) if bytes_used(1, a) <= SHARED_BYTES
    )
    down = min((d for d in range(1, min(oh, 64) + 1) if bytes_used(d, across) <= SHARED_BYTES), key=rows)
    return Cut(
        (math.ceil(oh / down), math.ceil(ow / (4 * across))),
        math.ceil(filters / (groups * per_thread)) * math.ceil(channels / some),
        _whole_warps(groups * some * slices),
        {
            "KH": kh,
            "KW": kw,
            "FILTERS": per_thread,
            "GROUPS": groups,
            "CHANNELS": some,
            "SLICES": slices,
            "DOWN": down,
            "ACROSS": across,
        },
    )


def plain(x: Array) -> tuple[Any, ...]:
    """x (N, C, H, W) as the source `Plain`."""
    return x, *x.shape[1:]


def _even(count: int, most: int) -> int:
    """`count` cut into as few pieces of at most `most` as possible, nearly equal: the size of the largest."""
    return math.ceil(count / math.ceil(count / most))


def _whole_warps(threads: int) -> int:
    return -(-threads // WARP) * WARP
