"""Forward passes that keep nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from tinycnn import backend
from tinycnn.layers import Dropout
from tinycnn.layers.base import Array
from tinycnn.runtime import memory_errors

if TYPE_CHECKING:
    from tinycnn.network import Sequential


def predict(net: Sequential, x: Array, batch_size: int, fast: bool = True) -> Array:
    """The outputs in evaluation mode, batch by batch: by the network's plan, or by its own `forward`."""
    outputs = []
    for start in range(0, len(x), batch_size):
        batch = net.checked_images(x[start : start + batch_size], start)
        with memory_errors.explained(net, len(batch), training=False):
            outputs.append(_by_plan(net, batch) if fast else net.forward(batch, training=False))
    net.clear_cache()
    if not outputs:
        return backend.to_device(np.empty((0, *net.shapes[-1]), net.dtype), net.device)
    return backend.get_array_module(outputs[0]).concatenate(outputs)


def _by_plan(net: Sequential, x: Array) -> Array:
    for layer in net.inference_plan:
        x = layer.forward(x, training=False)
        layer.clear_cache()
    return x


def with_batch_statistics(net: Sequential, x: Array, track: bool) -> Array:
    """The output for images x (N, C, H, W), normalized by the batch's own statistics, without dropout.

    The batch norms take the statistics in if `track` is set; nothing else is kept.
    """
    layers = [layer for _, layer in net.simple_layers()]
    before = [] if track else [{name: array.copy() for name, array in layer.state.items()} for layer in layers]
    dropouts = [layer for layer in layers if isinstance(layer, Dropout)]
    x = net.checked_images(x)
    try:
        for dropout in dropouts:
            dropout.paused = True
        for layer in net.plan:
            x = layer.forward(x, training=True)
            layer.clear_cache()
    finally:
        for dropout in dropouts:
            dropout.paused = False
    net.clear_cache()
    for layer, arrays in zip(layers, before, strict=not track):
        for name, array in arrays.items():
            layer.state[name][...] = array
    return x
