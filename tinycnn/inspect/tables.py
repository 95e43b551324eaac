"""Rows of measurements that are data to a program and a table to a reader."""

from __future__ import annotations

import html
from typing import TypeVar

from tinycnn.tables import html_table, text_table

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
        table = text_table([self.headings, *self.lines()], self.text_columns)
        return f"{table}\n{self.notes}" if self.notes else table

    def _repr_html_(self) -> str:
        notes = "".join(f"<p>{html.escape(note)}</p>" for note in self.notes.splitlines())
        return html_table(self.headings, self.lines(), self.text_columns) + notes
