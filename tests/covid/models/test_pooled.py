"""The network beyond the paper: shapes, gradients, and that a finding counts wherever it lies."""

import numpy as np

import tinycnn as tc
from covid.models.pooled import WIDTHS, pooled_network


def test_shapes():
    net = pooled_network(size=64)
    pools = [shape for layer, shape in zip(net.layers, net.shapes, strict=True) if isinstance(layer, tc.MaxPool2D)]
    assert pools == [(width, 32 >> k, 32 >> k) for k, width in enumerate(WIDTHS)]
    assert net.classes == 3 and len(net.plan) < len(net.layers) - 14  # all five blocks are fused


def test_gradients():
    net = pooled_network(size=32, dtype=np.float64, seed=2)
    x = np.random.default_rng(0).normal(size=(3, 1, 32, 32))
    errors = tc.gradcheck(net, x, np.array([0, 2, 1]), samples=3)
    assert max(errors.values()) < 1e-5


def test_a_finding_counts_the_same_wherever_it_lies():
    net = pooled_network(size=160)
    x = np.zeros((2, 1, 160, 160), np.float32)
    finding = np.random.default_rng(1).normal(0, 50, (32, 32))
    x[0, 0, 32:64, 32:64] = x[1, 0, 64:96, 96:128] = finding  # moved by whole pooling windows, clear of the border
    np.testing.assert_allclose(*net.predict(x), rtol=1e-4)
