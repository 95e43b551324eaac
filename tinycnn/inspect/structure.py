"""How layers hang together: the rows inside blocks, the way to a layer, the window that a layer slides."""

from __future__ import annotations

from collections.abc import Sequence

from tinycnn.layers import AveragePool2D, Block, Conv2D, Layer, MaxPool2D, Residual
from tinycnn.windows import Padding, Pair


def rows_of(layer: Layer) -> list[list[Layer]]:
    """The rows of layers side by side inside a block; none for other layers, and blocks that compute otherwise."""
    if isinstance(layer, Residual):
        return [layer.layers, layer.shortcut or []]
    row = plain_row(layer)
    return [row] if row else []


def plain_row(layer: Layer) -> list[Layer]:
    """The layers of a nested network that does nothing but run them one after the other; none for other layers."""
    is_plain = isinstance(layer, Block) and layer.unrolled() != [layer]
    return [inner for _, inner in layer.children()] if is_plain else []  # type: ignore[attr-defined]


def path(layers: Sequence[Layer], end: Layer) -> list[Layer]:
    """The layers that data passes on its way to and through `end`; empty if it is not among them."""
    for position, layer in enumerate(layers):
        if layer is end:
            return list(layers[: position + 1])
        for row in rows_of(layer):
            if inner := path(row, end):
                return [*layers[:position], *inner]
    return []


def window(layer: Layer) -> tuple[Pair, Pair, Padding, Pair] | None:
    """Kernel, stride, padding (top, bottom, left, right) and dilation of a layer that slides one over the image."""
    if isinstance(layer, Conv2D):
        stride, padding, dilation, _ = layer.geometry((layer.input_shape[1], layer.input_shape[2]))
        return layer.kernel, stride, padding, dilation
    if isinstance(layer, (MaxPool2D, AveragePool2D)):
        return *layer.geometry(), (1, 1)
    return None
