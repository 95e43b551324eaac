"""Plots: what is on the axes, and a sentence where there is nothing to draw with."""

import sys

import numpy as np
import pytest

import tinycnn as tc
from tests.inspect.networks import nested_network
from tinycnn import inspect, plot


@pytest.fixture
def pyplot():
    matplotlib = pytest.importorskip("matplotlib")
    matplotlib.use("Agg")
    from matplotlib import pyplot

    yield pyplot
    pyplot.close("all")


def test_filters_stand_in_rows_with_one_scale_around_zero(pyplot):
    net = nested_network()
    image = plot.filters(net, "conv").get_images()[0]
    sheet, weight = np.asarray(image.get_array().filled(np.nan)), net["conv"].parameters["weight"]
    assert sheet.shape == (4 * 3 + 3, 3 * 3 + 2)
    assert np.array_equal(sheet[4:7, 8:11], weight[1, 2]) and np.isnan(sheet[3]).all()
    assert image.get_clim() == (-np.abs(weight).max(), np.abs(weight).max())
    with pytest.raises(ValueError, match="its weights are no images"):
        plot.filters(tc.Sequential([tc.VectorInput(3), tc.FullyConnected(2)]), 1)


def test_activations_are_those_of_the_image(pyplot):
    net, x = nested_network(), np.random.default_rng(0).normal(3, 2, (3, 12, 12))
    image = plot.activations(net, x, "relu").get_images()[0]
    sheet = np.asarray(image.get_array().filled(np.nan))
    assert np.array_equal(sheet[13:, :12], inspect.activations(net, x[None], "relu")[0, 2])
    assert image.get_clim()[0] == 0 and plot.activations(net, x, "conv").get_images()[0].get_clim()[0] < 0
    with pytest.raises(ValueError, match="give one image"):
        plot.activations(net, x[None], "relu")
    with pytest.raises(ValueError, match="'fc' puts out data"):
        plot.activations(net, x, "fc")


def test_the_confusion_matrix_counts(pyplot):
    labels, p = [0, 0, 1, 2, 2, 2], np.eye(4)[[0, 1, 1, 0, 2, 2]]
    ax = plot.confusion(labels, p, ["a", "b", "c", "d"])
    counts = np.array([text.get_text().split("\n")[0] for text in ax.texts], int).reshape(4, 4)
    assert np.array_equal(counts, [[1, 1, 0, 0], [0, 1, 0, 0], [1, 0, 2, 0], [0, 0, 0, 0]])
    assert ax.texts[10].get_text() == "2\n67 %" and (ax.get_xlabel(), ax.get_ylabel()) == ("predicted", "true")
    assert [text.get_text() for text in ax.get_yticklabels()] == ["a", "b", "c", "d"]
    _, given = pyplot.subplots()
    assert plot.confusion([0], [0], axes=given) is given
    with pytest.raises(ValueError, match="labels have shape"):
        plot.confusion([0, 1], [0])
    with pytest.raises(ValueError, match="3 classes, but 2 names"):
        plot.confusion([0, 2], [0, 1], ["a", "b"])


def test_the_history_has_no_panel_for_what_was_not_measured(pyplot):
    rows = [{"iteration": i, "loss": 1 / i, "accuracy": None, "validation_loss": None} for i in (1, 2)]
    (ax,) = plot.history(rows)
    assert len(ax.get_lines()) == 1
    with pytest.raises(ValueError, match="the history is empty"):
        plot.history([])


def test_names_are_no_formulas(pyplot):
    net = tc.Sequential([tc.ImageInput((1, 4, 4)), tc.Conv2D(1, 3, name="$\\frac$")])
    plot.filters(net, 1).figure.canvas.draw()
    plot.filters(net, "$\\frac$").figure.canvas.draw()
    plot.confusion([0], [0], ["$\\frac$"]).figure.canvas.draw()


def test_without_matplotlib(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ImportError, match="plotting needs Matplotlib: python -m pip install matplotlib"):
        plot.filters(nested_network(), "conv")
