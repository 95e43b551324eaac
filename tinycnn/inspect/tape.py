"""A run of a network on a private copy of its layers, with what each put out and what came back to it written down."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from tinycnn.inspect.scores import private_copy, skip_softmax
from tinycnn.inspect.structure import plain_row
from tinycnn.layers import Layer, OutputLayer
from tinycnn.layers.base import Array
from tinycnn.layers.block import named, run, run_back, walk
from tinycnn.network import Sequential


class Tape:
    """The layers of a network, one by one and unfused, forward to the scores and back from them.

    The copy shares the parameters, and nothing else: caches, gradients, running statistics and dropout's generator are
    its own, so the network is left as it was, even while another thread uses it. The scores are the output before the
    last Softmax; with `scores=False` it is applied too.

    >>> import numpy as np, tinycnn as tc
    >>> net = tc.Sequential([tc.ImageInput((1, 2, 2)), tc.FullyConnected(3, name="fc"), tc.Softmax()])
    >>> tape = Tape(net)
    >>> scores = tape.forward(np.ones((1, 1, 2, 2), np.float32))
    >>> np.array_equal(tape.backward(np.float32([[0, 1, 0]])).ravel(), net["fc"].parameters["weight"][1])
    True
    >>> net["fc"].cache is None
    True
    """

    def __init__(self, net: Sequential, *, training: bool = False, scores: bool = True):
        self.net, self.training = net, training
        self.layers = private_copy(net)
        self._positions = {id(layer): position for position, (_, layer) in enumerate(net.named_layers())}
        self._outputs: dict[int, Array] = {}
        self._gradients: dict[int, Array] = {}
        self._edits: dict[int, Callable[[Array], Array]] = {}
        self._seeds: dict[int, Array] = {}
        if scores:
            skip_softmax(self.layers)
        for position, (_, layer) in enumerate(walk(named(self.layers))):
            instance: Any = layer
            row = _Row(inside) if (inside := plain_row(layer)) else instance
            backward = (lambda dy: dy) if isinstance(layer, OutputLayer) else row.backward  # it would take targets
            instance.forward = partial(self._forward, position, row.forward)
            instance.backward = partial(self._backward, position, backward)

    def forward(self, x: Array, start: int = 0) -> Array:
        """The output for x, which enters at layer number `start`."""
        return _Row(self.layers[start:]).forward(x, self.training)

    def backward(self, dy: Array, start: int = 0) -> Array:
        """The gradient of x, from the output's."""
        return _Row(self.layers[start:]).backward(dy)

    def output(self, layer: Layer) -> Array:
        """What `layer`, one of the network's, put out."""
        return self._outputs[self._position(layer)]

    def gradient(self, layer: Layer) -> Array:
        """The gradient of what `layer` put out; KeyError where none came back, as behind the scores."""
        return self._gradients[self._position(layer)]

    def edit(self, layer: Layer, change: Callable[[Array], Array]) -> None:
        """From now on, change what `layer` puts out before it goes on."""
        self._edits[self._position(layer)] = change

    def seed(self, layer: Layer, dy: Array) -> None:
        """From now on, add dy to the gradient of what `layer` put out: a path back that begins there."""
        self._seeds[self._position(layer)] = dy

    def _position(self, layer: Layer) -> int:
        return self._positions[id(layer)]

    def _forward(self, position: int, forward: Callable[..., Array], x: Array, training: bool = False) -> Array:
        y = forward(x, training)
        if position in self._edits:
            y = self._edits[position](y)
        self._outputs[position] = y
        return y

    def _backward(self, position: int, backward: Callable[..., Array], dy: Array) -> Array:
        if position in self._seeds:
            dy = dy + self._seeds[position]
        self._gradients[position] = dy
        return backward(dy)


class _Row:
    """Layers one after the other, none of them fused with the next."""

    def __init__(self, layers: Sequence[Layer]):
        self.layers = layers

    def forward(self, x: Array, training: bool = False) -> Array:
        return run(self.layers, x, training)

    def backward(self, dy: Array) -> Array:
        return run_back(self.layers, dy)
