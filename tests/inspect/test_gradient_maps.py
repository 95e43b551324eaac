"""Saliency, SmoothGrad and integrated gradients: closed forms, a max-pool network by hand, PyTorch."""

import numpy as np
import pytest

import tinycnn as tc
from tests.inspect.networks import in_torch, linear_network, nested_network, weights_of
from tinycnn import inspect

RNG = np.random.default_rng(0)
X = RNG.normal(3, 2, (2, 3, 12, 12))


def test_of_a_linear_score_all_that_is_known():
    net, x = linear_network(), RNG.normal(size=(2, 2, 4, 5))
    w = weights_of(net, 1)
    np.testing.assert_allclose(inspect.saliency(net, x, 1), np.abs(w).max(axis=0)[None].repeat(2, 0))
    np.testing.assert_allclose(inspect.smoothgrad(net, x, 1), w[None].repeat(2, 0))
    baseline = RNG.normal(size=(2, 4, 5))
    result = inspect.integrated_gradients(net, x, 1, baseline=baseline, steps=1)
    np.testing.assert_allclose(result.attributions, (x - baseline) * w)
    np.testing.assert_allclose(result.change, ((x - baseline) * w).sum(axis=(1, 2, 3)))
    np.testing.assert_allclose(result.error, 0, atol=1e-12)


def test_a_max_pool_network_by_hand():
    net = tc.Sequential([tc.ImageInput((1, 2, 4)), tc.MaxPool2D(2), tc.FullyConnected(1, name="fc")], dtype=np.float64)
    net["fc"].parameters["weight"][...] = [[2.0, -3.0]]
    x = np.array([[[[1.0, 5.0, 0.0, 0.0], [2.0, 3.0, 7.0, 4.0]]]])
    gradient = np.array([[[[0.0, 2.0, 0.0, 0.0], [0.0, 0.0, -3.0, 0.0]]]])
    assert np.array_equal(inspect.gradients(net, x, None, 0), gradient)
    assert np.array_equal(inspect.saliency(net, x, 0), abs(gradient[:, 0]))
    result = inspect.integrated_gradients(net, x, 0)  # along x·α the same pixels win, so that the score is linear
    np.testing.assert_allclose(result.attributions, gradient * x)
    np.testing.assert_allclose(result.change, [2 * 5 - 3 * 7])


def test_integrated_gradients_are_pytorchs_and_complete_as_steps_grow():
    torch = pytest.importorskip("torch")
    net, steps = nested_network(), 8
    x, baseline = torch.tensor(X), torch.full(X.shape, 3.0, dtype=torch.float64)
    total = torch.zeros_like(x)
    for k in range(steps):
        point = (baseline + (k + 0.5) / steps * (x - baseline)).requires_grad_()
        total += torch.autograd.grad(in_torch(net, point)["fc"][:, 2].sum(), point)[0]
    result = inspect.integrated_gradients(net, X, 2, baseline=3.0, steps=steps)
    np.testing.assert_allclose(result.attributions, ((x - baseline) * total / steps).numpy(), atol=1e-12)
    change = (in_torch(net, x)["fc"] - in_torch(net, baseline)["fc"])[:, 2].numpy()
    np.testing.assert_allclose(result.change, change)
    np.testing.assert_allclose(result.error, result.attributions.sum(axis=(1, 2, 3)) - change, atol=1e-12)
    fine = inspect.integrated_gradients(net, X, 2, baseline=3.0, steps=400)
    assert (abs(fine.error) < 0.01 * abs(change)).all() and abs(fine.error).max() < abs(result.error).max()


def test_smoothgrad_averages_gradients_of_noisy_images():
    net, rng = nested_network(), np.random.default_rng(5)
    sigma = 0.2 * (X.max(axis=(1, 2, 3)) - X.min(axis=(1, 2, 3)))[:, None, None, None]
    noisy = [X + sigma * rng.standard_normal(X.shape) for _ in range(3)]
    expected = sum(inspect.gradients(net, x, None, 0) for x in noisy) / 3
    found = inspect.smoothgrad(net, X, 0, samples=3, noise=0.2, seed=5)
    np.testing.assert_allclose(found, expected, atol=1e-14)
    assert np.array_equal(found, inspect.smoothgrad(net, X, 0, samples=3, noise=0.2, seed=5))
    assert not np.array_equal(found, inspect.smoothgrad(net, X, 0, samples=3, noise=0.2, seed=6))
    np.testing.assert_allclose(
        inspect.smoothgrad(net, X, 0, samples=2, noise=0), inspect.gradients(net, X, None, 0), atol=1e-14
    )


def test_nonsense_is_refused():
    net, x = linear_network(), np.ones((1, 2, 4, 5))
    with pytest.raises(ValueError, match="samples is 0"):
        inspect.smoothgrad(net, x, 0, samples=0)
    with pytest.raises(ValueError, match="steps is 0"):
        inspect.integrated_gradients(net, x, 0, steps=0)
    with pytest.raises(ValueError, match="x has shape"):
        inspect.saliency(net, x[0], 0)
