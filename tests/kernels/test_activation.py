"""LeakyReLU, sigmoid and tanh in every module of kernels: SciPy, PyTorch, finite differences, the largest numbers."""

import numpy as np
import pytest
import scipy.special

from tests import oracles

EXACT = {"leaky_relu": lambda x: np.where(x > 0, x, 0.01 * x), "sigmoid": scipy.special.expit, "tanh": np.tanh}
SLOPES = {  # dy/dx
    "leaky_relu": lambda x: np.where(x > 0, 1, 0.01),
    "sigmoid": lambda x: scipy.special.expit(x) * scipy.special.expit(-x),
    "tanh": lambda x: 1 / np.cosh(x) ** 2,
}
SHAPES = [(1,), (3, 5), (2, 3, 4, 5), (7, 3, 101, 103)]


@pytest.mark.parametrize("name", EXACT)
@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float32, 1e-6), (np.float64, 1e-14)])
@pytest.mark.parametrize("shape", SHAPES)
def test_equals_scipy(kernels, name, dtype, tolerance, shape):
    rng = np.random.default_rng(0)
    x, dy = (rng.normal(0, 3, (2, *shape))).astype(dtype)
    exact, dy64 = x.astype(np.float64), dy.astype(np.float64)
    y = getattr(kernels, f"{name}_forward")(x)
    np.testing.assert_allclose(y, EXACT[name](exact), rtol=10 * tolerance, atol=1e-30)
    dx = getattr(kernels, f"{name}_backward")(dy, y)
    np.testing.assert_allclose(dx, dy64 * SLOPES[name](exact), rtol=10 * tolerance, atol=10 * tolerance)
    assert y.dtype == dx.dtype == dtype and y.shape == dx.shape == x.shape


@pytest.mark.parametrize("slope", [0, 0.3, 1, 2.5])
def test_any_slope(kernels, slope):
    x, dy = np.array([[-2.0, -0.5, 0, 0.5], [3, 4, -5, 6]])
    y = kernels.leaky_relu_forward(x, slope)
    np.testing.assert_array_equal(y, [-2 * slope, -0.5 * slope, 0, 0.5])
    np.testing.assert_array_equal(kernels.leaky_relu_backward(dy, y, slope), [3 * slope, 4 * slope, -5 * slope, 6])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_extreme_numbers_and_nan(kernels, dtype):
    largest = np.finfo(dtype).max
    x = np.array([-np.inf, -largest, -1e4, 0, 1e4, largest, np.inf, np.nan], dtype)
    expected = {
        "leaky_relu": [-np.inf, -largest * dtype(0.01), -100, 0, 1e4, largest, np.inf, np.nan],
        "sigmoid": [0, 0, 0, 0.5, 1, 1, 1, np.nan],
        "tanh": [-1, -1, -1, 0, 1, 1, 1, np.nan],
    }
    for name, values in expected.items():
        y = getattr(kernels, f"{name}_forward")(x)
        np.testing.assert_allclose(y, np.array(values, dtype), rtol=1e-6)
        dx = getattr(kernels, f"{name}_backward")(np.ones_like(x), y)
        assert np.isfinite(dx[:-1]).all() and (name == "leaky_relu" or np.isnan(dx[-1]))


def test_small_probabilities_keep_their_digits(kernels):
    x = np.array([-20.0, -50, -80], np.float32)
    np.testing.assert_allclose(kernels.sigmoid_forward(x), np.exp(x.astype(np.float64)), rtol=1e-5)


@pytest.mark.parametrize("name", EXACT)
def test_arrays_that_are_not_contiguous(kernels, name):
    large = np.random.default_rng(0).standard_normal((3, 5, 60, 61))
    forward, backward = (getattr(kernels, f"{name}_{way}") for way in ("forward", "backward"))
    np.testing.assert_allclose(forward(large[..., ::2]), EXACT[name](large[..., ::2]), rtol=1e-13)
    y = EXACT[name](large)
    expected = large[:, ::-1] * SLOPES[name](large)
    np.testing.assert_allclose(backward(large[:, ::-1], y), expected, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("name", EXACT)
def test_backward_equals_finite_differences_and_changes_nothing(kernels, name):
    forward, backward = (getattr(kernels, f"{name}_{way}") for way in ("forward", "backward"))
    x, dy = np.random.default_rng(1).standard_normal((2, 4, 6))
    y = forward(x)
    before = dy.copy(), y.copy()
    dx = backward(dy, y)
    np.testing.assert_allclose(dx, oracles.numerical_gradient(forward, x, dy), rtol=1e-6, atol=1e-9)
    np.testing.assert_array_equal((dy, y), before)


@pytest.mark.parametrize(("dtype", "rtol"), [(np.float32, 2e-5), (np.float64, 1e-12)])
def test_equals_torch(kernels, dtype, rtol):
    torch = pytest.importorskip("torch")
    functions = {"leaky_relu": torch.nn.functional.leaky_relu, "sigmoid": torch.sigmoid, "tanh": torch.tanh}
    rng = np.random.default_rng(2)
    x, dy = rng.normal(0, 4, (2, 8, 500)).astype(dtype)
    x[0, :6] = 0, 1e4, -1e4, 30, -30, 1e-30
    for name, function in functions.items():
        tx = torch.from_numpy(x).requires_grad_()
        ty = function(tx)
        ty.backward(torch.from_numpy(dy))
        y = getattr(kernels, f"{name}_forward")(x)
        np.testing.assert_allclose(y, ty.detach(), rtol=rtol, atol=1e-35)
        np.testing.assert_allclose(getattr(kernels, f"{name}_backward")(dy, y), tx.grad, rtol=rtol, atol=rtol)
