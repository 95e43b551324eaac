"""The history: a list of rows as before, and what it shows of them."""

import json
import re
import sys

import numpy as np
import pytest

import tinycnn as tc
from tinycnn.training.history import COLUMNS, improvement


def history(*rows) -> tc.History:
    """Rows of (epoch, loss, accuracy, validation loss, validation accuracy)."""
    return tc.History(
        dict(zip(COLUMNS, (row[0], i, i / 2, 0.1, *row[1:]), strict=True)) for i, row in enumerate(rows, start=1)
    )


HISTORY = history(
    (1, 0.9, 0.25, None, None),
    (1, 0.7, 0.75, 0.8, 0.5),
    (2, 0.5, 0.50, None, None),
    (2, 0.3, 1.00, 0.6, 0.75),
    (3, 0.6, 0.50, None, None),
    (3, 0.4, 0.50, 0.5, 0.75),
)
REGRESSION = history((1, 0.9, None, None, None), (1, 0.7, None, 0.8, None), (2, 0.8, None, 0.9, None))


def test_it_is_the_list_that_it_was():
    assert len(HISTORY) == 6 and HISTORY[1]["loss"] == 0.7 and HISTORY[-1] is HISTORY[5]
    assert [row["iteration"] for row in HISTORY] == list(range(1, 7)) and len(HISTORY[:2]) == 2
    assert json.loads(json.dumps(HISTORY)) == HISTORY


def test_fit_and_resume_give_a_history(tmp_path):
    x, t = np.random.default_rng(0).random((8, 1, 4, 4)), np.arange(8) % 2
    net = tc.Sequential([tc.ImageInput((1, 4, 4)), tc.FullyConnected(2), tc.Softmax(), tc.ClassificationOutput()])
    trainer = tc.Trainer(net, tc.SGDM(), batch_size=4)
    assert isinstance(trainer.fit((x, t), epochs=2), tc.History)
    trainer.save_checkpoint(tmp_path / "last.safetensors")
    again = tc.Trainer(net, tc.SGDM(), batch_size=4)
    again.resume(tmp_path / "last.safetensors")
    assert isinstance(again.history, tc.History) and again.history == trainer.history


def test_last_and_best():
    assert HISTORY.last is HISTORY[5]
    assert HISTORY.best is HISTORY[3]  # 75 % twice: the earlier
    assert REGRESSION.best is REGRESSION[1]
    assert history((1, 0.9, 0.5, None, None), (1, 0.2, 0.5, None, None), (1, 0.3, 1, None, None)).best["loss"] == 0.2


def test_improvement_is_larger_when_better():
    assert improvement(HISTORY[1], "validation_loss") < improvement(HISTORY[3], "validation_loss")
    assert improvement(HISTORY[1], "accuracy") < improvement(HISTORY[3], "accuracy")
    assert improvement(HISTORY[0], "validation_loss") is None


@pytest.mark.parametrize("use", [lambda h: h.last, lambda h: h.best, lambda h: h.plot()], ids=["last", "best", "plot"])
def test_an_empty_history_says_what_to_do(use):
    with pytest.raises(ValueError, match="the history is empty: train first, with Trainer.fit"):
        use(tc.History())
    assert repr(tc.History()) == "History of no iterations" and "<tbody></tbody>" in tc.History()._repr_html_()


def test_it_prints_short():
    assert (
        repr(HISTORY)
        == str(HISTORY)
        == (
            "History of 6 iterations in 3 epochs: loss 0.4000, accuracy 50.0 %, validation loss 0.5000, "
            "validation accuracy 75.0 %"
        )
    )
    assert repr(HISTORY[:5]).startswith("[")  # a slice is a plain list
    assert repr(REGRESSION) == "History of 3 iterations in 2 epochs: loss 0.8000, validation loss 0.9000"


def test_in_a_notebook_it_is_a_table_of_epochs():
    lines = HISTORY._repr_html_().split("<tr>")[1:]
    cells = [re.findall(">([^<>]+)</t[hd]>", line) for line in lines]
    assert cells[0] == [column.replace("_", " ") for column in COLUMNS]
    assert cells[2] == ["2", "4", "2", "0.1", "0.4000", "75.0 %", "0.6000", "75.0 %"]  # loss (0.5 + 0.3) / 2
    assert len(cells) == 4 and "accuracy" not in REGRESSION._repr_html_()


def test_it_turns_into_a_data_frame():
    columns = HISTORY.to_dict()
    assert tuple(columns) == COLUMNS and columns["validation_loss"] == [None, 0.8, None, 0.6, None, 0.5]
    pandas = pytest.importorskip("pandas")
    for frame in (pandas.DataFrame(columns), pandas.DataFrame(HISTORY)):
        assert frame["loss"].tolist() == [row["loss"] for row in HISTORY]
        assert frame["validation_accuracy"].count() == 3


@pytest.fixture
def pyplot(monkeypatch):
    matplotlib = pytest.importorskip("matplotlib")
    matplotlib.use("Agg")
    from matplotlib import pyplot

    yield pyplot
    pyplot.close("all")


def test_it_plots_itself(pyplot):
    axes = HISTORY.plot()
    assert [ax.get_ylabel() for ax in axes] == ["loss", "accuracy"]
    training, validation = axes[0].get_lines()
    np.testing.assert_array_equal(training.get_xydata(), [[i, HISTORY[i - 1]["loss"]] for i in range(1, 7)])
    np.testing.assert_array_equal(validation.get_xydata(), [[2, 0.8], [4, 0.6], [6, 0.5]])
    assert [text.get_text() for text in axes[1].get_legend().get_texts()] == ["training", "validation"]
    assert [ax.get_ylabel() for ax in REGRESSION.plot()] == ["loss"]


def test_it_plots_on_given_axes(pyplot):
    _, axes = pyplot.subplots(1, 2)
    assert HISTORY.plot(axes) is axes and len(axes[1].get_lines()) == 2


def test_without_matplotlib(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ImportError, match="plotting needs Matplotlib: python -m pip install matplotlib"):
        HISTORY.plot()


def test_importing_tinycnn_imports_neither_matplotlib_nor_tqdm():
    import subprocess

    code = "import sys, tinycnn; print({'matplotlib', 'tqdm', 'pandas', 'torch'} & set(sys.modules))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout == "set()\n"
