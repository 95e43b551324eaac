"""Tables of a run's films: how many of which class and patient on which side, and what was left out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from covid.data.manifest import SPLITS, Film, reason_kind
from covid.report.document import Table, table


def films_table(films: Sequence[Film], classes: Sequence[str]) -> Table:
    """Films and patients of each class on each side of the split."""
    sides = [side for side in SPLITS if any(film.split == side for film in films)]
    used = [film for film in films if film.split]
    rows = [[name, *(_count(used, side, name) for side in (*sides, ""))] for name in classes]
    rows.append(["all", *(_count(used, side) for side in (*sides, ""))])
    return table("Films, and in brackets the patients they are of.", ["class", *sides, "all"], rows)


def _count(used: Sequence[Film], side: str, label: str = "") -> str:
    chosen = [film for film in used if side in ("", film.split) and label in ("", film.label)]
    return f"{len(chosen):,} ({len({film.patient for film in chosen}):,})"


def left_out(films: Sequence[Film]) -> Table | None:
    """How many films were left out for which reason; None if none was."""
    reasons = Counter(reason_kind(film.excluded) for film in films if film.excluded)
    if not reasons:
        return None
    rows = [[f"{n:,}", reason] for reason, n in reasons.most_common()]
    return table("Films that were found but not used.", ["films", "why"], rows)
