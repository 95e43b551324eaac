"""The first rung of the GPU's ladder: one thread, one output (`cuda/conv_naive.cu`)."""

from __future__ import annotations

import numpy as np

from tinycnn.backend import get_array_module
from tinycnn.kernels import contracts
from tinycnn.kernels.gpu.launch import Array, blocks, launch
from tinycnn.windows import Padding, Pair, output_shape

__all__ = ["conv2d_forward"]


def conv2d_forward(
    x: Array,
    weight: Array,
    bias: Array | None,
    stride: Pair = (1, 1),
    padding: Padding = (0, 0, 0, 0),
    dilation: Pair = (1, 1),
    groups: int = 1,
) -> Array:
    """Twin of `reference.naive.conv2d_forward`. Its loops over outputs are the threads; each sums one window."""
    xp = get_array_module(x)
    (n, c, h, w), (o, _, kh, kw) = x.shape, weight.shape
    oh, ow = output_shape((h, w), (kh, kw), stride, padding, dilation)
    x, weight = xp.ascontiguousarray(x), xp.ascontiguousarray(weight)
    bias = None if bias is None else xp.ascontiguousarray(bias)
    y = xp.empty((n, o, oh, ow), x.dtype)
    geometry = (c, h, w, o, kh, kw, oh, ow, *stride, padding[0], padding[2], *dilation, groups)
    launch(
        "conv_naive",
        "conv2d_forward",
        blocks(y.size),
        256,
        x,
        weight,
        bias,
        y,
        geometry,
        np.uint32(y.size),
        dtype=x.dtype,
    )
    return y


contracts.guard(globals(), __all__)
