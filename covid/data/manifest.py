"""The manifest: every image of a data folder, its class, patient and split, or why it is left out; a CSV table."""

from __future__ import annotations

import csv
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import astuple, dataclass
from pathlib import Path

from covid.errors import DataError
from covid.tables import text_table

CLASSES = ("COVID-19", "Normal", "Pneumonia")
SPLITS = ("train", "validation", "test")
COLUMNS = ("path", "class", "source", "patient", "view", "sha256", "split", "excluded")


@dataclass(frozen=True)
class Radiograph:
    """One image file, or one row of a source's list: a line of the manifest.

    `path` is relative to the data folder, with forward slashes. `patient` begins with the source, so that two sources
    never share one. `excluded` says why the image is left out, and is empty for an image that is used; only those have
    been read, and have a `sha256`.
    """

    path: str
    label: str
    source: str
    patient: str
    view: str
    sha256: str = ""
    split: str = ""
    excluded: str = ""


def class_names(images: Sequence[Radiograph]) -> list[str]:
    """The classes of the images in use: COVID-19, Normal, Pneumonia, then others by the alphabet.

    >>> class_names([Radiograph(f"{name}.png", name, "folder", name, "") for name in ("Zoster", "Normal")])
    ['Normal', 'Zoster']
    """
    present = {image.label for image in images if not image.excluded}
    return [name for name in CLASSES if name in present] + sorted(present.difference(CLASSES))


def write_manifest(path: Path | str, images: Sequence[Radiograph]) -> None:
    """Write the images as a CSV table with the columns of `COLUMNS`, a line each."""
    with open(path, "w", newline="", encoding="utf-8", errors="surrogateescape") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        writer.writerows(astuple(image) for image in images)


def read_manifest(path: Path | str) -> list[Radiograph]:
    """Read what `write_manifest` wrote. Raises DataError, naming the line, if the file is missing or damaged."""
    try:
        with open(path, newline="", encoding="utf-8-sig", errors="surrogateescape") as file:
            reader = csv.reader(file)
            if tuple(next(reader, ())) != COLUMNS:
                raise DataError(f"{path} does not begin with the columns {','.join(COLUMNS)}; restore it")
            images = []
            for values in reader:
                if problem := _damage(values):
                    raise DataError(f"{path}, line {reader.line_num}: {problem}; restore the file")
                images.append(Radiograph(*values))
            return images
    except (OSError, csv.Error) as error:
        raise DataError(f"{path} cannot be read: {error}; restore the file") from error


def _damage(values: Sequence[str]) -> str:
    if len(values) != len(COLUMNS):
        return f"{len(values)} values, not {len(COLUMNS)}"
    image = Radiograph(*values)
    if image.split not in ("", *SPLITS):
        return f"split {image.split!r} is none of {', '.join(SPLITS)}"
    if not image.excluded and not re.fullmatch("[0-9a-f]{64}", image.sha256):
        return f"sha256 {image.sha256!r} is damaged"
    return ""


def summary(images: Sequence[Radiograph]) -> str:
    """A table of how many images each class has, for each split if there is one, and how many were left out and why."""
    kept = Counter((image.label, image.split) for image in images if not image.excluded)
    splits = [split for split in SPLITS if any(image.split == split for image in images)]
    rows = [["class", *splits, "images"]]
    for name in class_names(images):
        counts = [kept[name, split] for split in splits]
        rows.append([name, *map(str, counts), str(sum(n for (label, _), n in kept.items() if label == name))])
    lines = [text_table(rows)]
    reasons = Counter(reason_kind(image.excluded) for image in images if image.excluded)
    if reasons:
        lines += ["", f"left out: {sum(reasons.values())}"]
        lines += [f"{n:6d}  {reason}" for reason, n in reasons.most_common()]
    return "\n".join(lines)


def reason_kind(reason: str) -> str:
    """A reason without the path in it, so that equal reasons are counted together."""
    if reason.startswith("duplicate of "):
        return "duplicate of another image"
    return "same file in two classes" if reason.startswith("same file as ") else reason
