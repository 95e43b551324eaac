"""Image files to a manifest: every image that a download holds, its class and patient, or why it is left out."""

from __future__ import annotations

import csv
import hashlib
import io
import os
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from covid.data.duplicates import THUMBNAIL, near_duplicates, perceptual_hash, thumbnail
from covid.data.manifest import CLASSES, Radiograph, class_names
from covid.data.preprocess import decode, reason
from covid.errors import DataError

_KNOWN_CLASSES = {"covid": "COVID-19", "covid19": "COVID-19", "normal": "Normal", "pneumonia": "Pneumonia"}
IMAGE_SUFFIXES = {".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".gif", ".webp"}
_ARCHIVE_SUFFIXES = {".gz", ".zip", ".nii", ".tar", ".tgz", ".rar", ".7z"}
_EXPECTED = (
    "expected chest_xray/ (Kermany) and covid-chestxray-dataset/ (Cohen), one of the two, or one folder a class with "
    "the images directly in it"
)


def collect(root: Path | str, *, workers: int | None = None) -> list[Radiograph]:
    """Find every image under `root`, read the usable ones in full, and say of the others why they are left out.

    `root` holds Kermany's `chest_xray` and Cohen's `covid-chestxray-dataset` (or is one of them), or, failing both,
    one folder a class with the images directly in it. Hidden files are skipped; a folder that belongs to neither is
    listed as left out. What the sources give:

    - Kermany: classes Normal and Pneumonia. All images are anteroposterior.
    - Cohen: class COVID-19, from X-rays taken PA or AP. Supine AP images are left out: they are of patients too ill to
      sit up, taken at the bedside, and no other class here has any. Other findings are left out too, because they
      would bring adults into Pneumonia, where all others are children.
    - Folders: the class is the folder's name (NORMAL, COVID19 and their like become the names above). Nothing tells
      who the patient is, so each file counts as a patient of its own.

    Patients of whom an image looks the same, re-encoded, resized or brightened, are taken for one.

    Raises DataError if `root` is missing or holds nothing of this, or if Cohen's metadata.csv is missing or incomplete.

    >>> images = collect("data"); print(summary(images))  # doctest: +SKIP
    """
    from tinycnn.training.progress import (
        process_map,  # here, because the processes that it starts import this module too
    )

    root = Path(root)
    if not root.is_dir():
        raise DataError(f"{root} is not a folder; {_EXPECTED}")
    images = list(_find(root))
    if all(image.path.endswith("/") for image in images):
        raise DataError(f"no images in {root}; {_EXPECTED}. Unpack archives first")
    kept = [i for i, image in enumerate(images) if not image.excluded]
    checks = process_map(_check, [root / images[i].path for i in kept], "reading images", "image", workers=workers)
    thumbnails = {}
    for i, (sha256, problem, tiny) in zip(kept, checks, strict=True):
        images[i] = replace(images[i], sha256=sha256, excluded=problem)
        if tiny is not None:
            thumbnails[i] = tiny
    _check_classes(images)
    return _joined_patients(images, thumbnails)


def _joined_patients(images: Sequence[Radiograph], thumbnails: dict[int, NDArray[np.uint8]]) -> list[Radiograph]:
    """The images with two patients made one wherever an image of the one looks the same as an image of the other.

    An image re-encoded for another article comes back under another patient's name, and could land on both sides.
    """
    places = list(thumbnails)
    tiny = np.array(list(thumbnails.values())).reshape(-1, THUMBNAIL, THUMBNAIL)
    patient = {image.patient: image.patient for image in images}
    for pair in near_duplicates(np.array([perceptual_hash(one) for one in tiny]).reshape(-1, 64), tiny):
        kept, given_up = (patient[images[places[i]].patient] for i in (pair.first, pair.second))
        patient = {name: kept if known_as == given_up else known_as for name, known_as in patient.items()}
    return [replace(image, patient=patient[image.patient]) for image in images]


def _check_classes(images: Sequence[Radiograph]) -> None:
    """DataError for a class that was found but of which no image can be used: leaving it out would go unnoticed."""
    usable = set(class_names(images))
    for image in images:
        if image.label not in usable and (image.label in CLASSES or (image.label and image.source == "folder")):
            reasons = Counter(other.excluded for other in images if other.label == image.label)
            found = "; ".join(f"{n} × {reason}" for reason, n in reasons.most_common(3))
            raise DataError(
                f"class {image.label} has no usable image ({found}): mend the files, or take its folder away"
            )


def _check(path: Path) -> tuple[str, str, NDArray[np.uint8] | None]:
    """The file's sha256, no problem and its thumbnail; or no sha256, the problem and none."""
    try:
        data = path.read_bytes()
    except OSError as error:
        return "", f"unreadable: {error.strerror}", None
    try:
        grey = decode(io.BytesIO(data))
    except Exception as error:  # Pillow's decoders raise nearly anything on damaged files
        return "", f"unreadable: {reason(error)}", None
    return hashlib.sha256(data).hexdigest(), "", thumbnail(grey)


def _find(root: Path) -> Iterator[Radiograph]:
    # Kaggle's archive holds a second copy, chest_xray/chest_xray: the first match is enough
    kermany = next((f for f in (root, root / "chest_xray", root / "chest_xray/chest_xray") if _is_kermany(f)), None)
    cohen = next((f for f in (root, *_folders(root)) if _is_cohen(f)), None)
    if not kermany and not cohen:
        yield from _class_folders(root)
        return
    images = [*(_kermany(root, kermany) if kermany else ()), *(_cohen(root, cohen) if cohen else ())]
    yield from images
    if cohen != root:
        used = {image.path.split("/")[0] for image in images}
        yield from (_unused(root, folder) for folder in _folders(root) if folder.name not in used)


def _unused(root: Path, folder: Path) -> Radiograph:
    name = _relative(root, folder) + "/"
    return Radiograph(name, "", "folder", "", "", excluded=f"folder not used: {name}")


# ------------------------------------------------------------------------------------------------ Kermany


def _is_kermany(folder: Path) -> bool:
    return any((folder / part / name).is_dir() for part in ("train", "val", "test") for name in ("NORMAL", "PNEUMONIA"))


def _kermany(root: Path, folder: Path) -> Iterator[Radiograph]:
    for name, label in (("NORMAL", "Normal"), ("PNEUMONIA", "Pneumonia")):
        if not any(_files(folder / part / name) for part in ("train", "val", "test")):
            raise DataError(f"{folder} has no images of class {name}: download it again, all of train, val and test")
        for part in ("train", "val", "test"):
            for path in _files(folder / part / name):
                patient = f"Kermany/{_kermany_patient(part, path.stem)}"
                relative = _relative(root, path)
                yield Radiograph(relative, label, "Kermany", patient, "AP", excluded=_not_an_image(path))


def _kermany_patient(part: str, stem: str) -> str:
    """The patient that a file name tells.

    `person123_bacteria_456` is person123; these numbers restart in `test`, while `val` goes on where `train` ends.
    `IM-0115-0001`, `IM-0115-0001-0002` and `NORMAL2-IM-0383-0001` number a patient, an image and a copy of it, so the
    patient is `IM-0115` or `NORMAL2-IM-0383`; these numbers run through all three folders without a repeat.
    """
    if person := re.match(r"person\d+", stem):
        return f"test/{person[0]}" if part == "test" else person[0]
    if normal := re.match(r"(NORMAL2-)?IM-\d+", stem):
        return normal[0]
    return stem.rpartition("-")[0] or stem


# -------------------------------------------------------------------------------------------------- Cohen


def _is_cohen(folder: Path) -> bool:
    """Whether two of its three signs are there, so that a missing metadata.csv is noticed."""
    named = folder.name.startswith("covid-chestxray-dataset")  # GitHub's archive adds a branch, as in "-master"
    return named + (folder / "metadata.csv").is_file() + (folder / "images").is_dir() >= 2


def _cohen(root: Path, folder: Path) -> Iterator[Radiograph]:
    """The rows of metadata.csv, then the images that no row names.

    Its columns grew over time. The first releases had `Patientid`, neither `modality` nor `folder`, and wrote CT under
    `view`; the last ones write findings as a path, such as Pneumonia/Viral/COVID-19.
    """
    named = set()
    for row in _metadata(folder / "metadata.csv"):
        name, view = row["filename"], row["view"]
        modality = row.get("modality") or ("CT" if view.upper() == "CT" else "X-ray")
        path = folder / (row.get("folder") or "images") / name
        named.add(path)
        is_covid = "covid-19" in re.split(r"\s*[/,]\s*", row["finding"].casefold())
        if not name:
            excluded = "no file name"
        elif path.suffix.lower() in _ARCHIVE_SUFFIXES:
            excluded = "archive"
        elif modality.casefold() != "x-ray":
            excluded = f"modality: {modality}"
        elif view.upper() not in ("PA", "AP", "AP ERECT"):
            excluded = f"view: {view or 'not given'}"
        elif not is_covid:
            excluded = f"finding: {row['finding'] or 'not given'}"
        elif not path.is_file():
            excluded = "file is missing"
        else:
            excluded = ""
        relative = _relative(root, path)
        label = "COVID-19" if is_covid else row["finding"]
        yield Radiograph(relative, label, "Cohen", f"Cohen/{row['patientid'] or name}", view, excluded=excluded)
    for path in _files(folder / "images"):
        if path not in named:
            relative = _relative(root, path)
            yield Radiograph(relative, "", "Cohen", f"Cohen/{path.name}", "", excluded="no row in metadata.csv")


def _metadata(path: Path) -> Iterator[dict[str, str]]:
    """The rows, with column names in lower case and no spaces around anything."""
    if not path.is_file():
        raise DataError(f"{path} is missing: it tells the images' findings; download the whole dataset again")
    try:
        with open(path, newline="", encoding="utf-8-sig", errors="replace") as file:
            reader = csv.reader(file)
            columns = [column.strip().casefold() for column in next(reader, [])]
            for needed in ("patientid", "finding", "view", "filename"):
                if needed not in columns:
                    raise DataError(f"{path} has no column {needed!r}; download it again")
            for values in reader:
                values += [""] * (len(columns) - len(values))
                yield {column: value.strip() for column, value in zip(columns, values, strict=False)}
    except csv.Error as error:
        raise DataError(f"{path} is not a table of comma-separated values: {error}; download it again") from error


# ------------------------------------------------------------------------------------- one folder a class


def _class_folders(root: Path) -> Iterator[Radiograph]:
    for folder in _folders(root):
        files = _files(folder)
        if not any(folder.iterdir()):
            raise DataError(f"{folder} is a class with no images: put its images there, or remove the folder")
        if all(_not_an_image(path) for path in files):
            yield _unused(root, folder)
            continue
        label = _KNOWN_CLASSES.get(re.sub(r"[-_ ]", "", folder.name).casefold(), folder.name)
        for path in files:
            relative = _relative(root, path)
            yield Radiograph(relative, label, "folder", f"folder/{relative}", "", excluded=_not_an_image(path))
        for inner in _folders(folder):
            yield _unused(root, inner)


def _relative(root: Path, path: Path) -> str:
    return Path(os.path.relpath(path, root)).as_posix()


def _folders(folder: Path) -> list[Path]:
    visible = (path for path in folder.iterdir() if not path.name.startswith((".", "__MACOSX")))
    return sorted(path for path in visible if path.is_dir())


def _files(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    return sorted(path for path in folder.iterdir() if path.is_file() and not path.name.startswith("."))


def _not_an_image(path: Path) -> str:
    """Why a file's name says that it is no image; empty if it may be one."""
    suffix = path.suffix.lower()
    if suffix in IMAGE_SUFFIXES:
        return ""
    return "archive" if suffix in _ARCHIVE_SUFFIXES else f"not an image: {suffix or path.name}"
