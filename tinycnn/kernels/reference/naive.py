"""The definitions, as loops over single numbers: the ladder's first rung.

Each function is its equation, letter by letter, for NumPy arrays: it takes what the kernel of the same name takes, and
needs minutes for what that does in milliseconds. Python looks up types, bounds and methods for every product; the
arithmetic itself is less than a thousandth of the time. See `tinycnn.kernels.ladder` for the rungs above.
"""

from __future__ import annotations

import numpy as np

from tinycnn.kernels import contracts
from tinycnn.windows import Padding, Pair, output_shape

__all__ = [
    "batch_norm_forward",
    "batch_norm_statistics",
    "conv2d_backward_input",
    "conv2d_backward_weight",
    "conv2d_forward",
    "max_pool2d_forward",
]


def conv2d_forward(
    x: np.ndarray,
    weight: np.ndarray,
    bias: np.ndarray | None,
    stride: Pair = (1, 1),
    padding: Padding = (0, 0, 0, 0),
    dilation: Pair = (1, 1),
    groups: int = 1,
) -> np.ndarray:
    """y[n,o,i,j] = b[o] + Σ_c Σ_kh Σ_kw W[o,c,kh,kw] · x[n, c, i·s+kh·d, j·s+kw·d]: each output sums its window.

    x (N, C, H, W), weight (O, C/groups, KH, KW), bias (O,) or None → y (N, O, OH, OW).

    >>> x = np.arange(9.0).reshape(1, 1, 3, 3)
    >>> conv2d_forward(x, np.ones((1, 1, 2, 2)), None)
    array([[[[ 8., 12.],
             [20., 24.]]]])
    """
    filters, channels = len(weight) // groups, weight.shape[1]  # of one group
    output = output_shape(x.shape[2:], weight.shape[2:], stride, padding, dilation)
    x = _padded(x, padding)
    y = np.zeros((len(x), len(weight), *output), x.dtype)
    for n, o, i, j in np.ndindex(y.shape):
        total = y.dtype.type(0 if bias is None else bias[o])
        for c, kh, kw in np.ndindex(weight.shape[1:]):
            row, column = i * stride[0] + kh * dilation[0], j * stride[1] + kw * dilation[1]
            total += weight[o, c, kh, kw] * x[n, o // filters * channels + c, row, column]
        y[n, o, i, j] = total
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
    """dx[n,c,r,s] = Σ_o Σ_kh Σ_kw W[o,c,kh,kw] · dy[n,o,i,j], over the windows (i, j) whose tap (kh, kw) saw (r, s).

    The tap of a window at i sees the padded row i·s + kh·d, so i = (row − kh·d) / s, where that is a whole number.
    """
    filters, channels = len(weight) // groups, weight.shape[1]  # of one group
    dx = np.zeros(input_shape, dy.dtype)
    for n, c, row, column in np.ndindex(dx.shape):
        group, k = divmod(c, channels)
        for o, kh, kw in np.ndindex(filters, *weight.shape[2:]):
            i, down = divmod(row + padding[0] - kh * dilation[0], stride[0])
            j, right = divmod(column + padding[2] - kw * dilation[1], stride[1])
            if down == right == 0 and 0 <= i < dy.shape[2] and 0 <= j < dy.shape[3]:
                dx[n, c, row, column] += weight[group * filters + o, k, kh, kw] * dy[n, group * filters + o, i, j]
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
    """dW[o,c,kh,kw] = Σ_n Σ_i Σ_j dy[n,o,i,j] · x[n, c, i·s+kh·d, j·s+kw·d]: (O, C/groups, KH, KW)."""
    filters, channels = dy.shape[1] // groups, x.shape[1] // groups  # of one group
    x = _padded(x, padding)
    dweight = np.zeros((dy.shape[1], channels, *kernel), dy.dtype)
    for o, c, kh, kw in np.ndindex(dweight.shape):
        total = 0.0
        for n, i, j in np.ndindex(len(dy), *dy.shape[2:]):
            row, column = i * stride[0] + kh * dilation[0], j * stride[1] + kw * dilation[1]
            total += float(dy[n, o, i, j] * x[n, o // filters * channels + c, row, column])
        dweight[o, c, kh, kw] = total
    return dweight


def max_pool2d_forward(
    x: np.ndarray, pool: Pair, stride: Pair, padding: Padding = (0, 0, 0, 0)
) -> tuple[np.ndarray, np.ndarray]:
    """y[n,c,i,j] = max over (a, b) of x[n, c, i·s+a, j·s+b], and which pixel a·PW + b that was; the first if several.

    A NaN counts as larger than every number; padding, which is −∞, never wins. x (N, C, H, W) → (N, C, OH, OW) twice.
    """
    shape = (*x.shape[:2], *output_shape(x.shape[2:], pool, stride, padding))
    x = _padded(x, padding, -np.inf)
    y, argmax = np.full(shape, -np.inf, x.dtype), np.zeros(shape, np.int32)
    for n, c, i, j in np.ndindex(shape):
        for a, b in np.ndindex(pool):
            value, best = x[n, c, i * stride[0] + a, j * stride[1] + b], y[n, c, i, j]
            if value > best or (np.isnan(value) and not np.isnan(best)):
                y[n, c, i, j], argmax[n, c, i, j] = value, a * pool[1] + b
    return y, argmax


def batch_norm_statistics(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """μ[c] = Σ x[n,c,i,j] / m and σ²[c] = Σ (x[n,c,i,j] − μ[c])² / m, over the m = N·H·W pixels of a channel."""
    n, channels, h, w = x.shape
    mean, variance = np.zeros(channels), np.zeros(channels)
    for image, c, i, j in np.ndindex(x.shape):
        mean[c] += float(x[image, c, i, j]) / (n * h * w)
    for image, c, i, j in np.ndindex(x.shape):
        variance[c] += (float(x[image, c, i, j]) - mean[c]) ** 2 / (n * h * w)
    return mean.astype(x.dtype), variance.astype(x.dtype)


def batch_norm_forward(
    x: np.ndarray, mean: np.ndarray, variance: np.ndarray, weight: np.ndarray, bias: np.ndarray, eps: float
) -> np.ndarray:
    """y[n,c,i,j] = γ[c] · (x[n,c,i,j] − μ[c]) / √(σ²[c] + ε) + β[c]."""
    y = np.zeros(x.shape, x.dtype)
    for n, c, i, j in np.ndindex(x.shape):
        y[n, c, i, j] = weight[c] * (x[n, c, i, j] - mean[c]) / np.sqrt(variance[c] + eps) + bias[c]
    return y


def _padded(x: np.ndarray, padding: Padding, value: float = 0.0) -> np.ndarray:
    top, bottom, left, right = padding
    return np.pad(x, ((0, 0), (0, 0), (top, bottom), (left, right)), constant_values=value)


contracts.guard(globals(), __all__)
