"""What happens beside training: checkpoints, early stopping, logs. Each callback is told when something is finished."""

from __future__ import annotations

import csv
import math
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from tinycnn.checks import checked_count
from tinycnn.training.history import COLUMNS, improvement
from tinycnn.training.progress import print_line

if TYPE_CHECKING:
    from tinycnn.training.history import Row
    from tinycnn.training.trainer import Trainer


class Callback:
    """Does nothing at every occasion; a subclass does something at some."""

    def on_train_begin(self, trainer: Trainer) -> None: ...

    def on_iteration_end(self, trainer: Trainer) -> None: ...

    def on_epoch_end(self, trainer: Trainer) -> None: ...

    def on_train_end(self, trainer: Trainer) -> None: ...


class _Monitor(Callback):
    """What callbacks share that follow one column of the history."""

    def __init__(self, monitor: str):
        if monitor not in COLUMNS:
            raise ValueError(f"monitor is {monitor!r}: choose a column of the history, {', '.join(COLUMNS)}")
        self.monitor = monitor

    def on_train_begin(self, trainer: Trainer) -> None:
        """Make sure that the column will be measured: without it nothing would ever happen."""
        kind, column = type(self).__name__, self.monitor
        if column.startswith("validation") and trainer.validation is None:
            raise ValueError(
                f"{kind} follows {column}, but there is no validation data: give fit validation=(x, t), "
                f'or {kind} monitor="loss"'
            )
        if column.endswith("accuracy") and not trainer.has_labels:
            raise ValueError(
                f"{kind} follows {column}, but the targets are no class labels, so there is no accuracy: give {kind} "
                f'monitor="{column.replace("accuracy", "loss")}"'
            )


class Checkpoint(_Monitor):
    """Keeps two files up to date: `last.safetensors`, to resume from, and `best.safetensors`, the best network so far.

    Args:
        folder: where they are written.
        monitor: the history column that decides what is best; ties go to the earlier network.

    Raises:
        ValueError: for an unknown column, and when training begins for one that will not be measured.
    """

    def __init__(self, folder: str | Path, monitor: str = "validation_accuracy"):
        super().__init__(monitor)
        self.folder = Path(folder)

    def on_train_begin(self, trainer: Trainer) -> None:
        super().on_train_begin(trainer)
        self.folder.mkdir(parents=True, exist_ok=True)

    def on_iteration_end(self, trainer: Trainer) -> None:
        latest = improvement(trainer.history[-1], self.monitor)
        if latest is None:
            return
        earlier = (improvement(row, self.monitor) for row in trainer.history[:-1])
        if all(score is None or score < latest for score in earlier):
            trainer.net.save(self.folder / "best.safetensors")

    def on_epoch_end(self, trainer: Trainer) -> None:
        trainer.save_checkpoint(self.folder / "last.safetensors")

    def on_train_end(self, trainer: Trainer) -> None:
        if trainer.history:
            trainer.save_checkpoint(self.folder / "last.safetensors")


class EarlyStopping(_Monitor):
    """Ends training when the monitored column has not improved for `patience` validations.

    Args:
        patience: how many validations may pass without a new best.
        monitor: a history column; smaller is better if its name ends in "loss".

    Raises:
        ValueError: for an unknown column, and when training begins for one that will not be measured.
    """

    def __init__(self, patience: int = 5, monitor: str = "validation_loss"):
        super().__init__(monitor)
        self.patience = checked_count(patience, "patience", "validations")

    def on_iteration_end(self, trainer: Trainer) -> None:
        scores = [score for row in trainer.history if (score := improvement(row, self.monitor)) is not None]
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
            _percent(row["accuracy"]),
            _percent(row["validation_accuracy"]),
            f"{row['loss']:.4f}",
            f"{row['validation_loss']:.4f}" if validated else "",
            f"{row['learning_rate']:.4g}",
        )
        self._print(
            "|" + "|".join(f" {cell:>{width}} " for cell, (*_, width) in zip(cells, self._COLUMNS, strict=True)) + "|"
        )

    def _print(self, line: str) -> None:
        print_line(line, self.stream or sys.stdout)


def _percent(share: float | None) -> str:
    return "" if share is None else f"{share:.2%}"
