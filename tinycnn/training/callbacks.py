"""What happens beside training: checkpoints, early stopping, logs. Each callback is told when something is finished."""

from __future__ import annotations

import csv
import math
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from tinycnn.training.history import COLUMNS

if TYPE_CHECKING:
    from tinycnn.training.history import Row
    from tinycnn.training.trainer import Trainer


class Callback:
    """Does nothing at every occasion; a subclass does something at some."""

    def on_train_begin(self, trainer: Trainer) -> None: ...

    def on_iteration_end(self, trainer: Trainer) -> None: ...

    def on_epoch_end(self, trainer: Trainer) -> None: ...

    def on_train_end(self, trainer: Trainer) -> None: ...


def _checked_monitor(monitor: str) -> str:
    if monitor not in COLUMNS:
        raise ValueError(f"monitor is {monitor!r}: choose a column of the history, {', '.join(COLUMNS)}")
    return monitor


def _improvement(row: Row, monitor: str) -> float | None:
    """The monitored column as a number that is better when larger; None where it was not measured."""
    value = row[monitor]
    return None if value is None else (-value if monitor.endswith("loss") else value)


class Checkpoint(Callback):
    """Keeps two files up to date: `last.safetensors`, to resume from, and `best.safetensors`, the best network so far.

    Args:
        folder: where they are written.
        monitor: the history column that decides what is best; ties go to the earlier network.
    """

    def __init__(self, folder: str | Path, monitor: str = "validation_accuracy"):
        self.folder, self.monitor = Path(folder), _checked_monitor(monitor)

    def on_train_begin(self, trainer: Trainer) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)

    def on_iteration_end(self, trainer: Trainer) -> None:
        latest = _improvement(trainer.history[-1], self.monitor)
        if latest is None:
            return
        earlier = (_improvement(row, self.monitor) for row in trainer.history[:-1])
        if all(score is None or score < latest for score in earlier):
            trainer.net.save(self.folder / "best.safetensors")

    def on_epoch_end(self, trainer: Trainer) -> None:
        trainer.save_checkpoint(self.folder / "last.safetensors")

    def on_train_end(self, trainer: Trainer) -> None:
        if trainer.history:
            trainer.save_checkpoint(self.folder / "last.safetensors")


class EarlyStopping(Callback):
    """Ends training when the monitored column has not improved for `patience` validations.

    Args:
        patience: how many validations may pass without a new best.
        monitor: a history column; smaller is better if its name ends in "loss".
    """

    def __init__(self, patience: int = 5, monitor: str = "validation_loss"):
        if patience < 1:
            raise ValueError(f"patience is {patience!r}: give a whole number of validations, at least 1")
        self.patience, self.monitor = patience, _checked_monitor(monitor)

    def on_iteration_end(self, trainer: Trainer) -> None:
        scores = [score for row in trainer.history if (score := _improvement(row, self.monitor)) is not None]
        if trainer.history[-1][self.monitor] is not None and scores:
            trainer.stopping |= len(scores) - 1 - scores.index(max(scores)) >= self.patience


class CSVLog(Callback):
    """Writes the history as a CSV file, one row an iteration, at the end of every epoch."""

    def __init__(self, path: str | Path):
        self.path = Path(path)

    def on_train_begin(self, trainer: Trainer) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)

    def on_epoch_end(self, trainer: Trainer) -> None:
        partial = self.path.with_name(f"{self.path.name}.partial")
        with open(partial, "w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, COLUMNS)
            writer.writeheader()
            writer.writerows(trainer.history)
        os.replace(partial, self.path)


class TrainingTable(Callback):
    """Prints MATLAB's training table: a row at iteration 1, every `every` iterations, at validations and at the end.

    Args:
        every: iterations between rows.
        stream: where to print; standard output by default.
    """

    _COLUMNS = (
        ("Epoch", "", 7),
        ("Iteration", "", 11),
        ("Time Elapsed", "(hh:mm:ss)", 14),
        ("Mini-batch", "Accuracy", 12),
        ("Validation", "Accuracy", 12),
        ("Mini-batch", "Loss", 12),
        ("Validation", "Loss", 12),
        ("Base Learning", "Rate", 15),
    )
    _RULE = "|" + "=" * (sum(width for *_, width in _COLUMNS) + 3 * len(_COLUMNS) - 1) + "|"

    def __init__(self, every: int = 50, stream: TextIO | None = None):
        self.every, self.stream = every, stream

    def on_train_begin(self, trainer: Trainer) -> None:
        self._print(self._RULE)
        for line in (0, 1):
            self._print("|" + "|".join(f" {column[line]:^{column[2]}} " for column in self._COLUMNS) + "|")
        self._print(self._RULE)

    def on_iteration_end(self, trainer: Trainer) -> None:
        row = trainer.history[-1]
        if row["iteration"] == 1 or row["iteration"] % self.every == 0 or row["validation_loss"] is not None:
            self._print_row(row)
            self._printed = row["iteration"]

    def on_train_end(self, trainer: Trainer) -> None:
        if trainer.history and trainer.history[-1]["iteration"] != self._printed:
            self._print_row(trainer.history[-1])
        self._print(self._RULE)

    _printed = 0

    def _print_row(self, row: Row) -> None:
        minutes, seconds = divmod(math.floor(row["seconds"]), 60)
        validated = row["validation_loss"] is not None
        cells = (
            row["epoch"],
            row["iteration"],
            f"{minutes // 60:02}:{minutes % 60:02}:{seconds:02}",
            f"{row['accuracy']:.2%}",
            f"{row['validation_accuracy']:.2%}" if validated else "",
            f"{row['loss']:.4f}",
            f"{row['validation_loss']:.4f}" if validated else "",
            f"{row['learning_rate']:.4g}",
        )
        self._print(
            "|" + "|".join(f" {cell:>{width}} " for cell, (*_, width) in zip(cells, self._COLUMNS, strict=True)) + "|"
        )

    def _print(self, line: str) -> None:
        print(line, file=self.stream or sys.stdout, flush=True)
