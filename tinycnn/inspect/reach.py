"""Which pixels a unit sees: receptive fields through any nesting of layers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from tinycnn.inspect.choices import find
from tinycnn.inspect.structure import path, rows_of, window
from tinycnn.layers import (
    CrossChannelNorm,
    Dropout,
    Flatten,
    FullyConnected,
    GlobalAveragePool2D,
    InputLayer,
    Layer,
    LeakyReLU,
    OutputLayer,
    ReLU,
    Sigmoid,
    Softmax,
    Tanh,
)
from tinycnn.layers.base import Shape
from tinycnn.layers.batch_norm import BatchNorm
from tinycnn.network import Sequential

Cells = tuple[frozenset[int], ...]  # of an image the rows and the columns, of a vector the positions
POINTWISE = (InputLayer, OutputLayer, BatchNorm, CrossChannelNorm, Dropout, LeakyReLU, ReLU, Sigmoid, Tanh)


class ReceptiveField(NamedTuple):
    """The smallest rectangle that holds all pixels a unit's value depends on.

    `rows` and `columns` cut it out of the image: x[:, :, field.rows, field.columns]. `top` to `right` are its edges
    (the last ones excluded) as if the image went on forever: beyond 0 or the image's size lies padding.
    """

    rows: slice
    columns: slice
    top: int
    bottom: int
    left: int
    right: int


def receptive_field(net: Sequential, layer: int | str, i: int, j: int | None = None) -> ReceptiveField:
    """The rectangle of the image that unit (·, i, j) of `layer` sees, in evaluation mode.

    Rows through a window of size k, stride s, dilation d and padding p, layer by layer from the unit to the image:
    R ← {r·s + a·d − p : r ∈ R, 0 ≤ a < k}, kept to the rows that exist; so too columns. A residual block sees what
    either way sees. Padding that an inner layer adds, and pixels that a stride leaves out at the edge, are not counted.

    Args:
        layer: by number or name.
        i, j: row and column; of a layer that puts out a vector, i is the position in it.

    Raises:
        IndexError: when the layer has no such unit.
        TypeError: for a layer on the way whose kind is not known here.

    Source: Araujo, Norris & Sim, "Computing receptive fields of convolutional neural networks" (2019).

    >>> import tinycnn as tc
    >>> net = tc.Sequential([tc.ImageInput((1, 6, 6)), tc.Conv2D(2, 3, padding=1, name="conv"), tc.MaxPool2D(2)])
    >>> receptive_field(net, "conv", 0, 3)
    ReceptiveField(rows=slice(0, 2, None), columns=slice(2, 5, None), top=-1, bottom=2, left=2, right=5)
    >>> receptive_field(net, 2, 1, 1).rows
    slice(1, 5, None)
    """
    found = find(net, layer)
    shape = found.output_shape(found.input_shape)
    unit = (i,) if len(shape) == 1 else (i, j)
    if len(shape) > 1 and j is None:
        raise IndexError(f"layer {layer!r} puts out {shape}: give the unit's row i and column j")
    if any(at is None or not 0 <= at < size for at, size in zip(unit, shape[-len(unit) :], strict=True)):
        raise IndexError(f"layer {layer!r} puts out {shape}, so it has no unit {unit}")
    if len(net.input_shape) != 3:
        raise ValueError(f"the network takes data of shape {net.input_shape}: receptive fields are of images")
    way = path(net.layers, found)
    cells: Cells = tuple(frozenset([int(at)]) for at in unit if at is not None)
    rows, columns = (slice(min(axis), max(axis) + 1) if axis else slice(0, 0) for axis in _through(way, cells))
    (top, bottom), (left, right) = ((min(axis), max(axis) + 1) for axis in _through(way, cells, endless=True))
    return ReceptiveField(rows, columns, top, bottom, left, right)


def _through(layers: Sequence[Layer], cells: Cells, endless: bool = False) -> Cells:
    """What the cells of the last layer's output depend on, among the first layer's input."""
    for layer in reversed(layers):
        cells = _seen(layer, cells, endless)
    return cells


def _seen(layer: Layer, cells: Cells, endless: bool) -> Cells:
    if rows := rows_of(layer):
        ways = [_through(row, cells, endless) for row in rows]
        return tuple(frozenset().union(*axes) for axes in zip(*ways, strict=True))
    if found := window(layer):
        return tuple(
            frozenset(
                pixel
                for at in cells[axis]
                for tap in range(found[0][axis])
                if 0 <= (pixel := at * found[1][axis] + tap * found[3][axis] - found[2][2 * axis]) < size or endless
            )
            for axis, size in enumerate(layer.input_shape[1:])
        )
    if isinstance(layer, Flatten) and len(layer.input_shape) == 3:
        places = np.unravel_index(sorted(cells[0]), layer.input_shape)
        return tuple(frozenset(map(int, axis)) for axis in places[1:])
    if isinstance(layer, (FullyConnected, GlobalAveragePool2D, Softmax)):
        return everything(layer.input_shape) if any(cells) else tuple(frozenset() for _ in layer.input_shape[-2:])
    if isinstance(layer, (*POINTWISE, Flatten)):
        return cells
    raise TypeError(
        f"layer {layer.name!r} is a {type(layer).__name__}, of which is not known which pixels it looks at: "
        "receptive fields are known of the built-in layers"
    )


def everything(shape: Shape) -> Cells:
    """All cells of one image or vector."""
    return tuple(frozenset(range(size)) for size in shape[-2:])


def seen_by_middle(way: Sequence[Layer], shape: Shape) -> tuple[int, int] | None:
    """Height and width of what a unit in the middle of the way's last output sees, the image going on forever.

    None where a layer on the way is of an unknown kind.
    """
    middle: Cells = tuple(frozenset([size // 2]) for size in (shape[-2:] if len(shape) == 3 else shape))
    try:
        rows, columns = _through(way, middle, endless=True)
    except (TypeError, ValueError):
        return None
    return max(rows) - min(rows) + 1, max(columns) - min(columns) + 1
