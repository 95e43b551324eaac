"""Tables of a run's images: how many of which class and patient on which side, and what was left out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from covid.data.manifest import SPLITS, Radiograph, reason_kind
from covid.report.document import Table, table


def images_table(images: Sequence[Radiograph], classes: Sequence[str]) -> Table:
    """Images and patients of each class on each side of the split."""
    sides = [side for side in SPLITS if any(image.split == side for image in images)]
    used = [image for image in images if image.split]
    rows = [[name, *(_count(used, side, name) for side in (*sides, ""))] for name in classes]
    rows.append(["all", *(_count(used, side) for side in (*sides, ""))])
    return table("Number of images, with the number of patients in brackets.", ["class", *sides, "all"], rows)


def _count(used: Sequence[Radiograph], side: str, label: str = "") -> str:
    chosen = [image for image in used if side in ("", image.split) and label in ("", image.label)]
    return f"{len(chosen):,} ({len({image.patient for image in chosen}):,})"


def left_out(images: Sequence[Radiograph]) -> Table | None:
    """How many images were left out for which reason; None if none was."""
    reasons = Counter(reason_kind(image.excluded) for image in images if image.excluded)
    if not reasons:
        return None
    rows = [[f"{n:,}", reason] for reason, n in reasons.most_common()]
    return table("Images that were found but not used.", ["images", "why"], rows)
