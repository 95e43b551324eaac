"""Two pictures of an audit: the score under every change of the films, and what the occlusions hide."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Any

import numpy as np
from PIL import Image

from covid.audit.perturbations import UNTOUCHED, Pixels, perturbations
from covid.figures.canvas import BLACK, GREY, GRID, OVERSAMPLING, WIDTH, Canvas, Colour, File, shorten, text_width

ACCURACY, SENSITIVITY = (0, 114, 189), (217, 83, 25)
LEFT, RIGHT, TOP = 330, 1160, 120
ROW, GAP = 25, 16  # heights of a row, and of the space between kinds


def perturbation_chart(audit: Mapping[str, Any], path: File) -> None:
    """Draw accuracy and the first class's sensitivity, with intervals, for every condition and baseline of an audit.

    Dashed lines carry the untouched values down the sheet; a grey line marks what always answering the commonest class
    would score.
    """
    kinds = [list(rows) for _, rows in itertools.groupby(audit["conditions"], key=lambda row: row["kind"])]
    kinds += [audit["shortcut_baseline"]] if audit.get("shortcut_baseline") else []
    height = sum(ROW * len(rows) + GAP for rows in kinds)
    canvas = Canvas(WIDTH, TOP + height + 70)
    name = audit["classes"][0]
    canvas.text(WIDTH / 2, 30, f"The network on {audit['images']} test images changed on purpose", 20)
    _legend(canvas, name)

    def across(share: float) -> float:
        return LEFT + share * (RIGHT - LEFT)

    bottom = TOP + height
    for percent in range(0, 101, 10):
        canvas.rule(across(percent / 100), TOP, across(percent / 100), bottom, GRID)
        canvas.text(across(percent / 100), bottom + 8, f"{percent} %", 15, anchor="mt")
    majority = audit["majority"]
    x = across(majority["accuracy"])
    canvas.line([(x, TOP), (x, bottom)], GREY, 2)
    canvas.text(x, bottom + 34, f"always {majority['class']}: {majority['accuracy']:.1%}", 15, GREY, "mt")
    untouched = audit["conditions"][0]
    for series, colour in (("accuracy", ACCURACY), (name, SENSITIVITY)):
        value, _ = _value(untouched, series)
        if value is not None:
            canvas.dashes([(across(value), TOP), (across(value), bottom)], colour, 1)

    y = TOP + GAP / 2
    for rows in kinds:
        for row in rows:
            y += ROW
            canvas.text(LEFT - 14, y - ROW / 2, shorten(row["name"], 15, LEFT - 24), 15, anchor="rm")
            for series, colour, offset in (("accuracy", ACCURACY, -4), (name, SENSITIVITY, 4)):
                value, interval = _value(row, series)
                if value is not None and interval is not None:
                    line = y - ROW / 2 + offset
                    canvas.line([(across(interval[0]), line), (across(interval[1]), line)], colour, 2)
                    canvas.dot(across(value), line, colour, 4)
        y += GAP
        if rows is not kinds[-1]:
            canvas.rule(20, y - GAP / 2, RIGHT, y - GAP / 2, GRID)
    canvas.save(path)


def _value(row: Mapping[str, Any], series: str) -> tuple[float | None, list[float] | None]:
    if series == "accuracy":
        return row["accuracy"], row["interval"]
    return row["sensitivity"][series]["value"], row["sensitivity"][series]["interval"]


def _legend(canvas: Canvas, name: str) -> None:
    entries: tuple[tuple[str, Colour], ...] = (("accuracy", ACCURACY), (f"sensitivity for {name}", SENSITIVITY))
    x = float(LEFT)
    for text, colour in entries:
        canvas.line([(x, 76), (x + 40, 76)], colour, 2)
        canvas.dot(x + 20, 76, colour, 4)
        canvas.text(x + 50, 76, text, 16, anchor="lm")
        x += 90 + text_width(text, 16)
    canvas.dashes([(x, 76), (x + 40, 76)], BLACK, 1)
    canvas.text(x + 50, 76, UNTOUCHED, 16, anchor="lm")


def occlusion_sheet(images: Mapping[str, Pixels], path: File) -> None:
    """Draw an image (C, H, W) of each class, untouched and under every occlusion: a row a class."""
    if not images:
        raise ValueError("images is empty; give at least one image, as covid.audit.audit_run.example_images does")
    size = next(iter(images.values())).shape[1:]
    changes = [change for change in perturbations(*size) if change.kind in (UNTOUCHED, "occlusion")]
    margin, cell = 130, (WIDTH - 130 - 20) // len(changes)
    canvas = Canvas(WIDTH, 50 + cell * len(images) + 10)
    for column, change in enumerate(changes):
        canvas.text(margin + (column + 0.5) * cell, 26, change.name, 17)
    for row, (label, film) in enumerate(images.items()):
        canvas.text(margin - 12, 50 + (row + 0.5) * cell, shorten(label, 17, margin - 20), 17, anchor="rm")
        for column, change in enumerate(changes):
            _paste(canvas, change.apply(film[None])[0], margin + column * cell, 50 + row * cell, cell - 8)
    canvas.save(path)


def _paste(canvas: Canvas, film: Pixels, x: int, y: int, side: int) -> None:
    grey = Image.fromarray(np.ascontiguousarray(film[0])).resize((side * OVERSAMPLING,) * 2, Image.Resampling.BICUBIC)
    canvas.image.paste(grey.convert("RGB"), (x * OVERSAMPLING, y * OVERSAMPLING))
