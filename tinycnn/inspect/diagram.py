"""A network as a drawing: SVG with a box a layer, its shape and parameters, and a frame around each block."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

from tinycnn.inspect.drawing import layer_box, shorten, xml_text
from tinycnn.inspect.layout import BOX, GAP, LINE, PADDING, SUM, TITLE, Box, Row, place
from tinycnn.layers import Layer, Residual

if TYPE_CHECKING:
    from tinycnn.network import Sequential

MARGIN, HEADER, SLIDE = 28.0, 46.0, 16 / 9
STYLE = (
    "text{font-family:system-ui,'Segoe UI',Helvetica,Arial,sans-serif;fill:#1a1a1a;text-anchor:middle}"
    ".type{font-size:14px;font-weight:600}.name,.detail{font-size:12px}.name{fill:#444}"
    ".frame{fill:#00000008;stroke:#777;stroke-dasharray:5 4}.block{font-size:13px;font-weight:600;text-anchor:start}"
    ".title{font-size:17px;font-weight:600;text-anchor:start}"
    ".way{fill:none;stroke:#444;stroke-width:1.6}.sum{fill:#fff;stroke:#444;stroke-width:1.6}"
)


def diagram(net: Sequential, path: str | Path | None = None) -> str:
    """Draw the network as SVG, about as wide for its height as a slide; returns the text and writes it to `path`.

    Each box shows a layer's type, name, output shape (channels × height × width) and how many parameters it learns. A
    block is a frame around its layers; where it is residual, the two ways part and meet again at ⊕.

    Raises:
        OSError: when the file cannot be written.

    >>> import tinycnn as tc
    >>> net = tc.Sequential([tc.ImageInput((1, 6, 6)), tc.Conv2D(2, 3, name="<conv>")])
    >>> svg = diagram(net)
    >>> svg.startswith("<svg"), "&lt;conv&gt;" in svg, "2 × 4 × 4" in svg, "20 parameters" in svg
    (True, True, True, True)
    """
    row = _slide(net.layers)
    total = sum(array.size for array in net.parameters().values())
    title = f"{len(list(net.simple_layers()))} layers, {total:,} parameters"
    row.move(MARGIN, MARGIN + HEADER)
    width = max(row.width, 320.0) + 2 * MARGIN
    height = row.height + 2 * MARGIN + HEADER
    drawing = "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:g} {height:g}" width="{width:g}" '
            f'height="{height:g}" role="img" aria-label="{title}">',
            f"<title>{title}</title><style>{STYLE}</style>",
            '<defs><marker id="head" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" '
            'orient="auto"><path d="M0 0L8 4L0 8z" fill="#444"/></marker></defs>',
            '<rect width="100%" height="100%" fill="#fff"/>',
            f'<text class="title" x="{MARGIN:g}" y="{MARGIN + 20:g}">{title}</text>',
            *_row(row),
            "</svg>\n",
        ]
    )
    if path is not None:
        Path(path).write_text(drawing, encoding="utf-8")
    return drawing


def _slide(layers: Sequence[Layer]) -> Row:
    """The layers placed in the number of columns whose picture comes nearest to a slide's shape."""
    step = BOX[0] + GAP

    def distance(row: Row) -> float:
        return abs(math.log((row.width + 2 * MARGIN) / (row.height + 2 * MARGIN + HEADER) / SLIDE))

    return min((place(layers, columns * step - GAP) for columns in range(3, 17)), key=distance)


def _row(row: Row) -> Iterator[str]:
    """The boxes of a row and the arrows between them."""
    for before, after in pairwise(row.boxes):
        yield _arrow(_way(before.exit, after.entry, _bottom(row, before)))
    for box in row.boxes:
        yield from _block(box) if box.rows else layer_box(box)


def _bottom(row: Row, box: Box) -> float:
    """The lower edge of the line that the box is in."""
    return next(max(other.y + other.height for other in line) for line in row.lines if box in line)


def _way(start: tuple[float, float], end: tuple[float, float], bottom: float) -> str:
    """From a box to the next: to the right, or around the end of the line and back to the start of the next."""
    (x0, y0), (x1, y1) = start, end
    if x1 > x0:
        return f"M{x0:g} {y0:g}H{(x0 + x1) / 2:g}V{y1:g}H{x1:g}" if y0 != y1 else f"M{x0:g} {y0:g}H{x1:g}"
    out, between = GAP / 2, bottom + LINE / 2
    return f"M{x0:g} {y0:g}h{out:g}V{between:g}H{x1 - out:g}V{y1:g}h{out:g}"


def _arrow(way: str, head: bool = True) -> str:
    return f'<path class="way" d="{way}"' + (' marker-end="url(#head)"/>' if head else "/>")


def _block(box: Box) -> Iterator[str]:
    name = f"{box.layer.name}: {type(box.layer).__name__}"
    yield f"<g><title>{xml_text(name)}</title>"
    yield (
        f'<rect class="frame" x="{box.x:g}" y="{box.y:g}" width="{box.width:g}" height="{box.height:g}" rx="10"/>'
        f'<text class="block" x="{box.x + PADDING:g}" y="{box.y + TITLE - 6:g}">'
        f"{xml_text(shorten(name, int(box.width / 8)))}</text>"
    )
    if isinstance(box.layer, Residual):
        yield from _ways(box)
    else:
        yield _arrow(f"M{box.x:g} {box.entry[1]:g}H{box.rows[0].boxes[0].x:g}")
        yield _arrow("M{:g} {:g}".format(*box.rows[0].boxes[-1].exit) + f"H{box.x + box.width:g}", head=False)
    for row in box.rows:
        yield from _row(row)
    yield "</g>"


def _ways(box: Box) -> Iterator[str]:
    """The two ways through a residual block, from where they part to the ⊕ where they meet."""
    (x0, y0), (x1, y1) = box.entry, box.exit
    part, meet = x0 + PADDING + GAP / 2, x1 - PADDING - SUM / 2
    main, aside = box.rows
    yield _arrow(f"M{x0:g} {y0:g}H{main.boxes[0].x:g}")
    yield _arrow(f"M{main.boxes[-1].exit[0]:g} {y1:g}H{meet - SUM / 2:g}")
    goal = f"H{meet:g}V{y1 + SUM / 2:g}"
    if aside.boxes:
        yield _arrow(f"M{part:g} {y0:g}V{aside.boxes[0].entry[1]:g}H{aside.boxes[0].x:g}")
        yield _arrow("M{:g} {:g}".format(*aside.boxes[-1].exit) + goal)
    else:
        yield _arrow(f"M{part:g} {y0:g}V{box.y + box.height - PADDING:g}{goal}")
    yield f'<circle class="sum" cx="{meet:g}" cy="{y1:g}" r="{SUM / 2:g}"/>'
    yield _arrow(f"M{meet - 6:g} {y1:g}h12M{meet:g} {y1 - 6:g}v12M{meet + SUM / 2:g} {y1:g}H{x1:g}", head=False)
