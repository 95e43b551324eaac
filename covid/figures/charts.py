"""The two figures of a run: the training progress and the confusion matrix."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from covid.evaluation.metrics import metrics
from covid.figures import style
from covid.figures.style import COLOURS, GREY, INK, NORMAL, POINTS, SMALL, WIDTH, File, Options

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

History = Sequence[Mapping[str, Any]]
TRAINING, VALIDATION = COLOURS[:2]

# --- training progress ---

LEFT, RIGHT = 0.62, 0.72  # inches beside the panels
PANELS = {"accuracy": ("Accuracy (%)", 100, 2.35), "loss": ("Loss", 1, 1.7)}  # name, unit, inches


def training_chart(history: History, file: File | None = None) -> Figure:
    """Draw accuracy and loss against the iteration, one panel under the other; returns the Matplotlib figure.

    `history` has one mapping an iteration with the keys epoch, iteration, loss and accuracy (a share of 1), and
    validation_loss and validation_accuracy, None where they were not measured. Each mini-batch is drawn pale, their
    smoothed course strong and validation as a dashed line with marks; grey bands are every other epoch. Values that are
    not finite, as after a divergence, are left out. Raises ValueError for an empty history. The figure is written to
    `file` if one is given.
    """
    if not history:
        raise ValueError("history is empty; a training chart needs at least one iteration")
    figure = style.new_figure(5.55)
    last = history[-1]
    style.title(figure, f"Training progress: epoch {last['epoch']}, iteration {last['iteration']:,}", LEFT)
    top = 0.78
    for key, (_, _, height) in PANELS.items():
        axes = style.axes_at(figure, LEFT, top, WIDTH - LEFT - RIGHT, height)
        handles = _panel(axes, history, key, height)
        _epochs(axes, history, labels=key == "accuracy")
        top += height + 0.2
    axes.set_xlabel("Iteration", size=NORMAL, color=INK)
    upper = figure.axes[0]
    upper.tick_params(labelbottom=False)
    names = ("training, each mini-batch", "training, smoothed", "validation")
    place: Options = {
        "loc": "lower right",
        "bbox_to_anchor": (1, 1.09),
        "ncols": 3,
        "fontsize": SMALL,
        "columnspacing": 1.6,
    }
    style.legend(upper, handles, names, **place)
    return style.finish(figure, file)


def _panel(axes: Axes, history: History, key: str, height: float) -> list[Any]:
    """Draw one quantity; returns the three lines: mini-batches, smoothed, validation."""
    name, unit, _ = PANELS[key]
    raw, validation = _series(history, key, unit), _series(history, f"validation_{key}", unit)
    smooth = np.stack([raw[:, 0], _smooth(raw[:, 1])], axis=1)
    limit = 100.0 if key == "accuracy" else _loss_limit(raw, validation)
    dot: Options = {"marker": "o", "markersize": 4} if len(raw) == 1 else {}
    marked = validation if len(validation) <= 60 else validation[-1:]
    lines = [
        axes.plot(*raw.T, color=TRAINING, alpha=0.35, linewidth=0.8, **dot)[0],
        axes.plot(*smooth.T, color=TRAINING, linewidth=1.8, **dot)[0],
        axes.plot(
            *validation.T,
            color=VALIDATION,
            linestyle=(0, (4, 1.6)),
            linewidth=1.4,
            marker="o",
            markersize=4,
            markevery=range(len(validation) - len(marked), len(validation)),
            clip_on=bool((validation[:, 1] > limit * 1.03).any()),  # a mark at the panel's edge is shown whole
            zorder=3,
        )[0],
    ]
    axes.set_ylim(0, limit * 1.03)
    axes.set_xlim(history[0]["iteration"] - 0.5, history[-1]["iteration"] + 0.5)
    axes.locator_params(axis="x", integer=True, min_n_ticks=1)
    axes.locator_params(axis="y", nbins=6, steps=[1, 2, 5, 10])
    axes.set_ylabel(name, size=NORMAL, color=INK, labelpad=6)
    axes.yaxis.set_label_coords(-0.42 / (WIDTH - LEFT - RIGHT), 0.5)
    axes.spines["bottom"].set(visible=True, color=GREY, linewidth=0.8)
    style.grid(axes)

    finals = [
        (line, points[-1, 1]) for line, points in zip(lines[1:], (smooth, validation), strict=True) if len(points)
    ]
    heights = _spread([min(value / (limit * 1.03), 1) for _, value in finals], 11 / (height * POINTS))
    for (line, value), y in zip(finals, heights, strict=True):
        text = f"{value:.1f} %" if key == "accuracy" else f"{value:.3g}"
        axes.annotate(
            text,
            (1, y),
            (6, 0),
            "axes fraction",
            textcoords="offset points",
            va="center",
            size=NORMAL,
            color=line.get_color(),
        )
    return lines


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


def _loss_limit(raw: NDArray[np.float64], validation: NDArray[np.float64]) -> float:
    """Top of the loss axis: a few extreme mini-batches, as at the start, must not flatten everything else."""
    candidates = [float(np.percentile(points[:, 1], 98)) for points in (raw, validation) if len(points)]
    return max(candidates, default=1.0) or 1.0


def _epochs(axes: Axes, history: History, labels: bool) -> None:
    """Above the panel the numbers of as many epochs as have room; grey and white bands in step with them."""
    bounds: dict[int, list[int]] = {}
    for row in history:
        bounds.setdefault(row["epoch"], [row["iteration"], row["iteration"]])[1] = row["iteration"]
    every = next(n for n in (1, 2, 5, 10, 20, 50, 100, 10**9) if len(bounds) / n <= 25)
    for epoch, (first, last) in bounds.items():
        if (epoch - 1) // every % 2:
            axes.axvspan(first - 0.5, last + 0.5, color=style.BAND, linewidth=0, zorder=0)
    if labels:
        shown = [epoch for epoch in bounds if epoch % every == 0]
        above = axes.secondary_xaxis("top")
        above.spines[:].set_visible(False)
        above.set_xticks([sum(bounds[epoch]) / 2 for epoch in shown], [str(epoch) for epoch in shown])
        above.tick_params(length=0, labelsize=SMALL, labelcolor=GREY, pad=2)
        word: Options = {"textcoords": "offset points", "ha": "right", "size": SMALL, "color": GREY}
        axes.annotate("Epoch", (0, 1), (-6, 3), "axes fraction", **word)


def _spread(heights: list[float], gap: float) -> list[float]:
    """Move two labels apart until they can both be read."""
    if len(heights) < 2 or abs(heights[0] - heights[1]) >= gap:
        return heights
    middle, sign = sum(heights) / 2, 1 if heights[0] >= heights[1] else -1
    return [middle + sign * gap / 2, middle - sign * gap / 2]


# --- confusion matrix ---

RIGHT_ANSWER, WRONG_ANSWER = COLOURS[:2]
TOP, ROOM = 0.72, 1.5  # inches: above the matrix, and at most for the names beside it
MARGIN, CORNER = 0.93, 0.87  # grey levels of the margins' cells


def confusion_chart(confusion: ArrayLike, class_names: Sequence[str], file: File | None = None) -> Figure:
    """Draw a confusion matrix (rows = output class, columns = target class); returns the Matplotlib figure.

    Each cell holds the count and its share of all images. The right margin holds the precision of each output class
    and its complement, the bottom margin the sensitivity of each target class, the corner the overall accuracy. The
    deeper the blue or orange, the larger the cell's share of its target class. The figure is written to `file` if one
    is given.
    """
    counts = np.asarray(confusion)
    result = metrics(counts, class_names)
    k = len(class_names)
    cell = min(1.22, 5.8 / (k + 1))  # inches
    side = cell * (k + 1)
    lines = max(1, min(3, int(cell * POINTS / 11)))
    rows = [style.fit(name, ROOM * POINTS, NORMAL, lines) for name in class_names]
    columns = [style.fit(name, cell * POINTS - 6, NORMAL, lines=3) for name in class_names]
    upright = any("…" in name for name in columns)
    if upright:
        columns = [style.fit(name, ROOM * POINTS, SMALL, lines) for name in class_names]
    room = _longest([*rows, "Sensitivity"], NORMAL)
    below = _longest(columns, SMALL) if upright else 0.15 * max(name.count("\n") + 1 for name in columns)
    left = (WIDTH - side + room + 0.3) / 2
    figure = style.new_figure(TOP + side + below + 0.42)
    axes = style.axes_at(figure, left, TOP, side, side)
    across, down = figure.get_size_inches()
    style.title(figure, "Confusion matrix", left)

    axes.imshow(_tints(counts), interpolation="nearest", aspect="auto")
    for edge in range(1, k + 1):
        for line in (axes.axhline, axes.axvline):
            line(edge - 0.5, color="white", linewidth=5 if edge == k else 1.5)
    big = min(13.0, cell * POINTS * 0.2)
    small = min(NORMAL, cell * POINTS * 0.17)

    def write(row: int, column: int, upper: str, lower: str, size: float, colours: tuple[str, str]) -> None:
        middle: Options = {"ha": "center", "va": "center"}
        axes.text(column, row - 0.12, upper, size=size, color=colours[0], **middle)
        axes.text(column, row + 0.16, lower, size=small, color=colours[1], **middle)

    for row, column in np.ndindex(k, k):
        share = counts[row, column] / result["n"] if result["n"] else None
        write(row, column, f"{counts[row, column]:,}", _percent(share), big, (INK, INK))
    margin = min(9.5, big)
    both = RIGHT_ANSWER, WRONG_ANSWER
    for i, values in enumerate(result["per_class"].values()):
        write(i, k, *_with_complement(values["precision"]), margin, both)
        write(k, i, *_with_complement(values["sensitivity"]), margin, both)
    write(k, k, *_with_complement(result["accuracy"]), margin, both)

    axes.set_yticks(range(k + 1), [*rows, "Sensitivity"], size=NORMAL)
    axes.set_xticks(range(k + 1), [*columns, ""], size=SMALL if upright else NORMAL, rotation=90 if upright else 0)
    small_grey: Options = {"size": min(SMALL, small), "color": GREY}
    axes.get_yticklabels()[k].set(**small_grey)
    axes.text(k, -0.5 - 0.06 / cell, "Precision", ha="center", va="bottom", **small_grey)
    axes.text(k, k + 0.5 + 0.06 / cell, "Accuracy", ha="center", va="top", **small_grey)
    words: Options = {"size": NORMAL + 1, "color": INK, "ha": "center", "va": "center"}
    figure.text((left + cell * k / 2) / across, 0.17 / down, "Target class (what is so)", **words)
    height = 1 - (TOP + cell * k / 2) / down
    figure.text((left - room - 0.28) / across, height, "Output class (what the network says)", rotation=90, **words)
    return style.finish(figure, file)


def _longest(names: Sequence[str], size: float) -> float:
    """Width in inches of the longest line of the names."""
    return max(style.text_width(line, size) for name in names for line in name.split("\n")) / POINTS


def _tints(counts: NDArray[np.int64]) -> NDArray[np.float64]:
    """The colour of every cell (K + 1, K + 1, 3): almost white at a share of 0, more than half strength at 1."""
    from matplotlib.colors import to_rgb

    k = len(counts)
    tints = np.full((k + 1, k + 1, 3), MARGIN)
    tints[k, k] = CORNER
    share = counts / np.maximum(counts.sum(axis=0), 1)
    strength = (0.05 + 0.5 * share**0.6)[..., None]
    colour = np.where(np.eye(k, dtype=bool)[..., None], to_rgb(RIGHT_ANSWER), to_rgb(WRONG_ANSWER))
    tints[:k, :k] = 1 + (colour - 1) * strength
    return tints


def _percent(share: float | None) -> str:
    return "–" if share is None else f"{100 * share:.1f} %"


def _with_complement(share: float | None) -> tuple[str, str]:
    return _percent(share), _percent(None if share is None else 1 - share)
