"""Everything that is measured of a network's predictions, and of two networks' on the same images."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from covid.errors import DataError
from covid.evaluation.calibration import apply_temperature, brier, ece, fit_temperature, reliability
from covid.evaluation.curves import Curve, average_precision, precision_recall_curve, roc_auc, roc_curve
from covid.evaluation.intervals import bootstrap, mcnemar, wilson
from covid.evaluation.metrics import confusion_matrix, metrics
from covid.runs.predictions import Predictions

PER_CLASS = ("sensitivity", "precision", "f1", "roc_auc", "average_precision")


def measure(predictions: Predictions, *, seed: int = 0, repeats: int = 1000) -> dict[str, Any]:
    """All figures of the test images, in plain JSON types: what `covid.evaluation.metrics.metrics` gives, and besides

    - "patients", how many there are, and "bootstrap", the 95 % intervals when patients are drawn with replacement, of
      "accuracy", "balanced_accuracy" and, in "per_class", of sensitivity, precision, f1, roc_auc, average_precision;
    - "roc_auc" and "average_precision": for each class against the rest the "value" and that "interval";
    - "calibration": "ece", "brier", the reliability "bins", the "temperature" fitted to the validation images, and the
      test images' "ece_after" dividing by it.

    What is undefined is None: an interval of a single patient, the AUC of a class without images, a temperature without
    validation images. Raises DataError when there is no test image.

    >>> table = Predictions(("sick", "well"), np.array(["a", "b", "c"]), np.array(["p", "q", "r"]), np.array(["s"] * 3),
    ...                     np.array(["test"] * 3), np.array([0, 0, 1]), np.array([[0.9, 0.1], [0.4, 0.6], [0.3, 0.7]]))
    >>> result = measure(table)
    >>> result["patients"], result["per_class"]["sick"]["sensitivity"], result["roc_auc"]["sick"]["value"]
    (3, 0.5, 1.0)
    """
    test = _test_images(predictions)
    statistic = _statistic(test)
    values = statistic(np.ones(len(test), dtype=np.int64))[2:].reshape(len(PER_CLASS), -1)
    accuracy, balanced, *rest = bootstrap(statistic, test.patients, repeats=repeats, seed=seed)
    ends = np.reshape(rest, (*values.shape, 2))
    intervals = {
        name: {figure: _interval(ends[j, i]) for j, figure in enumerate(PER_CLASS)}
        for i, name in enumerate(test.classes)
    }

    def areas(figure: str) -> dict[str, Any]:
        row = values[PER_CLASS.index(figure)]
        return {
            name: {"value": _number(value), "interval": intervals[name][figure]}
            for name, value in zip(test.classes, row, strict=True)
        }

    return {
        **metrics(confusion_matrix(test.targets, test.outputs, len(test.classes)), test.classes),
        "patients": len(np.unique(test.patients)),
        "roc_auc": areas("roc_auc"),
        "average_precision": areas("average_precision"),
        "bootstrap": {
            "repeats": repeats,
            "seed": seed,
            "accuracy": _interval(accuracy),
            "balanced_accuracy": _interval(balanced),
            "per_class": intervals,
        },
        "calibration": _calibration(test, predictions.of("validation")),
    }


def compare(a: Predictions, b: Predictions, *, seed: int = 0, repeats: int = 1000) -> dict[str, Any]:
    """Two networks on the test images, by path, that both tables hold, in plain JSON types.

    "n" images of so many "patients"; for "a" and "b" the "accuracy" and its 95 % Wilson "interval"; the "difference"
    a − b and its 95 % interval when patients are drawn with replacement; and "mcnemar" as
    `covid.evaluation.intervals.mcnemar` gives it. Raises DataError when the classes differ, when no test
    image is in both, or when one has another class.
    """
    if a.classes != b.classes:
        raise DataError(
            f"the first predictions are of the classes {', '.join(a.classes)}, the second of "
            f"{', '.join(b.classes)}: compare runs of the same classes"
        )
    a, b = a.of("test"), b.of("test")
    paths, in_a, in_b = np.intersect1d(a.paths, b.paths, return_indices=True)
    if not len(paths):
        raise DataError(
            f"none of the {len(a)} and {len(b)} test images is in both predictions: compare runs on the "
            "same data with the same split and seed"
        )
    a, b = a[in_a], b[in_b]
    differ = paths[a.targets != b.targets]
    if len(differ):
        raise DataError(f"{differ[0]} is of another class in the second predictions: compare runs on the same data")
    right_a, right_b = a.outputs == a.targets, b.outputs == b.targets
    gain = right_a.astype(np.int64) - right_b
    ends = bootstrap(lambda weights: np.average(gain, weights=weights), a.patients, repeats=repeats, seed=seed)
    return {
        "n": len(a),
        "patients": len(np.unique(a.patients)),
        **{
            name: {"accuracy": float(right.mean()), "interval": list(wilson(int(right.sum()), len(right)))}
            for name, right in (("a", right_a), ("b", right_b))
        },
        "difference": float(gain.mean()),
        "difference_interval": _interval(ends),
        "mcnemar": mcnemar(right_a, right_b),
    }


def class_curves(predictions: Predictions, measures: dict[str, Any]) -> tuple[list[Curve], list[Curve]]:
    """The ROC and the precision-recall curves of the test images, a class each, with the areas that `measure` found."""
    test = _test_images(predictions)
    roc, precision_recall = [], []
    for i, name in enumerate(test.classes):
        targets, scores = test.targets == i, test.probabilities[:, i]
        false_positive_rate, true_positive_rate, _ = roc_curve(targets, scores)
        precision, recall, _ = precision_recall_curve(targets, scores)
        area, average = measures["roc_auc"][name], measures["average_precision"][name]
        roc.append(Curve(name, false_positive_rate, true_positive_rate, area["value"], area["interval"]))
        precision_recall.append(Curve(name, recall, precision, average["value"], average["interval"]))
    return roc, precision_recall


def _test_images(predictions: Predictions) -> Predictions:
    test = predictions.of("test")
    if not len(test):
        raise DataError(
            f"none of the {len(predictions)} images of the predictions is a test image: evaluate a run that has some"
        )
    return test


def _statistic(test: Predictions) -> Callable[[NDArray[np.int64]], NDArray[np.float64]]:
    """Accuracy, balanced accuracy and the figures of PER_CLASS, (2 + 5K,), when image n counts weights[n] times."""
    k = len(test.classes)
    pairs = test.outputs * k + test.targets
    present = np.unique(test.targets)
    columns = [(test.targets == i, test.probabilities[:, i]) for i in range(k)]

    def statistic(weights: NDArray[np.int64]) -> NDArray[np.float64]:
        confusion = np.bincount(pairs, weights, minlength=k * k).reshape(k, k)
        right, answered, support = confusion.diagonal(), confusion.sum(axis=1), confusion.sum(axis=0)
        with np.errstate(invalid="ignore"):  # 0/0 is NaN, which is what undefined means here
            sensitivity, precision, f1 = right / support, right / answered, 2 * right / (answered + support)
        areas = [[area(*column, weights) for column in columns] for area in (roc_auc, average_precision)]
        overall = right.sum() / weights.sum(), sensitivity[present].mean()
        return np.concatenate([overall, sensitivity, precision, f1, *areas])

    return statistic


def _calibration(test: Predictions, validation: Predictions) -> dict[str, Any]:
    p, t = test.probabilities, test.targets
    temperature = fit_temperature(validation.probabilities, validation.targets) if len(validation) else None
    return {
        "ece": ece(p, t),
        "brier": brier(p, t),
        "bins": reliability(p, t),
        "temperature": temperature,
        "ece_after": ece(apply_temperature(p, temperature), t) if temperature else None,
    }


def _number(value: float) -> float | None:
    return None if np.isnan(value) else float(value)


def _interval(ends: NDArray[np.float64]) -> list[float] | None:
    return None if np.isnan(ends).any() else [float(end) for end in ends]
