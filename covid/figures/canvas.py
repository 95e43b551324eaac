"""A sheet to draw charts on with Pillow, and the colours that all charts share.

Everything is drawn at twice the final size and then reduced, which smooths the edges of lines and letters.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any, BinaryIO

from PIL import Image, ImageDraw, ImageFont

Colour = tuple[int, int, int]
Point = tuple[float, float]
File = Path | str | BinaryIO  # where a picture goes: a file's name, or an open binary file

WHITE, BLACK, INK, GREY = (255, 255, 255), (0, 0, 0), (40, 40, 40), (120, 120, 120)
GRID = (222, 222, 222)

WIDTH = 1200
OVERSAMPLING = 2


class Canvas:
    """A white sheet whose coordinates are final pixels, whatever size it is drawn at."""

    def __init__(self, width: int, height: int) -> None:
        self.image = Image.new("RGB", (width * OVERSAMPLING, height * OVERSAMPLING), WHITE)
        self.draw = ImageDraw.Draw(self.image)

    def rectangle(
        self, x0: float, y0: float, x1: float, y1: float, fill: Colour | None, outline: Colour | None = None
    ) -> None:
        box = [round(value * OVERSAMPLING) for value in (x0, y0, x1, y1)]
        self.draw.rectangle(box, fill=fill, outline=outline, width=OVERSAMPLING)

    def line(self, points: Sequence[Point], colour: Colour, width: float = 1) -> None:
        if len(points) < 2:
            return
        scaled = [(x * OVERSAMPLING, y * OVERSAMPLING) for x, y in points]
        self.draw.line(scaled, fill=colour, width=max(1, round(width * OVERSAMPLING)), joint="curve")

    def rule(self, x0: float, y0: float, x1: float, y1: float, colour: Colour) -> None:
        """A thin level or upright line, exactly on the final pixels so that it stays sharp."""
        box = [round(value) * OVERSAMPLING for value in (x0, y0, x1, y1)]
        self.draw.rectangle([box[0], box[1], box[2] + OVERSAMPLING - 1, box[3] + OVERSAMPLING - 1], fill=colour)

    def dashes(self, points: Sequence[Point], colour: Colour, width: float, dash: float = 7) -> None:
        """A dashed line; the dashes run on around the corners."""
        travelled = 0.0
        for (x0, y0), (x1, y1) in itertools.pairwise(points):
            length = math.hypot(x1 - x0, y1 - y0)
            start = -(travelled % (2 * dash))
            while start < length > 0:
                a, b = max(start, 0) / length, min(start + dash, length) / length
                if b > a:
                    self.line([(x0 + t * (x1 - x0), y0 + t * (y1 - y0)) for t in (a, b)], colour, width)
                start += 2 * dash
            travelled += length

    def dot(self, x: float, y: float, colour: Colour, radius: float) -> None:
        box = [value * OVERSAMPLING for value in (x - radius, y - radius, x + radius, y + radius)]
        self.draw.ellipse(box, fill=colour)

    def text(self, x: float, y: float, text: str, size: float, colour: Colour = INK, anchor: str = "mm") -> None:
        if text == "–":  # Pillow's own font has no en dash
            self.line([(x - size / 3, y), (x + size / 3, y)], colour, 1.5)
            return
        self.draw.text((x * OVERSAMPLING, y * OVERSAMPLING), text, fill=colour, font=_font(size), anchor=anchor)

    def vertical_text(self, x: float, y: float, text: str, size: float) -> None:
        """Text centred on (x, y) that reads upwards."""
        box = _font(size).getbbox(text)
        label = Image.new("L", (math.ceil(box[2]), math.ceil(box[3] + size)))
        ImageDraw.Draw(label).text((0, 0), text, fill=255, font=_font(size))
        label = label.rotate(90, expand=True)
        place = round(x * OVERSAMPLING - box[3] / 2), round(y * OVERSAMPLING - label.height / 2)
        self.image.paste(INK, place, label)

    def paste(self, other: Canvas, x: int, y: int) -> None:
        self.image.paste(other.image, (x * OVERSAMPLING, y * OVERSAMPLING))

    def save(self, path: File) -> None:
        """Write the final picture: a file of the kind that its name says, or PNG into an open binary file."""
        width, height = self.image.size
        small = self.image.resize((width // OVERSAMPLING, height // OVERSAMPLING), Image.Resampling.BOX)
        small.save(path, format=None if isinstance(path, (Path, str)) else "PNG")


@cache
def _font(size: float) -> Any:
    return ImageFont.load_default(size * OVERSAMPLING)


def text_width(text: str, size: float) -> float:
    """Width of a text in final pixels."""
    return float(_font(size).getlength(text)) / OVERSAMPLING


def ticks(limit: float, about: int, whole: bool = False) -> list[float]:
    """Round numbers from 0 until `limit` is reached, roughly `about` of them."""
    rough = max(limit / about, 1e-12)
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough * 0.999)
    step = max(step, 1.0) if whole else step
    return [i * step for i in range(math.ceil(limit / step - 1e-9) + 1)]


def shorten(text: str, size: float, room: float) -> str:
    """The text, cut with an ellipsis until it fits into `room` pixels."""
    while len(text) > 1 and text_width(text, size) > room:
        text = text.rstrip("…")[:-1] + "…"
    return text
