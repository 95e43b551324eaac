"""Normalization: batch norm along the batch, cross-channel normalization along the channels."""

from __future__ import annotations

from typing import Any

import numpy as np

from tinycnn.backend import get_array_module

Array = Any  # numpy.ndarray or cupy.ndarray


def batch_norm_statistics(x: Array) -> tuple[Array, Array]:
    """Each channel's mean and biased variance over images and pixels: x (N, C, H, W) or (N, C) → (C,), (C,)."""
    xp, axes = get_array_module(x), _all_but_channels(x)
    mean = x.mean(axis=axes, dtype=np.float64)
    deviation = x - _along_channels(mean.astype(x.dtype), x)
    variance = xp.square(deviation).mean(axis=axes, dtype=np.float64)
    return mean.astype(x.dtype), variance.astype(x.dtype)


def batch_norm_forward(x: Array, mean: Array, variance: Array, weight: Array, bias: Array, eps: float) -> Array:
    """y = γ · (x − μ) / √(σ² + ε) + β, channel by channel: x (N, C, H, W) or (N, C), the rest (C,) → y like x."""
    xp = get_array_module(x)
    scale = weight / xp.sqrt(variance + eps)
    return (x - _along_channels(mean, x)) * _along_channels(scale, x) + _along_channels(bias, x)


def batch_norm_backward(
    dy: Array, x: Array, mean: Array, variance: Array, weight: Array, eps: float, batch_statistics: bool = True
) -> tuple[Array, Array, Array]:
    """dx, dγ, dβ of `batch_norm_forward`. With x̂ = (x − μ)/√(σ² + ε):

    dβ = Σ dy,   dγ = Σ dy·x̂,   dx = γ/√(σ² + ε) · (dy − mean(dy) − x̂ · mean(dy·x̂)).

    The two means are there because μ and σ² depend on x; with `batch_statistics=False` (evaluation, where they are
    constants) dx is γ/√(σ² + ε) · dy.
    """
    xp, axes = get_array_module(x), _all_but_channels(x)
    inverse_std = 1 / xp.sqrt(variance + eps)
    x_hat = (x - _along_channels(mean, x)) * _along_channels(inverse_std, x)
    dbias = dy.sum(axis=axes, dtype=np.float64).astype(dy.dtype)
    dweight = (dy * x_hat).sum(axis=axes, dtype=np.float64).astype(dy.dtype)
    dx = dy
    if batch_statistics:
        m = x.size // x.shape[1]
        dx = dy - _along_channels(dbias / m, x) - x_hat * _along_channels(dweight / m, x)
    return dx * _along_channels(weight * inverse_std, x), dweight, dbias


def _all_but_channels(x: Array) -> tuple[int, ...]:
    """The axes of x (N, C, …) that a channel's statistics are taken over: all but C's."""
    return (0, *range(2, x.ndim))


def _along_channels(of_channel: Array, x: Array) -> Array:
    """`of_channel` (C,) with an axis of length 1 for each of x's axes after C, so that it meets x's channels."""
    return of_channel.reshape(-1, *[1] * (x.ndim - 2))


def batch_norm_track(
    running_mean: Array, running_var: Array, mean: Array, variance: Array, momentum: float, unbiased: float
) -> None:
    """μ_r ← μ_r + m · (μ − μ_r),   σ_r² ← σ_r² + m · (u · σ² − σ_r²), in place: all (C,).

    The running statistics move by the momentum m towards a batch's. u = n / (n − 1) makes the biased variance of n
    values an unbiased one.
    """
    running_mean += momentum * (mean - running_mean)
    running_var += momentum * (unbiased * variance - running_var)


def cross_channel_norm_forward(x: Array, size: int, alpha: float, beta: float, k: float) -> Array:
    """y[c] = x[c] / s[c]^β,   s[c] = k + α/size · Σ_j x[j]², j from c − ⌊size/2⌋ to c + ⌊(size−1)/2⌋, where it exists.

    The same at every pixel: x (N, C, H, W) → y (N, C, H, W).
    """
    s = k + alpha / size * _neighbour_sums(x * x, size // 2, (size - 1) // 2)
    return x * s**-beta


def cross_channel_norm_backward(dy: Array, x: Array, size: int, alpha: float, beta: float, k: float) -> Array:
    """dx[c] = dy[c] / s[c]^β − 2·α·β/size · x[c] · Σ_j dy[j]·x[j] / s[j]^(β+1), over the j whose sum s[j] holds x[c].

    x[c] is in s[j] for j from c − ⌊(size−1)/2⌋ to c + ⌊size/2⌋: the forward window, mirrored. All are (N, C, H, W).
    """
    s = k + alpha / size * _neighbour_sums(x * x, size // 2, (size - 1) // 2)
    ratio = dy * x * s ** (-beta - 1)
    return dy * s**-beta - 2 * alpha * beta / size * x * _neighbour_sums(ratio, (size - 1) // 2, size // 2)


def _neighbour_sums(x: Array, before: int, after: int) -> Array:
    """y[c] = Σ x[j] over the channels j from c − before to c + after that exist: (N, C, H, W) → (N, C, H, W)."""
    c = x.shape[1]
    padded = get_array_module(x).pad(x, ((0, 0), (before, after), (0, 0), (0, 0)))
    return sum(padded[:, first : first + c] for first in range(before + after + 1))
