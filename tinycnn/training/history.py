"""What training has measured so far: a row an iteration."""

from __future__ import annotations

from typing import Any

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
Row = dict[str, Any]  # a value a column; None where there was no validation
