"""Text tables for the terminal, and how shares are written in tables everywhere."""

from __future__ import annotations

from collections.abc import Sequence

from tinycnn import tables


def text_table(rows: Sequence[Sequence[object]], indent: str = "") -> str:
    """Rows of equal length as aligned columns, the first to the left and the others to the right.

    >>> print(text_table([["class", "images"], ["Normal", 12]]))
    class   images
    Normal     12
    """
    table = tables.text_table([[str(cell) for cell in row] for row in rows])
    return "\n".join((indent + line).rstrip() for line in table.splitlines())


def percent(share: float | None) -> str:
    """A share of 1 in percent, without the sign.

    >>> percent(0.9579), percent(None)
    ('95.8', '–')
    """
    return "–" if share is None else f"{100 * share:.1f}"


def interval(ends: Sequence[float] | None) -> str:
    """Both ends of an interval in percent.

    >>> interval((0.79, 0.992))
    '79.0 to 99.2'
    """
    return "–" if ends is None else f"{100 * ends[0]:.1f} to {100 * ends[1]:.1f}"


def points(difference: float | None) -> str:
    """A difference of two shares in percentage points, always with its sign.

    >>> points(0.0123), points(-0.04)
    ('+1.2', '−4.0')
    """
    if difference is None:
        return "–"
    rounded = round(100 * difference, 1)
    return "0.0" if rounded == 0 else f"{rounded:+.1f}".replace("-", "−")
