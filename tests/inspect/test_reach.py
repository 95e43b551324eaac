"""Receptive fields, against what the gradient of a network of positive weights reaches."""

import numpy as np
import pytest

import tinycnn as tc
from tinycnn import inspect


def conv(kernel, **options):
    return tc.Conv2D(1, kernel, **options)


NETWORKS = {
    "one": [conv(3)],
    "padded": [conv(3, padding=1, name="a"), conv(5, padding="same", stride=2)],
    "dilated": [conv(3, dilation=2, padding=2), conv(2, dilation=3)],
    "odd sides": [conv((1, 4), padding=(0, 0, 2, 1)), conv((3, 2), stride=(2, 1))],
    "leaves pixels out": [tc.AveragePool2D(2), conv(3, padding=1)],
    "dilation over padding": [conv(3, padding=3, dilation=3), conv(3, padding=1, stride=2)],
    "sees padding alone": [conv(1, padding=2)],
    "residual": [tc.Residual([conv(3, padding=1), conv(3, padding=1)]), tc.AveragePool2D(3, stride=2)],
    "shortcut sees more": [tc.Residual([conv(1)], shortcut=[conv(5, padding=2)])],
    "nested": [tc.Sequential([tc.Residual([tc.Sequential([conv(3, padding=1)])]), tc.AveragePool2D(2)]), conv(2)],
    "global": [conv(3), tc.GlobalAveragePool2D()],
    "flat": [conv(3, stride=2), tc.Flatten()],
    "connected": [conv(3), tc.FullyConnected(2)],
}


def reached(net, unit):
    """The rectangle of pixels with a gradient: nothing cancels where all weights are positive."""
    shape = net.shapes[-1]
    target = int(unit[0]) if len(shape) == 1 else (0, *unit)
    dx = inspect.gradients(net, np.ones((1, *net.input_shape)), None, target)[0].any(axis=0)
    rows, columns = dx.any(axis=1).nonzero()[0], dx.any(axis=0).nonzero()[0]
    if not len(rows):
        return slice(0, 0), slice(0, 0)
    return slice(rows.min(), rows.max() + 1), slice(columns.min(), columns.max() + 1)


@pytest.mark.parametrize("name", NETWORKS)
def test_the_rectangle_is_what_a_gradient_reaches(name):
    net = tc.Sequential([tc.ImageInput((1, 11, 9)), *NETWORKS[name]], dtype=np.float64)
    for array in net.parameters().values():
        array[...] = np.abs(array) + 0.1
    shape = net.shapes[-1]
    for unit in np.ndindex(*(shape[1:] if len(shape) == 3 else shape)):
        field = inspect.receptive_field(net, -1, *unit)
        expected = reached(net, unit)
        if name == "sees padding alone":  # a unit that sees no row sees nothing, whatever its columns are
            found = field.rows, field.columns
            if any(axis == slice(0, 0) for axis in found):
                found = slice(0, 0), slice(0, 0)
            assert found == expected
        else:
            assert (field.rows, field.columns) == expected, unit


def test_a_layer_inside_a_block_is_reached_by_its_own_way_alone():
    net = tc.Sequential(
        [
            tc.ImageInput((1, 9, 9)),
            tc.Residual([conv(3, padding=1, name="a")], [conv(5, padding=2, name="b")], name="r"),
        ]
    )
    sizes = {
        name: (lambda f: f.rows.stop - f.rows.start)(inspect.receptive_field(net, name, 4, 4))
        for name in ("r.a", "r.shortcut.b", "r")
    }
    assert sizes == {"r.a": 3, "r.shortcut.b": 5, "r": 5}


def test_padding_lies_outside_the_image():
    net = tc.Sequential([tc.ImageInput((1, 8, 8)), conv(3, padding=1), conv(3, padding=1, name="c")])
    field = inspect.receptive_field(net, "c", 0, 7)
    assert field == (slice(0, 3), slice(5, 8), -2, 3, 5, 10)


def test_the_papers_network():
    from covid.models.paper import paper_network

    field = inspect.receptive_field(paper_network(), "maxpool_4", 5, 5)  # r = 1 + Σ (k − 1)·jump
    assert field.bottom - field.top == 1 + 2 * (1 + 2 + 4 + 8) + (1 + 2 + 4 + 8)
    # maxpool_2 leaves the last of 109 rows out: it sees rows 0–107, which see 0–109 of 111, those 0–219, those 0–221
    assert inspect.receptive_field(paper_network(), "fc_2", 0)[:2] == (slice(0, 222), slice(0, 222))


def test_units_that_do_not_exist_and_unknown_layers_are_refused():
    class Mirror(tc.Layer):
        pass

    net = tc.Sequential([tc.ImageInput((1, 4, 4)), conv(3, name="c"), Mirror(name="m")])
    for unit in ((2, 0), (0, -1), (0,)):
        with pytest.raises(IndexError, match="puts out"):
            inspect.receptive_field(net, "c", *unit)
    with pytest.raises(TypeError, match="'m' is a Mirror"):
        inspect.receptive_field(net, "m", 0, 0)
    assert inspect.analyze(net)[-1].receptive_field is None
