"""What a training's history gives away: a loss that explodes, stands still or vanishes, and overfitting."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from statistics import fmean
from typing import Any

from tinycnn.inspect.findings import Finding

History = Sequence[Mapping[str, Any]]

RISE = 2.0  # a loss this many times its lowest has exploded
STUCK = 0.98  # a loss above this share of the first has hardly moved
VANISHED = 1e-4
OVERFIT = 1.1  # a validation loss this many times its lowest has turned
GAP = 0.1  # training accuracy minus validation accuracy
PARTS = 10  # into how many parts of equal length a history is cut to average over


def loss_findings(history: History) -> Iterator[Finding]:
    """What is wrong with the course of the loss: at most one thing."""
    wrong = next((row for row in history if not math.isfinite(row["loss"])), None)
    if wrong:
        sentence = f"The loss is {wrong['loss']} from iteration {wrong['iteration']} on: lower the learning rate."
        yield Finding("loss", wrong["loss"], sentence)
        return
    means = part_means(history, "loss")
    (_, first), (_, last), (where, lowest) = means[0], means[-1], min(means, key=lambda mean: mean[1])
    if last < VANISHED:
        yield Finding(
            "loss", last, f"The loss vanished: {last:.1g} at the end leaves nothing to learn; look at the validation."
        )
    elif last > RISE * lowest:
        times = last / lowest
        sentence = (
            f"The loss exploded: from {lowest:.3g} in iteration {where} to {last:.3g}, {times:.3g} times as much; "
            "lower the learning rate."
        )
        yield Finding("loss", times, sentence)
    elif len(means) > 1 and last > STUCK * first:
        sentence = (
            f"The loss hardly moved: from {first:.3g} to {last:.3g}; try another learning rate, or look at the labels."
        )
        yield Finding("loss", last / first, sentence)


def overfitting_findings(history: History) -> Iterator[Finding]:
    """Whether the validation turned while the training went on, and how far the two accuracies are apart."""
    losses = [(row["iteration"], row["validation_loss"]) for row in history if row.get("validation_loss") is not None]
    (where, lowest), (_, last) = min(losses, key=lambda pair: pair[1]), losses[-1]
    trained = part_means(history, "loss")
    then = next(mean for iteration, mean in trained if iteration >= where)
    if last > OVERFIT * lowest and trained[-1][1] <= then:
        sentence = (
            f"The network overfits: the validation loss was lowest, {lowest:.3g}, in iteration {where} and is "
            f"{last:.3g} now; stop there, augment the images, or use dropout."
        )
        yield Finding("overfitting", last / lowest, sentence)
    validated = [row["validation_accuracy"] for row in history if row.get("validation_accuracy") is not None]
    accuracies = part_means(history, "accuracy")
    if validated and accuracies and (gap := accuracies[-1][1] - validated[-1]) > GAP:
        sentence = (
            f"The training accuracy, {100 * accuracies[-1][1]:.1f} %, is {100 * gap:.1f} points above that of "
            "validation: the network knows its training images too well."
        )
        yield Finding("overfitting", gap, sentence)


def part_means(history: History, column: str) -> list[tuple[int, float]]:
    """(last iteration, mean) of each tenth of the rows that have the column.

    >>> part_means([{"iteration": i, "loss": float(i)} for i in range(1, 21)], "loss")[:2]
    [(2, 1.5), (4, 3.5)]
    """
    rows = [(row["iteration"], row[column]) for row in history if row.get(column) is not None]
    count = min(PARTS, len(rows))
    cuts = [round(k * len(rows) / count) for k in range(count + 1)] if rows else []
    parts = [rows[start:stop] for start, stop in pairwise(cuts)]
    return [(part[-1][0], fmean(value for _, value in part)) for part in parts]
