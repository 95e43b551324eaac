"""The report's pictures as PNG bytes."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from covid import paper
from covid.config import Config
from covid.data.manifest import Radiograph
from covid.data.preprocess import Settings, preprocess, read_grey
from covid.evaluation.measure import class_curves
from covid.figures import audit_charts, charts, curve_charts
from covid.figures.image_grid import image_grid
from covid.report.against_paper import Comparison, History
from covid.report.document import Figure
from covid.runs import pixels
from covid.runs.predictions import Predictions
from covid.runs.run import Run
from covid.tables import percent

Drawer = Callable[[Any], object]


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
        "Figure 3. Confusion matrix of this run's test images: rows are predicted classes, "
        "columns true classes; the margins are precision and sensitivity.",
        f"Confusion matrix of {metrics['n']} images, {percent(metrics['accuracy'])} % of them right.",
        png(lambda file: charts.confusion_chart(metrics["confusion"], metrics["classes"], file)),
    )


def paper_confusion() -> Figure:
    """Figure 3 as the paper prints it."""
    return Figure(
        "confusion-paper",
        "Figure 3 of the paper, redrawn from its numbers.",
        "Confusion matrix of 1,068 images, 95.8 % of them right.",
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
    bins = {"test images": metrics["calibration"]["bins"]}
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


def examples(config: Config, images: Sequence[Radiograph]) -> list[Radiograph]:
    """One test image of each class: the first by name."""
    found = []
    for name in config.classes:
        test = [image for image in images if image.label == name and image.split == "test"]
        found += sorted(test, key=lambda image: image.path)[:1]
    return found


def samples(run: Run, cache: Path, licences: Mapping[str, str]) -> Figure:
    """Figure 2 of the paper: an image of each class as it is, and below it as the network sees it.

    `licences` gives the licence of images by path. Raises DataError when an image is missing.
    """
    config = run.config()
    chosen = examples(config, run.images())
    rows = _read(config, chosen, cache)
    step = "CLAHE" if config.clahe else f"resizing to {config.size} × {config.size} pixels"
    names = [
        f"{image.label}: {image.path}" + (f" (licence {licences[image.path]})" if licences.get(image.path) else "")
        for image in chosen
    ]
    return Figure(
        "samples",
        f"Figure 2. A test image of each class before (above) and after {step} (below). " + "; ".join(names) + ".",
        f"{len(chosen)} chest images, of classes {', '.join(image.label for image in chosen)}, each before and "
        "after preprocessing.",
        png(lambda file: image_grid([image.label for image in chosen], ("as it is", "preprocessed"), rows, file)),
    )


def occlusions(run: Run, cache: Path) -> Figure:
    """The images of `samples` under every occlusion of an audit. Raises DataError when an image is missing."""
    config = run.config()
    chosen = examples(config, run.images())
    images = {image.label: pixels[None] for image, pixels in zip(chosen, _read(config, chosen, cache)[1], strict=True)}
    return Figure(
        "audit-occlusions",
        "A test image of each class, and what the occlusions leave of it.",
        "Images with the lungs, the border or the middle occluded.",
        png(lambda file: audit_charts.occlusion_sheet(images, file)),
    )


def perturbations(audit: Mapping[str, Any], name: str) -> Figure:
    """The chart of a run's audit."""
    return Figure(
        name,
        "Accuracy on changed test images, and of the shortcut baseline, linear classifiers of a few image features.",
        "Points with whiskers for every change; the table gives the same numbers.",
        png(lambda file: audit_charts.perturbation_chart(audit, file)),
    )


def _read(config: Config, images: Sequence[Radiograph], cache: Path) -> tuple[list[NDArray[Any]], list[NDArray[Any]]]:
    """The images' pixels (H, W) as they are, and as the network sees them."""
    root, settings = pixels.data_root(config, cache), Settings(size=(config.size, config.size), clahe=config.clahe)
    greys: list[NDArray[Any]] = [read_grey(root / image.path) for image in images]
    return greys, [preprocess(grey, settings) for grey in greys]
