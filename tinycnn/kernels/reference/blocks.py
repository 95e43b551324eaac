"""Convolution, batch norm, ReLU and 2 × 2 max pooling as one operation: here, the four one after another.

The fast modules compute the four together, with fewer passes over memory; what they must give is on this page.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from tinycnn.kernels.reference.activation import relu_backward, relu_forward
from tinycnn.kernels.reference.conv import conv2d_backward_input, conv2d_backward_weight, conv2d_forward
from tinycnn.kernels.reference.norm import batch_norm_backward, batch_norm_forward, batch_norm_statistics
from tinycnn.kernels.reference.pool import max_pool2d_backward, max_pool2d_forward
from tinycnn.windows import Padding, Pair

Array = Any  # numpy.ndarray or cupy.ndarray

POOL = (2, 2)  # the windows, side by side


class Cache(NamedTuple):
    """What the backward pass needs of the forward pass. A fast module's has x, mean, variance and values, too."""

    x: Array  # (N, C, H, W)
    z: Array  # (N, O, OH, OW), the convolution's output
    a: Array  # (N, O, OH, OW), after batch norm and ReLU
    argmax: Array  # (N, O, OH // 2, OW // 2): which pixel of a window is the maximum
    mean: Array  # (O,), the batch's own statistics of z
    variance: Array  # (O,)
    values: int  # of z in each channel: N · OH · OW


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
    """y = maxpool(max(0, γ · (z − μ)/√(σ² + ε) + β)), where z = conv(x), and μ, σ² are z's statistics in this batch.

    x (N, C, H, W), weight (O, C/groups, KH, KW), bias (O,) or None, γ and β (O,) → y (N, O, OH // 2, OW // 2), and what
    `conv_block_backward` needs.
    """
    z = conv2d_forward(x, weight, bias, stride, padding, dilation, groups)
    mean, variance = batch_norm_statistics(z)
    a = relu_forward(batch_norm_forward(z, mean, variance, gamma, beta, eps))
    y, argmax = max_pool2d_forward(a, POOL, POOL)
    return y, Cache(x, z, a, argmax, mean, variance, z.size // z.shape[1])


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
    """dx (None unless asked for), dweight, dγ, dβ: the chain rule, from the last operation to the first.

    The convolution's bias has no gradient: batch norm subtracts the mean, and with it whatever the bias adds.
    """
    da = max_pool2d_backward(dy, cache.argmax, cache.a.shape, POOL, POOL)
    dv = relu_backward(da, cache.a)
    dz, dgamma, dbeta = batch_norm_backward(dv, cache.z, cache.mean, cache.variance, gamma, eps)
    dweight = conv2d_backward_weight(dz, cache.x, weight.shape[2:], stride, padding, dilation, groups)
    dx = None
    if input_gradient:
        dx = conv2d_backward_input(dz, weight, cache.x.shape, stride, padding, dilation, groups)
    return dx, dweight, dgamma, dbeta


def conv_blocks_inference(x: Array, blocks: Sequence[tuple[Any, ...]]) -> Array:
    """The blocks one after another, in evaluation: batch norm uses the statistics that it is given.

    Each block is (weight, bias, γ, β, mean, variance, eps, stride, padding, dilation, groups).
    """
    for weight, bias, gamma, beta, mean, variance, eps, *geometry in blocks:
        z = conv2d_forward(x, weight, bias, *geometry)
        v = batch_norm_forward(z, mean, variance, gamma, beta, eps)
        x, _ = max_pool2d_forward(relu_forward(v), POOL, POOL)
    return x
