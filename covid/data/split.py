"""Which images train the network and which ones measure it: by patient, or as the paper did."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import replace
from functools import partial

import numpy as np

from covid.data.manifest import SPLITS, Radiograph, class_names
from covid.errors import DataError

HOW = ("patient", "paper", "pre")
_PAPER_TRAIN = 0.8
_PAPER_IMAGES = 123  # images of Cohen's collection in the paper, and images of each class in its pre-experiment


def split(
    images: Sequence[Radiograph],
    how: str,
    *,
    seed: int | np.random.Generator,
    fractions: tuple[float, float, float] = (0.7, 0.1, 0.2),
) -> list[Radiograph]:
    """The same images in the same order, each used one with its `split`: "train", "validation" or "test".

    how="patient": all images of a patient go to one side, and so do patients who share an identical file. Each class is
    divided by `fractions` (train, validation, test), counted in images. Of identical files the first is used and the
    others are left out; a file that has two classes is left out altogether.

    how="paper": 80 % of each class, drawn image by image, is "train", the rest is "test", which the paper used for
    validation too (so: validate on "test"). It takes Kermany's `train` folder alone and 123 of Cohen's images, keeps
    duplicates, and lets a patient be on both sides, so its results are too good; `fractions` plays no part. Of the full
    collections 25, 268 and 775 images are for testing, as in the paper.

    how="pre": the paper's pre-experiment, the same with 123 images of each class (98 and 25), or with as many as the
    smallest class has.

    Raises DataError for an unknown `how`, fractions that do not add up to 1, or a class too small for every side.

    >>> images = [Radiograph(f"{i}.png", "Normal", "folder", f"patient {i}", "", f"{i:064x}") for i in range(10)]
    >>> Counter(image.split for image in split(images, "patient", seed=0))
    Counter({'train': 7, 'test': 2, 'validation': 1})
    """
    rng = np.random.default_rng(seed)
    classes = class_names(images)
    if not classes:
        raise DataError("there is no image to split: all are left out, for the reasons in the manifest")
    if how == "patient":
        return _by_patient(images, classes, fractions, rng)
    if how == "paper":
        return _by_image(_paper_images(images, rng), classes, rng)
    if how == "pre":
        images = _paper_images(images, rng)
        smallest = min(sum(image.label == name and not image.excluded for image in images) for name in classes)
        for name in classes:
            images = _limited(images, name, min(_PAPER_IMAGES, smallest), rng)
        return _by_image(images, classes, rng)
    raise DataError(f"split is {how!r}: choose one of {', '.join(HOW)}")


# ----------------------------------------------------------------------------------------------- the paper


def _paper_images(images: Sequence[Radiograph], rng: np.random.Generator) -> list[Radiograph]:
    """The images with those excluded that the paper did not use."""
    used = [
        replace(image, excluded="paper split uses the train folder only")
        if not image.excluded and image.source == "Kermany" and image.path.split("/")[-3] != "train"
        else image
        for image in images
    ]
    if any(image.source == "Cohen" for image in used):
        used = _limited(used, "COVID-19", _PAPER_IMAGES, rng)
    return used


def _limited(images: Sequence[Radiograph], name: str, most: int, rng: np.random.Generator) -> list[Radiograph]:
    """The images with all but `most` of class `name`, drawn at random, excluded."""
    result = list(images)
    members = [i for i, image in enumerate(images) if image.label == name and not image.excluded]
    for i in rng.permutation(members)[most:]:
        result[i] = replace(result[i], excluded=f"the paper took {most} images of {name}")
    return result


def _by_image(images: Sequence[Radiograph], classes: list[str], rng: np.random.Generator) -> list[Radiograph]:
    """80 % of each class, drawn image by image, for training; the rest for testing."""
    result = list(images)
    for name in classes:
        members = [i for i, image in enumerate(result) if image.label == name and not image.excluded]
        n_train = int(_PAPER_TRAIN * len(members) + 0.5)
        if n_train in (0, len(members)):
            raise DataError(f"class {name} has {len(members)} images for the paper's split: give it at least 3")
        for rank, i in enumerate(rng.permutation(members)):
            result[i] = replace(result[i], split="train" if rank < n_train else "test")
    return result


# ---------------------------------------------------------------------------------------------- by patient


def _by_patient(
    images: Sequence[Radiograph], classes: list[str], fractions: tuple[float, float, float], rng: np.random.Generator
) -> list[Radiograph]:
    if len(fractions) != 3 or min(fractions) <= 0 or abs(sum(fractions) - 1) > 1e-6:
        raise DataError(f"fractions are {fractions}: give three numbers above 0 that add up to 1")
    person = _persons(images)
    result = _without_repeats(images)
    counts: dict[str, Counter[str]] = defaultdict(Counter)  # person → images of each class
    for image in result:
        if not image.excluded:
            counts[person[image.patient]][image.label] += 1
    side = _assign(counts, classes, fractions, rng)
    return [image if image.excluded else replace(image, split=side[person[image.patient]]) for image in result]


def _persons(images: Sequence[Radiograph]) -> dict[str, str]:
    """Patient → one patient who stands for all that are joined to it by identical files (union-find)."""
    parent = {image.patient: image.patient for image in images}

    def find(patient: str) -> str:
        while parent[patient] != patient:
            parent[patient] = patient = parent[parent[patient]]
        return patient

    owner: dict[str, str] = {}  # sha256 → the first patient with that file
    for image in images:
        if not image.excluded:
            parent[find(image.patient)] = find(owner.setdefault(image.sha256, image.patient))
    return {patient: find(patient) for patient in parent}


def _without_repeats(images: Sequence[Radiograph]) -> list[Radiograph]:
    """The images with identical files excluded: all but the first, or all of them if they differ in class."""
    same: dict[str, list[Radiograph]] = defaultdict(list)
    for image in images:
        if not image.excluded:
            same[image.sha256].append(image)

    def reason(image: Radiograph) -> str:
        others = same[image.sha256]
        for other in others:
            if other.label != image.label:
                return f"same file as {other.path} in class {other.label}"
        return "" if others[0] is image else f"duplicate of {others[0].path}"

    return [image if image.excluded else replace(image, excluded=reason(image)) for image in images]


def _assign(
    counts: dict[str, Counter[str]], classes: list[str], fractions: tuple[float, float, float], rng: np.random.Generator
) -> dict[str, str]:
    """Person → side. The largest go first, each to the side that it leaves least full (greedy, as in scheduling jobs).

    Before that each side receives a smallest person of each class, so that none is left without.
    """
    total = sum(counts.values(), Counter())
    goal = {s: {c: fraction * total[c] for c in classes} for s, fraction in zip(SPLITS, fractions, strict=True)}
    filled: dict[str, Counter[str]] = {s: Counter() for s in SPLITS}
    side: dict[str, str] = {}

    def fill(person: str, s: str) -> float:
        return max((filled[s][c] + n) / goal[s][c] for c, n in counts[person].items())

    def put(person: str, s: str) -> None:
        side[person] = s
        filled[s].update(counts[person])

    persons = sorted(counts)
    rng.shuffle(persons)
    persons.sort(key=lambda person: counts[person].total())  # stable: equals stay shuffled
    for c in sorted(classes, key=lambda c: total[c]):  # the rarest has the least choice
        for s in SPLITS:
            if filled[s][c] == 0:
                person = next((p for p in persons if c in counts[p] and p not in side), None)
                if person is None:
                    n = sum(c in images for images in counts.values())
                    raise DataError(
                        f"class {c} has {total[c]} images of {n} patients, too few for {', '.join(SPLITS)}: each needs "
                        "a patient; add images of other patients, or take the class away"
                    )
                put(person, s)
    for person in reversed(persons):
        if person not in side:
            put(person, min(SPLITS, key=partial(fill, person)))
    return side
