"""Two runs on the images that both were tested on: the paper's Table 5, with intervals and a test."""

from __future__ import annotations

from typing import Any

import numpy as np

from covid.errors import DataError
from covid.evaluation.measure import compare
from covid.evaluation.metrics import confusion_matrix, metrics
from covid.runs.predictions import Predictions
from covid.runs.run import Run
from covid.tables import interval, percent, points, text_table

_FIGURES = ("precision", "sensitivity")


def compare_runs(a: Run, b: Run) -> dict[str, Any]:
    """Two runs' networks on the test images of both, in plain JSON types.

    What `covid.evaluation.measure.compare` gives, and besides "runs", the two folders, "classes", and in "a" and "b"
    "balanced_accuracy", "per_class" as `covid.evaluation.metrics.metrics` gives it, and "test_images", how many
    the run has, of which only the shared "n" count here. Raises DataError when they share no test image.

    >>> print(format_comparison(compare_runs(Run.open("runs/a"), Run.open("runs/b"))))  # doctest: +SKIP
    """
    tables = {"a": a.predictions(), "b": b.predictions()}
    try:
        result = compare(tables["a"], tables["b"])
    except DataError as error:
        raise DataError(f"{a.folder} and {b.folder} cannot be compared: {error}") from error
    for name, other in (("a", "b"), ("b", "a")):
        table = tables[name].of("test")
        shared = table[np.isin(table.paths, tables[other].of("test").paths)]
        result[name] |= _scores(shared) | {"test_images": len(table)}
    return {"runs": [str(a.folder), str(b.folder)], "classes": list(tables["a"].classes), **result}


def _scores(table: Predictions) -> dict[str, Any]:
    measured = metrics(confusion_matrix(table.targets, table.outputs, len(table.classes)), table.classes)
    return {name: measured[name] for name in ("balanced_accuracy", "per_class")}


def format_comparison(result: dict[str, Any]) -> str:
    """The result of `compare_runs` as text for the terminal, in percent."""
    a, b = result["a"], result["b"]
    rows = [["", *result["runs"]]]
    rows.append(["accuracy", *(_share(run["accuracy"], run["interval"]) for run in (a, b))])
    rows.append(["balanced accuracy", *(_share(run["balanced_accuracy"]) for run in (a, b))])
    for label in result["classes"]:
        for figure in _FIGURES:
            rows.append(
                [
                    f"{label} {figure}",
                    *(
                        _share(run["per_class"][label][figure], run["per_class"][label]["intervals"][figure])
                        for run in (a, b)
                    ),
                ]
            )
    test = result["mcnemar"]
    lines = [
        f"{result['n']} test images of {result['patients']} patients are in both runs, "
        f"{a['test_images']} and {b['test_images']} in each; 95 % Wilson intervals in brackets",
        "",
        text_table(rows),
        "",
        f"difference (first − second): {points(result['difference'])} points"
        + (
            f", 95 % interval {points(ends[0])} to {points(ends[1])} when patients are drawn with replacement"
            if (ends := result["difference_interval"])
            else ""
        ),
        f"McNemar's test: {test['only_a']} images only the first got right, {test['only_b']} only the second; "
        f"p = {p_value(test['p'])}",
        verdict(result),
    ]
    return "\n".join(lines)


def verdict(result: dict[str, Any]) -> str:
    """Whether the difference is more than chance, in a sentence.

    Both the patients' interval and McNemar's test must say so: the test takes images of one patient as independent.
    """
    ends = result["difference_interval"]
    if ends and (ends[0] > 0 or ends[1] < 0) and result["mcnemar"]["p"] < 0.05:
        better = "first" if result["difference"] > 0 else "second"
        return f"The {better} is better on these images, by more than chance explains."
    return "The difference is within what chance explains."


def p_value(p: float) -> str:
    """A probability for people.

    >>> p_value(0.0312), p_value(1e-9)
    ('0.031', 'below 0.001')
    """
    return f"{p:.3f}" if p >= 0.001 else "below 0.001"


def _share(share: float | None, ends: list[float] | None = None) -> str:
    return percent(share) + (f" ({interval(ends)})" if ends else "")
