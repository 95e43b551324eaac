"""ReLU, dropout, softmax, cross-entropy and the updates, in every module of kernels."""

import numpy as np
import pytest

from tests import oracles


def test_relu(kernels):
    x = np.array([-2.0, -0.0, 0, 3, np.nan, np.inf, -np.inf], np.float32)
    np.testing.assert_array_equal(kernels.relu_forward(x), [0, 0, 0, 3, np.nan, np.inf, 0])
    y = np.array([0.0, 0, 2, 3])
    np.testing.assert_array_equal(kernels.relu_backward(np.array([5.0, 6, 7, -8]), y), [0, 0, 7, -8])
    large = np.random.default_rng(0).standard_normal((3, 5, 300, 301), np.float32)
    np.testing.assert_array_equal(kernels.relu_forward(large[..., ::2]), np.where(large > 0, large, 0)[..., ::2])
    np.testing.assert_array_equal(kernels.relu_backward(large[:, ::-1], large), np.where(large > 0, large[:, ::-1], 0))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("n", "d", "k"), [(1, 5, 1), (64, 9216, 3), (13, 100, 7), (9, 300, 200), (3, 49, 17)])
def test_fully_connected(kernels, dtype, n, d, k):
    rng = np.random.default_rng(0)
    x, weight, bias, dy = (rng.standard_normal(shape).astype(dtype) for shape in ((n, d), (k, d), (k,), (n, k)))
    close = {"rtol": 1e-5, "atol": 1e-4} if dtype == np.float32 else {"rtol": 1e-11, "atol": 1e-11}
    exact = [a.astype(np.float64) for a in (x, weight, bias, dy)]
    y = np.einsum("nd,kd->nk", *exact[:2])
    np.testing.assert_allclose(kernels.fully_connected_forward(x, weight, bias), y + bias, **close)
    np.testing.assert_allclose(kernels.fully_connected_forward(x, weight, None), y, **close)
    dx, dweight, dbias = kernels.fully_connected_backward(dy, x, weight)
    np.testing.assert_allclose(dx, np.einsum("nk,kd->nd", exact[3], exact[1]), **close)
    np.testing.assert_allclose(dweight, np.einsum("nk,nd->kd", exact[3], exact[0]), **close)
    np.testing.assert_allclose(dbias, exact[3].sum(axis=0), **close)
    assert {a.dtype for a in (dx, dweight, dbias)} == {np.dtype(dtype)}


def test_dropout(kernels):
    x = np.random.default_rng(0).standard_normal((50, 401), np.float32)
    y, mask = kernels.dropout_forward(x, 0.25, np.random.default_rng(7))
    dropped = np.random.default_rng(7).random(x.shape, dtype=np.float32) < 0.25  # the stream is part of the interface
    if kernels.__name__.endswith("gpu"):  # which has one of its own
        dropped = mask == 0
    np.testing.assert_array_equal(y, np.where(dropped, 0, x * np.float32(1 / 0.75)))
    np.testing.assert_array_equal(kernels.dropout_backward(x, mask), y)
    assert 0.24 < dropped.mean() < 0.26
    np.testing.assert_array_equal(kernels.dropout_forward(x, 0.25, np.random.default_rng(7))[1], mask)
    rng = np.random.default_rng(8)
    first, second = (kernels.dropout_forward(x, 0.25, rng)[1] != mask for _ in range(2))
    for other in (first, second, first ^ second):  # independent masks differ in 2 · ¼ · ¾ of the places
        assert 0.36 < other.mean() < 0.39


def test_softmax_and_cross_entropy_by_hand(kernels):
    x = np.log(np.array([[1.0, 2, 5], [3, 3, 4]]))
    p = kernels.softmax_forward(x)
    np.testing.assert_allclose(p, [[0.125, 0.25, 0.625], [0.3, 0.3, 0.4]])
    np.testing.assert_allclose(kernels.log_softmax_forward(x), np.log(p))
    t = np.array([1, 2])
    assert kernels.cross_entropy_forward(np.log(p), t) == pytest.approx(-(np.log(0.25) + np.log(0.4)) / 2)
    weighted = kernels.cross_entropy_forward(np.log(p), t, np.array([9.0, 1, 3]))
    assert weighted == pytest.approx(-(np.log(0.25) + 3 * np.log(0.4)) / 4)


def test_softmax_of_large_scores_is_finite(kernels):
    x = np.array([[1000.0, 0, -1000]], np.float32)
    p = kernels.softmax_forward(x)
    np.testing.assert_allclose(p, [[1, 0, 0]], atol=1e-20)
    assert np.isfinite(np.log(p)).all()
    np.testing.assert_array_equal(kernels.log_softmax_forward(x), [[0, -1000, -2000]])


def test_loss_gradients_equal_finite_differences(kernels):
    rng = np.random.default_rng(3)
    x, dy = rng.standard_normal((2, 4, 3))
    t, class_weights = np.array([0, 2, 2, 1]), np.array([1.0, 2, 5])
    dx = kernels.softmax_backward(dy, kernels.softmax_forward(x))
    np.testing.assert_allclose(dx, oracles.numerical_gradient(kernels.softmax_forward, x, dy), rtol=1e-6, atol=1e-9)
    for weights in (None, class_weights):

        def loss(x, weights=weights):
            return np.asarray(kernels.cross_entropy_forward(kernels.log_softmax_forward(x), t, weights))

        expected = oracles.numerical_gradient(loss, x, 1.0)
        got = kernels.cross_entropy_backward(kernels.softmax_forward(x), t, weights)
        np.testing.assert_allclose(got, expected, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("shape", [(3,), (4, 3, 5, 5), (500, 300)])
def test_sgdm_update(kernels, shape):
    rng = np.random.default_rng(0)
    weight, gradient, velocity = rng.standard_normal((3, *shape))
    step = 0.9 * velocity - 0.1 * (gradient + 0.01 * weight)
    expected, kept = weight + step, gradient.copy()
    assert kernels.sgdm_update(weight, gradient, velocity, 0.1, 0.9, 0.01) is None
    np.testing.assert_allclose(velocity, step, rtol=1e-12, atol=1e-15)
    np.testing.assert_allclose(weight, expected, rtol=1e-12, atol=1e-15)
    np.testing.assert_array_equal(gradient, kept)


@pytest.mark.parametrize("contiguous", [True, False])
def test_adam_update_equals_torch(kernels, contiguous):
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(0)
    weight = rng.standard_normal((40, 30))
    parameter = torch.from_numpy(weight.copy()).requires_grad_()
    optimizer = torch.optim.Adam([parameter], lr=0.01, betas=(0.8, 0.95), eps=1e-6, weight_decay=0.1)
    if not contiguous:
        weight = np.asfortranarray(weight)
    mean, square = np.zeros((2, 40, 30))
    for step in range(1, 5):
        gradient = rng.standard_normal(weight.shape)
        parameter.grad = torch.from_numpy(gradient.copy())
        optimizer.step()
        kernels.adam_update(weight, gradient, mean, square, 0.01, 0.8, 0.95, 1e-6, 0.1, step)
        np.testing.assert_allclose(weight, parameter.detach(), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("optimizer", ["sgdm", "adam"])
def test_updating_all_parameters_at_once(kernels, optimizer):
    rng = np.random.default_rng(0)
    shapes = [(3,), (4, 2, 3, 3), (70, 31)] * 25  # more than one launch of a GPU takes
    arrays = [[rng.random(shape) for shape in shapes] for _ in range(3 if optimizer == "sgdm" else 4)]
    expected = [[array.copy() for array in group] for group in arrays]
    lrs, decays = rng.random(75).tolist(), rng.random(75).tolist()
    if optimizer == "sgdm":
        kernels.sgdm_update_all(*arrays, lambda: lrs, 0.9, decays)
        for weight, gradient, velocity, lr, decay in zip(*expected, lrs, decays, strict=True):
            velocity[...] = 0.9 * velocity - lr * (gradient + decay * weight)
            weight += velocity
    else:
        kernels.adam_update_all(*arrays, lambda: lrs, 0.8, 0.95, 1e-6, decays, lambda: 3)
        for weight, gradient, mean, square, lr, decay in zip(*expected, lrs, decays, strict=True):
            g = gradient + decay * weight
            mean[...] = 0.8 * mean + 0.2 * g
            square[...] = 0.95 * square + 0.05 * g**2
            weight -= lr * mean / (1 - 0.8**3) / (np.sqrt(square / (1 - 0.95**3)) + 1e-6)
    for group, wanted in zip(arrays, expected, strict=True):
        for a, b in zip(group, wanted, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-14)


def test_updating_no_parameters_is_nothing_to_do(kernels):
    kernels.sgdm_update_all([], [], [], lambda: [], 0.9, [])
    kernels.adam_update_all([], [], [], [], lambda: [], 0.9, 0.99, 1e-8, [], lambda: 1)
