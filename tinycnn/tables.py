"""Rows of texts as a table: aligned for a terminal, or as HTML for a notebook."""

from __future__ import annotations

import html
from collections.abc import Sequence


def text_table(rows: Sequence[Sequence[str]], text_columns: int = 1) -> str:
    """Rows of equal length as aligned columns, the first `text_columns` to the left and the others to the right.

    >>> print(text_table([["layer", "parameters"], ["conv", "80"]]))
    layer  parameters
    conv           80
    """
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if column < text_columns else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    )


def html_table(headings: Sequence[str], rows: Sequence[Sequence[str]], text_columns: int = 0) -> str:
    """An HTML table of texts; all but the first `text_columns` columns are aligned to the right, as numbers are.

    >>> html_table(["loss"], [["< 0.1"]]).partition("<tbody>")[2]
    '<tr><td style="text-align: right">&lt; 0.1</td></tr></tbody></table>'
    """

    def line(cells: Sequence[str], tag: str) -> str:
        return f"<tr>{''.join(_cell(tag, cell, i < text_columns) for i, cell in enumerate(cells))}</tr>"

    body = "".join(line(row, "td") for row in rows)
    return f"<table><thead>{line(headings, 'th')}</thead><tbody>{body}</tbody></table>"


def _cell(tag: str, text: str, is_text: bool) -> str:
    side = "left" if is_text else "right"
    return f'<{tag} style="text-align: {side}">{html.escape(text)}</{tag}>'
