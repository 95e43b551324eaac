"""From predicted classes to the numbers of the paper: confusion matrix, precision, sensitivity, Wilson intervals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import sqrt
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray


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
            raise ValueError(f"{name} has shape {label.shape}; give one label a film, shape (N,)")
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
    specificity TN/(TN+FP), accuracy (TP+TN)/N, which is Equation 2 of the paper, and support TP+FN. A share of
    nothing (0/0) is None. "accuracy_interval" is the 95 % Wilson interval of the overall accuracy.

    >>> result = metrics([[9, 2], [1, 8]], ["sick", "well"])
    >>> result["accuracy"], result["per_class"]["sick"]["sensitivity"]
    (0.85, 0.9)
    """
    counts = np.asarray(confusion, dtype=np.int64)
    k = len(class_names)
    if counts.shape != (k, k):
        raise ValueError(f"confusion has shape {counts.shape}; for {k} class names it must be ({k}, {k})")
    n, right = int(counts.sum()), int(np.trace(counts))
    per_class = {}
    for i, name in enumerate(class_names):
        tp = int(counts[i, i])
        fp, fn = int(counts[i].sum()) - tp, int(counts[:, i].sum()) - tp
        tn = n - tp - fp - fn
        per_class[name] = {
            "precision": _share(tp, tp + fp),
            "sensitivity": _share(tp, tp + fn),
            "specificity": _share(tn, tn + fp),
            "accuracy": _share(tp + tn, n),
            "support": tp + fn,
        }
    return {
        "n": n,
        "accuracy": _share(right, n),
        "accuracy_interval": list(wilson(right, n)),
        "classes": list(class_names),
        "confusion": counts.tolist(),
        "per_class": per_class,
    }


def wilson(successes: int, n: int, confidence: float = 0.95) -> tuple[float, float]:
    """Wilson score interval of a proportion: the p for which |successes/n − p| ≤ z·√(p(1−p)/n).

    Unlike p̂ ± z·√(p̂(1−p̂)/n) it stays inside 0 … 1 and is usable for a handful of films; without any film it is
    (0, 1). Raises ValueError unless 0 ≤ successes ≤ n and 0 < confidence < 1. Source: E. B. Wilson, "Probable
    inference, the law of succession, and statistical inference", JASA 22 (1927).

    >>> low, high = wilson(22, 23)
    >>> f"{low:.3f} {high:.3f}"
    '0.790 0.992'
    """
    if not 0 <= successes <= n:
        raise ValueError(f"successes is {successes} of n = {n}; it must lie between 0 and n")
    if not 0 < confidence < 1:
        raise ValueError(f"confidence is {confidence}; give a share between 0 and 1, such as 0.95")
    if n == 0:
        return 0.0, 1.0
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    share = successes / n
    centre = (share + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * sqrt(share * (1 - share) / n + z**2 / (4 * n**2))
    # At 0 and n the interval ends exactly at 0 and 1; say so despite rounding.
    return (0.0 if successes == 0 else centre - half), (1.0 if successes == n else centre + half)


def format_metrics(metrics: Mapping[str, Any]) -> str:
    """Lay out the result of `metrics` as a text table for the terminal, in percent, "–" where nothing was counted."""
    columns = ("precision", "sensitivity", "specificity", "accuracy", "support")
    rows = [("class", *columns)]
    for name, values in metrics["per_class"].items():
        rows.append((name, *(_percent(values[column]) for column in columns[:-1]), str(values["support"])))
    widths = [max(len(row[i]) for row in rows) for i in range(len(columns) + 1)]
    lines = []
    for row in rows:
        cells = [cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True)]
        lines.append("  ".join([row[0].ljust(widths[0]), *cells]))
    lines.insert(1, "-" * len(lines[0]))
    low, high = metrics["accuracy_interval"]
    lines += ["", f"overall accuracy {_percent(metrics['accuracy'])} % of {metrics['n']} films"]
    if metrics["n"]:
        lines[-1] += f" (95 % interval {_percent(low)}–{_percent(high)})"
    return "\n".join(lines)


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None


def _percent(share: float | None) -> str:
    return "–" if share is None else f"{100 * share:.1f}"
