"""From predicted classes to the numbers of the paper: confusion matrix, precision, sensitivity and their kin."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from statistics import fmean
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from covid.evaluation.intervals import wilson
from covid.tables import percent, text_table


def confusion_matrix(targets: ArrayLike, outputs: ArrayLike, classes: int) -> NDArray[np.int64]:
    """Count every pair of output class and target class: int64 (classes, classes), rows = output, columns = target.

    `targets` and `outputs` are integer labels (N,) in 0 … classes-1. Raises ValueError for labels outside that range
    or lengths that differ, TypeError for labels that are not integers.

    >>> confusion_matrix([0, 0, 1], [0, 1, 1], classes=2).tolist()
    [[1, 0], [1, 1]]
    """
    labels = []
    for name, values in (("targets", targets), ("outputs", outputs)):
        label = np.asarray(values)
        if label.size and not np.issubdtype(label.dtype, np.integer):
            raise TypeError(f"{name} has dtype {label.dtype}; give integer labels, e.g. probabilities.argmax(axis=1)")
        if label.ndim != 1:
            raise ValueError(f"{name} has shape {label.shape}; give one label an image, shape (N,)")
        if label.size and not 0 <= label.min() <= label.max() < classes:
            found = f"labels from {label.min()} to {label.max()}"
            raise ValueError(f"{name} has {found}; {classes} classes allow 0 to {classes - 1}")
        labels.append(label.astype(np.int64))
    target, output = labels
    if len(target) != len(output):
        raise ValueError(f"{len(target)} targets but {len(output)} outputs; give one output for every target")
    return np.bincount(output * classes + target, minlength=classes**2).reshape(classes, classes).astype(np.int64)


def metrics(confusion: ArrayLike, class_names: Sequence[str]) -> dict[str, Any]:
    """Summarise a confusion matrix (rows = output class, columns = target class) in plain JSON types.

    With TP, FP, FN and TN counted for one class against the rest: precision TP/(TP+FP), sensitivity TP/(TP+FN),
    specificity TN/(TN+FP), npv (negative predictive value) TN/(TN+FN), f1 2·TP/(2·TP+FP+FN), accuracy (TP+TN)/N,
    which is Equation 2 of the paper, and support TP+FN. "intervals" holds the 95 % Wilson intervals of the first four,
    as "accuracy_interval" is that of the overall accuracy. "balanced_accuracy" is the mean sensitivity, over classes
    with images, "macro_f1" the mean f1, over classes where it is defined, and "majority" the commonest target class
    with the accuracy of always answering it. A share of nothing (0/0) is None.

    >>> result = metrics([[9, 2], [1, 8]], ["sick", "well"])
    >>> result["accuracy"], result["per_class"]["sick"]["sensitivity"], result["majority"]["accuracy"]
    (0.85, 0.9, 0.5)
    """
    counts = np.asarray(confusion, dtype=np.int64)
    k = len(class_names)
    if counts.shape != (k, k):
        raise ValueError(f"confusion has shape {counts.shape}; for {k} class names it must be ({k}, {k})")
    n, right, support = int(counts.sum()), int(np.trace(counts)), counts.sum(axis=0)
    per_class = {name: _of_class(counts, i) for i, name in enumerate(class_names)}
    commonest = int(support.argmax())
    return {
        "n": n,
        "accuracy": _share(right, n),
        "accuracy_interval": list(wilson(right, n)),
        "balanced_accuracy": _mean(values["sensitivity"] for values in per_class.values()),
        "macro_f1": _mean(values["f1"] for values in per_class.values()),
        "majority": {"class": class_names[commonest] if n else None, "accuracy": _share(int(support[commonest]), n)},
        "classes": list(class_names),
        "confusion": counts.tolist(),
        "per_class": per_class,
    }


def _of_class(counts: NDArray[np.int64], i: int) -> dict[str, Any]:
    """The figures of class i against the rest."""
    tp = int(counts[i, i])
    fp, fn = int(counts[i].sum()) - tp, int(counts[:, i].sum()) - tp
    tn = int(counts.sum()) - tp - fp - fn
    shares = {
        "precision": (tp, tp + fp),
        "sensitivity": (tp, tp + fn),
        "specificity": (tn, tn + fp),
        "npv": (tn, tn + fn),
    }
    return {
        **{name: _share(*counted) for name, counted in shares.items()},
        "f1": _share(2 * tp, 2 * tp + fp + fn),
        "accuracy": _share(tp + tn, tp + fp + fn + tn),
        "support": tp + fn,
        "intervals": {name: list(wilson(*counted)) if counted[1] else None for name, counted in shares.items()},
    }


COLUMNS = {
    "precision": "precision",
    "sensitivity": "sensitivity",
    "specificity": "specificity",
    "npv": "NPV",
    "f1": "F1",
    "accuracy": "accuracy",
}


def format_metrics(metrics: Mapping[str, Any]) -> str:
    """Lay out the result of `metrics` as a text table for the terminal, in percent, "–" where nothing was counted.

    Under the figures of a class stand their 95 % Wilson intervals.
    """
    rows = [["class", *COLUMNS.values(), "support"]]
    for name, values in metrics["per_class"].items():
        rows.append([name, *(percent(values[column]) for column in COLUMNS), str(values["support"])])
        if any(values["intervals"].values()):
            rows.append(["", *(_range(values["intervals"].get(column)) for column in COLUMNS), ""])
    lines = text_table(rows).splitlines()
    lines.insert(1, "-" * len(lines[0]))
    lines += ["", f"overall accuracy {percent(metrics['accuracy'])} % of {metrics['n']} images"]
    if metrics["n"]:
        majority = metrics["majority"]
        lines[-1] += f" (95 % interval {_range(metrics['accuracy_interval'])})"
        lines += [
            f"balanced accuracy {percent(metrics['balanced_accuracy'])} %: the mean of the sensitivities",
            f"always answering {majority['class']} would score {percent(majority['accuracy'])} %",
        ]
    return "\n".join(lines)


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None


def _mean(shares: Iterable[float | None]) -> float | None:
    """Mean of the shares that are defined."""
    defined = [share for share in shares if share is not None]
    return fmean(defined) if defined else None


def _range(interval: Sequence[float] | None) -> str:
    return f"{percent(interval[0])}–{percent(interval[1])}" if interval else ""
