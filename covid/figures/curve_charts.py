"""Figures of how good the probabilities are: ROC, precision-recall, reliability, and measures with their intervals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from covid.evaluation.curves import Curve
from covid.figures import style
from covid.figures.style import COLOURS, GREY, INK, LINES, MARKS, NORMAL, POINTS, SMALL, WIDTH, File, Options

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

LEFT, TOP, SIDE = 0.68, 0.5, 4.4  # inches: the square panel
NAMES = (WIDTH - LEFT - SIDE - 0.8) * POINTS  # room for the names in the legend


def roc_chart(curves: Sequence[Curve], file: File | None = None) -> Figure:
    """Draw ROC curves, a class each, with the areas under them; returns the Matplotlib figure.

    x is the false positive rate and y the true positive rate; the grey diagonal is guessing. The figure is written to
    `file` if one is given.
    """
    title = "ROC: each class against the rest"
    figure, axes = _square(
        title, "False positive rate (1 − specificity)", "True positive rate (sensitivity)", len(curves)
    )
    axes.plot([0, 1], [0, 1], color=GREY, linewidth=0.9, linestyle=(0, (4, 3)))
    lines = [axes.plot(*_finite(curve), **_stroke(i))[0] for i, curve in enumerate(curves)]
    _areas(axes, curves, lines, "Area under the curve (95 % interval)")
    return style.finish(figure, file)


def precision_recall_chart(curves: Sequence[Curve], file: File | None = None) -> Figure:
    """Draw precision-recall curves, a class each, with their average precision; returns the Matplotlib figure.

    x is the recall and y the precision, in steps, as average precision counts them. The pale line of a class is its
    share of the images, which guessing reaches. The figure is written to `file` if one is given.
    """
    figure, axes = _square(
        "Precision and recall: each class against the rest", "Recall (sensitivity)", "Precision", len(curves)
    )
    lines = []
    for i, curve in enumerate(curves):
        recall, precision = _finite(curve)
        if len(recall):
            axes.plot([0, 1], [precision[-1]] * 2, color=_colour(i), alpha=0.4, linewidth=1)
        gained = np.diff(recall, prepend=0) > 0  # the other points are no part of average precision
        x, y = np.concatenate([[0.0], recall[gained]]), precision[gained]
        lines.append(
            axes.plot(x, np.concatenate([y[:1], y]) if len(y) else [np.nan], drawstyle="steps-pre", **_stroke(i))[0]
        )
    _areas(axes, curves, lines, "Average precision (95 % interval)")
    _note(axes, "pale: the class's share of the images")
    return style.finish(figure, file)


def reliability_chart(tables: Mapping[str, Sequence[Mapping[str, Any]]], file: File | None = None) -> Figure:
    """Draw accuracy against confidence for one or more named tables of `calibration.reliability`; returns the figure.

    Whiskers are 95 % Wilson intervals; on the grey diagonal a network is as often right as it claims. The bars below
    count the images in each bin. The figure is written to `file` if one is given.
    """
    below = 0.75  # inches: the panel with the counts
    figure, axes = _square(
        "Reliability: is the network as often right as it claims?", "", "Accuracy", extra=below + 0.15
    )
    axes.tick_params(labelbottom=False)
    counts = style.axes_at(figure, LEFT, TOP + SIDE + 0.15, SIDE, below)
    axes.plot([0, 1], [0, 1], color=GREY, linewidth=0.9, linestyle=(0, (4, 3)))
    points = []
    for i, table in enumerate(tables.values()):
        bins = [bin for bin in table if bin["count"]]
        x, y = np.array([(bin["confidence"], bin["accuracy"]) for bin in bins]).reshape(-1, 2).T
        low, high = np.array([bin["accuracy_interval"] for bin in bins]).reshape(-1, 2).T
        points.append(
            axes.errorbar(
                x,
                y,
                np.maximum([y - low, high - y], 0),
                ecolor=(_colour(i), 0.45),
                elinewidth=1.2,
                clip_on=False,
                **_mark(i),
            )
        )
        middle = np.array([(bin["low"] + bin["high"]) / 2 for bin in table])
        width = 0.9 * (table[0]["high"] - table[0]["low"]) / len(tables) if table else 1
        place = middle + (i - (len(tables) - 1) / 2) * width
        bars = counts.bar(place, [bin["count"] for bin in table], width, color=_colour(i), alpha=0.75)
        if len(tables) == 1:
            names = [str(bin["count"]) if bin["count"] else "" for bin in table]
            counts.bar_label(bars, names, size=SMALL - 1.5, color=INK, padding=1)
    counts.set_xlim(0, 1)
    counts.margins(y=0.25)
    counts.locator_params(axis="y", nbins=2, integer=True)
    counts.set_xlabel("Confidence: the highest probability", size=NORMAL, color=INK)
    counts.set_ylabel("Images", size=NORMAL, color=INK)
    counts.yaxis.set_label_coords(-0.48 / SIDE, 0.5)
    style.grid(counts)
    names = [style.fit(name, NAMES, NORMAL, lines=2) for name in tables]
    _legend(axes, points, names)
    _note(axes, "whiskers: 95 % interval of the accuracy")
    return style.finish(figure, file)


class Row(NamedTuple):
    """A measure of `interval_chart`: shares of 1, None where undefined; `reference` is marked beside it."""

    label: str
    value: float | None
    low: float | None
    high: float | None
    reference: float | None = None


def interval_chart(
    rows: Sequence[Row],
    file: File | None = None,
    *,
    title: str,
    value_name: str = "this run",
    reference_name: str = "paper",
) -> Figure:
    """Draw each measure as a point with whiskers, its reference as a diamond, in percent; returns the figure.

    The figure is written to `file` if one is given. Raises ValueError when there are no rows.
    """
    if not rows:
        raise ValueError("rows is empty; an interval chart needs at least one measure")
    left, across, pitch, top = 2.3, 3.4, 0.29, 0.78  # inches
    figure = style.new_figure(top + pitch * len(rows) + 0.55)
    style.title(figure, title, 0.2)
    axes = style.axes_at(figure, left, top, across, pitch * len(rows))
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.set_yticks(
        range(len(rows)), [style.fit(row.label, (left - 0.3) * POINTS, NORMAL) for row in rows], size=NORMAL
    )
    axes.set_xlabel("%", size=NORMAL, color=INK)
    style.grid(axes, "x")

    def beside(y: float, inches: float, text: str, i: int) -> None:
        axes.annotate(
            text,
            (1, y),
            (inches * POINTS, 0),
            ("axes fraction", "data"),
            textcoords="offset points",
            va="center",
            size=NORMAL,
            color=_colour(i),
        )

    for i, row in enumerate(rows):
        if row.value is not None:
            whiskers = None
            if row.low is not None and row.high is not None:
                whiskers = 100 * np.array([[max(row.value - row.low, 0)], [max(row.high - row.value, 0)]])
            axes.errorbar([100 * row.value], [i], xerr=whiskers, elinewidth=1.6, capsize=3, capthick=1.6, **_mark(0))
        beside(i, 0.22, _figures(row), 0)
        if row.reference is not None:
            axes.plot([100 * row.reference], [i], **_mark(1))
            beside(i, 1.72, f"{100 * row.reference:.1f}", 1)
    # The heads of the two columns of numbers are the legend.
    for i, (inches, name) in enumerate(((0.22, value_name), (1.72, reference_name))):
        if i == 0 or any(row.reference is not None for row in rows):
            beside(-1, inches, style.fit(name, 80 if i == 0 else 36, NORMAL), i)
            place = (across + inches - 0.1) / across, 1 + 0.5 / len(rows)
            axes.plot(*place, transform=axes.transAxes, clip_on=False, **_mark(i))
    axes.margins(x=0.04)
    return style.finish(figure, file)


def _square(title: str, x_title: str, y_title: str, curves: int = 0, extra: float = 0) -> tuple[Figure, Axes]:
    """A new figure and its square panel of 0 … 1 both ways, with room beside it for the legend of so many curves."""
    figure = style.new_figure(max(TOP + SIDE + 0.55 + extra, TOP + 0.5 + 0.42 * curves))
    style.title(figure, title, LEFT)
    axes = style.axes_at(figure, LEFT, TOP, SIDE, SIDE)
    axes.set(xlim=(0, 1), ylim=(0, 1))
    for spine in ("left", "bottom"):
        axes.spines[spine].set(visible=True, color=GREY, linewidth=0.8)
    axes.set_xlabel(x_title, size=NORMAL, color=INK)
    axes.set_ylabel(y_title, size=NORMAL, color=INK)
    axes.yaxis.set_label_coords(-0.48 / SIDE, 0.5)
    style.grid(axes, "both")
    return figure, axes


def _finite(curve: Curve) -> tuple[Any, Any]:
    """The points of a curve; none for a class that has no images, or has all."""
    x, y = np.asarray(curve.x, dtype=np.float64), np.asarray(curve.y, dtype=np.float64)
    finite = np.isfinite(x + y)
    return x[finite], y[finite]


def _areas(axes: Axes, curves: Sequence[Curve], lines: Sequence[Any], heading: str) -> None:
    """The legend: for each curve its name, area and interval."""
    names = []
    for curve in curves:
        area = "undefined" if curve.area is None else f"{curve.area:.3f}"
        if curve.interval:
            area += f"  ({curve.interval[0]:.3f} to {curve.interval[1]:.3f})"
        names.append(f"{style.fit(curve.name, NAMES, NORMAL)}\n{area}")
    _legend(axes, lines, names, title=heading, labelspacing=0.9)


def _legend(axes: Axes, handles: Sequence[Any], names: Sequence[str], **options: Any) -> None:
    place: Options = {"loc": "upper left", "bbox_to_anchor": (1 + 0.25 / SIDE, 0.99)}
    text: Options = {"fontsize": NORMAL, "title_fontsize": SMALL, "alignment": "left", "handlelength": 2.6}
    box = style.legend(axes, handles, names, **place, **text, **options)
    box.get_title().set_color(GREY)


def _note(axes: Axes, text: str) -> None:
    """What else the panel shows, beside its lower end."""
    axes.text(1 + 0.25 / SIDE, 0.01, text, transform=axes.transAxes, size=SMALL, color=GREY)


def _colour(i: int) -> str:
    return COLOURS[i % len(COLOURS)]


def _stroke(i: int) -> Options:
    """The i-th curve's own colour and dash."""
    return {"color": _colour(i), "linestyle": LINES[i % len(LINES)], "linewidth": 1.7, "clip_on": False}


def _mark(i: int) -> Options:
    """The i-th series' own colour and mark, filled by turns."""
    face = "white" if i % 2 else _colour(i)
    return {
        "color": _colour(i),
        "marker": MARKS[i % len(MARKS)],
        "markersize": 5.5,
        "markerfacecolor": face,
        "markeredgewidth": 1.3,
        "linestyle": "none",
    }


def _figures(row: Row) -> str:
    if row.value is None:
        return "undefined"
    if row.low is None or row.high is None:
        return f"{100 * row.value:.1f}"
    return f"{100 * row.value:.1f}  ({100 * row.low:.1f} to {100 * row.high:.1f})"
