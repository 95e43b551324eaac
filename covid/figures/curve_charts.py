"""Pictures of how good the probabilities are: ROC, precision-recall, reliability, and figures with their intervals."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from covid.evaluation.curves import Curve
from covid.figures.canvas import GREY, GRID, INK, WIDTH, Canvas, Colour, File, Point, shorten, ticks

# Okabe and Ito's colours, told apart with any colour vision; the dashes tell the curves apart in a grey print.
COLOURS = ((0, 114, 178), (213, 94, 0), (0, 158, 115), (204, 121, 167), (86, 180, 233), (230, 159, 0))
DASHES = (None, 14, 6, 3)  # length of a dash in pixels, None for an unbroken line

LEFT, TOP, SIDE = 110, 70, 700  # the square panel
LEGEND = LEFT + SIDE + 40


def roc_chart(curves: Sequence[Curve], path: File) -> None:
    """Draw ROC curves, a class each, with the areas under them, and write the picture to `path`.

    x is the false positive rate and y the true positive rate; the grey diagonal is guessing.
    """
    canvas = _square(
        "ROC: each class against the rest", "False positive rate (1 - specificity)", "True positive rate (sensitivity)"
    )
    canvas.dashes([_place(0, 0), _place(1, 1)], GREY, 1.5)
    for i, curve in enumerate(curves):
        _stroke(canvas, [_place(x, y) for x, y in _finite(curve)], i)
    _areas(canvas, curves, "area under the curve (95 % interval)")
    canvas.save(path)


def precision_recall_chart(curves: Sequence[Curve], path: File) -> None:
    """Draw precision-recall curves, a class each, with their average precision, and write the picture to `path`.

    x is the recall and y the precision, in steps, as average precision counts them. The pale line of a class is its
    share of the films, which guessing reaches.
    """
    canvas = _square("Precision and recall: each class against the rest", "Recall (sensitivity)", "Precision")
    for i, curve in enumerate(curves):
        points = _finite(curve)
        if points:
            guessing = points[-1][1]
            canvas.line([_place(0, guessing), _place(1, guessing)], _pale(_colour(i)), 1.5)
    for i, curve in enumerate(curves):
        steps, before = [], 0.0
        for recall, precision in _finite(curve):
            if recall > before:
                steps += [_place(before, precision), _place(recall, precision)]
                before = recall
        _stroke(canvas, steps, i)
    _areas(canvas, curves, "average precision (95 % interval)")
    canvas.text(LEGEND, TOP + SIDE - 10, "pale: the class's share of the films", 16, GREY, "lm")
    canvas.save(path)


def reliability_chart(tables: Mapping[str, Sequence[Mapping[str, Any]]], path: File) -> None:
    """Draw accuracy against confidence for one or more named tables of `calibration.reliability`, to `path`.

    Whiskers are 95 % Wilson intervals; on the grey diagonal a network is as often right as it claims. The numbers
    under the picture are the films in each bin.
    """
    canvas = _square(
        "Reliability: is the network as often right as it claims?",
        "",
        "Accuracy: how often it is right",
        extra=26 * len(tables),
    )
    canvas.dashes([_place(0, 0), _place(1, 1)], GREY, 1.5)
    filled = [[bin for bin in table if bin["count"]] for table in tables.values()]
    for i, table in enumerate(filled):
        for bin in table:
            canvas.line([_place(bin["confidence"], end) for end in bin["accuracy_interval"]], _pale(_colour(i)), 2)
    for i, (name, table) in enumerate(zip(tables, filled, strict=True)):
        row = TOP + SIDE + 48 + 26 * i
        canvas.text(LEFT - 8, row, "films", 14, _colour(i), "rm")
        for bin in table:
            _mark(canvas, *_place(bin["confidence"], bin["accuracy"]), i)
            canvas.text(_place((bin["low"] + bin["high"]) / 2, 0)[0], row, f"{bin['count']}", 14, _colour(i))
        _mark(canvas, LEGEND + 8, TOP + 20 + 34 * i, i)
        canvas.text(LEGEND + 28, TOP + 20 + 34 * i, shorten(name, 18, WIDTH - LEGEND - 40), 18, anchor="lm")
    canvas.text(LEFT + SIDE / 2, TOP + SIDE + 55 + 26 * len(tables), "Confidence: the highest probability", 18)
    canvas.text(LEGEND, TOP + SIDE - 10, "whiskers: 95 % interval of the accuracy", 16, GREY, "lm")
    canvas.save(path)


class Row(NamedTuple):
    """A figure of `interval_chart`: shares of 1, None where undefined; `reference` is marked beside it."""

    label: str
    value: float | None
    low: float | None
    high: float | None
    reference: float | None = None


def interval_chart(
    rows: Sequence[Row], path: File, *, title: str, value_name: str = "this run", reference_name: str = "paper"
) -> None:
    """Draw each figure as a point with whiskers, its reference as a diamond, in percent, and write it to `path`.

    Raises ValueError when there are no rows.
    """
    if not rows:
        raise ValueError("rows is empty; an interval chart needs at least one figure")
    left, right, pitch = 330, 850, 44
    bottom = 110 + pitch * len(rows)
    referenced = any(row.reference is not None for row in rows)
    canvas = Canvas(WIDTH, bottom + 80)
    canvas.text(WIDTH / 2, 30, title, 22)
    numbers = [100 * part for row in rows for part in row[1:] if part is not None] or [0.0, 100.0]
    marks = _round_numbers(min(numbers), max(numbers))

    def across(share: float) -> float:
        return left + (100 * share - marks[0]) / (marks[-1] - marks[0]) * (right - left)

    for mark in marks:
        x = across(mark / 100)
        canvas.rule(x, 95, x, bottom, GRID)
        canvas.text(x, bottom + 8, f"{mark:g}", 16, anchor="mt")
    canvas.text((left + right) / 2, bottom + 50, "%", 18)
    ours, theirs = COLOURS[0], COLOURS[1]
    _mark(canvas, right + 42, 75, 0)
    canvas.text(right + 58, 75, shorten(value_name, 17, 150), 17, ours, "lm")
    if referenced:
        _mark(canvas, right + 242, 75, 1)
        canvas.text(right + 258, 75, shorten(reference_name, 17, 80), 17, theirs, "lm")
    for i, row in enumerate(rows):
        y = 95 + pitch * (i + 0.5)
        canvas.text(left - 20, y, shorten(row.label, 18, left - 40), 18, anchor="rm")
        if row.low is not None and row.high is not None:
            ends = across(row.low), across(row.high)
            canvas.line([(ends[0], y), (ends[1], y)], ours, 2.5)
            for end in ends:
                canvas.line([(end, y - 7), (end, y + 7)], ours, 2.5)
        if row.value is not None:
            _mark(canvas, across(row.value), y, 0)
        canvas.text(right + 36, y, _figures(row), 17, ours, "lm")
        if row.reference is not None:
            _mark(canvas, across(row.reference), y, 1)
            canvas.text(right + 258, y, f"{100 * row.reference:.1f}", 17, theirs, "lm")
    canvas.save(path)


def _square(title: str, x_title: str, y_title: str, extra: int = 0) -> Canvas:
    """A canvas with the square panel of 0 … 1 both ways."""
    canvas = Canvas(WIDTH, TOP + SIDE + 90 + extra)
    canvas.text(LEFT + SIDE / 2, 35, title, 22)
    for share in np.linspace(0, 1, 6):
        for x0, y0, x1, y1 in ((0, share, 1, share), (share, 1, share, 0)):
            canvas.rule(*_place(x0, y0), *_place(x1, y1), GRID)
        x, y = _place(share, share)
        canvas.text(x, TOP + SIDE + 10, f"{share:.1f}", 16, anchor="mt")
        canvas.text(LEFT - 10, y, f"{share:.1f}", 16, anchor="rm")
    canvas.rectangle(LEFT, TOP, LEFT + SIDE, TOP + SIDE, None, INK)
    canvas.text(LEFT + SIDE / 2, TOP + SIDE + 55, x_title, 18)
    canvas.vertical_text(40, TOP + SIDE / 2, y_title, 18)
    return canvas


def _place(x: float, y: float) -> Point:
    return LEFT + x * SIDE, TOP + (1 - y) * SIDE


def _finite(curve: Curve) -> list[Point]:
    """The points of a curve; none for a class that has no films, or has all."""
    return [(float(x), float(y)) for x, y in zip(curve.x, curve.y, strict=True) if math.isfinite(x + y)]


def _stroke(canvas: Canvas, points: Sequence[Point], i: int) -> None:
    """The i-th line in its own colour and dash."""
    colour, dash = _colour(i), DASHES[i % len(DASHES)]
    if dash is None:
        canvas.line(points, colour, 3)
    else:
        canvas.dashes(points, colour, 3, dash)


def _areas(canvas: Canvas, curves: Sequence[Curve], heading: str) -> None:
    """The legend: for each curve its name, area and interval."""
    canvas.text(LEGEND, TOP + 12, heading, 16, GREY, "lm")
    for i, curve in enumerate(curves):
        y = TOP + 54 + 62 * i
        _stroke(canvas, [(LEGEND, y), (LEGEND + 46, y)], i)
        canvas.text(LEGEND + 58, y, shorten(curve.name, 19, WIDTH - LEGEND - 70), 19, anchor="lm")
        area = "undefined" if curve.area is None else f"{curve.area:.3f}"
        if curve.interval:
            area += f"  ({curve.interval[0]:.3f} to {curve.interval[1]:.3f})"
        canvas.text(LEGEND + 58, y + 26, area, 17, anchor="lm")


def _colour(i: int) -> Colour:
    return COLOURS[i % len(COLOURS)]


def _pale(colour: Colour) -> Colour:
    r, g, b = ((part + 255) // 2 for part in colour)
    return r, g, b


def _mark(canvas: Canvas, x: float, y: float, i: int) -> None:
    """A dot or a diamond, by turns, in the i-th colour."""
    colour = _colour(i)
    if i % 2:
        canvas.line([(x, y - 8), (x + 8, y), (x, y + 8), (x - 8, y), (x, y - 8), (x + 8, y)], colour, 2.5)
    else:
        canvas.dot(x, y, colour, 6)


def _figures(row: Row) -> str:
    if row.value is None:
        return "undefined"
    if row.low is None or row.high is None:
        return f"{100 * row.value:.1f}"
    return f"{100 * row.value:.1f}  ({100 * row.low:.1f} to {100 * row.high:.1f})"


def _round_numbers(low: float, high: float) -> list[float]:
    """Round numbers from at most `low` to at least `high`, two or more."""
    step = ticks(max(high - low, 1.0), 6)[1]
    last = math.ceil(high / step - 1e-9)
    return [i * step for i in range(min(math.floor(low / step + 1e-9), last - 1), last + 1)]
