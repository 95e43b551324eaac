"""The two pictures of a run: the training progress and the confusion matrix."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from covid.evaluation.metrics import metrics
from covid.figures.canvas import BLACK, GREY, GRID, INK, WIDTH, Canvas, Colour, File, Point, shorten, text_width, ticks

History = Sequence[Mapping[str, Any]]

BAND, MARGIN = (241, 241, 241), (230, 230, 230)
BLUE, PALE_BLUE = (0, 114, 189), (150, 197, 228)  # accuracy
ORANGE, PALE_ORANGE = (217, 83, 25), (241, 183, 158)  # loss
GREEN, RED = (34, 139, 60), (200, 40, 40)

# --- training progress ---


def training_chart(history: History, path: File) -> None:
    """Draw accuracy and loss against the iteration, one panel under the other, and write the picture to `path`.

    `history` has one mapping an iteration with the keys epoch, iteration, loss and accuracy (a share of 1), and
    validation_loss and validation_accuracy, None where they were not measured. Each mini-batch is drawn pale, their
    smoothed course strong and validation as a black dashed line; bands of grey mark the epochs. Values that are not
    finite, as after a divergence, are left out. Raises ValueError for an empty history.
    """
    if not history:
        raise ValueError("history is empty; a training chart needs at least one iteration")
    canvas = Canvas(WIDTH, 800)
    last = history[-1]
    title = f"Training progress: epoch {last['epoch']}, iteration {last['iteration']}"
    canvas.text(LEFT + PANEL_WIDTH / 2, 28, title, 20)
    _panel(canvas, 60, 340, history, "accuracy")
    _panel(canvas, 430, 250, history, "loss")
    canvas.text(LEFT + PANEL_WIDTH / 2, 720, "Iteration", 17)
    _legend(canvas, 765)
    canvas.save(path)


LEFT, PANEL_WIDTH = 90, 960
PANELS = {"accuracy": ("Accuracy (%)", 100, BLUE, PALE_BLUE), "loss": ("Loss", 1, ORANGE, PALE_ORANGE)}


def _panel(canvas: Canvas, top: int, height: int, history: History, key: str) -> None:
    title, unit, strong, pale = PANELS[key]
    raw, validation = _series(history, key, unit), _series(history, f"validation_{key}", unit)
    smooth = np.stack([raw[:, 0], _smooth(raw[:, 1])], axis=1)
    y_ticks = ticks(100 if key == "accuracy" else _loss_limit(raw, smooth, validation), 5)
    y_end = y_ticks[-1] * 1.02
    first, final = history[0]["iteration"], history[-1]["iteration"]
    start, end = first - 0.5, final + 0.5

    # The data goes on a sheet of the panel's own size: what lies above the axis is cut off at the frame.
    sheet = Canvas(PANEL_WIDTH, height)

    def place(x: float, y: float) -> Point:
        return (x - start) / (end - start) * PANEL_WIDTH, (1 - y / y_end) * height

    _epochs(sheet, history, place, height, labels=key == "accuracy")
    for y in y_ticks:
        sheet.rule(*place(start, y), *place(end, y), GRID)
    for points, colour, width in ((raw, pale, 1), (smooth, strong, 2.5)):
        course = [place(x, y) for x, y in points]
        sheet.line(course, colour, width)
        if len(course) == 1:
            sheet.dot(*course[0], colour, 3)
    course = [place(x, y) for x, y in validation]
    sheet.dashes(course, BLACK, 1.5)
    for point in course if len(course) <= 60 else course[-1:]:
        sheet.dot(*point, BLACK, 3.5)

    canvas.paste(sheet, LEFT, top)
    canvas.rectangle(LEFT, top, LEFT + PANEL_WIDTH, top + height, None, INK)
    for y in y_ticks:
        canvas.text(LEFT - 8, top + place(start, y)[1], f"{y:g}", 15, anchor="rm")
    for x in ticks(final, 10, whole=True):
        if first <= x <= final:
            across = LEFT + place(x, 0)[0]
            canvas.rule(across, top + height, across, top + height + 5, INK)
            canvas.text(across, top + height + 8, f"{x:g}", 15, anchor="mt")
    canvas.vertical_text(30, top + height / 2, title, 17)

    finals = [(points[-1, 1], colour) for points, colour in ((smooth, strong), (validation, BLACK)) if len(points)]
    heights = _spread([top + min(max(place(end, value)[1], 0), height) for value, _ in finals], 19)
    for (value, colour), y in zip(finals, heights, strict=True):
        label = f"{value:.1f} %" if key == "accuracy" else f"{value:.3g}"
        canvas.text(LEFT + PANEL_WIDTH + 10, y, label, 16, colour, "lm")


def _series(history: History, key: str, unit: float) -> NDArray[np.float64]:
    """(iteration, value) of every row where the value was measured and is finite: (rows, 2)."""
    rows = [(row["iteration"], row[key] * unit) for row in history if row.get(key) is not None]
    return np.array([row for row in rows if math.isfinite(row[1])], dtype=np.float64).reshape(-1, 2)


def _smooth(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Mean of the past, where an iteration's weight fades with its age over about a 30th of the run."""
    keep = 1 - 1 / max(1.0, min(len(values) / 30, 40.0))
    smooth, total, weight = np.empty_like(values), 0.0, 0.0
    for i, value in enumerate(values):
        total, weight = keep * total + value, keep * weight + 1
        smooth[i] = total / weight
    return smooth


def _loss_limit(raw: NDArray[np.float64], smooth: NDArray[np.float64], validation: NDArray[np.float64]) -> float:
    """Top of the loss axis: a few extreme mini-batches, as at the start, must not flatten everything else."""
    candidates = [float(np.percentile(points[:, 1], 98)) for points in (raw, smooth, validation) if len(points)]
    return max(candidates, default=1.0) or 1.0


def _epochs(sheet: Canvas, history: History, place: Callable[[float, float], Point], height: int, labels: bool) -> None:
    """Grey bands on every other epoch, and as many labels as have room."""
    bounds: dict[int, list[int]] = {}
    for row in history:
        bounds.setdefault(row["epoch"], [row["iteration"], row["iteration"]])[1] = row["iteration"]
    room = text_width(f"Epoch {max(bounds)}", 14) + 14
    every = next(n for n in (1, 2, 5, 10, 20, 50, 100, 10**9) if n * PANEL_WIDTH / len(bounds) >= room)
    spans = {epoch: (place(first - 0.5, 0)[0], place(final + 0.5, 0)[0]) for epoch, (first, final) in bounds.items()}
    for epoch, (x0, x1) in spans.items():
        if epoch % 2 == 0:
            sheet.rectangle(x0, 0, x1, height, BAND)
    for epoch, (x0, x1) in spans.items():
        centre = (x0 + x1) / 2
        if labels and epoch % every == 0 and room / 2 <= centre <= PANEL_WIDTH - room / 2:
            sheet.text(centre, height - 14, f"Epoch {epoch}", 14, GREY)


def _spread(heights: list[float], gap: float) -> list[float]:
    """Move two labels apart until they can both be read."""
    if len(heights) < 2 or abs(heights[0] - heights[1]) >= gap:
        return heights
    middle, sign = sum(heights) / 2, 1 if heights[0] >= heights[1] else -1
    return [middle + sign * gap / 2, middle - sign * gap / 2]


def _legend(canvas: Canvas, y: float) -> None:
    entries = (
        ("mini-batch", (PALE_BLUE, PALE_ORANGE), 1),
        ("smoothed", (BLUE, ORANGE), 2.5),
        ("validation", (BLACK,), 1.5),
    )
    x = LEFT + 200.0
    for name, colours, width in entries:
        for i, colour in enumerate(colours):
            points = [(x + 26 * i, y), (x + 26 * i + 22 * (1 if len(colours) > 1 else 2), y)]
            canvas.dashes(points, colour, width) if name == "validation" else canvas.line(points, colour, width)
        if name == "validation":
            canvas.dot(x + 22, y, BLACK, 3.5)
        canvas.text(x + 58, y, name, 16, anchor="lm")
        x += 58 + text_width(name, 16) + 60


# --- confusion matrix ---


def confusion_chart(confusion: ArrayLike, class_names: Sequence[str], path: File) -> None:
    """Draw a confusion matrix (rows = output class, columns = target class) and write the picture to `path`.

    Each cell holds the count and its share of all films. The right margin holds the precision of each output class
    and its complement, the bottom margin the sensitivity of each target class, the corner the overall accuracy. The
    deeper the green or red, the larger the cell's share of its target class.
    """
    counts = np.asarray(confusion)
    result = metrics(counts, class_names)
    k = len(class_names)
    cell = min(190, 900 // (k + 1))
    room = min(230.0, max(text_width(name, 19) for name in class_names))
    left, top = round(WIDTH - cell * (k + 1) + room + 60) // 2, 60
    canvas = Canvas(WIDTH, top + cell * (k + 1) + 120)
    canvas.text(left + cell * (k + 1) / 2, 30, "Confusion matrix", 22)
    big, small = min(24.0, cell * 0.22), min(18.0, cell * 0.17)

    def write(row: int, column: int, fill: Colour, upper: str, lower: str, colours: tuple[Colour, Colour]) -> None:
        x, y = left + column * cell, top + row * cell
        canvas.rectangle(x, y, x + cell, y + cell, fill, (150, 150, 150))
        in_margin = row == k or column == k
        canvas.text(x + cell / 2, y + cell * 0.39, upper, small if in_margin else big, colours[0])
        canvas.text(x + cell / 2, y + cell * 0.64, lower, small, colours[1])

    totals = counts.sum(axis=0)
    for row in range(k):
        for column in range(k):
            share = counts[row, column] / totals[column] if totals[column] else 0.0
            fill = _tint(GREEN if row == column else RED, share)
            part = counts[row, column] / result["n"] if result["n"] else None
            write(row, column, fill, f"{counts[row, column]:,}", _percent(part), (BLACK, INK))
    per_class = list(result["per_class"].values())
    for i, values in enumerate(per_class):
        write(i, k, MARGIN, *_with_complement(values["precision"]), (GREEN, RED))
        write(k, i, MARGIN, *_with_complement(values["sensitivity"]), (GREEN, RED))
    write(k, k, (205, 205, 205), *_with_complement(result["accuracy"]), (GREEN, RED))
    canvas.rectangle(left, top, left + cell * k, top + cell * k, None, BLACK)

    bottom = top + cell * (k + 1)
    for i, name in enumerate(class_names):
        _label(canvas, name, left - 12, top + (i + 0.5) * cell, room, "rm")
        _label(canvas, name, left + (i + 0.5) * cell, bottom + 36, cell - 8, "mm")
    canvas.text(left + cell * k / 2, bottom + 92, "Target class", 20)
    canvas.vertical_text(left - room - 42, top + cell * k / 2, "Output class", 20)
    canvas.save(path)


def _tint(colour: Colour, share: float) -> Colour:
    """The colour diluted with white: almost white at a share of 0, half strength at 1."""
    strength = 0.06 + 0.49 * share**0.6
    r, g, b = (round(255 + (part - 255) * strength) for part in colour)
    return r, g, b


def _percent(share: float | None) -> str:
    return "–" if share is None else f"{100 * share:.1f}%"


def _with_complement(share: float | None) -> tuple[str, str]:
    return _percent(share), _percent(None if share is None else 1 - share)


def _label(canvas: Canvas, name: str, x: float, y: float, room: float, anchor: str) -> None:
    """Write a class name into `room` pixels: on up to three lines, then smaller, in the last resort shortened."""
    for size in range(19, 9, -1):
        lines = _wrap(name, size, room)
        if len(lines) <= 3 and all(text_width(line, size) <= room for line in lines):
            break
    else:
        lines = [shorten(line, size, room) for line in lines[:3]]
    for i, line in enumerate(lines):
        canvas.text(x, y + (i - (len(lines) - 1) / 2) * size * 1.2, line, size, anchor=anchor)


def _wrap(text: str, size: float, room: float) -> list[str]:
    lines: list[str] = []
    for word in text.replace("_", " ").split():
        if lines and text_width(f"{lines[-1]} {word}", size) <= room:
            lines[-1] += f" {word}"
        else:
            lines.append(word)
    return lines
