"""A network as a table: what each layer puts out, what it learns, what it takes."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tinycnn.network import Sequential

HEADINGS = ("name", "type", "output shape", "parameters", "memory")


class Summary(str):
    """The table as text, which prints as a table in the interactive prompt too."""

    def __repr__(self) -> str:
        return str(self)


def summarize(net: Sequential) -> Summary:
    """The table of `net`: shapes and memory are for one image, memory being the layer's output.

    >>> import tinycnn as tc
    >>> tc.Sequential([tc.ImageInput((1, 4, 4)), tc.Conv2D(2, 3)]).summary()
    name          type        output shape  parameters    memory
    imageinput_1  ImageInput  (1, 4, 4)              0      64 B
    conv2d_1      Conv2D      (2, 2, 2)             20      32 B
    total                                           20      96 B
    """
    rows = [HEADINGS]
    parameters = memory = 0
    for layer, shape in zip(net.layers, net.shapes, strict=True):
        count = sum(array.size for array in layer.parameters.values())
        nbytes = math.prod(shape) * net.dtype.itemsize
        rows.append((str(layer.name), type(layer).__name__, str(shape), f"{count:,}", format_bytes(nbytes)))
        parameters, memory = parameters + count, memory + nbytes
    rows.append(("total", "", "", f"{parameters:,}", format_bytes(memory)))
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEADINGS))]
    return Summary(
        "\n".join(
            "  ".join(
                cell.ljust(width) if column < 3 else cell.rjust(width + (column == 4) * 2)
                for column, (cell, width) in enumerate(zip(row, widths, strict=True))
            )
            for row in rows
        )
    )


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
