"""Before training: images that occur twice, patients on two sides of a split, and classes that a file betrays."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from covid.audit.image_features import ImageFeatures, read_image_features
from covid.data.collect import collect
from covid.data.duplicates import MAX_DISTANCE, MIN_CORRELATION, Pair, exact_duplicates, near_duplicates
from covid.data.manifest import SPLITS, Radiograph, class_names
from covid.data.split import split
from covid.errors import DataError
from covid.tables import text_table

_LISTED = 10  # pairs that the text report names
_SURE = 0.001  # the verdict leaves out features that chance would make as telling more often than this


def audit_data(
    root: Path, images: Sequence[Radiograph] | None = None, *, seed: int = 0, workers: int | None = None
) -> dict[str, Any]:
    """What could mislead a network, or its test, in the images of `root`; plain JSON types.

    Without `images`, those of the folder are collected, and split by patient and as the paper did. With the images of
    a run's manifest, the run's own split is judged. Images that are left out play no part. The result holds

    - "images", "classes" (images of each), "majority" (the commonest class and its share);
    - "exact": identical files; "near": pairs that `covid.data.duplicates.near_duplicates` finds;
    - "splits": for each split, what it lets through from training or validation into the test (see `_leaks`);
    - "image_features": for each property of the files a table of class × value, and how well it alone tells the class
      (see `feature_table`);
    - "verdict": the above in sentences.

    Raises DataError if no image can be used, or one is missing or damaged.

    >>> print(format_data_audit(audit_data(Path("data"))))  # doctest: +SKIP
    """
    if images is None:
        images = collect(root, workers=workers)
        splits: dict[str, Sequence[Radiograph] | str] = {
            how: _try_split(images, how, seed) for how in ("patient", "paper")
        }
    else:
        splits = {"run": images}
    used = [image for image in images if not image.excluded]
    if not used:
        raise DataError(f"no image of {root} can be used; give a folder or a run with images")
    features = read_image_features(root, used, workers=workers)

    exact = exact_duplicates([image.sha256 for image in used])
    near = [
        pair
        for pair in near_duplicates(np.array([c.bits for c in features]), np.array([c.thumbnail for c in features]))
        if used[pair.first].sha256 != used[pair.second].sha256
    ]
    classes = class_names(used)
    counts = Counter(image.label for image in used)
    majority = max(classes, key=lambda name: counts[name])
    audit: dict[str, Any] = {
        "root": str(root),
        "images": len(used),
        "classes": {name: counts[name] for name in classes},
        "majority": {"class": majority, "share": counts[majority] / len(used)},
        "patients_unknown": all(image.source == "folder" for image in used),
        "exact": _exact_report(used, exact),
        "near": _near_report(used, near),
        "splits": {
            how: {"problem": sides} if isinstance(sides, str) else _leaks(used, sides, exact, near)
            for how, sides in splits.items()
        },
        "image_features": {
            name: feature_table([image.label for image in used], list(map(value, used, features)), classes)
            for name, value in _FEATURES.items()
        },
    }
    audit["verdict"] = _verdict(audit)
    return audit


def _try_split(images: Sequence[Radiograph], how: str, seed: int) -> Sequence[Radiograph] | str:
    """The split images, or why they cannot be split: too few images are no reason not to audit them."""
    try:
        return split(images, how, seed=seed)
    except DataError as error:
        return str(error)


# ----------------------------------------------------------------------------- duplicates and patients


def _exact_report(images: Sequence[Radiograph], groups: Sequence[Sequence[int]]) -> dict[str, Any]:
    return {
        "groups": len(groups),
        "images": sum(map(len, groups)),
        "groups_across_classes": sum(len({images[i].label for i in group}) > 1 for group in groups),
        "list": [[images[i].path for i in group] for group in groups],
    }


def _near_report(images: Sequence[Radiograph], pairs: Sequence[Pair]) -> dict[str, Any]:
    both = [(images[pair.first], images[pair.second]) for pair in pairs]
    return {
        "pairs": len(pairs),
        "pairs_across_classes": sum(a.label != b.label for a, b in both),
        "pairs_across_patients": sum(a.patient != b.patient for a, b in both),
        "list": [
            {
                "images": [a.path, b.path],
                "patients": [a.patient, b.patient],
                "bits": pair.distance,
                "correlation": round(pair.correlation, 4),
            }
            for (a, b), pair in zip(both, pairs, strict=True)
        ],
    }


def _leaks(
    images: Sequence[Radiograph], sides: Sequence[Radiograph], exact: Sequence[Sequence[int]], near: Sequence[Pair]
) -> dict[str, Any]:
    """How many images each side has, and how many test images the network has met in training or validation.

    They count as met through the "same_file", a "near_duplicate", the "same_patient", or "any" of these; "classes" has
    the last for each class.
    """
    side_of = {image.path: image.split for image in sides}
    side = [side_of.get(image.path, "") for image in images]
    patients = defaultdict(list)
    for i, image in enumerate(images):
        patients[image.patient].append(i)
    pairs = [(pair.first, pair.second) for pair in near]
    met = {
        "same_file": _met(side, exact),
        "near_duplicate": _met(side, pairs),
        "same_patient": _met(side, patients.values()),
    }
    known = set().union(*met.values())
    return {
        "images": {name: side.count(name) for name in SPLITS},
        "patients_across": sum(len({side[i] for i in group} - {""}) > 1 for group in patients.values()),
        "test_images_met": {name: len(group) for name, group in met.items()} | {"any": len(known)},
        "classes": {
            label: {
                "met": sum(images[i].label == label for i in known),
                "test": sum(image.label == label and side[i] == "test" for i, image in enumerate(images)),
            }
            for label in class_names(images)
        },
    }


def _met(side: Sequence[str], groups: Any) -> set[int]:
    """The test images that share a group with an image of training or validation."""
    return {
        i
        for group in groups
        if any(side[j] in ("train", "validation") for j in group)
        for i in group
        if side[i] == "test"
    }


# -------------------------------------------------------------------------------------- features of the class


def _size(image: Radiograph, features: ImageFeatures) -> str:
    return f"≤ {1 << (max(features.width, features.height) - 1).bit_length()} px"  # the next power of two


def _shape(image: Radiograph, features: ImageFeatures) -> str:
    ratio = features.width / features.height
    return "upright" if ratio < 0.95 else "square" if ratio <= 1.05 else "wide" if ratio <= 1.35 else "very wide"


def _letters(image: Radiograph, features: ImageFeatures) -> str:
    return "none" if features.letters == 0 else "1 or 2" if features.letters <= 2 else "3 or more"


def _letter_place(image: Radiograph, features: ImageFeatures) -> str:
    return "none" if features.letters == 0 else ("top", "middle", "bottom")[min(int(3 * features.letter_height), 2)]


_FEATURES: Mapping[str, Callable[[Radiograph, ImageFeatures], str]] = {
    "source": lambda image, features: image.source,
    "longer side": _size,
    "shape": _shape,
    "file format": lambda image, features: features.format,
    "colour mode": lambda image, features: features.mode,
    "burnt-in letters": _letters,
    "place of the topmost letter": _letter_place,
}


def feature_table(labels: Sequence[str], values: Sequence[str], classes: Sequence[str]) -> dict[str, Any]:
    """A table of class × value, and how well the value alone tells the class of these same images.

    With n[c, v] images: "accuracy" Σ_v max_c n[c, v] / N, the share that guessing each value's commonest class gets
    right; "balanced_accuracy" the same with every class weighing equally, where chance is 1/K; "cramers_v" from 0,
    independent, to 1, where one determines the other, with its "p".

    >>> feature_table(["sick", "sick", "well"], ["PNG", "PNG", "JPEG"], ["sick", "well"])["accuracy"]
    1.0
    """
    names = sorted(set(values), key=lambda value: (len(value), value))  # ≤ 512 px before ≤ 1024 px
    counts = Counter(zip(labels, values, strict=True))
    table = np.array([[counts[label, value] for value in names] for label in classes])
    shares = table / table.sum(axis=1, keepdims=True)
    v, p = association(table)
    return {
        "values": names,
        "counts": {label: row.tolist() for label, row in zip(classes, table, strict=True)},
        "accuracy": float(table.max(axis=0).sum() / table.sum()),
        "balanced_accuracy": float(shares.max(axis=0).sum() / len(classes)),
        "cramers_v": v,
        "p": p,
    }


def association(table: ArrayLike) -> tuple[float, float]:
    """Cramér's V of a contingency table of counts, and the probability of as strong an association by chance.

    V = √(χ² / (N · (min(rows, columns) − 1))), and p from Pearson's χ² test; 0 and 1 with one row or column.

    >>> association([[10, 0], [0, 10]])[0]
    1.0
    """
    from scipy.special import chdtrc  # here, because SciPy takes long to load

    n = np.asarray(table, dtype=np.float64)
    if min(n.shape) < 2:
        return 0.0, 1.0
    expected = n.sum(axis=1, keepdims=True) * n.sum(axis=0) / n.sum()
    chi2 = ((n - expected) ** 2 / expected).sum()
    p = chdtrc((n.shape[0] - 1) * (n.shape[1] - 1), chi2)
    return float(np.sqrt(chi2 / (n.sum() * (min(n.shape) - 1)))), float(p)


# ------------------------------------------------------------------------------------------ the verdict


def _verdict(audit: Mapping[str, Any]) -> list[str]:
    exact, near = audit["exact"], audit["near"]
    sentences = [
        f"{exact['images']} of {audit['images']} files are byte-for-byte copies of one another, in {exact['groups']} "
        f"groups; {exact['groups_across_classes']} of these groups lie in two classes."
        if exact["groups"]
        else "No file is there twice.",
        f"{near['pairs']} pairs of different files look like the same image; {near['pairs_across_patients']} of them "
        f"under two patients' names, {near['pairs_across_classes']} in two classes."
        if near["pairs"]
        else "No two different files look like the same image.",
    ]
    if audit["patients_unknown"]:
        sentences.append(
            "Nothing here tells the patients: each file counts as one of its own, so images of one patient "
            "on two sides go unnoticed."
        )
    sentences += [_split_sentence(how, leaks) for how, leaks in audit["splits"].items()]
    return sentences + _feature_sentences(audit)


def _split_sentence(how: str, leaks: Mapping[str, Any]) -> str:
    name = "The run's split" if how == "run" else f"The {how} split"
    if "problem" in leaks:
        return f"{name} is not possible: {leaks['problem']}."
    met, test = leaks["test_images_met"], leaks["images"]["test"]
    if not met["any"]:
        return f"{name} keeps its {test} test images apart: no file, near-duplicate or patient is on two sides."
    classes = ", ".join(f"{of['met']} of {of['test']} {label}" for label, of in leaks["classes"].items() if of["met"])
    return (
        f"{name} lets the network meet {met['any']} of its {test} test images before the test ({classes}): "
        f"{met['same_patient']} through another image of the patient, {met['same_file']} through the same file, "
        f"{met['near_duplicate']} through a near-duplicate. Results on these images are too good."
    )


def _feature_sentences(audit: Mapping[str, Any]) -> list[str]:
    chance = 1 / len(audit["classes"])
    majority = audit["majority"]
    sentences = []
    counts = audit["image_features"]["source"]["counts"]
    for label, row in counts.items():
        own = [i for i, n in enumerate(row) if n]
        if len(counts) > 1 and not any(other[i] for name, other in counts.items() if name != label for i in own):
            sources = " and ".join(audit["image_features"]["source"]["values"][i] for i in own)
            sentences.append(
                f"Every {label} image comes from {sources}, and no image of another class does: what a "
                "network learns of the class cannot be told from what it learns of the source."
            )
    telling = {
        name: feature
        for name, feature in audit["image_features"].items()
        if feature["p"] < _SURE and feature["balanced_accuracy"] > chance + 0.02
    }
    if not telling:
        return [*sentences, "None of the properties examined tells the classes apart."]
    ranked = sorted(telling, key=lambda name: -telling[name]["balanced_accuracy"])
    shares = ", ".join(f"{name} {telling[name]['balanced_accuracy']:.1%}" for name in ranked)
    best = max(telling, key=lambda name: telling[name]["accuracy"])
    return [
        *sentences,
        "Single properties of a file tell something of its class without a look at the lungs. Guessed from one of "
        f"them, all classes weighing equally, it is right in (chance {chance:.1%}): {shares}.",
        f"Of all images as they are, the {best} alone gives {telling[best]['accuracy']:.1%} right guesses; always "
        f"answering {majority['class']} gives {majority['share']:.1%}.",
    ]


# --------------------------------------------------------------------------------------------- the report


def format_data_audit(audit: Mapping[str, Any]) -> str:
    """The result of `audit_data` as text: the verdict, then what it rests on."""
    lines = [
        f"{audit['images']} images in {audit['root']}: "
        + ", ".join(f"{n} {name}" for name, n in audit["classes"].items()),
        "",
        "Verdict",
    ]
    lines += [f"- {sentence}" for sentence in audit["verdict"]]

    splits = {how: leaks for how, leaks in audit["splits"].items() if "problem" not in leaks}
    if splits:
        rows: list[list[object]] = [
            ["split", "test images", "met before", "same patient", "same file", "near-duplicate"]
        ]
        for how, leaks in splits.items():
            met = leaks["test_images_met"]
            rows.append(
                [
                    how,
                    leaks["images"]["test"],
                    *(met[name] for name in ("any", "same_patient", "same_file", "near_duplicate")),
                ]
            )
        lines += ["", "Test images that the network meets in training or validation", text_table(rows, "  ")]

    for name, feature in audit["image_features"].items():
        rows = [[name, *feature["values"]], *([label, *row] for label, row in feature["counts"].items())]
        lines += [
            "",
            f"Class by {name}: guessed from it alone {feature['accuracy']:.1%}, with equal classes "
            f"{feature['balanced_accuracy']:.1%}; Cramér's V {feature['cramers_v']:.2f}",
            text_table(rows, "  "),
        ]

    near = audit["near"]["list"]
    if near:
        lines += ["", "Different files that look like the same image (bits of the hash that differ, correlation)"]
        lines += [
            f"  {pair['bits']:2d}  {pair['correlation']:.4f}  {' = '.join(pair['images'])}" for pair in near[:_LISTED]
        ]
        lines += [f"  … and {len(near) - _LISTED} more"] if len(near) > _LISTED else []
    lines += [
        "",
        f"Images look like the same one if their 64-bit perceptual hashes differ in at most {MAX_DISTANCE} "
        f"bits and their 32 × 32 thumbnails",
        f"correlate by at least {MIN_CORRELATION}; cropped, turned or mirrored copies are not found. Burnt-in "
        "letters are found by a rule of thumb",
        "(small bright sharp-edged marks in the margins), which errs on single images. The shares guessed are of "
        "these same images.",
    ]
    return "\n".join(lines)
