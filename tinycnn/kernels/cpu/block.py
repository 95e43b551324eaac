"""Convolution → batch norm → ReLU → 2 × 2 max pooling, computed together: a chunk of images' convolution is measured,
normalized, pooled, or turned into its gradient while it is still in cache.

A chunk is one thread's work: its convolution output z fits the cache. Training must keep z, since the batch's
statistics are known only after all of it; the rest of the backward pass reads pooled-size data, because only one pixel
of a window has a gradient before batch norm, and what batch norm adds to the others is an affine function of z.
"""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from numba import njit

from tinycnn.kernels.cpu.conv import conv2d_backward_input, conv2d_backward_weight, conv2d_forward
from tinycnn.kernels.cpu.ranges import OPTIONS
from tinycnn.runtime import memory, threads
from tinycnn.windows import Padding, Pair, output_shape

CHUNK_BYTES = 3 * 2**19  # of z, for one thread


class Cache(NamedTuple):
    """What the backward pass needs of the forward pass."""

    x: np.ndarray  # (N, C, H, W)
    z: list[np.ndarray]  # the convolution's output, chunk by chunk
    peak: np.ndarray  # (N, O, PH, PW): z where the window's maximum is
    argmax: np.ndarray  # (N, O, PH, PW): which pixel of the window that is
    mean: np.ndarray  # (O,)
    variance: np.ndarray  # (O,)
    values: int  # of z in each channel


def conv_block_forward(
    x: np.ndarray,
    weight: np.ndarray,
    bias: np.ndarray | None,
    gamma: np.ndarray,
    beta: np.ndarray,
    eps: float,
    stride: Pair,
    padding: Padding,
    dilation: Pair,
    groups: int,
) -> tuple[np.ndarray, Cache]:
    """Twin of `reference.conv_block_forward`. A chunk's z is measured while it is in cache, and pooled in one pass."""
    chunks, (oh, ow) = _chunks(x, weight, stride, padding, dilation)
    shape = (len(x), len(weight), oh // 2, ow // 2)
    y, peak = memory.empty(shape, x.dtype), memory.empty(shape, x.dtype)
    argmax = memory.empty(shape, np.uint8)
    z: list[Any] = [None] * len(chunks)
    moments = np.empty((len(chunks), 2, len(weight)))

    def convolve(k: int) -> None:
        z[k] = conv2d_forward(x[chunks[k]], weight, bias, stride, padding, dilation, groups)
        channel_moments(z[k], moments[k])

    def normalize_and_pool(k: int) -> None:
        k = len(chunks) - 1 - k  # backwards: the last chunks of z may still be in cache
        norm_relu_pool(z[k], mean, scale, beta, y[chunks[k]], peak[chunks[k]], argmax[chunks[k]])

    threads.parallel_for(convolve, len(chunks))
    mean, variance = _joined(moments, [part[:, 0].size for part in z], x.dtype)
    scale = gamma / np.sqrt(variance + x.dtype.type(eps))
    threads.parallel_for(normalize_and_pool, len(chunks))
    return y, Cache(x, z, peak, argmax, mean, variance, len(x) * oh * ow)


def conv_block_backward(
    dy: np.ndarray,
    cache: Cache,
    weight: np.ndarray,
    gamma: np.ndarray,
    beta: np.ndarray,
    eps: float,
    stride: Pair,
    padding: Padding,
    dilation: Pair,
    groups: int,
    input_gradient: bool = True,
) -> tuple[np.ndarray | None, np.ndarray, np.ndarray, np.ndarray]:
    """Twin of `reference.conv_block_backward`. Batch norm's sums need only the maxima; a chunk's dz stays in cache."""
    x, z, peak, argmax, mean, variance, m = cache
    chunks, _ = _chunks(x, weight, stride, padding, dilation)
    inverse_std = 1 / np.sqrt(variance + x.dtype.type(eps))
    scale = gamma * inverse_std
    sums = np.empty((len(chunks), 2, len(weight)))
    dy = np.ascontiguousarray(dy)

    def reduce(k: int) -> None:
        pooled_sums(dy[chunks[k]], peak[chunks[k]], mean, scale, beta, sums[k])

    threads.parallel_for(reduce, len(chunks))
    dbeta, dgamma = sums.sum(axis=0)
    dgamma *= inverse_std
    # dz = scale·(dv − dβ/m − x̂·dγ/m) with x̂ = (z − μ)/√(σ² + ε) is affine in z, but for dv at the maxima
    slope = (-scale * inverse_std * dgamma / m).astype(x.dtype)
    constant = (-scale * dbeta / m - slope * mean).astype(x.dtype)
    dx = memory.empty(x.shape, x.dtype) if input_gradient else None
    dweights: list[Any] = [None] * len(chunks)

    def differentiate(k: int) -> None:
        k = len(chunks) - 1 - k
        part, chunk = x[chunks[k]], chunks[k]
        dz = memory.empty(z[k].shape, x.dtype)
        unpool_norm(dy[chunk], peak[chunk], argmax[chunk], z[k], mean, scale, beta, slope, constant, dz)
        dweights[k] = conv2d_backward_weight(dz, part, weight.shape[2:], stride, padding, dilation, groups)
        if dx is not None:
            dx[chunk] = conv2d_backward_input(dz, weight, part.shape, stride, padding, dilation, groups)

    threads.parallel_for(differentiate, len(chunks))
    dweight = np.sum(dweights, axis=0)
    return dx, dweight, dgamma.astype(x.dtype), dbeta.astype(x.dtype)


def _chunks(
    x: np.ndarray, weight: np.ndarray, stride: Pair, padding: Padding, dilation: Pair
) -> tuple[list[slice], Pair]:
    """Slices of the batch, of nearly equal length, and z's (OH, OW)."""
    oh, ow = output_shape(x.shape[2:], weight.shape[2:], stride, padding, dilation)
    most = max(1, CHUNK_BYTES // (len(weight) * oh * ow * x.itemsize))
    count = math.ceil(len(x) / most)
    bounds = [k * len(x) // count for k in range(count + 1)]
    return [slice(first, last) for first, last in pairwise(bounds)], (oh, ow)


def _joined(moments: np.ndarray, counts: list[int], dtype: Any) -> tuple[np.ndarray, np.ndarray]:
    """Mean and variance (O,) of all chunks, from each one's means and sums of squared deviations (chunks, 2, O)."""
    n = np.array(counts, np.float64)[:, None]
    means, squares = moments[:, 0], moments[:, 1]
    mean = (n * means).sum(axis=0) / n.sum()
    variance = (squares + n * (means - mean) ** 2).sum(axis=0) / n.sum()
    return mean.astype(dtype), variance.astype(dtype)


@njit(**OPTIONS)
def channel_moments(z, out):  # type: ignore[no-untyped-def]
    """out[0, c] = mean and out[1, c] = Σ (z − mean)² of each channel, in one pass around the first row's mean."""
    n, channels, height, width = z.shape
    for c in range(channels):
        total = z.dtype.type(0)
        for value in z[0, c, 0]:
            total += value
        centre = z.dtype.type(total / width)
        first = second = 0.0
        for image in range(n):
            for i in range(height):
                row = z[image, c, i]
                row_first = row_second = z.dtype.type(0)
                for j in range(width):
                    deviation = row[j] - centre
                    row_first += deviation
                    row_second += deviation * deviation
                first += row_first
                second += row_second
        count = n * height * width
        out[0, c] = centre + first / count
        out[1, c] = max(0.0, second - first * first / count) if second == second else second


@njit(**OPTIONS)
def norm_relu_pool(z, mean, scale, beta, y, peak, argmax):  # type: ignore[no-untyped-def]
    """y = max(0, largest v = (z − mean)·scale + beta of each 2 × 2 window), which pixel that is, and z there."""
    zero, two, one = z.dtype.type(0), np.uint64(2), np.uint64(1)
    for image in range(y.shape[0]):
        for c in range(y.shape[1]):
            m, s, o = mean[c], scale[c], beta[c]
            for i in range(y.shape[2]):
                target, top, which = y[image, c, i], peak[image, c, i], argmax[image, c, i]
                above, below = z[image, c, 2 * i], z[image, c, 2 * i + 1]
                for j in range(len(target)):
                    k = two * np.uint64(j)
                    z0, z1, z2, z3 = above[k], above[k + one], below[k], below[k + one]
                    largest, at, pixel = (z0 - m) * s + o, z0, np.int32(0)
                    v = (z1 - m) * s + o
                    if v > largest:
                        largest, at, pixel = v, z1, np.int32(1)
                    v = (z2 - m) * s + o
                    if v > largest:
                        largest, at, pixel = v, z2, np.int32(2)
                    v = (z3 - m) * s + o
                    if v > largest:
                        largest, at, pixel = v, z3, np.int32(3)
                    target[j] = zero if largest <= zero else largest
                    top[j] = at
                    which[j] = np.uint8(pixel)


@njit(**OPTIONS)
def pooled_sums(dy, peak, mean, scale, beta, out):  # type: ignore[no-untyped-def]
    """out[0, c] = Σ dv and out[1, c] = Σ dv·(z − mean), where dv is dy if the maximum passed the ReLU, else 0."""
    zero = dy.dtype.type(0)
    n, channels, height, width = dy.shape
    for c in range(channels):
        m, s, o = mean[c], scale[c], beta[c]
        first = second = 0.0
        for image in range(n):
            for i in range(height):
                gradient, top = dy[image, c, i], peak[image, c, i]
                row_first = row_second = zero
                for j in range(width):
                    dv = gradient[j] if (top[j] - m) * s + o > zero else zero
                    row_first += dv
                    row_second += dv * (top[j] - m)
                first += row_first
                second += row_second
        out[0, c] = first
        out[1, c] = second


@njit(**OPTIONS)
def unpool_norm(dy, peak, argmax, z, mean, scale, beta, slope, constant, dz):  # type: ignore[no-untyped-def]
    """dz = slope·z + constant, plus scale·dy at each window's maximum if it passed the ReLU."""
    zero, two, one = z.dtype.type(0), np.uint64(2), np.uint64(1)
    n, channels, height, width = z.shape
    spike, where = np.empty(dy.shape[3], z.dtype), np.empty(dy.shape[3], np.int32)
    for image in range(n):
        for c in range(channels):
            m, s, o, a, b = mean[c], scale[c], beta[c], slope[c], constant[c]
            for i in range(dy.shape[2]):
                gradient, top, which = dy[image, c, i], peak[image, c, i], argmax[image, c, i]
                for j in range(len(spike)):
                    spike[j] = s * gradient[j] if (top[j] - m) * s + o > zero else zero
                    where[j] = which[j]
                for r in range(2):
                    source, target = z[image, c, 2 * i + r], dz[image, c, 2 * i + r]
                    for j in range(len(spike)):
                        k = two * np.uint64(j)
                        target[k] = a * source[k] + b + (spike[j] if where[j] == 2 * r else zero)
                        target[k + one] = a * source[k + one] + b + (spike[j] if where[j] == 2 * r + 1 else zero)
                    for j in range(2 * len(spike), width):
                        target[j] = a * source[j] + b
            for i in range(2 * dy.shape[2], height):
                for j in range(width):
                    dz[image, c, i, j] = a * z[image, c, i, j] + b
