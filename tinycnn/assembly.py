"""From a list of layers to a network: every layer named, fitted to the one before it, and given its weights."""

from __future__ import annotations

from typing import Any

import numpy as np

from tinycnn.layers import ClassificationOutput, InputLayer, Layer, Softmax
from tinycnn.layers.base import Shape


def assemble(layers: list[Layer], dtype: np.dtype[Any], rng: np.random.Generator) -> list[Shape]:
    """Name and build each layer for what the one before puts out; returns the output shapes."""
    if not layers or not isinstance(layers[0], InputLayer):
        raise ValueError("a network begins with ImageInput((channels, height, width)), which sets the layers' sizes")
    if len({id(layer) for layer in layers}) < len(layers):
        raise ValueError("a layer object appears twice in the list: make a new layer for each place")
    _name(layers)
    shape: Shape = layers[0].shape
    shapes = []
    for before, layer in zip([None, *layers[:-1]], layers, strict=True):
        try:
            if isinstance(layer, ClassificationOutput) and not isinstance(before, Softmax):
                raise ValueError("needs probabilities: put Softmax before it")
            if isinstance(layer, InputLayer) and before is not None:
                raise ValueError("an input layer can only be the first layer")
            output = layer.output_shape(shape)
        except ValueError as error:
            raise ValueError(
                f"layer {layer.name!r} ({type(layer).__name__}) does not fit after "
                f"{before.name if before else 'the start'!r}, which puts out {shape}: {error}"
            ) from error
        layer.build(shape, dtype, rng)
        shape = output
        shapes.append(shape)
    holders = [layer.name for layer in layers if layer.parameters or layer.state]
    repeated = next((name for name in holders if holders.count(name) > 1), None)
    if repeated:
        raise ValueError(f"several layers are called {repeated!r}: give each its own name, since it names its weights")
    return shapes


def _name(layers: list[Layer]) -> None:
    """Give nameless layers names from their type: conv2d_1, conv2d_2, …"""
    taken = {layer.name for layer in layers}
    for layer in layers:
        if layer.name is None:
            stem = type(layer).__name__.lower()
            number = next(k for k in range(1, len(layers) + 1) if f"{stem}_{k}" not in taken)
            layer.name = f"{stem}_{number}"
            taken.add(layer.name)
