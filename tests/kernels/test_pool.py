"""Pooling in every module of kernels: by hand, against loops, ties, NaN, overlap and padding."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests import oracles


@st.composite
def poolings(draw):
    """Few different values, so that there are ties; overlap, gaps, padding and pixels left over."""
    pair = lambda low, high: (draw(st.integers(low, high)), draw(st.integers(low, high)))  # noqa: E731
    pool, stride = pair(1, 4), pair(1, 4)
    if draw(st.booleans()):
        pool = stride = (2, 2)
    padding = tuple(draw(st.integers(0, pool[k // 2] - 1)) for k in range(4))
    shape = (*pair(1, 3), pool[0] + draw(st.integers(0, 9)), pool[1] + draw(st.integers(0, 40)))
    rng = np.random.default_rng(draw(st.integers(0, 2**31)))
    x = rng.integers(-3, 3, shape).astype(draw(st.sampled_from([np.float32, np.float64])))
    if draw(st.booleans()):
        x[rng.random(shape) < 0.05] = np.nan
    dy = rng.standard_normal((*shape[:2], *oracles.sizes(*shape[2:], pool, stride, padding))).astype(x.dtype)
    return x, dy, (pool, stride, padding)


def test_by_hand(kernels):
    x = np.array([[[[1.0, 5, 2], [7, 7, 9], [0, 0, -1]]]])
    y, argmax = kernels.max_pool2d_forward(x, (2, 2), (1, 1))
    np.testing.assert_array_equal(y, [[[[7, 9], [7, 9]]]])
    np.testing.assert_array_equal(argmax, [[[[2, 3], [0, 1]]]])  # of equal sevens, the first in row order
    dx = kernels.max_pool2d_backward(np.array([[[[1.0, 2], [3, 4]]]]), argmax, x.shape, (2, 2), (1, 1))
    np.testing.assert_array_equal(dx, [[[[0, 0, 0], [4, 0, 6], [0, 0, 0]]]])
    average = kernels.average_pool2d_forward(x, (2, 2), (2, 2), (0, 1, 0, 1))
    np.testing.assert_array_equal(average, [[[[5, 2.75], [0, -0.25]]]])
    dx = kernels.average_pool2d_backward(np.full((1, 1, 2, 2), 4.0), x.shape, (2, 2), (1, 1))
    np.testing.assert_array_equal(dx, [[[[1, 2, 1], [2, 4, 2], [1, 2, 1]]]])


@settings(max_examples=80, deadline=None)
@given(case=poolings())
def test_equals_loops(kernels, case):
    x, dy, arguments = case
    expected, index = oracles.max_pool2d(x, *arguments)
    y, argmax = kernels.max_pool2d_forward(x, *arguments)
    np.testing.assert_array_equal(y, expected)
    np.testing.assert_array_equal(argmax, index)
    assert y.dtype == x.dtype and argmax.dtype.kind in "iu"
    dx = kernels.max_pool2d_backward(dy, argmax, x.shape, *arguments)
    expected_dx = oracles.max_pool2d_backward(dy, index, x.shape, *arguments)
    np.testing.assert_allclose(dx, expected_dx, rtol=1e-5, atol=1e-6)
    y = kernels.average_pool2d_forward(x, *arguments)
    np.testing.assert_allclose(y, oracles.average_pool2d(x, *arguments), rtol=1e-5, atol=1e-6)
    dx = kernels.average_pool2d_backward(dy, x.shape, *arguments)
    np.testing.assert_allclose(dx, oracles.average_pool2d_backward(dy, x.shape, *arguments), rtol=1e-5, atol=1e-6)


def test_windows_larger_than_a_byte_can_count(kernels):
    x = np.zeros((1, 1, 17, 17), np.float32)
    x[0, 0, 16, 16] = 1
    y, argmax = kernels.max_pool2d_forward(x, (17, 17), (17, 17))
    assert y == 1 and argmax == 288
    assert kernels.max_pool2d_backward(y, argmax, x.shape, (17, 17), (17, 17))[0, 0, 16, 16] == 1


def test_equals_torch(kernels):
    torch = pytest.importorskip("torch")
    x = np.random.default_rng(0).standard_normal((4, 5, 54, 55), np.float32)
    for k, s, p in ((2, 2, 0), (3, 2, 1), (3, 1, 1), (2, 3, 0)):
        expected, index = torch.nn.functional.max_pool2d(torch.from_numpy(x), k, s, p, return_indices=True)
        y, argmax = kernels.max_pool2d_forward(x, (k, k), (s, s), (p,) * 4)
        np.testing.assert_array_equal(y, expected)
        rows, columns = (np.arange(size) * s - p for size in y.shape[2:])
        flat = (rows[:, None] + argmax // k) * 55 + columns + argmax % k
        np.testing.assert_array_equal(flat, index)
