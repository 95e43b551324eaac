"""What `covid train` does, from image files to metrics and pictures: each step hands its output to the next."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import tinycnn as tc
from covid.config import Config
from covid.evaluation import evaluate, metrics
from covid.evaluation.measure import measure
from covid.figures import charts
from covid.runs import train
from covid.runs.run import Run


def start(config: Config, folder: Path | str, cache: Path, device: str = "cpu") -> Run:
    """Train into a new run folder, then measure the network and draw the run's pictures."""
    return _finished(train.start(config, folder, cache, device), cache, device)


def resume(folder: Path | str, cache: Path, device: str = "cpu", *, epochs: int | None = None) -> Run:
    """Go on with a run, to more epochs if asked for (see `covid.runs.train.resume`), then measure and draw."""
    return _finished(train.resume(folder, cache, device, epochs=epochs), cache, device)


def _finished(run: Run, cache: Path, device: str) -> Run:
    charts.training_chart(run.history(), run.training_picture)
    result = measured(run, run.network("last", device), cache)
    print(f"\ntest images ({run.config().split} split):\n{metrics.format_metrics(result)}")
    return run


def measured(run: Run, net: tc.Sequential, cache: Path) -> dict[str, Any]:
    """Measure a run's network on the run's own images; writes predictions.csv, metrics.json and confusion.png."""
    table = evaluate.on_own_images(run, net, cache)
    table.write(run.predictions_file)
    result = measure(table)
    run.write_metrics(result)
    charts.confusion_chart(result["confusion"], result["classes"], run.confusion_picture)
    return result
