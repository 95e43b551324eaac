"""The residual block: what the layers inside compute is added to what goes past them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from tinycnn.layers.base import Array, Layer, Shape
from tinycnn.layers.block import Block, assemble, check_layers, listing, named, output_shapes, run, run_back


class Residual(Block):
    """y = F(x) + S(x): F is the row of `layers`, S the row of `shortcut`, or x itself; dx = F'(dy) + S'(dy).

    x (N, …) → y of the shape that F puts out, which S has to put out too. Parameters are called after the block, then
    the layer: "block_1.conv_1.weight", "block_1.shortcut.conv_1.weight".

    Args:
        layers: F, at least one.
        shortcut: S, a list of layers such as a 1 × 1 convolution where F changes the shape; None for the identity.

    Raises:
        ValueError: when F and S put out different shapes, naming both.

    Source: He, Zhang, Ren & Sun, "Deep residual learning for image recognition" (2016).

    >>> import tinycnn as tc
    >>> block = tc.Residual([tc.Conv2D(8, 3, padding="same"), tc.BatchNorm2D(), tc.ReLU()], name="block_1")
    >>> net = tc.Sequential([tc.ImageInput((8, 6, 6)), block])
    >>> list(net.parameters())[:2]
    ['block_1.conv2d_1.weight', 'block_1.conv2d_1.bias']
    >>> net.forward(np.ones((2, 8, 6, 6))).shape
    (2, 8, 6, 6)
    """

    def __init__(self, layers: Sequence[Layer], shortcut: Sequence[Layer] | None = None, name: str | None = None):
        super().__init__(name)
        self.layers = list(layers)
        self.shortcut = None if shortcut is None else list(shortcut)
        check_layers(self.layers)
        if self.shortcut:
            check_layers(self.shortcut)

    def children(self) -> Iterator[tuple[str, Layer]]:
        yield from named(self.layers)
        for name, layer in named(self.shortcut or []):
            yield f"shortcut.{name}", layer

    def output_shape(self, input_shape: Shape) -> Shape:
        main, aside = (
            output_shapes(row, input_shape)[-1] if row else input_shape for row in (self.layers, self.shortcut)
        )
        if main != aside:
            raise ValueError(
                f"its layers put out {main}, but its shortcut {aside}, so they cannot be added: give a shortcut "
                "that fits, such as [Conv2D(filters, 1, stride=2), BatchNorm2D()]"
            )
        return main

    def build(self, input_shape: Shape, dtype: Any, rng: np.random.Generator) -> None:
        assemble(self.layers, input_shape, dtype, rng)
        if self.shortcut:
            assemble(self.shortcut, input_shape, dtype, rng)

    def __repr__(self) -> str:
        shortcut = "" if self.shortcut is None else f", shortcut={listing(self.shortcut)}"
        return f"Residual({listing(self.layers)}{shortcut}" + (f", name={self.name!r})" if self.name else ")")

    def forward(self, x: Array, training: bool = False) -> Array:
        return run(self.layers, x, training) + run(self.shortcut or [], x, training)

    def backward(self, dy: Array) -> Array:
        return run_back(self.layers, dy) + run_back(self.shortcut or [], dy)
