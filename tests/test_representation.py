"""How layers print: what differs from the defaults, enough to make them again."""

import numpy as np
import pytest

import tinycnn as tc


@pytest.mark.parametrize(
    ("layer", "text"),
    [
        (tc.Conv2D(8, 3), "Conv2D(filters=8, kernel=(3, 3))"),
        (tc.Conv2D(8, 3, stride=1, padding=0), "Conv2D(filters=8, kernel=(3, 3))"),
        (tc.Conv2D(8, 3, stride=(1, 2), name="conv"), "Conv2D(filters=8, kernel=(3, 3), stride=(1, 2), name='conv')"),
        (tc.MaxPool2D(2, stride=2), "MaxPool2D(pool=(2, 2))"),
        (tc.MaxPool2D(2, stride=1), "MaxPool2D(pool=(2, 2), stride=(1, 1))"),
        (tc.BatchNorm2D(l2_factors={"bias": 1.0}), "BatchNorm2D()"),
        (tc.BatchNorm2D(l2_factors={"bias": 0}), "BatchNorm2D(l2_factors={'weight': 1.0, 'bias': 0})"),
        (tc.ReLU(), "ReLU()"),
    ],
)
def test_repr_shows_what_differs_from_the_defaults(layer, text):
    assert repr(layer) == text
    assert eval(text, vars(tc)).config() == layer.config()


class Twice(tc.Layer):
    """A default that depends on another argument: b is a, unless it is given."""

    def __init__(self, a=1, b=None):
        super().__init__()
        self.a, self.b = a, a if b is None else b


class Array(tc.Layer):
    def __init__(self, table=None, name=None):
        super().__init__(name)
        self.table = np.zeros(2) if table is None else table


class Needy(tc.Layer):
    def __init__(self, a=None, b=None):
        super().__init__()
        if a is None and b is None:
            raise ValueError("give a or b")
        self.a, self.b = a, b


class Forgetful(tc.Layer):
    def __init__(self, slope, name=None):
        super().__init__(name)


@pytest.mark.parametrize(
    ("layer", "text"),
    [
        (Twice(2), "Twice(a=2, b=2)"),
        (Twice(2, 1), "Twice(a=2, b=1)"),  # without b it would be Twice(2, 2)
        (Array(), "Array()"),
        (Array(np.ones(2)), "Array(table=array([1., 1.]))"),
        (Needy(b=3), "Needy(a=None, b=3)"),
        (Forgetful(0.1), "Forgetful(slope=<not kept by the constructor>, name=None)"),
    ],
)
def test_repr_of_ones_own_layers(layer, text):
    assert repr(layer) == text
