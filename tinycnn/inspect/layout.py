"""Where the boxes of a network's diagram go: rows that wrap, blocks as boxes around theirs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from tinycnn.inspect.structure import rows_of
from tinycnn.layers import Layer, Residual

BOX = 148.0, 76.0  # width and height of a layer's box
GAP = 28.0  # between boxes, with the arrow in it
LINE = 34.0  # between wrapped lines
PADDING = 16.0  # between a block's frame and what is in it
TITLE = 26.0  # a block's name above that
SUM = 24.0  # diameter of the ⊕ where a residual block's ways meet


@dataclass
class Box:
    """A layer's place: `x`, `y` of its upper left corner, and the places of the rows inside it."""

    layer: Layer
    x: float = 0.0
    y: float = 0.0
    width: float = BOX[0]
    height: float = BOX[1]
    rows: list[Row] = field(default_factory=list)

    @property
    def entry(self) -> tuple[float, float]:
        """Where the arrow to it ends, on the left side: in the middle, or as high as the first layer inside."""
        return self.x, self.rows[0].boxes[0].entry[1] if self.rows else self.y + self.height / 2

    @property
    def exit(self) -> tuple[float, float]:
        """Where the arrow from it begins, on the right side: in the middle, or as high as the last layer inside."""
        return self.x + self.width, self.rows[0].boxes[-1].exit[1] if self.rows else self.y + self.height / 2

    def move(self, dx: float, dy: float) -> None:
        self.x, self.y = self.x + dx, self.y + dy
        for row in self.rows:
            row.move(dx, dy)


@dataclass
class Row:
    """Boxes one after the other, in one line or several."""

    lines: list[list[Box]]
    width: float
    height: float

    @property
    def boxes(self) -> list[Box]:
        return [box for line in self.lines for box in line]

    def move(self, dx: float, dy: float) -> None:
        for box in self.boxes:
            box.move(dx, dy)


def place(layers: Sequence[Layer], room: float) -> Row:
    """The layers in lines no wider than `room`, unless a single box is; the first line's corner is (0, 0).

    The boxes of a line stand so that the arrows between them are straight.
    """
    if not layers:
        return Row([], 0.0, 0.0)
    lines: list[list[Box]] = [[]]
    used = 0.0
    for layer in layers:
        box = _box(layer, room)
        if lines[-1] and used + GAP + box.width > room:
            lines.append([])
        used = box.width + (used + GAP if lines[-1] else 0.0)
        lines[-1].append(box)
    y = 0.0
    for line in lines:
        x, above = 0.0, max(box.entry[1] for box in line)
        for box in line:
            box.move(x, y + above - box.entry[1])
            x += box.width + GAP
        y = max(box.y + box.height for box in line) + LINE
    width = max(box.x + box.width for line in lines for box in line)
    return Row(lines, width, y - LINE)


def _box(layer: Layer, room: float) -> Box:
    """A layer's box at (0, 0); a block's holds its rows, one under the other."""
    if not rows_of(layer):
        return Box(layer)
    end = GAP + SUM + GAP if isinstance(layer, Residual) else 0.0  # room on both sides for the ways to part and meet
    rows = [place(row, max(room - 2 * PADDING - 2 * end, BOX[0])) for row in rows_of(layer)]
    y = TITLE + PADDING
    for row in rows:
        row.move(PADDING + end, y)
        y += row.height + (LINE if row is not rows[-1] else 0.0)
    width = max(row.width for row in rows) + 2 * PADDING + 2 * end
    return Box(layer, width=width, height=y + PADDING, rows=rows)
