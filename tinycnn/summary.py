"""A network as a table: what each layer puts out, what it learns, what it takes."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from tinycnn.layers import Block, Layer
from tinycnn.tables import html_table, text_table

if TYPE_CHECKING:
    from tinycnn.network import Sequential

HEADINGS = ("name", "type", "output shape", "parameters", "memory")
TEXT_COLUMNS = 3  # the first three hold words, the rest numbers


class Summary(str):
    """The table as text, which prints as a table in the interactive prompt too, and shows as one in a notebook."""

    rows: Sequence[Sequence[str]]  # the layers', and the totals

    def __new__(cls, text: str, rows: Sequence[Sequence[str]] = ()) -> Summary:
        summary = super().__new__(cls, text)
        summary.rows = rows
        return summary

    def __repr__(self) -> str:
        return str(self)

    def _repr_html_(self) -> str:
        return html_table(HEADINGS, self.rows, TEXT_COLUMNS)


def summarize(net: Sequential) -> Summary:
    """The table of `net`: shapes and memory are for one image, memory being the layer's output.

    >>> import tinycnn as tc
    >>> tc.Sequential([tc.ImageInput((1, 4, 4)), tc.Conv2D(2, 3)]).summary()
    name          type        output shape  parameters    memory
    imageinput_1  ImageInput  (1, 4, 4)              0      64 B
    conv2d_1      Conv2D      (2, 2, 2)             20      32 B
    total                                           20      96 B
    """
    rows = [*_rows(net.children(), net.dtype.itemsize)]
    layers = [layer for _, layer in net.simple_layers()]
    parameters = sum(array.size for _, array in net.named_parameters())
    memory = sum(math.prod(layer.output_shape(layer.input_shape)) for layer in layers) * net.dtype.itemsize
    rows.append(("total", "", "", f"{parameters:,}", format_bytes(memory)))
    spaced = [(*cells, f"  {size}") for *cells, size in (HEADINGS, *rows)]
    return Summary(text_table(spaced, TEXT_COLUMNS), rows)


def _rows(children: Iterable[tuple[str, Layer]], itemsize: int, indent: str = "") -> Iterator[tuple[str, ...]]:
    """A row a layer; those inside a block follow it, indented, and hold its parameters and memory."""
    for name, layer in children:
        shape = layer.output_shape(layer.input_shape)
        cells = indent + name, type(layer).__name__, str(shape)
        if isinstance(layer, Block):
            yield *cells, "", ""
            yield from _rows(layer.children(), itemsize, indent + "  ")
        else:
            count = sum(array.size for array in layer.parameters.values())
            yield *cells, f"{count:,}", format_bytes(math.prod(shape) * itemsize)


def format_bytes(nbytes: int) -> str:
    """A number of bytes for people.

    >>> format_bytes(1536)
    '1.5 KiB'
    """
    size, unit = float(nbytes), "B"
    for larger in ("KiB", "MiB", "GiB", "TiB"):
        if size < 1024:
            break
        size, unit = size / 1024, larger
    return f"{size:.0f} B" if unit == "B" else f"{size:.1f} {unit}"
