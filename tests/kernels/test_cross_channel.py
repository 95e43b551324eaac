"""Cross-channel normalization in every module of kernels: by hand, PyTorch, finite differences, any thread count."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests import oracles
from tinycnn.kernels import cpu, reference
from tinycnn.runtime import threads


def test_by_hand(kernels):
    x = np.array([1.0, 2, 3, 4]).reshape(1, 4, 1, 1)
    y = kernels.cross_channel_norm_forward(x, 3, 3.0, 1.0, 0.5)  # α/size is 1: neighbours' squares, and ½
    np.testing.assert_allclose(y.ravel(), [1 / 5.5, 2 / 14.5, 3 / 29.5, 4 / 25.5])
    y = kernels.cross_channel_norm_forward(x, 2, 2.0, 1.0, 0.5)  # an even window has one more channel before
    np.testing.assert_allclose(y.ravel(), [1 / 1.5, 2 / 5.5, 3 / 13.5, 4 / 25.5])


def naive(x, size, alpha, beta, k):
    y = np.empty(x.shape)
    for n, c, i, j in np.ndindex(*x.shape):
        window = range(max(0, c - size // 2), min(x.shape[1], c + (size - 1) // 2 + 1))
        y[n, c, i, j] = x[n, c, i, j] / (k + alpha / size * sum(float(x[n, b, i, j]) ** 2 for b in window)) ** beta
    return y


@settings(max_examples=30, deadline=None)
@given(
    shape=st.tuples(st.integers(1, 2), st.integers(1, 7), st.integers(1, 4), st.integers(1, 5)),
    size=st.integers(1, 9),
    beta=st.sampled_from([0.75, 0.5, 1.3]),
    k=st.sampled_from([1.0, 2.0, 0.3]),
)
def test_equals_loops_and_finite_differences(kernels, shape, size, beta, k):
    x, dy = np.random.default_rng(0).standard_normal((2, *shape))
    arguments = (size, 0.9, beta, k)
    np.testing.assert_allclose(kernels.cross_channel_norm_forward(x, *arguments), naive(x, *arguments), rtol=1e-10)
    dx = kernels.cross_channel_norm_backward(dy, x, *arguments)
    expected = oracles.numerical_gradient(lambda x: naive(x, *arguments), x, dy)
    np.testing.assert_allclose(dx, expected, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("size", [1, 4, 5])
@pytest.mark.parametrize("shape", [(2, 9, 27, 27), (3, 4, 16, 16), (1, 6, 1, 1)])
def test_equals_torch(kernels, shape, size):
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(1)
    x, dy = rng.standard_normal(shape, np.float32) * 30, rng.standard_normal(shape, np.float32)
    images = torch.from_numpy(x).requires_grad_()
    expected = torch.nn.functional.local_response_norm(images, size, alpha=0.02, beta=0.75, k=2.0)
    expected.backward(torch.from_numpy(dy))
    arguments = (size, 0.02, 0.75, 2.0)
    y, dx = (kernels.cross_channel_norm_forward(x, *arguments), kernels.cross_channel_norm_backward(dy, x, *arguments))
    assert y.dtype == dx.dtype == np.float32
    np.testing.assert_allclose(y, expected.detach(), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(dx, images.grad, rtol=1e-4, atol=1e-6)


def test_leaves_its_arguments_alone_and_takes_strided_ones(kernels):
    x, dy = np.random.default_rng(2).standard_normal((2, 5, 3, 4, 6))
    before = x.copy(), dy.copy()
    views = x.transpose(0, 3, 1, 2), dy.transpose(0, 3, 1, 2)
    dense = [np.ascontiguousarray(view) for view in views]
    arguments = (3, 0.5, 0.75, 1.0)
    np.testing.assert_array_equal(
        kernels.cross_channel_norm_forward(views[0], *arguments),
        kernels.cross_channel_norm_forward(dense[0], *arguments),
    )
    np.testing.assert_array_equal(
        kernels.cross_channel_norm_backward(views[1], views[0], *arguments),
        kernels.cross_channel_norm_backward(dense[1], dense[0], *arguments),
    )
    np.testing.assert_array_equal((x, dy), before)


def test_large_activations_stay_finite(kernels):
    x = np.full((1, 6, 2, 2), 1e4, np.float32)  # squares of 10⁸, s^(β+1) of 10¹⁴
    assert np.isfinite(kernels.cross_channel_norm_forward(x, 5, 1.0, 0.75, 1.0)).all()
    dx = kernels.cross_channel_norm_backward(x, x, 5, 1.0, 0.75, 1.0)
    exact = reference.cross_channel_norm_backward(x.astype(float), x.astype(float), 5, 1.0, 0.75, 1.0)
    np.testing.assert_allclose(dx, exact, rtol=1e-3, atol=1e-3)


def test_same_bits_on_any_number_of_threads():
    x, dy = np.random.default_rng(3).standard_normal((2, 7, 24, 31, 43), np.float32)
    before, results = threads.get_num_threads(), []
    try:
        for number in (1, 2, 3):
            threads.set_num_threads(number)
            results.append(
                (
                    cpu.cross_channel_norm_forward(x, 5, 0.1, 0.75, 1.0),
                    cpu.cross_channel_norm_backward(dy, x, 5, 0.1, 0.75, 1.0),
                )
            )
    finally:
        threads.set_num_threads(before)
    for y, dx in results[1:]:
        np.testing.assert_array_equal(y, results[0][0])
        np.testing.assert_array_equal(dx, results[0][1])
