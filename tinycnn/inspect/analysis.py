"""A network before training: shapes, parameters, multiply-adds, receptive fields, memory, and what looks wrong."""

from __future__ import annotations

import math
from typing import NamedTuple

from tinycnn.inspect.precautions import precautions
from tinycnn.inspect.reach import seen_by_middle
from tinycnn.inspect.structure import path
from tinycnn.inspect.tables import Table
from tinycnn.layers import Block, Conv2D, FullyConnected, Layer
from tinycnn.layers.base import Shape
from tinycnn.network import Sequential
from tinycnn.summary import format_bytes


class LayerReport(NamedTuple):
    """A layer, for one image. A block has no numbers of its own: they are those of the layers inside, which follow."""

    name: str
    type: str
    output_shape: Shape
    parameters: int | None
    multiply_adds: int | None  # of convolutions and fully connected layers; the others' work is small beside them
    receptive_field: tuple[int, int] | None  # height and width; None where it is not known, and for vectors as input
    memory: int | None  # bytes of the output


class Analysis(Table[LayerReport]):
    """A row a layer, in order; `pandas.DataFrame(analysis)` is a table to compute with.

    Attributes:
        warnings: sentences on what looks wrong before training.
        parameters, multiply_adds, memory: the totals, for one image.
    """

    headings = ("name", "type", "output shape", "parameters", "multiply-adds", "receptive field", "memory")
    text_columns = 3

    def __init__(self, rows: list[LayerReport], warnings: list[str]):
        super().__init__(rows)
        self.warnings = warnings
        self.notes = "\n".join(f"Warning: {warning}" for warning in warnings)
        self.parameters = sum(row.parameters or 0 for row in rows)
        self.multiply_adds = sum(row.multiply_adds or 0 for row in rows)
        self.memory = sum(row.memory or 0 for row in rows)

    def cells(self, row: LayerReport) -> tuple[str, ...]:
        indent = "  " * row.name.count(".")
        field = "" if row.receptive_field is None else "{}×{}".format(*row.receptive_field)
        numbers = ["" if number is None else f"{number:,}" for number in (row.parameters, row.multiply_adds)]
        memory = "" if row.memory is None else format_bytes(row.memory)
        return indent + row.name, row.type, str(row.output_shape), *numbers, field, memory

    def lines(self) -> list[tuple[str, ...]]:
        totals = f"{self.parameters:,}", f"{self.multiply_adds:,}", "", format_bytes(self.memory)
        return [*super().lines(), ("total", "", "", *totals)]


def analyze(net: Sequential) -> Analysis:
    """What each layer puts out, learns, costs and sees, and warnings before training.

    Multiply-adds of a convolution are O·OH·OW · C/groups·KH·KW, of a fully connected layer outputs · D. A receptive
    field is that of a unit in the middle, as if the image went on forever.

    Source: MATLAB's analyzeNetwork.

    >>> import tinycnn as tc
    >>> net = tc.Sequential([tc.ImageInput((1, 6, 6), name="input"), tc.Conv2D(2, 3, name="conv"), tc.ReLU(name="relu"),
    ...                      tc.FullyConnected(3, name="fc"), tc.Softmax(name="softmax")])
    >>> analyze(net)
    name     type            output shape  parameters  multiply-adds  receptive field  memory
    input    ImageInput      (1, 6, 6)              0              0              1×1   144 B
    conv     Conv2D          (2, 4, 4)             20            288              3×3   128 B
    relu     ReLU            (2, 4, 4)              0              0              3×3   128 B
    fc       FullyConnected  (3,)                  99             96              6×6    12 B
    softmax  Softmax         (3,)                   0              0              6×6    12 B
    total                                         119            384                    424 B
    Warning: input 'input' passes pixels on as they come: normalization="zerocenter" subtracts the training images' mean
    Warning: the network ends without an output layer, so it has no loss to train with: add ClassificationOutput()
    """
    rows = []
    for name, layer in net.named_layers():
        shape = layer.output_shape(layer.input_shape)
        field = seen_by_middle(path(net.layers, layer), shape) if len(net.input_shape) == 3 else None
        row = LayerReport(name, type(layer).__name__, shape, None, None, field, None)
        if not isinstance(layer, Block):
            row = row._replace(
                parameters=sum(array.size for array in layer.parameters.values()),
                multiply_adds=multiply_adds(layer),
                memory=math.prod(shape) * net.dtype.itemsize,
            )
        rows.append(row)
    return Analysis(rows, precautions(net))


def multiply_adds(layer: Layer) -> int:
    """How often the layer multiplies a weight with a number and adds the product up, for one image.

    >>> layer = Conv2D(8, 3)
    >>> layer.input_shape = (1, 224, 224)
    >>> multiply_adds(layer)  # 8·222·222 outputs of 3·3 products
    3548448
    """
    if isinstance(layer, Conv2D):
        window = layer.input_shape[0] // layer.groups * math.prod(layer.kernel)
        return math.prod(layer.output_shape(layer.input_shape)) * window
    return layer.outputs * math.prod(layer.input_shape) if isinstance(layer, FullyConnected) else 0
