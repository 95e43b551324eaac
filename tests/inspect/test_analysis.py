"""The analysis before training: counts by hand, and each warning where it is due and nowhere else."""

import re

import numpy as np
import pytest

import tinycnn as tc
from covid.models.paper import paper_network
from tests.inspect.networks import nested_network
from tinycnn import inspect


def sound(*layers):
    """A network that nothing is wrong with, with these layers in the middle."""
    net = tc.Sequential(
        [
            tc.ImageInput((1, 8, 8), normalization="zerocenter"),
            *layers,
            tc.FullyConnected(2, name="fc"),
            tc.Softmax(),
            tc.ClassificationOutput(),
        ]
    )
    net.layers[0].fit(np.ones((2, 1, 8, 8)))
    return net


def test_the_papers_table():
    analysis = inspect.analyze(paper_network())
    rows = {row.name: row for row in analysis}
    assert analysis.parameters == 52287
    assert rows["conv_1"].multiply_adds == 222 * 222 * 8 * 9
    assert rows["conv_4"].multiply_adds == 24 * 24 * 64 * 32 * 9
    assert rows["fc_1"].multiply_adds == 64 * 12 * 12 * 3
    assert rows["maxpool_4"].receptive_field == (46, 46) and rows["fc_2"].receptive_field == (11 * 16 + 46,) * 2
    assert rows["conv_1"].memory == 222 * 222 * 8 * 4
    assert rows["relu_1"].multiply_adds == rows["relu_1"].parameters == 0


def test_the_papers_weak_points_are_named():
    text = "\n".join(inspect.analyze(paper_network()).warnings)
    assert "input 'input' has not been measured yet" in text
    assert "no activation between 'fc_1' and 'fc_2'" in text
    assert "the 120 biases of 'conv_1', 'conv_2', 'conv_3', 'conv_4' do nothing" in text
    assert "2 layers are called 'dropout'" in text


def test_a_block_holds_what_is_inside_and_is_counted_once():
    net = nested_network()
    analysis = inspect.analyze(net)
    assert [row.name for row in analysis] == [name for name, _ in net.named_layers()]
    assert analysis.parameters == sum(array.size for array in net.parameters().values())
    block = next(row for row in analysis if row.name == "block")
    assert block.parameters is None and block.output_shape == (5, 12, 12) and block.receptive_field == (5, 5)


def test_groups_are_counted():
    net = sound(tc.Conv2D(4, 1), tc.ReLU(), tc.Conv2D(8, 3, groups=2, name="grouped"), tc.ReLU())
    row = next(row for row in inspect.analyze(net) if row.name == "grouped")
    assert row.multiply_adds == 8 * 6 * 6 * 2 * 9


WARNINGS = {
    "passes pixels on": tc.Sequential(
        [tc.ImageInput((1, 4, 4)), tc.FullyConnected(2), tc.Softmax(), tc.ClassificationOutput()]
    ),
    r"add Softmax\(\) and ClassificationOutput\(\) or, for numbers": sound()[:2],
    r"to train with: add ClassificationOutput\(\)$": sound()[:3],
    "'late' slides a window of 3×3 over an image of only 1×1": sound(
        tc.MaxPool2D(8), tc.Conv2D(2, 3, padding=1, name="late"), tc.ReLU()
    ),
    "'cut' cuts off the negative scores": tc.Sequential([*sound().layers[:2], tc.ReLU(name="cut"), tc.Softmax()]),
    "no activation between 'inner' and 'second'": sound(
        tc.Residual([tc.Conv2D(1, 1, name="inner"), tc.BatchNorm2D(), tc.Conv2D(1, 1, name="second")])
    ),
    "no activation between 'first' and 'deep'": sound(
        tc.Conv2D(2, 3, name="first"), tc.Sequential([tc.Dropout(0.5), tc.Conv2D(2, 3, name="deep"), tc.ReLU()])
    ),
    "biases of 'idle' do nothing": sound(tc.Conv2D(2, 3, name="idle"), tc.BatchNorm2D(), tc.ReLU()),
}


@pytest.mark.parametrize("pattern", WARNINGS)
def test_each_warning_where_it_is_due(pattern):
    assert re.search(pattern, "\n".join(inspect.analyze(WARNINGS[pattern]).warnings), re.MULTILINE)


def test_no_warning_without_a_reason():
    net = sound(
        tc.Conv2D(4, 3, bias=False),
        tc.BatchNorm2D(),
        tc.ReLU(),
        tc.Residual([tc.Conv2D(4, 3, padding=1, bias=False), tc.BatchNorm2D(), tc.ReLU()]),
        tc.MaxPool2D(2),
        tc.Dropout(0.5),
    )
    assert inspect.analyze(net).warnings == []


def test_it_prints_as_a_table_and_in_a_notebook_without_markup_from_names():
    net = sound(tc.Conv2D(2, 3, name="<img src=x>"), tc.ReLU())
    analysis = inspect.analyze(net)
    lines = repr(analysis).splitlines()
    assert len(lines) == 1 + len(analysis) + 1 and lines[-1].startswith("total")
    page = analysis._repr_html_()
    assert "&lt;img src=x&gt;" in page and "<img" not in page


def test_vectors_and_unknown_layers_do_not_stop_it():
    net = tc.Sequential([tc.VectorInput(3), tc.FullyConnected(2)])
    assert inspect.analyze(net)[1].receptive_field is None and inspect.analyze(net).multiply_adds == 6
