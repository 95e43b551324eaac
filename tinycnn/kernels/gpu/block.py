"""Convolution → batch norm → ReLU → 2 × 2 max pooling, computed together.

Training writes z, the convolution's output, once, since the batch's
statistics are known only after all of it, and reads it again for each of the two gradients; all else is of the pooled
size. The gradient of z is never stored: its readers compute it. Evaluation does not even store z.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from tinycnn.backend import get_array_module
from tinycnn.kernels.gpu import conv, direct, norm
from tinycnn.kernels.gpu.launch import WARP, Array, blocks, launch
from tinycnn.windows import Padding, Pair, output_shape

THREADS = 256


class Cache(NamedTuple):
    """What the backward pass needs of the forward pass."""

    x: Array  # (N, C, H, W)
    z: Array  # (N, O, OH, OW), the convolution's output
    peak: Array  # (N, O, PH, PW): z where the window's maximum is
    argmax: Array  # (N, O, PH, PW): which pixel of the window that is; STOPPED where the ReLU stopped it
    mean: Array  # (O,)
    variance: Array  # (O,)
    values: int  # of z in each channel


def conv_blocks_inference(x: Array, blocks: Sequence[tuple[Any, ...]]) -> Array:
    """Twin of `reference.conv_blocks_inference`. Sums are normalized and pooled in registers: z is never stored."""
    for block in blocks:
        x = _inference(x, *block)
    return x


def conv_block_forward(
    x: Array,
    weight: Array,
    bias: Array | None,
    gamma: Array,
    beta: Array,
    eps: float,
    stride: Pair,
    padding: Padding,
    dilation: Pair,
    groups: int,
) -> tuple[Array, Cache]:
    """Twin of `reference.conv_block_forward`. z and γ's sign tell which pixel of a window will be the maximum."""
    xp = get_array_module(x)
    x, weight = xp.ascontiguousarray(x), xp.ascontiguousarray(weight)
    n, o, oh, ow = len(x), len(weight), *output_shape(x.shape[2:], weight.shape[2:], stride, padding, dilation)
    if direct.serves(weight.shape, stride, dilation, groups):
        z, (peak, argmax) = xp.empty((n, o, oh, ow), x.dtype), _pooled(xp, (n, o, oh, ow), x.dtype)
        cut = direct.correlate_cut(n, x.shape[1], o, weight.shape[2:], (oh, ow), x.dtype.itemsize)
        moments = xp.empty((3, o, n * cut.tiles[0] * cut.tiles[1]), np.float64)
        direct.correlate(
            direct.plain(x),
            weight,
            (bias, gamma, z, peak, argmax, moments, o, oh, ow),
            n,
            padding[0],
            padding[2],
            kinds=("Plain", "Measured"),
        )
        mean, variance = norm.joined(moments, x.dtype)
    else:
        z = conv.conv2d_forward(x, weight, bias, stride, padding, dilation, groups)
        peak, argmax = _peaks(z, gamma)
        mean, variance = norm.batch_norm_statistics(z)
    y = _normalized(peak, argmax, mean, variance, gamma, beta, eps)
    return y, Cache(x, z, peak, argmax, mean, variance, n * oh * ow)


def conv_block_backward(
    dy: Array,
    cache: Cache,
    weight: Array,
    gamma: Array,
    beta: Array,
    eps: float,
    stride: Pair,
    padding: Padding,
    dilation: Pair,
    groups: int,
    input_gradient: bool = True,
) -> tuple[Array | None, Array, Array, Array]:
    """Twin of `reference.conv_block_backward`. The gradient of z is computed as it is read, and never stored."""
    x, z, peak, argmax, mean, variance, values = cache
    xp = get_array_module(dy)
    dy, weight = xp.ascontiguousarray(dy), xp.ascontiguousarray(weight)
    dgamma, dbeta, factors = norm.gradients_of(dy, peak, argmax, mean, variance, gamma, eps, values)
    source = (z, dy, argmax, factors, *z.shape[1:])
    dx = None
    if direct.serves(weight.shape, stride, dilation, groups):
        top, _, left, _ = padding
        dweight = direct.weight_gradient(source, x, weight.shape[2:], top, left, kind="Unpooled")
        if input_gradient:
            dx = direct.input_gradient(source, weight, x.shape, top, left, kind="Unpooled")
    else:
        dz, rows = xp.empty(z.shape, z.dtype), z.size // z.shape[3]
        launch("unpool", "unpool", blocks(rows, THREADS // WARP), THREADS, source, dz, rows, dtype=z.dtype)
        dweight = conv.conv2d_backward_weight(dz, x, weight.shape[2:], stride, padding, dilation, groups)
        if input_gradient:
            dx = conv.conv2d_backward_input(dz, weight, x.shape, stride, padding, dilation, groups)
    return dx, dweight, dgamma, dbeta


def _inference(
    x: Array,
    weight: Array,
    bias: Array | None,
    gamma: Array,
    beta: Array,
    mean: Array,
    variance: Array,
    eps: float,
    stride: Pair,
    padding: Padding,
    dilation: Pair,
    groups: int,
) -> Array:
    """y (N, O, PH, PW) for given statistics."""
    xp = get_array_module(x)
    x, weight = xp.ascontiguousarray(x), xp.ascontiguousarray(weight)
    if not direct.serves(weight.shape, stride, dilation, groups):
        peaks = _peaks(conv.conv2d_forward(x, weight, bias, stride, padding, dilation, groups), gamma)
        return _normalized(*peaks, mean, variance, gamma, beta, eps)
    oh, ow = output_shape(x.shape[2:], weight.shape[2:], stride, padding, dilation)
    y = xp.empty((len(x), len(weight), oh // 2, ow // 2), x.dtype)
    direct.correlate(
        direct.plain(x),
        weight,
        (bias, gamma, beta, mean, variance, y, float(eps), len(weight), oh, ow),
        len(x),
        padding[0],
        padding[2],
        kinds=("Plain", "Pooled"),
    )
    return y


def _peaks(z: Array, gamma: Array) -> tuple[Array, Array]:
    """z (N, O, OH, OW) where each window's maximum after batch norm will be, and which pixel that is."""
    (n, o, oh, ow), (peak, argmax) = z.shape, _pooled(get_array_module(z), z.shape, z.dtype)
    launch("block", "find_peaks", n * o, THREADS, z, gamma, peak, argmax, o, oh, ow, dtype=z.dtype)
    return peak, argmax


def _pooled(xp: Any, shape: tuple[int, ...], dtype: np.dtype) -> tuple[Array, Array]:
    """Empty peak and argmax for z of `shape`."""
    pooled = (*shape[:2], shape[2] // 2, shape[3] // 2)
    return xp.empty(pooled, dtype), xp.empty(pooled, np.uint8)


def _normalized(
    peak: Array, argmax: Array, mean: Array, variance: Array, gamma: Array, beta: Array, eps: float
) -> Array:
    """y = max(0, batch norm of peak); argmax becomes common.cu's STOPPED where that is 0."""
    y, (n, o, ph, pw) = get_array_module(peak).empty(peak.shape, peak.dtype), peak.shape
    launch(
        "block",
        "normalize_peaks",
        n * o,
        THREADS,
        peak,
        mean,
        variance,
        gamma,
        beta,
        float(eps),
        y,
        argmax,
        o,
        ph * pw,
        dtype=peak.dtype,
    )
    return y
