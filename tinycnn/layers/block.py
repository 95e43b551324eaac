"""Layers made of layers: how a row of them is named, fitted together and given its weights."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from tinycnn.layers.base import Array, InputLayer, Layer, Shape


class Block(Layer):
    """A layer that consists of other layers, which hold all parameters and state.

    A subclass defines `children`, `output_shape`, `build` (which calls `assemble`), `forward` and `backward`.
    """

    def __init__(self, name: str | None = None):  # unlike other layers, without arrays of its own
        self.name = name
        self.cache: Any = None

    def children(self) -> Iterator[tuple[str, Layer]]:
        """(name, layer) of each layer directly inside; the name is the first part of its parameters' names."""
        raise NotImplementedError

    def named_layers(self) -> Iterator[tuple[str, Layer]]:
        """(full name, layer) of every layer inside, those in inner blocks too."""
        return walk(self.children())

    def simple_layers(self) -> Iterator[tuple[str, Layer]]:
        """(full name, layer) of every layer inside that is not made of others: those that hold the arrays."""
        return simple_layers(self.children())

    def parameter_places(self) -> Iterator[tuple[str, Layer, str]]:
        """(full name, layer, parameter's name in it) of each parameter, in order."""
        for full, layer in self.simple_layers():
            for name in layer.parameters:
                yield f"{full}.{name}", layer, name

    def named_parameters(self) -> Iterator[tuple[str, Array]]:
        """(name, array) of each parameter, in order."""
        return ((full, layer.parameters[name]) for full, layer, name in self.parameter_places())

    def parameters(self) -> dict[str, Array]:  # type: ignore[override]
        """The learnable arrays themselves, by name: {"conv_1.weight": (O, C, KH, KW), "conv_1.bias": (O,), …}."""
        return dict(self.named_parameters())

    def gradients(self) -> dict[str, Array]:  # type: ignore[override]
        """dloss/dparameter under the names of `parameters()`, as the last backward pass left them."""
        places = self.parameter_places()
        return {full: layer.gradients[name] for full, layer, name in places if name in layer.gradients}

    def learns(self) -> bool:
        return any(layer.learns() for _, layer in self.children())

    def clear_cache(self) -> None:
        super().clear_cache()
        for _, layer in self.children():
            layer.clear_cache()


def walk(children: Iterable[tuple[str, Layer]], prefix: str = "") -> Iterator[tuple[str, Layer]]:
    """(full name, layer) of every layer, those inside blocks too, and the blocks themselves just before."""
    for name, layer in children:
        yield prefix + name, layer
        if isinstance(layer, Block):
            yield from walk(layer.children(), f"{prefix}{name}.")


def simple_layers(children: Iterable[tuple[str, Layer]]) -> Iterator[tuple[str, Layer]]:
    """(full name, layer) of every layer that is no block, those inside blocks included."""
    return ((name, layer) for name, layer in walk(children) if not isinstance(layer, Block))


def run(layers: Iterable[Layer], x: Array, training: bool) -> Array:
    """x through the layers, one after the other."""
    for layer in layers:
        x = layer.forward(x, training)
    return x


def run_back(layers: Sequence[Layer], dy: Array) -> Array:
    """dy back through the layers, the last one first."""
    for layer in reversed(layers):
        dy = layer.backward(dy)
    return dy


def named(layers: Sequence[Layer]) -> Iterator[tuple[str, Layer]]:
    """(name, layer) of each."""
    return ((str(layer.name), layer) for layer in layers)


def listing(layers: Sequence[Layer]) -> str:
    """The layers as Python would make them again, one a line."""
    return "[\n" + "".join(f"    {line}\n" for layer in layers for line in f"{layer!r},".splitlines()) + "]"


def assemble(
    layers: Sequence[Layer], input_shape: Shape, dtype: np.dtype[Any], rng: np.random.Generator
) -> list[Shape]:
    """Name and build each layer for what the one before puts out; returns the output shapes.

    Layers that are part of a network already keep their weights: they are shared.

    Raises:
        TypeError: for something that is not a layer.
        ValueError: when the layers do not fit together, naming the layer, what it gets and what to change.
    """
    check_layers(layers)
    _name(layers)
    new = [layer for _, layer in walk(named(layers)) if not layer.input_shape]
    try:
        shapes = _fit(layers, input_shape, dtype)
        for layer, shape in zip(layers, [input_shape, *shapes[:-1]], strict=True):
            if not layer.input_shape:
                layer.build(shape, dtype, rng)
                layer.input_shape = shape
        _check_names(layers)
    except Exception:
        for layer in new:  # they are in no network, so they may be put into another
            layer.input_shape = ()
        raise
    return shapes


def output_shapes(layers: Sequence[Layer], input_shape: Shape) -> list[Shape]:
    """Each layer's output shape, for layers that need not be built."""
    shapes = []
    for before, layer in zip([None, *layers[:-1]], layers, strict=True):
        try:
            layer.check_before(before)
            shape = layer.output_shape(input_shape)
        except ValueError as error:
            raise ValueError(
                f"layer {layer.name!r} ({type(layer).__name__}) does not fit after "
                f"{before.name if before else 'the start'!r}, which puts out {input_shape}: {error}"
            ) from error
        shapes.append(shape)
        input_shape = shape
    return shapes


def _fit(layers: Sequence[Layer], input_shape: Shape, dtype: np.dtype[Any]) -> list[Shape]:
    """The output shapes, after making sure that shared layers get what they were built for."""
    shapes = output_shapes(layers, input_shape)
    for layer, shape in zip(layers, [input_shape, *shapes[:-1]], strict=True):
        if layer.input_shape not in ((), shape):
            raise ValueError(
                f"layer {layer.name!r} belongs to a network that gives it data of shape {layer.input_shape}; here it "
                f"would get {shape}: make a new {type(layer).__name__} for this network"
            )
        for inner_name, inner in simple_layers([(str(layer.name), layer)]):
            array = next((array for arrays in (inner.parameters, inner.state) for array in arrays.values()), None)
            if inner.input_shape and array is not None and array.dtype != dtype:
                raise ValueError(
                    f"layer {inner_name!r} holds {array.dtype} and this network would be {dtype}: build it with "
                    f"dtype=np.{array.dtype}, or make a new {type(inner).__name__} for it"
                )
    return shapes


def check_layers(layers: Sequence[Layer]) -> None:
    """Refuse an empty list, what is no layer, and an object that is there twice.

    Raises:
        TypeError, ValueError: naming it.
    """
    if not layers:
        raise ValueError("the list of layers is empty: a network begins with ImageInput((channels, height, width))")
    for position, layer in enumerate(layers):
        if isinstance(layer, type):
            raise TypeError(f"layer {position} is the class {layer.__name__}: write {layer.__name__}(), with brackets")
        if not isinstance(layer, Layer):
            raise TypeError(f"layer {position} is {layer!r}, which is no layer: give objects such as tc.ReLU()")
        if isinstance(layer, Block) and any(isinstance(inner, InputLayer) for _, inner in layer.named_layers()):
            raise ValueError(
                f"layer {position} is a network with an input layer of its own: to put it into another network, "
                "take that layer off, as in net[1:]"
            )
    inside = [id(layer) for _, layer in walk(named(layers))]
    if len(set(inside)) < len(inside):
        raise ValueError("a layer object appears twice in the list: make a new layer for each place")


def _check_names(layers: Sequence[Layer]) -> None:
    holders = [name for name, layer in simple_layers(named(layers)) if layer.parameters or layer.state]
    repeated = next((name for name in holders if holders.count(name) > 1), None)
    if repeated:
        raise ValueError(f"several layers are called {repeated!r}: give each its own name, since it names its weights")


def _name(layers: Sequence[Layer]) -> None:
    """Give nameless layers names from their type: conv2d_1, conv2d_2, …"""
    taken = {layer.name for layer in layers}
    for layer in layers:
        if layer.name is None:
            stem = type(layer).__name__.lower()
            number = next(k for k in range(1, len(layers) + 1) if f"{stem}_{k}" not in taken)
            layer.name = f"{stem}_{number}"
            taken.add(layer.name)
