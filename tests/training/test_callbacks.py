"""Callbacks: what is kept, when training ends, and what is written."""

import csv
import io

import numpy as np
import pytest

import tinycnn as tc
from tinycnn.training.history import COLUMNS

RNG = np.random.default_rng(31)
X, T = RNG.normal(size=(12, 1, 4, 4)), RNG.integers(0, 2, 12)
VALIDATION = RNG.normal(size=(5, 1, 4, 4)), RNG.integers(0, 2, 5)


def make(callbacks, **options) -> tc.Trainer:
    net = tc.Sequential(
        [
            tc.ImageInput((1, 4, 4), name="input"),
            tc.FullyConnected(2, name="fc"),
            tc.Softmax(),
            tc.ClassificationOutput(),
        ]
    )
    return tc.Trainer(net, tc.SGDM(0.01), callbacks=callbacks, batch_size=4, **options)


class Script(tc.Callback):
    """Writes prepared numbers over a history column (None: not validated) and remembers the weights of each moment."""

    def __init__(self, column: str, values):
        self.column, self.values, self.weights = column, values, []

    def on_iteration_end(self, trainer):
        trainer.history[-1][self.column] = self.values[trainer.iteration - 1]
        self.weights.append(trainer.net.state_dict()["fc.weight"])


@pytest.mark.parametrize(
    ("monitor", "values", "best"),
    [
        ("validation_accuracy", [None, None, 0.5, None, None, 0.7, None, None, 0.6], 5),
        ("validation_accuracy", [None, None, 0.7, None, None, 0.7, None, None, 0.7], 2),  # a tie goes to the earlier
        ("validation_accuracy", [None, 0.5, None, None, 0.9, None, None, 0.6, None], 4),  # never at the end of an epoch
        ("validation_loss", [None, None, 0.9, None, None, 0.2, None, None, 0.3], 5),
        ("validation_loss", [0.9, 0.1, 0.2, 0.3, 0.1, 0.1, 0.4, 0.4, 0.5], 1),
    ],
)
def test_best_is_the_network_of_the_best_validation(tmp_path, monitor, values, best):
    script = Script(monitor, values)
    run = make([script, tc.Checkpoint(tmp_path, monitor=monitor)])
    run.fit((X, T), VALIDATION, epochs=3)
    saved = tc.load(tmp_path / "best.safetensors")
    assert [np.array_equal(saved.state_dict()["fc.weight"], w) for w in script.weights].index(True) == best
    last = tc.load(tmp_path / "last.safetensors")
    np.testing.assert_array_equal(last.state_dict()["fc.weight"], script.weights[-1])


def test_best_measured_again_has_the_score_in_the_history(tmp_path):
    run = make([tc.Checkpoint(tmp_path, monitor="validation_loss")], validation_every=2)
    history = run.fit((X, T), VALIDATION, epochs=4)
    losses = [row["validation_loss"] for row in history if row["validation_loss"] is not None]
    assert tc.evaluate(tc.load(tmp_path / "best.safetensors"), VALIDATION).loss == min(losses)


def test_best_survives_a_resume(tmp_path):
    first = make([Script("validation_accuracy", [None, None, 0.9]), tc.Checkpoint(tmp_path)])
    first.fit((X, T), VALIDATION, epochs=1)
    best = (tmp_path / "best.safetensors").read_bytes()
    second = make([Script("validation_accuracy", [None] * 5 + [0.8]), tc.Checkpoint(tmp_path)])
    second.resume(tmp_path / "last.safetensors")
    second.fit((X, T), VALIDATION, epochs=2)
    assert (tmp_path / "best.safetensors").read_bytes() == best
    assert sorted(path.name for path in tmp_path.iterdir()) == ["best.safetensors", "last.safetensors"]


@pytest.mark.parametrize(
    ("monitor", "values", "patience", "iterations"),
    [
        ("validation_loss", [5, 4, 4, 3, 3, 4, 2, 1, 0], 2, 6),
        ("validation_loss", [5, 4, 4, 3, 3, 4, 2, 1, 0], 3, 9),
        ("validation_accuracy", [None, 0.5, None, 0.6, None, 0.6, None, 0.1, None], 1, 6),
        ("loss", [1, 2, 3, 4, 5, 6, 7, 8, 9], 4, 5),
    ],
)
def test_early_stopping(monitor, values, patience, iterations):
    run = make([Script(monitor, values), tc.EarlyStopping(patience, monitor)])
    assert len(run.fit((X, T), VALIDATION, epochs=3)) == iterations


def test_csv_log(tmp_path):
    run = make([tc.CSVLog(tmp_path / "history.csv")])
    history = run.fit((X, T), VALIDATION, epochs=2)
    with open(tmp_path / "history.csv", newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [tuple(row) for row in rows] == [COLUMNS] * 6
    assert [float(row["loss"]) for row in rows] == [row["loss"] for row in history]
    assert [row["validation_accuracy"] for row in rows[:2]] == ["", ""]
    assert float(rows[2]["validation_accuracy"]) == history[2]["validation_accuracy"]
    assert [path.name for path in tmp_path.iterdir()] == ["history.csv"]


def table(every: int, epochs: int, validation=None, values=None) -> list[str]:
    stream = io.StringIO()
    script = [Script("seconds", values)] if values else []
    make([*script, tc.TrainingTable(every, stream)]).fit((X, T), validation, epochs=epochs)
    lines = stream.getvalue().splitlines()
    assert len({len(line) for line in lines}) == 1
    rule = lines[0]
    assert set(rule[1:-1]) == {"="} and lines[3] == lines[-1] == rule
    return lines


@pytest.mark.parametrize(
    ("every", "epochs", "validation", "iterations"),
    [
        (50, 1, None, [1, 3]),  # the first and the last
        (2, 2, None, [1, 2, 4, 6]),
        (50, 3, VALIDATION, [1, 3, 6, 9]),
        (4, 3, None, [1, 4, 8, 9]),
    ],
)
def test_training_table_rows(every, epochs, validation, iterations):
    rows = table(every, epochs, validation)[4:-1]
    assert [int(row.split("|")[2]) for row in rows] == iterations
    assert [int(row.split("|")[1]) for row in rows] == [-(-i // 3) for i in iterations]


def test_training_table_cells():
    lines = table(50, 1, VALIDATION, values=[59.9, 60, 3725.5])
    assert [cell.strip() for cell in lines[1].split("|")[1:-1]] == [
        "Epoch",
        "Iteration",
        "Time Elapsed",
        "Mini-batch",
        "Validation",
        "Mini-batch",
        "Validation",
        "Base Learning",
    ]
    first, last = ([cell.strip() for cell in row.split("|")[1:-1]] for row in lines[4:-1])
    assert first[:3] == ["1", "1", "00:00:59"] and last[2] == "01:02:05"
    assert first[4] == first[6] == "" and last[4].endswith("%") and first[7] == "0.01"
    assert first[3] in ("0.00%", "25.00%", "50.00%", "75.00%", "100.00%")


def test_occasions_come_in_order():
    said = []

    class Listener(tc.Callback):
        def __getattribute__(self, name):
            return (lambda trainer: said.append(name.removeprefix("on_"))) if name.startswith("on_") else None

    make([Listener()]).fit((X, T), epochs=2)
    epoch = ["iteration_end"] * 3 + ["epoch_end"]
    assert said == ["train_begin", *epoch, *epoch, "train_end"]


def test_arguments():
    with pytest.raises(ValueError, match="patience is 0"):
        tc.EarlyStopping(0)
