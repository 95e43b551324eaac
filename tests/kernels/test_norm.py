"""Batch normalization in every module of kernels: by hand, PyTorch, finite differences, and numbers far from zero."""

import numpy as np
import pytest

from tests import oracles


def test_by_hand(kernels):
    x = np.array([[[[1.0, 3]]], [[[5, 7]]]])
    mean, variance = kernels.batch_norm_statistics(x)
    assert mean == 4 and variance == 5
    y = kernels.batch_norm_forward(x, mean, variance, np.array([10.0]), np.array([1.0]), 4.0)
    np.testing.assert_allclose(y.reshape(-1), [1 - 10, 1 - 10 / 3, 1 + 10 / 3, 1 + 10])


@pytest.mark.parametrize("shape", [(3, 5, 7, 9), (1, 2, 1, 3), (64, 3, 40, 41), (2, 1, 111, 113)])
def test_equals_torch(kernels, shape):
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(0)
    x, dy = rng.standard_normal(shape, np.float32) * 3 + 1, rng.standard_normal(shape, np.float32)
    weight, bias = rng.standard_normal((2, shape[1]), np.float32)
    tx, tw, tb = (torch.from_numpy(a).requires_grad_() for a in (x, weight, bias))
    mean, variance = kernels.batch_norm_statistics(x)
    for training in (True, False):
        tx.grad = tw.grad = tb.grad = None
        given = torch.from_numpy(mean), torch.from_numpy(variance)
        ty = torch.nn.functional.batch_norm(tx, *given, tw, tb, training, 0.0, 1e-5)
        ty.backward(torch.from_numpy(dy))
        y = kernels.batch_norm_forward(x, mean, variance, weight, bias, 1e-5)
        np.testing.assert_allclose(y, ty.detach(), rtol=1e-4, atol=1e-4)
        gradients = kernels.batch_norm_backward(dy, x, mean, variance, weight, 1e-5, training)
        for got, expected in zip(gradients, (tx.grad, tw.grad, tb.grad), strict=True):
            assert got.dtype == np.float32
            np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-3)


def test_backward_equals_finite_differences(kernels):
    rng = np.random.default_rng(1)
    x, dy = rng.standard_normal((2, 3, 2, 4, 3))
    weight, bias = rng.standard_normal((2, 2))

    def forward(x, weight=weight, bias=bias):
        return kernels.batch_norm_forward(x, *kernels.batch_norm_statistics(x), weight, bias, 1e-3)

    dx, dweight, dbias = kernels.batch_norm_backward(dy, x, *kernels.batch_norm_statistics(x), weight, 1e-3)
    np.testing.assert_allclose(dx, oracles.numerical_gradient(forward, x, dy), rtol=1e-5, atol=1e-7)
    expected = oracles.numerical_gradient(lambda w: forward(x, weight=w), weight, dy)
    np.testing.assert_allclose(dweight, expected, rtol=1e-6)
    expected = oracles.numerical_gradient(lambda b: forward(x, bias=b), bias, dy)
    np.testing.assert_allclose(dbias, expected, rtol=1e-6)


def test_statistics_far_from_zero_keep_their_digits(kernels):
    # Σx² − (Σx)² loses everything here: both are 10¹¹, their difference is 10⁵.
    x = np.random.default_rng(2).standard_normal((8, 2, 100, 100)) + 1000
    mean, variance = kernels.batch_norm_statistics(x.astype(np.float32))
    np.testing.assert_allclose(mean, x.mean(axis=(0, 2, 3)), rtol=1e-6)
    np.testing.assert_allclose(variance, x.var(axis=(0, 2, 3)), rtol=1e-3)


def test_a_nan_stays_in_its_channel(kernels):
    x = np.ones((2, 2, 3, 3), np.float32)
    x[0, 1, 1, 1] = np.nan
    mean, variance = kernels.batch_norm_statistics(x)
    np.testing.assert_array_equal(np.isnan(mean), [False, True])
    np.testing.assert_array_equal(np.isnan(variance), [False, True])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_running_statistics_move_as_torch_moves_them(kernels, dtype):
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(4)
    x = rng.standard_normal((3, 300, 2, 5)).astype(dtype)
    running_mean, running_var = rng.standard_normal(300).astype(dtype), rng.random(300).astype(dtype)
    expected = torch.from_numpy(running_mean.copy()), torch.from_numpy(running_var.copy())
    torch.nn.functional.batch_norm(torch.from_numpy(x), *expected, training=True, momentum=0.2)
    mean, variance = (a.astype(dtype) for a in (x.mean(axis=(0, 2, 3)), x.var(axis=(0, 2, 3))))
    assert kernels.batch_norm_track(running_mean, running_var, mean, variance, 0.2, 30 / 29) is None
    tolerance = 1e-5 if dtype == np.float32 else 1e-12
    for got, wanted in zip((running_mean, running_var), expected, strict=True):
        np.testing.assert_allclose(got, wanted, rtol=tolerance, atol=tolerance)
