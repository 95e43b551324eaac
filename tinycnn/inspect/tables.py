"""Rows of measurements that are data to a program and a table to a reader."""

from __future__ import annotations

import html
from typing import TypeVar

from tinycnn.summary import html_table

Row = TypeVar("Row")


class Table(list[Row]):
    """A list of rows that prints as a table, in a notebook too, with `notes` below it.

    A subclass gives the headings, says with `cells` what a row looks like, and how many columns hold text, which goes
    to the left; numbers go to the right.
    """

    headings: tuple[str, ...] = ()
    text_columns = 1
    notes = ""

    def cells(self, row: Row) -> tuple[str, ...]:
        raise NotImplementedError

    def lines(self) -> list[tuple[str, ...]]:
        """The table's lines, as texts."""
        return [self.cells(row) for row in self]

    def __repr__(self) -> str:
        lines = [self.headings, *self.lines()]
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        texts = [
            "  ".join(
                cell.ljust(width) if column < self.text_columns else cell.rjust(width)
                for column, (cell, width) in enumerate(zip(line, widths, strict=True))
            ).rstrip()
            for line in lines
        ]
        return "\n".join([*texts, *([self.notes] if self.notes else [])])

    def _repr_html_(self) -> str:
        notes = "".join(f"<p>{html.escape(note)}</p>" for note in self.notes.splitlines())
        return html_table(self.headings, self.lines(), self.text_columns) + notes
