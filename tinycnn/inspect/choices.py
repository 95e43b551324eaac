"""What a caller points at: a layer of the network, and a number of its output."""

from __future__ import annotations

from typing import Any

import numpy as np

from tinycnn.backend import get_array_module
from tinycnn.layers import Layer
from tinycnn.layers.base import Array
from tinycnn.network import Sequential


def find(net: Sequential, layer: int | str) -> Layer:
    """The layer by number or by name, "block_1.conv_1" for one inside a block; IndexError or KeyError if none is."""
    if isinstance(layer, str):
        return net[layer]
    if not isinstance(layer, (int, np.integer)):
        raise TypeError(f"layer is {layer!r}: give a name or a number")
    if not -len(net.layers) <= layer < len(net.layers):
        raise IndexError(f"there is no layer {layer}: the network has layers 0 to {len(net.layers) - 1}")
    return net.layers[layer]


def one_hot(scores: Array, target: Any) -> Array:
    """The gradient of Σ_n scores[n, target] by the scores (N, K) or (N, C, H, W): 1 at the target, 0 elsewhere.

    Args:
        target: a class, one class an image (N,), or the index (c, i, j) of one number of an output (C, H, W).
    """
    xp, n, shape = get_array_module(scores), len(scores), scores.shape[1:]
    index = tuple(target) if isinstance(target, tuple) else (np.asarray(getattr(target, "get", lambda: target)()),)
    wrong = len(index) != len(shape) or any(
        np.asarray(at).dtype.kind not in "iu" or np.shape(at) not in ((), (n,)) for at in index
    )
    if wrong:
        wanted = "a class, or one class an image" if len(shape) == 1 else f"an index into {tuple(shape)}"
        raise ValueError(f"target is {target!r}: give {wanted}")
    if any((np.asarray(at) < 0).any() or (np.asarray(at) >= size).any() for at, size in zip(index, shape, strict=True)):
        raise ValueError(f"target is {target!r}, but the network puts out {tuple(shape)}: count from 0")
    dy = xp.zeros_like(scores)
    dy[(xp.arange(n), *(xp.asarray(np.broadcast_to(at, n)) for at in index))] = 1
    return dy
