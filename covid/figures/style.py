"""The look that all figures share, how text fits into them, and how a figure becomes a file.

Matplotlib is imported when the first figure is drawn. Only its objects are used, not pyplot: nothing global changes,
and figures may be drawn in several threads at once.
"""

from __future__ import annotations

import io
import os
import re
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.legend import Legend

Options = dict[str, Any]  # arguments of a Matplotlib call
File = Path | str | BinaryIO  # where a figure goes: a file's name, or an open binary file

WIDTH, DPI = 8.0, 150  # inches, and pixels in each: every figure is 1,200 pixels wide
POINTS = 72  # in an inch
SMALL, NORMAL, TITLE = 7.5, 8.5, 11.0  # text, in points

INK, GREY, GRID, BAND = "#262626", "#6b6b6b", "#dedede", "#f2f2f2"
# Okabe and Ito's colours, told apart with any colour vision; lines and marks differ too, for a grey print.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00")
LINES: tuple[Any, ...] = ("-", (0, (5, 2)), (0, (2, 1.2)), (0, (6, 1.5, 1.5, 1.5)))
MARKS = ("o", "D", "s", "^")

_FAMILIES = (  # the first comes with Matplotlib; the others have what it lacks, on the systems that have them
    "DejaVu Sans",
    "Noto Sans CJK SC",
    "Noto Sans CJK JP",
    "PingFang SC",
    "Hiragino Sans",
    "Microsoft YaHei",
    "Yu Gothic",
    "Malgun Gothic",
    "WenQuanYi Zen Hei",
    "Noto Sans",
    "Nirmala UI",
)
_METADATA: dict[str, dict[str, Any]] = {"png": {"Software": None}, "svg": {"Date": None}, "pdf": {"CreationDate": None}}


def new_figure(height: float, width: float = WIDTH) -> Figure:
    """An empty white figure of this size in inches."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), dpi=DPI, facecolor="white")


def axes_at(figure: Figure, left: float, top: float, width: float, height: float) -> Axes:
    """Axes whose frame lies at this place, in inches from the figure's upper left corner, with no line around."""
    across, down = figure.get_size_inches()
    axes = figure.add_axes((left / across, 1 - (top + height) / down, width / across, height / down))
    axes.set_facecolor("white")
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0, labelsize=SMALL, labelcolor=INK, pad=5)
    axes.set_axisbelow(True)
    return axes


def title(figure: Figure, text: str, left: float) -> None:
    """The figure's title, at its upper edge and `left` inches from the left."""
    across, down = figure.get_size_inches()
    text = fit(text, (across - left - 0.1) * POINTS, TITLE)
    figure.text(left / across, 1 - 0.26 / down, text, size=TITLE, color=INK, va="center")


def grid(axes: Axes, axis: Any = "y") -> None:
    """Pale lines across the panel at the axis's ticks."""
    axes.grid(True, axis=axis, color=GRID, linewidth=0.7)


def legend(axes: Axes, handles: Sequence[Any], names: Sequence[str], **options: Any) -> Legend:
    """A legend without a frame, also of names that begin with "_", which Matplotlib would leave out."""
    box = axes.legend(
        handles, [str(i) for i in range(len(names))], frameon=False, borderaxespad=0, borderpad=0, **options
    )
    for text, name in zip(box.get_texts(), names, strict=True):
        text.set(text=name, color=INK)
    return box


def finish(figure: Figure, file: File | None = None) -> Figure:
    """Take every text literally, and write the figure to `file` if one is given; returns the figure.

    A file's name tells its kind, PNG, SVG or PDF; an open file gets PNG. A named file is written whole or not at all.
    """
    from matplotlib.text import Text

    for text in figure.findobj(Text):
        text.set(parse_math=False, usetex=False, fontfamily=_families())
    if file is not None:
        _write(figure, file)
    return figure


def _write(figure: Figure, file: File) -> None:
    name = None if hasattr(file, "write") else Path(file)
    kind = name.suffix[1:].lower() if name and name.suffix else "png"
    picture = io.BytesIO()
    figure.savefig(picture, format=kind, dpi=DPI, facecolor="white", metadata=_METADATA.get(kind))
    if name is None:
        file.write(picture.getvalue())  # type: ignore[union-attr]
        return
    partial = name.with_name(f"{name.name}.partial")
    try:
        partial.write_bytes(picture.getvalue())
        os.replace(partial, name)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise


# ----------------------------------------------------------------------------------------------- text


def literal(text: str) -> str:
    """The text in one line, and each character that no font here has as its code: two names never look the same.

    >>> literal("a\\nname"), literal("$x_1$ \\x07")
    ('a name', '$x_1$ \\\\x07')
    """
    known = _characters()
    return "".join(
        character if ord(character) in known else ascii(character)[1:-1] for character in " ".join(text.split())
    )


def fit(text: str, room: float, size: float, lines: int = 1) -> str:
    """The text, taken literally, on up to `lines` lines of `room` points, cut with an ellipsis if that is too little.

    >>> fit("Pneumonia of unknown cause", 75, 8.5, lines=2)
    'Pneumonia of\\nunknown cause'
    """
    rows = [""]
    for word in re.split(r"(?<=[ _])", literal(text)):
        if rows[-1] and text_width((rows[-1] + word).rstrip(), size) > room:
            rows.append(word)
        else:
            rows[-1] += word
    rows[lines - 1 :] = ["".join(rows[lines - 1 :])] if len(rows) >= lines else []
    return "\n".join(_shorten(row.rstrip(), room, size) for row in rows)


def text_width(text: str, size: float) -> float:
    """Width in points of a line of text."""
    from matplotlib.font_manager import FontProperties
    from matplotlib.textpath import text_to_path

    font = FontProperties(family=_families(), size=size)
    return float(text_to_path.get_text_width_height_descent(text, font, ismath=False)[0])


def _shorten(text: str, room: float, size: float) -> str:
    while len(text) > 1 and text_width(text, size) > room:
        text = text.rstrip("…")[:-1] + "…"
    return text


@cache
def _families() -> list[str]:
    """The fonts to look for a character in, in this order, of those that are installed."""
    from matplotlib.font_manager import fontManager

    installed = {font.name for font in fontManager.ttflist}
    return [name for name in _FAMILIES if name in installed]


@cache
def _characters() -> frozenset[int]:
    """The codes of all characters that the fonts have."""
    from matplotlib.font_manager import FontProperties, findfont, get_font

    return frozenset().union(*(get_font(findfont(FontProperties(family=[name]))).get_charmap() for name in _families()))
