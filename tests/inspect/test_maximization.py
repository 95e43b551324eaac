"""Activation maximization: the optimum where it is known, ascent where it is not, and the same bits by seed."""

import numpy as np
import pytest

import tinycnn as tc
from tests.inspect.networks import linear_network, nested_network, weights_of
from tinycnn import inspect


def test_a_linear_unit_is_largest_in_a_corner_of_the_box():
    net = linear_network()
    result = inspect.maximize(net, "fc", 2, steps=400, step_size=0.5, jitter=0, blur=0, pixels=(-1.0, 3.0))
    w = weights_of(net, 2)
    assert np.array_equal(result.image, np.where(w > 0, 3.0, -1.0))
    np.testing.assert_allclose(result.activations[-1], (w * result.image).sum())


def test_a_channels_mean_and_a_single_unit_rise():
    net = nested_network()
    for layer, unit in (("conv", 1), ("block", 2), ("stage.inner.conv", (1, 2, 3)), ("fc", 0)):
        result = inspect.maximize(net, layer, unit, steps=30, jitter=1, pixels=(0, 6))
        y = inspect.activations(net, result.image[None], layer)[0][unit]
        np.testing.assert_allclose(result.activations[-1], y.mean())
        assert result.activations[-1] > result.activations[0] and len(result.activations) == 31
        assert result.image.min() >= 0 and result.image.max() <= 6


def test_the_first_step_is_along_the_gradient():
    net, start = nested_network(), np.random.default_rng(0).normal(3, 0.5, (3, 12, 12))
    g = inspect.gradients(net, start[None], None, 1)[0]
    result = inspect.maximize(net, "fc", 1, steps=1, step_size=0.001, jitter=0, blur=0, start=start, pixels=(0, 6))
    np.testing.assert_allclose(result.image, start + 0.006 * g / np.sqrt((g**2).mean()), atol=1e-12)


def test_the_gradient_of_the_shifted_image_is_shifted_back():
    net, start = linear_network(), np.zeros((2, 4, 5))
    result = inspect.maximize(net, "fc", 1, steps=1, jitter=2, blur=0, start=start, pixels=(-1, 1), seed=3)
    rng = np.random.default_rng(3)
    rng.standard_normal(start.shape)
    down, right = rng.integers(-2, 3, 2)
    w = weights_of(net, 1)  # pixel (i, j) has gone to (i + down, j + right), and met the weight there
    expected = np.array([[w[:, (i + down) % 4, (j + right) % 5] for j in range(5)] for i in range(4)]).transpose(
        2, 0, 1
    )
    assert down and right
    np.testing.assert_allclose(result.image / np.abs(result.image).max(), expected / np.abs(w).max())


def test_blur_takes_high_frequencies_out():
    def roughness(blur):
        image = inspect.maximize(nested_network(), "conv", 0, steps=8, blur=blur, blur_every=1).image
        return np.abs(np.diff(image, axis=-1)).mean()

    assert roughness(2.0) < 0.5 * roughness(0)


def test_the_same_seed_gives_the_same_bits():
    first, again, other = (inspect.maximize(nested_network(), "block", 0, steps=5, seed=seed) for seed in (1, 1, 2))
    assert np.array_equal(first.image, again.image) and not np.array_equal(first.image, other.image)


def test_what_cannot_be_maximized_is_refused():
    net = tc.Sequential([tc.ImageInput((1, 4, 4)), tc.Conv2D(1, 3, name="conv"), tc.ReLU(name="relu")])
    net["conv"].parameters["bias"][...] = -1e6
    with pytest.raises(RuntimeError, match="the layer before its ReLU"):
        inspect.maximize(net, "relu", 0)
    for unit in (1, -1, (0, 2, 0), (0, 0)):
        with pytest.raises(IndexError, match="it has no unit"):
            inspect.maximize(net, "conv", unit)
    with pytest.raises(ValueError, match="low < high"):
        inspect.maximize(net, "conv", 0, pixels=(1, 0))
