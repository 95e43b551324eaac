"""What training has measured so far: a row an iteration, to look at, to plot, to hand on."""

from __future__ import annotations

import itertools
from statistics import fmean
from typing import Any

from tinycnn.tables import html_table

COLUMNS = (
    "epoch",
    "iteration",
    "seconds",
    "learning_rate",
    "loss",
    "accuracy",
    "validation_loss",
    "validation_accuracy",
)
Row = dict[str, Any]  # a value a column; None where there was no validation, and for the accuracy of a regression


class History(list[Row]):
    """The measurements of a training, a list of rows: one dict an iteration, with the keys of COLUMNS.

    `loss` and `accuracy` are of the iteration's own images, before its update; `seconds` have passed since the training
    began. Columns of validation are None in iterations without one. In a notebook it shows as a table of the epochs;
    `pandas.DataFrame(history)` is a table of the iterations.

    >>> history = History([dict(zip(COLUMNS, (1, 1, 0.5, 0.1, 0.7, 0.5, 0.9, 0.25)))])
    >>> history
    History of 1 iteration in 1 epoch: loss 0.7000, accuracy 50.0 %, validation loss 0.9000, validation accuracy 25.0 %
    >>> history.last["loss"], history.to_dict()["learning_rate"]
    (0.7, [0.1])
    """

    @property
    def last(self) -> Row:
        """The row of the latest iteration; ValueError before the first."""
        return self._any()[-1]

    @property
    def best(self) -> Row:
        """The row with the highest validation accuracy, the earlier of equals; ValueError before the first iteration.

        Where that was not measured: the row with the lowest validation loss, or else with the lowest loss.
        """
        for monitor in ("validation_accuracy", "validation_loss", "loss"):
            scored = [(score, row) for row in self._any() if (score := improvement(row, monitor)) is not None]
            if scored:
                return max(scored, key=lambda pair: pair[0])[1]
        raise ValueError("no row of this history has a loss")

    def to_dict(self) -> dict[str, list[Any]]:
        """Each column as a list, by name: what `pandas.DataFrame` and plotting libraries take."""
        return {column: [row[column] for row in self] for column in COLUMNS}

    def plot(self, axes: Any = None) -> Any:
        """Draw loss and accuracy over the iterations with Matplotlib; returns the axes, one for each.

        Args:
            axes: two Matplotlib axes to draw on, for loss and accuracy; a new figure's by default.

        Raises:
            ImportError: without Matplotlib.
            ValueError: before the first iteration.
        """
        from tinycnn import plot

        return plot.history(self, axes)

    def _any(self) -> History:
        if not self:
            raise ValueError("the history is empty: train first, with Trainer.fit")
        return self

    def _epochs(self) -> list[Row]:
        """A row an epoch: the mean loss and accuracy of its iterations, the rest as its last iteration left it."""
        rows = []
        for _, group in itertools.groupby(self, lambda row: row["epoch"]):
            iterations = list(group)
            means = {name: _mean([row[name] for row in iterations]) for name in ("loss", "accuracy")}
            rows.append({**iterations[-1], **means})
        return rows

    def __repr__(self) -> str:
        if not self:
            return "History of no iterations"
        epochs = len({row["epoch"] for row in self})
        validated = next((row for row in reversed(self) if row["validation_loss"] is not None), {})
        measured = {
            "loss": self.last["loss"],
            "accuracy": self.last["accuracy"],
            "validation_loss": validated.get("validation_loss"),
            "validation_accuracy": validated.get("validation_accuracy"),
        }
        texts = [f"{_title(name)} {_text(name, value)}" for name, value in measured.items() if value is not None]
        return f"History of {_count(len(self), 'iteration')} in {_count(epochs, 'epoch')}: {', '.join(texts)}"

    def _repr_html_(self) -> str:
        columns = [column for column in COLUMNS if any(row[column] is not None for row in self)]
        rows = [[_text(column, row[column]) for column in columns] for row in self._epochs()]
        return html_table([_title(column) for column in columns], rows)


def improvement(row: Row, monitor: str) -> float | None:
    """The monitored column as a number that is better when larger; None where it was not measured."""
    value = row[monitor]
    return None if value is None else (-value if monitor.endswith("loss") else value)


def _mean(values: list[float | None]) -> float | None:
    return None if None in values else fmean(value for value in values if value is not None)


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'s' if number != 1 else ''}"


def _title(column: str) -> str:
    return column.replace("_", " ")


def _text(column: str, value: Any) -> str:
    """A value of a column for people."""
    if value is None or isinstance(value, int):
        return "" if value is None else str(value)
    if column.endswith("accuracy"):
        return f"{100 * value:.1f} %"
    return f"{value:.4f}" if column.endswith("loss") else f"{value:.4g}"
