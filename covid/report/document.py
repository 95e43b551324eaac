"""What a report is made of, whatever it is written as: sections of paragraphs, lists, tables, figures and links."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Bullets:
    """A list of sentences."""

    items: tuple[str, ...]


@dataclass(frozen=True)
class Links:
    """Files that belong to the report: (text, path relative to the report)."""

    items: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Table:
    """Rows of cells under a header; a column whose cells are numbers stands to the right."""

    caption: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]

    def __post_init__(self) -> None:
        if any(len(row) != len(self.header) for row in self.rows):
            raise ValueError(f"table {self.caption!r} has {len(self.header)} columns; give each row as many cells")


@dataclass(frozen=True)
class Figure:
    """A PNG picture; `name` becomes the file's, `alt` tells those who cannot see it what it shows."""

    name: str
    caption: str
    alt: str
    png: bytes = field(repr=False)


Part = str | Bullets | Links | Table | Figure


@dataclass(frozen=True)
class Section:
    """A heading and what stands under it."""

    heading: str
    parts: tuple[Part, ...]


@dataclass(frozen=True)
class Report:
    """A title, sections, and the numbers behind them in plain JSON types."""

    title: str
    sections: tuple[Section, ...]
    data: dict[str, Any]

    def figures(self) -> list[Figure]:
        """All pictures, in order."""
        return [part for section in self.sections for part in section.parts if isinstance(part, Figure)]


def table(caption: str, header: Sequence[str], rows: Sequence[Sequence[object]]) -> Table:
    """A table of anything that can be written as text."""
    return Table(caption, tuple(header), tuple(tuple(str(cell) for cell in row) for row in rows))
