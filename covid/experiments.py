"""The paper's experiments by name, each a few settings, and runs of one setting with several seeds."""

from __future__ import annotations

import dataclasses
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from covid import pipeline
from covid.config import Config, preset
from covid.errors import DataError
from covid.runs.run import Run, read_json, write_json
from covid.tables import percent

OVERALL = ("accuracy", "balanced_accuracy")
PER_CLASS = ("precision", "sensitivity", "specificity")


@dataclass(frozen=True)
class Experiment:
    """One row of the list below: what it shows, and how it is trained."""

    title: str
    preset: str
    split: str
    seeds: int
    settings: dict[str, Any] = field(default_factory=dict)


# The patient split of every run that is compared with another is that of seed 0, so that both see the same test images.
EXPERIMENTS = {
    "pre": Experiment("The paper's pre-experiment: 123 images of each class", "paper", "pre", 1),
    "paper": Experiment("The paper's network on the paper's split", "paper", "paper", 5),
    "patient": Experiment("The paper's network, patients kept apart", "paper", "patient", 3, {"split_seed": 0}),
    "pooled": Experiment("Global average pooling, patients kept apart", "pooled", "patient", 2, {"split_seed": 0}),
    "alexnet": Experiment("AlexNet from random weights on the paper's split", "alexnet", "paper", 1),
}


def configs(name: str, data: str, **changes: Any) -> list[Config]:
    """The settings of an experiment's runs, one for each seed; `changes` go on top."""
    if name not in EXPERIMENTS:
        raise DataError(f"experiment is {name!r}: choose one of {', '.join(EXPERIMENTS)}")
    plan = EXPERIMENTS[name]
    base = preset(plan.preset, **{"split": plan.split, "data": data, **plan.settings, **changes})
    return seeded(base, plan.seeds)


def seeded(config: Config, seeds: int) -> list[Config]:
    """The same settings with `seeds` seeds, counted from the given one."""
    if seeds < 1:
        raise DataError(f"seeds is {seeds}: give a whole number of at least 1")
    return [dataclasses.replace(config, seed=config.seed + k) for k in range(seeds)]


def run_all(runs: Sequence[Config], folder: Path, cache: Path, device: str = "cpu") -> list[Run]:
    """Train each of the settings into a run folder of its own, `folder`/seed-N, and write `folder`/summary.json.

    Runs that are finished are kept, and one that was interrupted goes on where it was.
    """
    finished = []
    for config in runs:
        print(f"\n=== {folder.name}, seed {config.seed}", flush=True)
        finished.append(_run(config, folder / f"seed-{config.seed}", cache, device))
        write_json(folder / "summary.json", summarize([run.metrics() for run in finished]))
    return finished


def _run(config: Config, folder: Path, cache: Path, device: str) -> Run:
    run = Run(folder)
    if not run.config_file.is_file():
        return pipeline.start(config, folder, cache, device)
    kept = dataclasses.replace(run.config(), classes=())
    if kept != config:
        changed = next(f.name for f in dataclasses.fields(Config) if getattr(kept, f.name) != getattr(config, f.name))
        raise DataError(f"{folder} was trained with another {changed}: choose another folder with --out")
    if run.metrics_file.is_file():
        print(f"already trained: {folder}")
        return run
    return pipeline.resume(folder, cache, device)


def summarize(results: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Mean, standard deviation and each run's value of what several runs measured (None where nothing was counted)."""
    summary: dict[str, Any] = {
        "runs": len(results),
        "classes": results[0]["classes"],
        **{name: _spread([r[name] for r in results]) for name in OVERALL},
    }
    summary["per_class"] = {
        label: {name: _spread([r["per_class"][label][name] for r in results]) for name in PER_CLASS}
        for label in results[0]["classes"]
    }
    return summary


def _spread(values: Sequence[float | None]) -> dict[str, Any]:
    counted = [value for value in values if value is not None]
    return {
        "mean": statistics.fmean(counted) if counted else None,
        "sd": statistics.stdev(counted) if len(counted) > 1 else None,
        "values": list(values),
    }


def format_summary(summary: dict[str, Any]) -> str:
    """The summary as a table for the terminal, in percent: mean ± standard deviation, then each run."""
    rows = [("overall accuracy", summary["accuracy"]), ("balanced accuracy", summary["balanced_accuracy"])]
    rows += [
        (f"{label} {name}", spread) for label, values in summary["per_class"].items() for name, spread in values.items()
    ]
    width = max(len(name) for name, _ in rows)
    lines = [f"{'':{width}}  {'mean':>5} ± {'sd':>4}   each of {summary['runs']} runs"]
    for name, spread in rows:
        each = "  ".join(f"{percent(value):>5}" for value in spread["values"])
        lines.append(f"{name:{width}}  {percent(spread['mean']):>5} ± {percent(spread['sd']):>4}   {each}")
    return "\n".join(lines)


def read_summary(folder: Path) -> dict[str, Any]:
    """What `run_all` wrote; DataError when it is missing."""
    return read_json(folder / "summary.json", "give a folder that covid train --seeds wrote")
