"""Everything again with one command: each experiment, the audits, and the report over them all."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from covid import experiments
from covid.audit.audit_data import audit_data, format_data_audit
from covid.audit.audit_run import audit_run, example_images, format_run_audit
from covid.earlier import experiment_folder
from covid.experiments import EXPERIMENTS
from covid.figures.audit_charts import occlusion_sheet, perturbation_chart
from covid.report import files
from covid.runs.run import Run, write_json

AUDITED = ("patient", "pooled")


def reproduce(
    data: Path,
    folder: Path,
    cache: Path,
    device: str = "cpu",
    *,
    names: Sequence[str] = (),
    quick: bool = False,
    **changes: Any,
) -> list[Path]:
    """Run the experiments on the images in `data`, audit them, and write the report into `folder`.

    What is finished is kept, so an interrupted call, or one with other `names`, can be repeated. With `quick` each
    experiment is one run of one epoch, on few images where the paper's split is asked for, to see that it works.
    `changes` are settings for all experiments. Returns the report's files.
    """
    started = time.monotonic()
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / "audit.json").is_file():
        print(format_data_audit(write_data_audit(data, folder)))
    for name in names or EXPERIMENTS:
        configs = experiments.configs(name, str(data), **changes)
        if quick:
            split = "pre" if configs[0].split == "paper" else configs[0].split
            configs = [dataclasses.replace(configs[0], epochs=1, split=split)]
        runs = experiments.run_all(configs, experiment_folder(folder, name), cache, device)
        if name in AUDITED and not runs[0].audit_file.is_file():
            print(format_run_audit(write_run_audit(runs[0], cache, device)))
        for run in runs:
            files.write(run, cache)
    written = files.write_collection(folder)
    print(f"\n{(time.monotonic() - started) / 60:.0f} minutes in this call")
    return written


def write_data_audit(data: Path, folder: Path | None) -> dict[str, Any]:
    """Audit a folder of images; writes audit.json into `folder` if one is given."""
    audit = audit_data(data)
    if folder:
        folder.mkdir(parents=True, exist_ok=True)
        write_json(folder / "audit.json", audit)
    return audit


def write_run_audit(run: Run, cache: Path, device: str = "cpu") -> dict[str, Any]:
    """Audit a run's network; writes audit.json, audit.png and occlusions.png into its folder."""
    audit = audit_run(run, cache, device)
    write_json(run.audit_file, audit)
    perturbation_chart(audit, run.folder / "audit.png")
    occlusion_sheet(example_images(run, cache), run.folder / "occlusions.png")
    return audit
