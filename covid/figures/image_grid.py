"""Radiographs in rows and columns, each row and column with its name."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from covid.figures import style
from covid.figures.style import INK, NORMAL, POINTS, WIDTH, File

if TYPE_CHECKING:
    from matplotlib.figure import Figure

GAP, HEAD = 0.06, 0.34  # inches


def image_grid(
    columns: Sequence[str],
    rows: Sequence[str],
    images: Sequence[Sequence[NDArray[Any]]],
    file: File | None = None,
    *,
    largest: float = 2.4,
) -> Figure:
    """Draw images[row][column], grey levels 0 … 255 of any shape (H, W), in squares; returns the Matplotlib figure.

    What an image leaves of its square is black; a square is at most `largest` inches wide. The figure is written to
    `file` if one is given.
    """
    margin = 0.25 + min(1.1, max((style.text_width(style.literal(row), NORMAL) for row in rows), default=0) / POINTS)
    side = min(largest, (WIDTH - margin - 0.1) / max(1, len(columns)) - GAP)
    left = margin + (WIDTH - 0.1 - margin - len(columns) * (side + GAP)) / 2
    figure = style.new_figure(HEAD + len(rows) * (side + GAP) + 0.1)
    for i, line in enumerate(images):
        for j, image in enumerate(line):
            axes = style.axes_at(figure, left + j * (side + GAP), HEAD + i * (side + GAP), side, side)
            axes.set_facecolor("black")
            axes.imshow(image, cmap="gray", vmin=0, vmax=255)
            axes.set_aspect("equal", adjustable="datalim")
            axes.set(xticks=[], yticks=[])
            if i == 0:
                axes.set_title(style.fit(columns[j], side * POINTS, NORMAL), size=NORMAL, color=INK, pad=5)
            if j == 0:
                name = style.fit(rows[i], (margin - 0.15) * POINTS, NORMAL, lines=3)
                axes.set_ylabel(name, size=NORMAL, color=INK, rotation=0, ha="right", va="center", labelpad=8)
    return style.finish(figure, file)
