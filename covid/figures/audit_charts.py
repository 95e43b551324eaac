"""Two figures of an audit: the score under every change of the images, and what each occlusion hides."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from covid.audit.perturbations import UNTOUCHED, Pixels, perturbations
from covid.figures import style
from covid.figures.image_grid import image_grid
from covid.figures.style import COLOURS, GREY, INK, NORMAL, POINTS, SMALL, WIDTH, File, Options

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LEFT, TOP = 2.1, 0.92  # inches: where the panel begins
ROW, GAP = 0.17, 0.55  # inches of a row, and the space between kinds in rows


def perturbation_chart(audit: Mapping[str, Any], file: File | None = None) -> Figure:
    """Draw accuracy and the first class's sensitivity for every row of an `audit_run`; returns the Matplotlib figure.

    Whiskers are the intervals. Dashed lines carry the untouched values down the figure; a grey line marks what always
    answering the commonest class would score. The figure is written to `file` if one is given.
    """
    kinds = [list(rows) for _, rows in itertools.groupby(audit["conditions"], key=lambda row: row["kind"])]
    kinds += [audit["shortcut_baseline"]] if audit.get("shortcut_baseline") else []
    first, majority = audit["classes"][0], audit["majority"]
    places = np.cumsum([GAP if i == 0 and rows is not kinds[0] else 0 for rows in kinds for i in range(len(rows))])
    places += np.arange(len(places))
    rows = list(itertools.chain(*kinds))

    span = places[-1] + 1
    figure = style.new_figure(TOP + ROW * span + 0.6)
    style.title(figure, f"The network on {audit['images']} test images changed on purpose", 0.2)
    axes = style.axes_at(figure, LEFT, TOP, WIDTH - LEFT - 0.3, ROW * span)
    axes.set(xlim=(0, 100), ylim=(places[-1] + 0.5, -0.5))
    axes.set_xticks(range(0, 101, 10), [f"{percent} %" for percent in range(0, 101, 10)], size=SMALL)
    axes.set_yticks(places, [style.fit(row["name"], (LEFT - 0.25) * POINTS, SMALL) for row in rows], size=SMALL)
    style.grid(axes, "x")
    for place, step in zip(places[1:], np.diff(places), strict=True):
        if step > 1:
            axes.axhline(place - step / 2, color=style.GRID, linewidth=0.7)

    axes.axvline(100 * majority["accuracy"], color=GREY, linewidth=1.2)
    always = f"always {style.fit(majority['class'], 100, SMALL)}: {100 * majority['accuracy']:.1f} %"
    below: Options = {"textcoords": "offset points", "ha": "center", "va": "top", "size": SMALL, "color": GREY}
    axes.annotate(always, (100 * majority["accuracy"], 0), (0, -19), ("data", "axes fraction"), **below)

    handles: list[Any] = []
    for name, colour, mark, offset in ((None, COLOURS[0], "o", -0.16), (first, COLOURS[1], "D", 0.16)):
        measured = [_value(row, name) for row in rows]
        value = np.array([np.nan if share is None else share for share, _ in measured], dtype=np.float64)
        ends = np.array([(np.nan, np.nan) if interval is None else interval for _, interval in measured])
        whiskers = np.maximum([value - ends[:, 0], ends[:, 1] - value], 0)
        look: Options = {"color": colour, "marker": mark, "markersize": 3.8, "linestyle": "none", "elinewidth": 1.2}
        handles.append(
            axes.errorbar(100 * value, places + offset, xerr=100 * whiskers, clip_on=False, zorder=3, **look)
        )
        axes.axvline(100 * value[0], color=colour, linewidth=0.9, linestyle=(0, (4, 3)))
    handles.append(axes.plot([], [], color=INK, linewidth=0.9, linestyle=(0, (4, 3)))[0])
    names = ["accuracy", f"sensitivity for {style.fit(first, 150, NORMAL)}", UNTOUCHED]
    above: Options = {
        "loc": "lower left",
        "bbox_to_anchor": (0, 1 + 0.1 / (ROW * span)),
        "ncols": 3,
        "fontsize": NORMAL,
    }
    style.legend(axes, handles, names, **above)
    return style.finish(figure, file)


def _value(row: Mapping[str, Any], name: str | None) -> tuple[float | None, list[float] | None]:
    """The sensitivity of a class, or without a name the accuracy, and its interval."""
    if name is None:
        return row["accuracy"], row["interval"]
    return row["sensitivity"][name]["value"], row["sensitivity"][name]["interval"]


def occlusion_sheet(images: Mapping[str, Pixels], file: File | None = None) -> Figure:
    """Draw an image (C, H, W) of each class, untouched and under every occlusion, a row a class; returns the figure.

    The figure is written to `file` if one is given. Raises ValueError when there is no image.
    """
    if not images:
        raise ValueError("images is empty; give at least one image, as covid.audit.audit_run.example_images does")
    size = next(iter(images.values())).shape[1:]
    changes = [change for change in perturbations(*size) if change.kind in (UNTOUCHED, "occlusion")]
    cells = [[change.apply(image[None])[0, 0] for change in changes] for image in images.values()]
    return image_grid([change.name for change in changes], list(images), cells, file)
