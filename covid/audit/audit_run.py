"""After training: how much of a network's score is left without the lungs, and how much a few features explain."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import tinycnn as tc
from covid.audit.image_features import read_image_features
from covid.audit.perturbations import UNTOUCHED, Pixels, perturbations
from covid.audit.shortcut_baseline import (
    FILE_FEATURES,
    PIXEL_FEATURES,
    file_features,
    fit_linear_classifier,
    pixel_features,
)
from covid.errors import DataError
from covid.evaluation.metrics import confusion_matrix, metrics
from covid.runs import pixels
from covid.runs.run import Run
from covid.tables import text_table
from tinycnn.training.progress import Progress

_CHUNK = 256  # images changed at once
_MUCH, _SOME = 0.5, 0.2  # shares of the balanced accuracy above chance that are left
_STEADY = 0.02  # a fall in accuracy that is not worth a word


def audit_run(
    run: Run, cache: Path, device: str = "cpu", weights: str = "last", *, workers: int | None = None
) -> dict[str, Any]:
    """How a run's network does on changed test images, and what a shortcut baseline gets right; plain JSON types.

    The result holds "images", "classes" and "majority" of the test images; "conditions", the untouched images first,
    then every change of `covid.audit.perturbations`; "shortcut_baseline", linear classifiers of image features, fitted
    to the training images and measured on the same test images; "verdict", sentences. Each condition and baseline has
    "accuracy" with its 95 % Wilson "interval", "balanced_accuracy" (mean sensitivity) and "sensitivity" with interval
    for each class.

    Raises DataError if the run's images or weights are missing.

    >>> print(format_run_audit(audit_run(Run.open("runs/first"), Path("cache"))))  # doctest: +SKIP
    """
    config, images = run.config(), run.images()
    root = pixels.data_root(config, cache)
    if not root.is_dir():
        raise DataError(f"the run's images are not in {root} any more: put them back, or train again")
    net = run.network(weights, device)
    data = pixels.datasets(images, config, root, cache)
    used = [image for side in ("train", "test") for image in images if image.split == side]
    n = len(data["train"])
    features = file_features(read_image_features(root, used, workers=workers))
    t_train, (x_test, t_test) = data["train"].labels, data["test"][np.arange(len(data["test"]))]
    grey_train = data["train"].x[data["train"].indices, :1]

    audit = audit_network(net, x_test, t_test, config.classes, config.batch_size)
    audit["shortcut_baseline"] = [
        _baseline(name, names, train_features, t_train, test_features, t_test, config.classes, equal)
        for name, names, train_features, test_features in (
            ("baseline: file features", FILE_FEATURES, features[:n], features[n:]),
            ("baseline: pixel features", PIXEL_FEATURES, pixel_features(grey_train), pixel_features(x_test)),
        )
        for equal in (False, True)
    ]
    audit["verdict"] = verdict(audit)
    return {"run": str(run.folder), "weights": weights, **audit}


def example_images(run: Run, cache: Path) -> dict[str, Pixels]:
    """One untouched test image of each class, (C, H, W), to show what the occlusions hide."""
    config = run.config()
    test = pixels.datasets(run.images(), config, pixels.data_root(config, cache), cache)["test"]
    first = {
        name: int(np.flatnonzero(test.labels == i)[0])
        for i, name in enumerate(config.classes)
        if (test.labels == i).any()
    }
    return {name: np.array(test[[i]][0][0]) for name, i in first.items()}


def audit_network(
    net: tc.Sequential, x: Pixels, t: NDArray[np.int64], classes: Sequence[str], batch_size: int = 64
) -> dict[str, Any]:
    """The conditions of `audit_run` for a network on images x (N, C, H, W) with labels t (N,), without the verdict."""
    changes, conditions = perturbations(*x.shape[2:]), []
    with Progress(len(changes), "trying changed images", "change") as bar:
        for change in changes:
            outputs = np.concatenate(
                [_outputs(net, change.apply(x[i : i + _CHUNK]), batch_size) for i in range(0, len(x), _CHUNK)]
            )
            conditions.append({"name": change.name, "kind": change.kind, **_scores(t, outputs, classes)})
            bar.update()
    counts = np.bincount(t, minlength=len(classes))
    return {
        "images": len(t),
        "classes": list(classes),
        "conditions": conditions,
        "majority": {"class": classes[int(counts.argmax())], "accuracy": float(counts.max() / len(t))},
    }


def _outputs(net: tc.Sequential, x: Pixels, batch_size: int) -> NDArray[np.int64]:
    """The most probable class of each image (N,), wherever the network computes."""
    p = tc.evaluate(net, tc.Dataset(x, np.zeros(len(x), np.int64)), batch_size).probabilities
    return p.argmax(axis=1)


def _baseline(
    name: str,
    features: Sequence[str],
    train_features: NDArray[np.float64],
    t_train: NDArray[np.int64],
    test_features: NDArray[np.float64],
    t_test: NDArray[np.int64],
    classes: Sequence[str],
    equal: bool,
) -> dict[str, Any]:
    classifier = fit_linear_classifier(train_features, t_train, equal_classes=equal)
    return {
        "name": f"{name}, equal classes" if equal else name,
        "features": list(features),
        "equal_classes": equal,
        **_scores(t_test, classifier.predict(test_features), classes),
    }


def _scores(targets: NDArray[np.int64], outputs: NDArray[np.int64], classes: Sequence[str]) -> dict[str, Any]:
    result = metrics(confusion_matrix(targets, outputs, len(classes)), classes)
    return {
        "accuracy": result["accuracy"],
        "interval": result["accuracy_interval"],
        "balanced_accuracy": result["balanced_accuracy"],
        "sensitivity": {
            name: {"value": values["sensitivity"], "interval": values["intervals"]["sensitivity"]}
            for name, values in result["per_class"].items()
        },
    }


# ------------------------------------------------------------------------------------------ the verdict


def verdict(audit: Mapping[str, Any]) -> list[str]:
    """What the figures of `audit_run` mean, in sentences."""
    rows = {row["name"]: row for row in audit["conditions"]}
    untouched, majority = rows[UNTOUCHED], audit["majority"]
    low, high = untouched["interval"]
    chance = 1 / sum(s["value"] is not None for s in untouched["sensitivity"].values())
    sentences = [
        f"On the {audit['images']} test images as they are the network is right in {untouched['accuracy']:.1%} "
        f"({low:.1%} to {high:.1%}); always answering {majority['class']} is right in {majority['accuracy']:.1%}. "
        f"Its balanced accuracy is {untouched['balanced_accuracy']:.1%}; chance is {chance:.1%}."
    ]
    if untouched["balanced_accuracy"] - chance < 0.05:
        sentences.append("It hardly does better than chance, so there is no score to explain.")
    else:
        sentences += [
            _occluded(rows[name], untouched, majority, chance, phrase)
            for name, phrase in (
                ("lungs occluded", "With the lungs occluded"),
                ("only the border", "From the border alone"),
            )
        ]
        sentences.append(
            "A score that is left shows what the network can do without; a score that is lost does not "
            "show that it reads the lungs, for it was never trained on occluded images."
        )
        alone = rows["only the lungs"]
        sentences.append(
            f"From the lungs alone it is right in {alone['accuracy']:.1%}, with a balanced accuracy of "
            f"{alone['balanced_accuracy']:.1%}. They tell age and exposure as well as disease."
        )
    sentences += [_baseline_sentence(audit["shortcut_baseline"], untouched)] if audit.get("shortcut_baseline") else []
    for what, kinds in (
        ("turns and shifts", ("rotation", "shift")),
        ("changes of contrast and brightness", ("contrast", "brightness")),
    ):
        changed = [row for row in audit["conditions"] if row["kind"] in kinds]
        sentences.append(_steadiness(what, changed, untouched, audit["classes"][0]))
    return sentences


def _steadiness(what: str, changed: Sequence[Mapping[str, Any]], untouched: Mapping[str, Any], name: str) -> str:
    worst = min(changed, key=lambda row: row["accuracy"])
    fall = untouched["accuracy"] - worst["accuracy"]
    if fall <= _STEADY:
        sentence = f"The {what} tried hardly matter: the worst, {worst['name']}, costs {100 * fall:.1f} points"
    else:
        sentence = (
            f"Of the {what} tried, the worst is {worst['name']}: {worst['accuracy']:.1%} right, "
            f"{100 * fall:.1f} points less"
        )
    found = [row["sensitivity"][name]["value"] for row in changed]
    if None in found:
        return f"{sentence}."
    return (
        f"{sentence}; the sensitivity for {name} ({untouched['sensitivity'][name]['value']:.1%}) lies between "
        f"{min(found):.1%} and {max(found):.1%}."
    )


def _occluded(
    row: Mapping[str, Any], untouched: Mapping[str, Any], majority: Mapping[str, Any], chance: float, phrase: str
) -> str:
    left = (row["balanced_accuracy"] - chance) / (untouched["balanced_accuracy"] - chance)
    if left >= _SOME:
        meaning = f"{'much' if left >= _MUCH else 'some'} of its score does not come from the lungs"
    else:
        meaning = "no sign that its score comes from elsewhere than the lungs"
    return (
        f"{phrase} it is still right in {row['accuracy']:.1%} (always {majority['class']}: "
        f"{majority['accuracy']:.1%}), with a balanced accuracy of {row['balanced_accuracy']:.1%}, "
        f"{max(left, 0):.0%} of what it had above chance: {meaning}."
    )


def _baseline_sentence(baselines: Sequence[Mapping[str, Any]], untouched: Mapping[str, Any]) -> str:
    accurate = max(baselines, key=lambda row: row["accuracy"])
    balanced = max(baselines, key=lambda row: row["balanced_accuracy"])
    names = [row["name"].removeprefix("baseline: ") for row in (accurate, balanced)]
    figures = (
        f"The shortcut baseline, a linear classifier of a few coarse image features, is right in "
        f"{accurate['accuracy']:.1%} ({names[0]}), or reaches a balanced accuracy of "
        f"{balanced['balanced_accuracy']:.1%} ({names[1]})"
    )
    beaten = (
        untouched["interval"][0] > accurate["accuracy"],
        untouched["balanced_accuracy"] > balanced["balanced_accuracy"],
    )
    if all(beaten):
        return (
            f"{figures}. The network beats this baseline; only what it gets right beyond it can come from the disease."
        )
    if any(beaten):
        measure, other = ("accuracy", "balanced accuracy") if beaten[0] else ("balanced accuracy", "accuracy")
        return f"{figures}. The network beats this baseline in {measure}, but not in {other}."
    return f"{figures}. The network does not beat this baseline: its score proves nothing about disease."


# --------------------------------------------------------------------------------------------- the report


def format_run_audit(audit: Mapping[str, Any]) -> str:
    """The result of `audit_run` as text: the verdict, then a table in percent."""
    classes = audit["classes"]
    header = ["", "accuracy", "95 % interval", "balanced", *classes]
    rows = [header, *(_cells(row, classes) for row in audit["conditions"])]
    lines = [
        f"{audit['images']} test images of {audit['run']}, {audit['weights']} weights",
        "",
        "Verdict",
        *(f"- {sentence}" for sentence in audit["verdict"]),
        "",
        "The network, in percent (the classes' columns are their sensitivities)",
        text_table(rows, "  "),
        "",
        "The shortcut baseline: linear classifiers that see only these image features",
        text_table([header, *(_cells(row, classes) for row in audit["shortcut_baseline"])], "  "),
    ]
    lines += [
        f"  {row['name']}: {', '.join(row['features'])}"
        for row in audit["shortcut_baseline"]
        if not row["equal_classes"]
    ]
    lines += [
        "",
        "The lungs are two fixed ellipses, the same on every image, and no segmentation; border and middle "
        "part at 9 % of the sides.",
        "What is occluded takes the mean grey level of what is not. Intervals are Wilson's.",
    ]
    return "\n".join(lines)


def _cells(row: Mapping[str, Any], classes: Sequence[str]) -> list[str]:
    low, high = row["interval"]
    sensitivities = [row["sensitivity"][name]["value"] for name in classes]
    return [
        row["name"],
        f"{100 * row['accuracy']:.1f}",
        f"{100 * low:.1f} to {100 * high:.1f}",
        f"{100 * row['balanced_accuracy']:.1f}",
        *("–" if s is None else f"{100 * s:.1f}" for s in sensitivities),
    ]
