"""Cross-channel normalization: a few pixels of all channels at a time, which stay in cache for every window."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from tinycnn.kernels.cpu.ranges import OPTIONS, over_ranges
from tinycnn.runtime import memory

PIXELS = 256  # of every channel at a time: 256 channels of them take half an L2 cache with what belongs to them


def cross_channel_norm_forward(x: np.ndarray, size: int, alpha: float, beta: float, k: float) -> np.ndarray:
    """Twin of `reference.cross_channel_norm_forward`. A few pixels of all channels at a time: one pass over memory."""
    y = memory.empty(x.shape, x.dtype)
    _over_tiles(_forward, x, _planes(x), size, *map(x.dtype.type, (alpha / size, beta, k)), _planes(y))
    return y


def cross_channel_norm_backward(
    dy: np.ndarray, x: np.ndarray, size: int, alpha: float, beta: float, k: float
) -> np.ndarray:
    """Twin of `reference.cross_channel_norm_backward`. One pass over memory: s is computed again rather than stored."""
    dx = memory.empty(x.shape, x.dtype)
    _over_tiles(_backward, x, _planes(dy), _planes(x), size, *map(x.dtype.type, (alpha / size, beta, k)), _planes(dx))
    return dx


def _planes(x: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(x).reshape(*x.shape[:2], -1)


def _over_tiles(kernel: Any, x: np.ndarray, *args: Any) -> None:
    """Call the kernel for ranges of tiles, PIXELS of one image each."""
    n, c, h, w = x.shape
    tiles = -(-h * w // PIXELS)
    over_ranges(kernel, n * tiles, c * PIXELS * x.itemsize, tiles, *args)


@njit(**OPTIONS)
def _divisors(x: Any, c: int, start: int, before: int, after: int, scale: Any, k: Any, s: Any) -> None:
    """s[i] = k + scale · Σ x² over the channels c − before … c + after, at pixel start + i."""
    for i in range(len(s)):
        s[i] = k
    for j in range(max(0, c - before), min(len(x), c + after + 1)):
        row = x[j, start : start + len(s)]
        for i in range(len(s)):
            s[i] += scale * row[i] * row[i]


@njit(**OPTIONS)
def _inverse_powers(s: Any, beta: Any, inverse: Any) -> None:
    """inverse = s^−β; for β = ¾ by roots, which are vectors."""
    one = s.dtype.type(1)
    if beta == 0.75:
        for i in range(len(s)):
            inverse[i] = one / np.sqrt(s[i] * np.sqrt(s[i]))
    else:
        for i in range(len(s)):
            inverse[i] = s[i] ** -beta


@njit(**OPTIONS)
def _forward(first: int, last: int, tiles: int, x: Any, size: int, scale: Any, beta: Any, k: Any, y: Any) -> None:
    divisors, powers = np.empty(PIXELS, x.dtype), np.empty(PIXELS, x.dtype)
    for tile in range(first, last):
        image, out, start = x[tile // tiles], y[tile // tiles], tile % tiles * PIXELS
        end = min(start + PIXELS, x.shape[2])
        s, inverse = divisors[: end - start], powers[: end - start]
        for c in range(x.shape[1]):
            _divisors(image, c, start, size // 2, (size - 1) // 2, scale, k, s)
            _inverse_powers(s, beta, inverse)
            source, target = image[c, start:end], out[c, start:end]
            for i in range(len(s)):
                target[i] = source[i] * inverse[i]


@njit(**OPTIONS)
def _backward(
    first: int, last: int, tiles: int, dy: Any, x: Any, size: int, scale: Any, beta: Any, k: Any, dx: Any
) -> None:
    channels = x.shape[1]
    divisors, powers = np.empty(PIXELS, x.dtype), np.empty(PIXELS, x.dtype)
    ratios = np.empty((channels, PIXELS), x.dtype)  # dy·x / s^(β+1)
    factor = x.dtype.type(2) * scale * beta
    for tile in range(first, last):
        image, start = tile // tiles, tile % tiles * PIXELS
        end = min(start + PIXELS, x.shape[2])
        s, inverse = divisors[: end - start], powers[: end - start]
        for c in range(channels):
            _divisors(x[image], c, start, size // 2, (size - 1) // 2, scale, k, s)
            _inverse_powers(s, beta, inverse)
            gradient, source, target = dy[image, c, start:end], x[image, c, start:end], dx[image, c, start:end]
            ratio = ratios[c]
            for i in range(len(s)):
                target[i] = gradient[i] * inverse[i]
                ratio[i] = target[i] * source[i] / s[i]
        for c in range(channels):
            source, target = x[image, c, start:end], dx[image, c, start:end]
            total = s
            total[:] = 0
            for j in range(max(0, c - (size - 1) // 2), min(channels, c + size // 2 + 1)):
                ratio = ratios[j]
                for i in range(len(total)):
                    total[i] += ratio[i]
            for i in range(len(total)):
                target[i] -= factor * source[i] * total[i]
