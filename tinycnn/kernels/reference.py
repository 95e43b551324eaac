"""Every operation as a page to teach from: plain array code that runs on NumPy and on CuPy arrays alike.

This module is the textbook, the oracle that the fast kernels are tested against, and the fallback for what they do
not cover. Each function has a twin of the same name and arguments in `tinycnn.kernels.cpu`.

Shapes: N images, C channels, H × W pixels in, OH × OW pixels out, O filters of KH × KW, D features, K classes.
`stride` and `dilation` are (vertical, horizontal); `padding` is (top, bottom, left, right).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from tinycnn.backend import get_array_module
from tinycnn.kernels.windows import Padding, Pair, output_shape

Array = Any  # numpy.ndarray or cupy.ndarray

WORKSPACE_BYTES = 64 * 2**20  # im2col copies each pixel KH·KW times; a tile of images at a time keeps that bounded


# --- Input -----------------------------------------------------------------------------------------------------------


def all_finite(x: Array) -> bool:
    """Whether no number of x, of any shape, is NaN or infinite."""
    return bool(get_array_module(x).isfinite(x).all())


def image_input_forward(x: Array, mean: Array, std: Array | None = None) -> Array:
    """y = x − mean, or (x − mean) / std: x (N, C, H, W), mean and std (C, H, W) → y (N, C, H, W)."""
    return x - mean if std is None else (x - mean) / std


# --- Convolution -----------------------------------------------------------------------------------------------------


def im2col(
    x: Array, kernel: Pair, stride: Pair = (1, 1), padding: Padding = (0, 0, 0, 0), dilation: Pair = (1, 1)
) -> Array:
    """Copy every window of x (N, C, H, W) into a column: (N, C·KH·KW, OH·OW)."""
    xp = get_array_module(x)
    (n, c, h, w), (kh, kw) = x.shape, kernel
    top, bottom, left, right = padding
    oh, ow = output_shape((h, w), kernel, stride, padding, dilation)
    x = xp.pad(x, ((0, 0), (0, 0), (top, bottom), (left, right)))
    columns = xp.empty((n, c, kh, kw, oh, ow), x.dtype)
    for i in range(kh):
        for j in range(kw):
            columns[:, :, i, j] = _window_pixel(x, i, j, (oh, ow), stride, dilation)
    return columns.reshape(n, c * kh * kw, oh * ow)


def col2im(
    columns: Array,
    input_shape: tuple[int, ...],
    kernel: Pair,
    stride: Pair = (1, 1),
    padding: Padding = (0, 0, 0, 0),
    dilation: Pair = (1, 1),
) -> Array:
    """Add every column (N, C·KH·KW, OH·OW) back to the pixels of `input_shape` it was copied from: im2col's adjoint."""
    xp = get_array_module(columns)
    (n, c, h, w), (kh, kw) = input_shape, kernel
    top, bottom, left, right = padding
    oh, ow = output_shape((h, w), kernel, stride, padding, dilation)
    columns = columns.reshape(n, c, kh, kw, oh, ow)
    x = xp.zeros((n, c, top + h + bottom, left + w + right), columns.dtype)
    for i in range(kh):
        for j in range(kw):
            _window_pixel(x, i, j, (oh, ow), stride, dilation)[...] += columns[:, :, i, j]
    return x[:, :, top : top + h, left : left + w]


def _window_pixel(x: Array, i: int, j: int, output: Pair, stride: Pair, dilation: Pair) -> Array:
    """The view of padded x that holds pixel (i, j) of every window: (N, C, OH, OW)."""
    top, left = i * dilation[0], j * dilation[1]
    bottom, right = top + output[0] * stride[0], left + output[1] * stride[1]
    return x[:, :, top : bottom : stride[0], left : right : stride[1]]


def conv2d_forward(
    x: Array,
    weight: Array,
    bias: Array | None,
    stride: Pair = (1, 1),
    padding: Padding = (0, 0, 0, 0),
    dilation: Pair = (1, 1),
    groups: int = 1,
) -> Array:
    """y[n,o,i,j] = b[o] + Σ_c Σ_kh Σ_kw W[o,c,kh,kw] · x[n, c, i·s+kh·d, j·s+kw·d], as a matrix product: W · im2col(x).

    x (N, C, H, W), weight (O, C/groups, KH, KW), bias (O,) or None → y (N, O, OH, OW). Filter o of group g sees the
    channels of group g only.
    """
    xp = get_array_module(x)
    n, (o, _, kh, kw) = x.shape[0], weight.shape
    oh, ow = output_shape(x.shape[2:], (kh, kw), stride, padding, dilation)
    y = xp.empty((n, o, oh, ow), x.dtype)
    rows = weight.reshape(groups, o // groups, -1)
    for images in _tiles(x.shape, (kh, kw), (oh, ow), x.dtype.itemsize):
        columns = im2col(x[images], (kh, kw), stride, padding, dilation)
        columns = columns.reshape(columns.shape[0], groups, -1, oh * ow)
        y[images] = (rows @ columns).reshape(-1, o, oh, ow)
    if bias is not None:
        y += bias[:, None, None]
    return y


def conv2d_backward_input(
    dy: Array,
    weight: Array,
    input_shape: tuple[int, ...],
    stride: Pair = (1, 1),
    padding: Padding = (0, 0, 0, 0),
    dilation: Pair = (1, 1),
    groups: int = 1,
) -> Array:
    """dx = col2im(Wᵀ · dy): dy (N, O, OH, OW) → dx of `input_shape` (N, C, H, W)."""
    xp = get_array_module(dy)
    (_, o, oh, ow), (kh, kw) = dy.shape, weight.shape[2:]
    dx = xp.empty(input_shape, dy.dtype)
    rows = weight.reshape(groups, o // groups, -1).swapaxes(1, 2)
    for images in _tiles(input_shape, (kh, kw), (oh, ow), dy.dtype.itemsize):
        columns = rows @ dy[images].reshape(-1, groups, o // groups, oh * ow)
        dx[images] = col2im(columns, (len(columns), *input_shape[1:]), (kh, kw), stride, padding, dilation)
    return dx


def conv2d_backward_weight(
    dy: Array,
    x: Array,
    kernel: Pair,
    stride: Pair = (1, 1),
    padding: Padding = (0, 0, 0, 0),
    dilation: Pair = (1, 1),
    groups: int = 1,
) -> Array:
    """dW = Σ_n dy[n] · im2col(x[n])ᵀ: dy (N, O, OH, OW), x (N, C, H, W) → (O, C/groups, KH, KW)."""
    xp = get_array_module(dy)
    (_, o, oh, ow), c = dy.shape, x.shape[1]
    total = xp.zeros((groups, o // groups, c // groups * kernel[0] * kernel[1]), dy.dtype)
    for images in _tiles(x.shape, kernel, (oh, ow), x.dtype.itemsize):
        columns = im2col(x[images], kernel, stride, padding, dilation)
        columns = columns.reshape(columns.shape[0], groups, -1, oh * ow)
        outputs = dy[images].reshape(-1, groups, o // groups, oh * ow)
        total += (outputs @ columns.swapaxes(2, 3)).sum(axis=0)
    return total.reshape(o, c // groups, *kernel)


def conv2d_backward_bias(dy: Array) -> Array:
    """db[o] = Σ_n Σ_i Σ_j dy[n,o,i,j]: (N, O, OH, OW) → (O,)."""
    return dy.sum(axis=(0, 2, 3), dtype=np.float64).astype(dy.dtype)


def _tiles(input_shape: tuple[int, ...], kernel: Pair, output: Pair, itemsize: int) -> Iterator[slice]:
    """Slices of the batch whose im2col stays within WORKSPACE_BYTES (or is a single image's)."""
    n, c = input_shape[:2]
    bytes_per_image = c * kernel[0] * kernel[1] * output[0] * output[1] * itemsize
    step = max(1, WORKSPACE_BYTES // max(1, bytes_per_image))
    for start in range(0, n, step):
        yield slice(start, start + step)


# --- Batch normalization ---------------------------------------------------------------------------------------------


def batch_norm_statistics(x: Array) -> tuple[Array, Array]:
    """Each channel's mean and biased variance over images and pixels: x (N, C, H, W) → (C,), (C,)."""
    xp = get_array_module(x)
    mean = x.mean(axis=(0, 2, 3), dtype=np.float64)
    deviation = x - mean.astype(x.dtype)[:, None, None]
    variance = xp.square(deviation).mean(axis=(0, 2, 3), dtype=np.float64)
    return mean.astype(x.dtype), variance.astype(x.dtype)


def batch_norm_forward(x: Array, mean: Array, variance: Array, weight: Array, bias: Array, eps: float) -> Array:
    """y = γ · (x − μ) / √(σ² + ε) + β, channel by channel: x (N, C, H, W), the rest (C,) → y (N, C, H, W)."""
    xp = get_array_module(x)
    scale = weight / xp.sqrt(variance + eps)
    return (x - mean[:, None, None]) * scale[:, None, None] + bias[:, None, None]


def batch_norm_backward(
    dy: Array, x: Array, mean: Array, variance: Array, weight: Array, eps: float, batch_statistics: bool = True
) -> tuple[Array, Array, Array]:
    """dx, dγ, dβ of `batch_norm_forward`. With x̂ = (x − μ)/√(σ² + ε):

    dβ = Σ dy,   dγ = Σ dy·x̂,   dx = γ/√(σ² + ε) · (dy − mean(dy) − x̂ · mean(dy·x̂)).

    The two means are there because μ and σ² depend on x; with `batch_statistics=False` (evaluation, where they are
    constants) dx is γ/√(σ² + ε) · dy.
    """
    xp = get_array_module(x)
    inverse_std = 1 / xp.sqrt(variance + eps)
    x_hat = (x - mean[:, None, None]) * inverse_std[:, None, None]
    dbias = dy.sum(axis=(0, 2, 3), dtype=np.float64).astype(dy.dtype)
    dweight = (dy * x_hat).sum(axis=(0, 2, 3), dtype=np.float64).astype(dy.dtype)
    dx = dy
    if batch_statistics:
        m = x.size // x.shape[1]
        dx = dy - (dbias / m)[:, None, None] - x_hat * (dweight / m)[:, None, None]
    return dx * (weight * inverse_std)[:, None, None], dweight, dbias


# --- Cross-channel normalization -------------------------------------------------------------------------------------


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


# --- Activation ------------------------------------------------------------------------------------------------------


def relu_forward(x: Array) -> Array:
    """y = max(0, x), any shape."""
    return get_array_module(x).maximum(x, 0)


def relu_backward(dy: Array, y: Array) -> Array:
    """dx = dy where y > 0, else 0 (the derivative at 0 is taken as 0)."""
    return dy * (y > 0)


# --- Pooling ---------------------------------------------------------------------------------------------------------


def max_pool2d_forward(x: Array, pool: Pair, stride: Pair, padding: Padding = (0, 0, 0, 0)) -> tuple[Array, Array]:
    """Each window's maximum, and which pixel of the window (in row order) it was; the first one if several tie.

    x (N, C, H, W) → y (N, C, OH, OW) and argmax (N, C, OH, OW) int32 in 0 … PH·PW − 1. Padding never wins.
    """
    xp = get_array_module(x)
    top, bottom, left, right = padding
    output = output_shape(x.shape[2:], pool, stride, padding)
    padded = xp.pad(x, ((0, 0), (0, 0), (top, bottom), (left, right)), constant_values=-xp.inf)
    windows = xp.stack(
        [_window_pixel(padded, i, j, output, stride, (1, 1)) for i in range(pool[0]) for j in range(pool[1])]
    )
    argmax = windows.argmax(axis=0)
    return xp.take_along_axis(windows, argmax[None], axis=0)[0], argmax.astype(np.int32)


def max_pool2d_backward(
    dy: Array, argmax: Array, input_shape: tuple[int, ...], pool: Pair, stride: Pair, padding: Padding = (0, 0, 0, 0)
) -> Array:
    """Send each dy to the pixel that was the maximum: (N, C, OH, OW) → dx of `input_shape`."""
    xp = get_array_module(dy)
    (top, bottom, left, right), (h, w) = padding, input_shape[2:]
    dx = xp.zeros((*input_shape[:2], top + h + bottom, left + w + right), dy.dtype)
    for i in range(pool[0]):
        for j in range(pool[1]):
            pixel = _window_pixel(dx, i, j, dy.shape[2:], stride, (1, 1))
            pixel += dy * (argmax == i * pool[1] + j)
    return dx[:, :, top : top + h, left : left + w]


def average_pool2d_forward(x: Array, pool: Pair, stride: Pair, padding: Padding = (0, 0, 0, 0)) -> Array:
    """Each window's mean, padding counted as zeros: x (N, C, H, W) → y (N, C, OH, OW)."""
    xp = get_array_module(x)
    top, bottom, left, right = padding
    output = output_shape(x.shape[2:], pool, stride, padding)
    padded = xp.pad(x, ((0, 0), (0, 0), (top, bottom), (left, right)))
    y = xp.zeros((*x.shape[:2], *output), x.dtype)
    for i in range(pool[0]):
        for j in range(pool[1]):
            y += _window_pixel(padded, i, j, output, stride, (1, 1))
    return y / (pool[0] * pool[1])


def average_pool2d_backward(
    dy: Array, input_shape: tuple[int, ...], pool: Pair, stride: Pair, padding: Padding = (0, 0, 0, 0)
) -> Array:
    """Share each dy equally among its window's pixels: (N, C, OH, OW) → dx of `input_shape`."""
    xp = get_array_module(dy)
    (top, bottom, left, right), (h, w) = padding, input_shape[2:]
    dx = xp.zeros((*input_shape[:2], top + h + bottom, left + w + right), dy.dtype)
    share = dy / (pool[0] * pool[1])
    for i in range(pool[0]):
        for j in range(pool[1]):
            pixel = _window_pixel(dx, i, j, dy.shape[2:], stride, (1, 1))
            pixel += share
    return dx[:, :, top : top + h, left : left + w]


# --- Fully connected, dropout ----------------------------------------------------------------------------------------


def fully_connected_forward(x: Array, weight: Array, bias: Array | None) -> Array:
    """y = x Wᵀ + b: x (N, D), weight (K, D), bias (K,) or None → y (N, K)."""
    y = x @ weight.T
    return y if bias is None else y + bias


def fully_connected_backward(dy: Array, x: Array, weight: Array) -> tuple[Array, Array, Array]:
    """dx = dy W,   dW = dyᵀ x,   db = Σ_n dy: dy (N, K) → (N, D), (K, D), (K,)."""
    return dy @ weight, dy.T @ x, dy.sum(axis=0)


def dropout_forward(x: Array, rate: float, rng: np.random.Generator) -> tuple[Array, Array]:
    """y = x · m, where m is 0 with probability `rate` and 1/(1 − rate) otherwise, so that E[y] = x. Returns y, m."""
    xp = get_array_module(x)
    keep = xp.asarray(rng.random(x.shape, dtype=np.float32) >= rate)
    mask = keep * x.dtype.type(1 / (1 - rate))
    return x * mask, mask


def dropout_backward(dy: Array, mask: Array) -> Array:
    """dx = dy · m."""
    return dy * mask


# --- Softmax and cross-entropy ---------------------------------------------------------------------------------------


def softmax_forward(x: Array) -> Array:
    """y[n,k] = exp(x[n,k]) / Σ_j exp(x[n,j]): (N, K) → (N, K); never below 1e-30, so that log y and 1/y are finite."""
    xp = get_array_module(x)
    e = xp.exp(x - x.max(axis=1, keepdims=True))
    return xp.maximum(e / e.sum(axis=1, keepdims=True), x.dtype.type(1e-30))


def softmax_backward(dy: Array, y: Array) -> Array:
    """dx = y · (dy − Σ_k dy·y): the Jacobian diag(y) − yyᵀ, times dy, without building it."""
    return y * (dy - (dy * y).sum(axis=1, keepdims=True))


def log_softmax_forward(x: Array) -> Array:
    """log y[n,k] = x[n,k] − log Σ_j exp(x[n,j]), exact however small y is: x (N, K) → (N, K)."""
    xp = get_array_module(x)
    shifted = x - x.max(axis=1, keepdims=True)
    return shifted - xp.log(xp.exp(shifted).sum(axis=1, keepdims=True))


def cross_entropy_forward(log_p: Array, t: Array, class_weights: Array | None = None) -> Array:
    """loss = −Σ_n w[t_n] · log p[n, t_n] / Σ_n w[t_n]: log_p (N, K), labels t (N,) → scalar; w is 1 by default."""
    xp = get_array_module(log_p)
    shares = _label_shares(log_p, t, class_weights)
    return -(shares * log_p[xp.arange(len(t)), t]).sum()


def cross_entropy_backward(p: Array, t: Array, class_weights: Array | None = None) -> Array:
    """dloss/dlogits of softmax and cross-entropy together: (p − onehot(t)) · w[t] / Σ w[t]: (N, K) → (N, K)."""
    xp = get_array_module(p)
    dlogits = p.copy()
    dlogits[xp.arange(len(t)), t] -= 1
    return dlogits * _label_shares(p, t, class_weights)[:, None]


def _label_shares(p: Array, t: Array, class_weights: Array | None) -> Array:
    """Each image's share of the mean loss, w[t_n] / Σ w[t]: (N,), which sums to 1."""
    xp = get_array_module(p)
    weights = xp.ones(len(t), p.dtype) if class_weights is None else class_weights[t].astype(p.dtype)
    return weights / weights.sum()


# --- Updates, in place -----------------------------------------------------------------------------------------------


def sgdm_update(
    weight: Array, gradient: Array, velocity: Array, lr: float, momentum: float, weight_decay: float
) -> None:
    """v ← γ·v − α·(∇E + λ·θ),  θ ← θ + v, any shape. The velocity is a step: a new α leaves it as it is."""
    velocity *= momentum
    velocity -= lr * (gradient + weight_decay * weight)
    weight += velocity


def adam_update(
    weight: Array,
    gradient: Array,
    mean: Array,
    square: Array,
    lr: float,
    beta1: float,
    beta2: float,
    eps: float,
    weight_decay: float,
    step: int,
) -> None:
    """m ← β₁m + (1−β₁)g,  v ← β₂v + (1−β₂)g²,  θ ← θ − α · m/(1−β₁ᵗ) / (√(v/(1−β₂ᵗ)) + ε), where g = ∇E + λ·θ."""
    xp = get_array_module(weight)
    gradient = gradient + weight_decay * weight
    mean *= beta1
    mean += (1 - beta1) * gradient
    square *= beta2
    square += (1 - beta2) * gradient * gradient
    weight -= lr * (mean / (1 - beta1**step)) / (xp.sqrt(square / (1 - beta2**step)) + eps)
