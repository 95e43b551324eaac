"""Convolution, batch norm, ReLU and max pooling as one: equal to the reference's four, forwards and backwards."""

import numpy as np
import pytest

from tinycnn.kernels import reference

CASES = {  # n, channels, (H, W), filters, kernel, stride, padding, dilation, groups
    "one channel": (3, 1, (23, 31), 8, (3, 3), (1, 1), (0, 0, 0, 0), (1, 1), 1),
    "several tiles": (2, 3, (37, 70), 10, (3, 3), (1, 1), (1, 0, 2, 1), (1, 1), 1),
    "many channels": (5, 9, (8, 7), 20, (3, 2), (1, 1), (0, 0, 0, 0), (1, 1), 1),
    "matrix products": (2, 4, (19, 18), 6, (3, 3), (2, 2), (0, 3, 1, 2), (1, 1), 2),
    "one window": (1, 2, (4, 4), 3, (3, 3), (1, 1), (0, 0, 0, 0), (1, 1), 1),
}
TOLERANCE = {np.float32: 3e-5, np.float64: 1e-10}


def arrays(name, dtype, seed=0):
    n, c, size, o, kernel, *geometry = CASES[name]
    rng = np.random.default_rng(seed)
    x, weight, bias, gamma, beta = (
        rng.standard_normal(shape).astype(dtype)
        for shape in ((n, c, *size), (o, c // geometry[-1], *kernel), (o,), (o,), (o,))
    )
    gamma[:3] = -1.5, 0, 2  # a negative scale makes z's smallest the maximum, and zero makes all equal
    return x, weight, bias, gamma, beta, geometry


def layers_forward(x, weight, bias, gamma, beta, mean, variance, eps, geometry):
    z = reference.conv2d_forward(x, weight, bias, *geometry)
    if mean is None:
        mean, variance = reference.batch_norm_statistics(z)
    v = reference.batch_norm_forward(z, mean, variance, gamma, beta, eps)
    a = reference.relu_forward(v)
    y, argmax = reference.max_pool2d_forward(a, (2, 2), (2, 2))
    return y, (z, mean, variance, a, argmax)


def layers_backward(dy, x, weight, gamma, eps, geometry, cache):
    z, mean, variance, a, argmax = cache
    da = reference.max_pool2d_backward(dy, argmax, a.shape, (2, 2), (2, 2))
    dz, dgamma, dbeta = reference.batch_norm_backward(reference.relu_backward(da, a), z, mean, variance, gamma, eps)
    return (
        reference.conv2d_backward_input(dz, weight, x.shape, *geometry),
        reference.conv2d_backward_weight(dz, x, weight.shape[2:], *geometry),
        dgamma,
        dbeta,
    )


def torch_layers(x, weight, bias, gamma, beta, statistics, geometry, eps=1e-3):
    """y, and the tensors x, weight, γ, β that it depends on; `statistics` are μ, σ², or None in training."""
    torch = pytest.importorskip("torch")
    stride, (top, bottom, left, right), dilation, groups = geometry
    leaves = [torch.from_numpy(a).requires_grad_() for a in (x, weight, gamma, beta)]
    offset = None if bias is None else torch.from_numpy(bias)
    padded = torch.nn.functional.pad(leaves[0], (left, right, top, bottom))
    z = torch.nn.functional.conv2d(padded, leaves[1], offset, stride, 0, dilation, groups)
    given = (None, None) if statistics is None else map(torch.from_numpy, statistics)
    v = torch.nn.functional.batch_norm(z, *given, *leaves[2:], statistics is None, 0.0, eps)
    return torch.nn.functional.max_pool2d(torch.relu(v), 2), leaves


def assert_close(got, expected, tolerance):
    assert got.dtype == expected.dtype
    np.testing.assert_allclose(got, expected, rtol=tolerance, atol=tolerance * np.abs(expected).max())


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", CASES)
def test_equals_the_layers(kernels, name, dtype):
    x, weight, bias, gamma, beta, geometry = arrays(name, dtype)
    eps, tolerance = 1e-3, TOLERANCE[dtype]
    expected, layers = layers_forward(x, weight, bias, gamma, beta, None, None, eps, geometry)
    y, cache = kernels.conv_block_forward(x, weight, bias, gamma, beta, eps, *geometry)
    assert_close(y, expected, tolerance)
    assert_close(cache.mean, layers[1], tolerance)
    assert_close(cache.variance, layers[2], tolerance)
    assert cache.values == layers[0].size // layers[0].shape[1]
    dy = np.random.default_rng(1).standard_normal(y.shape).astype(dtype)
    gradients = kernels.conv_block_backward(dy, cache, weight, gamma, beta, eps, *geometry)
    for got, wanted in zip(gradients, layers_backward(dy, x, weight, gamma, eps, geometry, layers), strict=True):
        assert_close(got, wanted, 10 * tolerance)
    dx, *others = kernels.conv_block_backward(dy, cache, weight, gamma, beta, eps, *geometry, input_gradient=False)
    assert dx is None
    for a, b in zip(others, gradients[1:], strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("with_bias", [True, False])
@pytest.mark.parametrize("name", CASES)
def test_equals_torch(kernels, name, with_bias):
    x, weight, bias, gamma, beta, geometry = arrays(name, np.float64)
    bias = bias if with_bias else None
    ty, leaves = torch_layers(x, weight, bias, gamma, beta, None, geometry)
    dy = np.random.default_rng(1).standard_normal(ty.shape)
    ty.backward(ty.new_tensor(dy))
    y, cache = kernels.conv_block_forward(x, weight, bias, gamma, beta, 1e-3, *geometry)
    assert_close(y, ty.detach().numpy(), 1e-10)
    gradients = kernels.conv_block_backward(dy, cache, weight, gamma, beta, 1e-3, *geometry)
    for got, leaf in zip(gradients, leaves, strict=True):
        assert_close(got, leaf.grad.numpy(), 1e-9)
    mean, variance = np.random.default_rng(2).random((2, len(weight))) + 0.1
    ty, _ = torch_layers(x, weight, bias, gamma, beta, (mean, variance), geometry)
    y = kernels.conv_blocks_inference(x, [(weight, bias, gamma, beta, mean, variance, 1e-3, *geometry)])
    assert_close(y, ty.detach().numpy(), 1e-10)


@pytest.mark.parametrize("name", CASES)
def test_the_reference_is_the_layers_bit_by_bit(name):
    x, weight, bias, gamma, beta, geometry = arrays(name, np.float32)
    expected, layers = layers_forward(x, weight, bias, gamma, beta, None, None, 1e-3, geometry)
    y, cache = reference.conv_block_forward(x, weight, bias, gamma, beta, 1e-3, *geometry)
    gradients = reference.conv_block_backward(expected, cache, weight, gamma, beta, 1e-3, *geometry)
    wanted = layers_backward(expected, x, weight, gamma, 1e-3, geometry, layers)
    for a, b in zip((y, *gradients), (expected, *wanted), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", CASES)
def test_evaluation_equals_the_layers(kernels, name, dtype):
    x, weight, bias, gamma, beta, geometry = arrays(name, dtype)
    mean, variance = (np.random.default_rng(2).random((2, len(weight))) + 0.1).astype(dtype)
    for offset in (bias, None):
        expected, _ = layers_forward(x, weight, offset, gamma, beta, mean, variance, 1e-3, geometry)
        y = kernels.conv_blocks_inference(x, [(weight, offset, gamma, beta, mean, variance, 1e-3, *geometry)])
        assert_close(y, expected, TOLERANCE[dtype])


def test_statistics_far_from_zero_keep_their_digits(kernels):
    x, weight, _, gamma, beta, geometry = arrays("one channel", np.float32)
    bias = np.full(len(weight), 1000, np.float32)
    _, cache = kernels.conv_block_forward(x, weight, bias, gamma, beta, 1e-3, *geometry)
    exact = reference.conv2d_forward(*(a.astype(np.float64) for a in (x, weight, bias)), *geometry)
    np.testing.assert_allclose(cache.variance, exact.var(axis=(0, 2, 3)), rtol=1e-4)
