"""Convolution, forward and backward.

All three are one idea: in a padded image that lies in memory row after row, a filter's tap sees, at every window, the
pixel that lies one fixed distance behind the window's first. So each tap's products are the whole image, shifted by
that distance and multiplied by one number, and nothing is copied window by window. A plan (`expert.plan`) says what the
distances are and how the image is cut into strips that fit the cache; `expert.jobs` works the strips off on threads.
"""

from __future__ import annotations

import numpy as np

from tinycnn.kernels.cpu.expert import jobs
from tinycnn.kernels.cpu.expert.plan import backward_plan, forward_plan
from tinycnn.kernels.cpu.norm import channel_sums
from tinycnn.runtime import memory
from tinycnn.windows import Padding, Pair, output_shape


def conv2d_forward(
    x: np.ndarray,
    weight: np.ndarray,
    bias: np.ndarray | None,
    stride: Pair = (1, 1),
    padding: Padding = (0, 0, 0, 0),
    dilation: Pair = (1, 1),
    groups: int = 1,
) -> np.ndarray:
    """Twin of `reference.conv2d_forward`. Taps are shifts of one padded strip in cache: no im2col."""
    plan = forward_plan(x.shape, weight.shape, stride, padding, dilation, groups, x.itemsize)
    output = output_shape(x.shape[2:], weight.shape[2:], stride, padding, dilation)
    y = memory.empty((len(x), len(weight), *output), x.dtype)
    jobs.correlate(plan, x, weight, bias, y, filter_step=weight[0].size)
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
    """Twin of `reference.conv2d_backward_input`. dx gathers: it is dy, correlated with the filters turned around.

    With a stride, each of its phases (every s-th pixel of dx) sees some of the taps only.
    """
    plan = backward_plan(dy.shape, weight.shape, tuple(input_shape), stride, padding, dilation, groups, dy.itemsize)
    dx = memory.empty(tuple(input_shape), dy.dtype)
    jobs.correlate(plan, dy, weight, None, dx, filter_step=weight[0, 0].size)
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
    """Twin of `reference.conv2d_backward_weight`. Each number is the dot product of dy with a strip of x, shifted."""
    weight_shape = (dy.shape[1], x.shape[1] // groups, *kernel)
    plan = forward_plan(x.shape, weight_shape, stride, padding, dilation, groups, x.itemsize)
    return jobs.weight_gradient(plan, dy, x).reshape(weight_shape)


def conv2d_backward_bias(dy: np.ndarray) -> np.ndarray:
    """Twin of `reference.conv2d_backward_bias`. A plane's sum at a time, in blocks that go on in float64."""
    return channel_sums(dy).astype(dy.dtype)
