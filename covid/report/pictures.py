"""The report's pictures as PNG bytes."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from covid import paper
from covid.config import Config
from covid.data.manifest import Film
from covid.data.preprocess import Settings, preprocess, read_grey
from covid.evaluation.measure import class_curves
from covid.figures import audit_charts, charts, curve_charts
from covid.figures.canvas import OVERSAMPLING, WIDTH, Canvas, shorten
from covid.report.against_paper import Comparison, History
from covid.report.document import Figure
from covid.runs import pixels
from covid.runs.predictions import Predictions
from covid.runs.run import Run
from covid.tables import percent

Drawer = Callable[[Any], None]


def png(draw: Drawer) -> bytes:
    """What `draw` writes to the open file that it is given."""
    file = io.BytesIO()
    draw(file)
    return file.getvalue()


def training(history: History) -> Figure:
    """Figure 4 of the paper, from the run's history."""
    last = history[-1]
    return Figure(
        "training",
        "Figure 4. Accuracy and loss in training and validation (the paper's Figure 4, redrawn from this run).",
        f"Two curves against {last['iteration']} iterations of {last['epoch']} epochs: accuracy above, loss below.",
        png(lambda file: charts.training_chart(history, file)),
    )


def confusion(metrics: Mapping[str, Any]) -> Figure:
    """Figure 3 of the paper, from the run's metrics."""
    return Figure(
        "confusion",
        "Figure 3. Confusion matrix of this run's test films: rows are what the network says, "
        "columns what is so; the margins are precision and sensitivity.",
        f"Confusion matrix of {metrics['n']} films, {percent(metrics['accuracy'])} % of them right.",
        png(lambda file: charts.confusion_chart(metrics["confusion"], metrics["classes"], file)),
    )


def paper_confusion() -> Figure:
    """Figure 3 as the paper prints it."""
    return Figure(
        "confusion-paper",
        "Figure 3 of the paper, redrawn from its numbers.",
        "Confusion matrix of 1,068 films, 95.8 % of them right.",
        png(lambda file: charts.confusion_chart(paper.FIGURE_3, paper.CLASSES, file)),
    )


def against_paper(comparisons: Sequence[Comparison]) -> Figure:
    """The comparable figures with their intervals, and the paper's marks beside them."""
    rows = []
    for one in comparisons:
        low, high = one.interval or (None, None)
        rows.append(curve_charts.Row(one.what[0].upper() + one.what[1:], one.value, low, high, one.paper.value))
    return Figure(
        "against-paper",
        "The paper's figures and this run's, with this run's 95 % intervals.",
        "Points with whiskers for this run and diamonds for the paper; the tables give the same numbers.",
        png(lambda file: curve_charts.interval_chart(rows, file, title="This run beside the paper")),
    )


def curves(predictions: Predictions, metrics: dict[str, Any]) -> list[Figure]:
    """The ROC, precision-recall and reliability charts."""
    roc, precision_recall = class_curves(predictions, metrics)
    bins = {"test films": metrics["calibration"]["bins"]}
    return [
        Figure(
            "roc",
            "ROC curves: each class against the rest, with the area under each.",
            "True positive rate against false positive rate for each class.",
            png(lambda file: curve_charts.roc_chart(roc, file)),
        ),
        Figure(
            "precision-recall",
            "Precision-recall curves: each class against the rest, with average precision.",
            "Precision against recall for each class.",
            png(lambda file: curve_charts.precision_recall_chart(precision_recall, file)),
        ),
        Figure(
            "reliability",
            "Reliability: how often the network is right when it claims a certain confidence.",
            "Accuracy against confidence in bins; the diagonal is perfect calibration.",
            png(lambda file: curve_charts.reliability_chart(bins, file)),
        ),
    ]


def examples(config: Config, films: Sequence[Film]) -> list[Film]:
    """One test film of each class: the first by name."""
    found = []
    for name in config.classes:
        test = [film for film in films if film.label == name and film.split == "test"]
        found += sorted(test, key=lambda film: film.path)[:1]
    return found


def samples(run: Run, cache: Path, licences: Mapping[str, str]) -> Figure:
    """Figure 2 of the paper: a film of each class as it is, and below it as the network sees it.

    `licences` gives the licence of films by path. Raises DataError when a film is missing.
    """
    config = run.config()
    chosen = examples(config, run.films())
    rows = list(zip(("as it is", "preprocessed"), _read(config, chosen, cache), strict=True))
    step = "CLAHE" if config.clahe else f"resizing to {config.size} × {config.size} pixels"
    names = [
        f"{film.label}: {film.path}" + (f" (licence {licences[film.path]})" if licences.get(film.path) else "")
        for film in chosen
    ]
    return Figure(
        "samples",
        f"Figure 2. A test film of each class before (above) and after {step} (below). " + "; ".join(names) + ".",
        f"{len(chosen)} chest films, of classes {', '.join(film.label for film in chosen)}, each before and "
        "after preprocessing.",
        png(lambda file: _grid([film.label for film in chosen], rows, file)),
    )


def coverings(run: Run, cache: Path) -> Figure:
    """The films of `samples`, and what an audit's coverings leave of them. Raises DataError when a film is missing."""
    config = run.config()
    chosen = examples(config, run.films())
    films = {film.label: pixels[None] for film, pixels in zip(chosen, _read(config, chosen, cache)[1], strict=True)}
    return Figure(
        "audit-coverings",
        "A test film of each class, and what the coverings leave of it.",
        "Films with the lungs, the border or the middle covered.",
        png(lambda file: audit_charts.covering_sheet(films, file)),
    )


def perturbations(audit: Mapping[str, Any], name: str) -> Figure:
    """The chart of a run's audit."""
    return Figure(
        name,
        "Accuracy on changed test films, and of linear classifiers of a few cues.",
        "Points with whiskers for every change; the table gives the same numbers.",
        png(lambda file: audit_charts.perturbation_chart(audit, file)),
    )


def _read(config: Config, films: Sequence[Film], cache: Path) -> tuple[list[NDArray[Any]], list[NDArray[Any]]]:
    """The films' pixels (H, W) as they are, and as the network sees them."""
    root, settings = pixels.data_root(config, cache), Settings(size=(config.size, config.size), clahe=config.clahe)
    greys: list[NDArray[Any]] = [read_grey(root / film.path) for film in films]
    return greys, [preprocess(grey, settings) for grey in greys]


def _grid(columns: Sequence[str], rows: Sequence[tuple[str, Sequence[NDArray[Any]]]], file: Any) -> None:
    margin, gap = 40, 10
    side = min(360, (WIDTH - margin) // len(columns) - gap)
    left = margin + (WIDTH - margin - (side + gap) * len(columns)) // 2
    canvas = Canvas(WIDTH, 50 + (side + gap) * len(rows))
    for row, (name, films) in enumerate(rows):
        top = 45 + (side + gap) * row
        canvas.vertical_text(left - 20, top + side / 2, name, 18)
        for column, film in enumerate(films):
            x = left + (side + gap) * column
            if row == 0:
                canvas.text(x + side / 2, 22, shorten(columns[column], 20, side), 20)
            picture = Image.fromarray(np.clip(np.round(film), 0, 255).astype(np.uint8))
            whole = ImageOps.pad(picture, (side * OVERSAMPLING,) * 2, Image.Resampling.BICUBIC, color=0)
            canvas.image.paste(whole.convert("RGB"), (x * OVERSAMPLING, top * OVERSAMPLING))
    canvas.save(file)
