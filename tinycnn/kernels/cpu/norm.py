"""Batch normalization: a plane (one channel of one image) at a time, which stays in cache between its passes."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from tinycnn.kernels import reference
from tinycnn.kernels.cpu.ranges import OPTIONS, over_ranges
from tinycnn.runtime import memory

BLOCK = 4096  # elements summed in the array's own precision before going on in float64


def batch_norm_statistics(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Twin of `reference.batch_norm_statistics`. One pass over memory: each plane's mean and variance, then combined.

    The variance of all is the mean of the variances plus the variance of the means.
    """
    if x.ndim == 2:  # planes of a single number: NumPy goes along the rows
        return reference.batch_norm_statistics(x)
    planes, (n, c) = _planes(x), x.shape[:2]
    moments = np.empty((n * c, 2))
    over_ranges(_moments, n * c, planes[0].nbytes, planes, moments)
    means, variances = np.moveaxis(moments.reshape(n, c, 2), 2, 0)
    mean = means.mean(axis=0)
    variance = variances.mean(axis=0) + np.square(means - mean).mean(axis=0)
    return mean.astype(x.dtype), variance.astype(x.dtype)


def batch_norm_forward(
    x: np.ndarray, mean: np.ndarray, variance: np.ndarray, weight: np.ndarray, bias: np.ndarray, eps: float
) -> np.ndarray:
    """Twin of `reference.batch_norm_forward`. One pass, with γ/√(σ² + ε) computed once a channel."""
    if x.ndim == 2:  # planes of a single number: NumPy goes along the rows
        return reference.batch_norm_forward(x, mean, variance, weight, bias, eps)
    planes, y = _planes(x), memory.empty(x.shape, x.dtype)
    scale = weight / np.sqrt(variance + x.dtype.type(eps))
    over_ranges(_normalize, len(planes), planes[0].nbytes, planes, mean, scale, bias, _planes(y))
    return y


def batch_norm_backward(
    dy: np.ndarray,
    x: np.ndarray,
    mean: np.ndarray,
    variance: np.ndarray,
    weight: np.ndarray,
    eps: float,
    batch_statistics: bool = True,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Twin of `reference.batch_norm_backward`. Two passes: one for both sums, one for dx."""
    if x.ndim == 2:  # planes of a single number: NumPy goes along the rows
        return reference.batch_norm_backward(dy, x, mean, variance, weight, eps, batch_statistics)
    dy_planes, planes, dx = _planes(dy), _planes(x), memory.empty(x.shape, x.dtype)
    (n, c), m = x.shape[:2], x.dtype.type(x.size // x.shape[1])
    inverse_std = 1 / np.sqrt(variance + x.dtype.type(eps))
    sums = np.empty((n * c, 2))
    over_ranges(_gradient_sums, n * c, planes[0].nbytes, dy_planes, planes, mean, sums)
    dbias, dweight = sums.reshape(n, c, 2).sum(axis=0).T
    dweight, dbias = (dweight * inverse_std).astype(x.dtype), dbias.astype(x.dtype)
    slope, offset = inverse_std * dweight / m, dbias / m
    if not batch_statistics:
        slope, offset = np.zeros_like(slope), np.zeros_like(offset)
    over_ranges(
        _input_gradient,
        n * c,
        planes[0].nbytes,
        dy_planes,
        planes,
        mean,
        slope,
        offset,
        weight * inverse_std,
        _planes(dx),
    )
    return dx, dweight, dbias


def channel_sums(x: np.ndarray) -> np.ndarray:
    """Σ over images and pixels of x (N, C, H, W): (C,) in float64."""
    planes, sums = _planes(x), np.empty(x.shape[0] * x.shape[1])
    over_ranges(_plane_sums, len(planes), planes[0].nbytes, planes, sums)
    return sums.reshape(x.shape[:2]).sum(axis=0)


def _planes(x: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(x).reshape(x.shape[0] * x.shape[1], -1)


@njit(**OPTIONS)
def _sum_of_powers(plane: Any, center: Any, power: int) -> float:
    """Σ (x − center)^power, power being 1 or 2."""
    total = 0.0
    for start in range(0, len(plane), BLOCK):
        block, part = plane[start : start + BLOCK], plane.dtype.type(0)
        for i in range(len(block)):
            deviation = block[i] - center
            part += deviation if power == 1 else deviation * deviation
        total += part
    return total


@njit(**OPTIONS)
def _plane_sums(first: int, last: int, planes: Any, sums: Any) -> None:
    for p in range(first, last):
        sums[p] = _sum_of_powers(planes[p], planes.dtype.type(0), 1)


@njit(**OPTIONS)
def _moments(first: int, last: int, planes: Any, moments: Any) -> None:
    """Mean and variance of each plane."""
    size = planes.shape[1]
    for p in range(first, last):
        mean = _sum_of_powers(planes[p], planes.dtype.type(0), 1) / size
        moments[p, 0] = mean
        moments[p, 1] = _sum_of_powers(planes[p], planes.dtype.type(mean), 2) / size


@njit(**OPTIONS)
def _normalize(first: int, last: int, planes: Any, mean: Any, scale: Any, bias: Any, y: Any) -> None:
    for p in range(first, last):
        c = p % len(mean)
        source, target = planes[p], y[p]
        for i in range(len(source)):
            target[i] = (source[i] - mean[c]) * scale[c] + bias[c]


@njit(**OPTIONS)
def _gradient_sums(first: int, last: int, dy: Any, planes: Any, mean: Any, sums: Any) -> None:
    """Σ dy and Σ dy·(x − μ) of each plane."""
    zero = planes.dtype.type(0)
    for p in range(first, last):
        center = mean[p % len(mean)]
        plain, weighted = 0.0, 0.0
        for start in range(0, planes.shape[1], BLOCK):
            x_block, dy_block = planes[p, start : start + BLOCK], dy[p, start : start + BLOCK]
            part, weighted_part = zero, zero
            for i in range(len(x_block)):
                part += dy_block[i]
                weighted_part += dy_block[i] * (x_block[i] - center)
            plain += part
            weighted += weighted_part
        sums[p, 0] = plain
        sums[p, 1] = weighted


@njit(**OPTIONS)
def _input_gradient(
    first: int, last: int, dy: Any, planes: Any, mean: Any, slope: Any, offset: Any, scale: Any, dx: Any
) -> None:
    """dx = scale · (dy − offset − slope · (x − μ))."""
    for p in range(first, last):
        c = p % len(mean)
        source, gradient, target = planes[p], dy[p], dx[p]
        for i in range(len(source)):
            target[i] = scale[c] * (gradient[i] - offset[c] - slope[c] * (source[i] - mean[c]))
