"""A run folder: what one training wrote, and how to get it back."""

from __future__ import annotations

import csv
import json
import os
import shlex
import sys
from pathlib import Path
from typing import Any

import tinycnn as tc
from covid import earlier
from covid.config import Config
from covid.data.manifest import Radiograph, read_manifest
from covid.errors import DataError
from covid.runs.predictions import Predictions
from covid.runs.provenance import Provenance

WEIGHTS = ("last", "best")


class Run:
    """The files of one training run, by name."""

    def __init__(self, folder: Path | str):
        self.folder = Path(folder)
        self.config_file = self.folder / "config.json"
        self.manifest_file = self.folder / "manifest.csv"
        self.history_file = self.folder / "history.csv"
        self.predictions_file = self.folder / "predictions.csv"
        self.metrics_file = self.folder / "metrics.json"
        self.audit_file = self.folder / "audit.json"
        self.provenance_file = self.folder / "provenance.json"
        self.environment_file = self.folder / "environment.json"
        self.training_picture = self.folder / "training.png"
        self.confusion_picture = self.folder / "confusion.png"

    @classmethod
    def new(cls, folder: Path | str) -> Run:
        """A run to be written to a new or empty folder; DataError when there is already something in it."""
        run = cls(folder)
        if run.folder.exists() and (not run.folder.is_dir() or any(run.folder.iterdir())):
            raise DataError(f"{folder} is not empty: choose another folder with --out, or go on with --resume {folder}")
        return run

    @classmethod
    def open(cls, folder: Path | str) -> Run:
        """A run that was made before; DataError when `folder` holds none."""
        run = cls(folder)
        if not run.config_file.is_file():
            raise DataError(f"{folder} is no run folder, it has no config.json: give one that covid train wrote")
        return run

    def config(self) -> Config:
        """Its settings."""
        return Config.read(self.config_file)

    def images(self) -> list[Radiograph]:
        """Its manifest."""
        return read_manifest(self.manifest_file)

    def weights_file(self, which: str = "last") -> Path:
        """Where the network of the last epoch, or the best one by validation accuracy, lies."""
        return self.folder / f"{which}.safetensors"

    def network(self, which: str = "last", device: str = "cpu") -> tc.Sequential:
        """Its trained network. Raises DataError when the file is missing or damaged."""
        path = self.weights_file(which)
        try:
            return tc.load(path, device)
        except FileNotFoundError:
            raise DataError(f"{path} is missing, no epoch was finished: covid train --resume {self.folder}") from None
        except ValueError as error:
            raise DataError(f"{error}; restore the file, or train again") from error

    def predictions(self) -> Predictions:
        """What its network said of the validation and test images."""
        return Predictions.read(self.predictions_file)

    def metrics(self) -> dict[str, Any]:
        """What was measured on its test images."""
        return read_json(self.metrics_file, f"covid evaluate {self.folder} writes it again")

    def write_metrics(self, metrics: dict[str, Any]) -> None:
        """Write metrics.json."""
        write_json(self.metrics_file, metrics)

    def history(self) -> list[dict[str, Any]]:
        """The rows of history.csv, with None for what was not measured; DataError when it is missing or damaged."""
        try:
            with self.history_file.open(newline="", encoding="utf-8") as file:
                rows = [
                    {key: float(value) if value else None for key, value in row.items()} for row in csv.DictReader(file)
                ]
            if not rows:
                raise ValueError("it has no rows")
            return [{**row, "epoch": int(row["epoch"] or 0), "iteration": int(row["iteration"] or 0)} for row in rows]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise DataError(f"{self.history_file} cannot be read ({error}): restore it, or train again") from error

    def audit(self) -> dict[str, Any]:
        """What `covid audit` found."""
        return earlier.audit(read_json(self.audit_file, f"covid audit {self.folder} writes it again"))

    def provenance(self) -> Provenance:
        """What its network was trained on; a run of an earlier version knows it by its files' names alone."""
        if not self.provenance_file.is_file():
            return Provenance.of(image.path for image in self.images() if image.split == "train")
        values = read_json(self.provenance_file, f"covid train --resume {self.folder} writes it again")
        try:
            return Provenance.of_json(values)
        except (KeyError, TypeError, ValueError) as error:
            raise DataError(f"{self.provenance_file} is damaged ({error!r}): restore it, or train again") from error

    def environment(self) -> dict[str, Any]:
        """Where and how it was trained."""
        return read_json(self.environment_file, f"covid train --resume {self.folder} writes it again")

    def write_environment(self, training_seconds: float) -> None:
        """Write environment.json: the command, the versions, the machine, and how long the training took."""
        command = shlex.join(["covid", *sys.argv[1:]])
        write_json(
            self.environment_file, {"command": command, "training_seconds": round(training_seconds, 1), **tc.describe()}
        )


def read_json(path: Path, remedy: str) -> Any:
    """Read a JSON file; DataError, with what writes it again, when it is missing or damaged."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(f"{path} cannot be read ({error}): {remedy}") from error


def write_json(path: Path, content: Any) -> None:
    """Write a JSON file, whole or not at all."""
    partial = path.with_suffix(".partial")
    partial.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    os.replace(partial, path)
