"""LIME against scikit-learn's ridge regression and closed forms."""

import numpy as np
import pytest

import tinycnn as tc
from tests.inspect.networks import linear_network, nested_network, weights_of
from tinycnn import inspect
from tinycnn.inspect.lime import _ridge

RNG = np.random.default_rng(0)


def test_the_regression_is_scikit_learns():
    linear_model = pytest.importorskip("sklearn.linear_model")
    z, y, importance = RNG.integers(0, 2, (40, 6)).astype(float), RNG.normal(size=40), RNG.uniform(0.1, 2, 40)
    model = linear_model.Ridge(alpha=0.7).fit(z, y, sample_weight=importance)
    beta, intercept, r2 = _ridge(z, y, importance, 0.7)
    np.testing.assert_allclose(beta, model.coef_)
    np.testing.assert_allclose(intercept, model.intercept_)
    np.testing.assert_allclose(r2, model.score(z, y, importance))


def test_of_a_linear_score_each_superpixel_gets_what_it_adds():
    net, image = linear_network(), RNG.normal(size=(2, 4, 5))
    segments = np.array([[7, 7, 3, 3, 3], [7, 7, 3, 3, 3], [5, 5, 5, 5, 5], [5, 5, 5, 5, 9]])
    fill = 0.5
    result = inspect.lime(net, image, 1, segments=segments, fill=fill, alpha=1e-10, samples=200)
    change = ((image - fill) * weights_of(net, 1)).sum(axis=0)
    for weight, number in zip(result.weights, (3, 5, 7, 9), strict=True):
        np.testing.assert_allclose(weight, change[segments == number].sum())
        assert (result.map[segments == number] == weight).all()
    assert result.r2 > 1 - 1e-9
    np.testing.assert_allclose(result.intercept, inspect.logits(net, np.full((1, 2, 4, 5), fill))[0, 1])


def test_a_superpixel_is_replaced_by_its_mean_colour():
    net = linear_network(shape=(1, 2, 2))
    image = np.array([[[1.0, 3.0], [5.0, 5.0]]])
    result = inspect.lime(net, image, 0, segments=np.array([[0, 0], [1, 1]]), alpha=1e-10, samples=50)
    w = weights_of(net, 0)[0]
    np.testing.assert_allclose(result.weights, [w[0, 1] - w[0, 0], 0], atol=1e-9)  # of [1, 3], against [2, 2]


@pytest.mark.parametrize("channels", [1, 3])
def test_superpixels_follow_what_is_in_the_image(channels):
    net = tc.Sequential([tc.ImageInput((channels, 24, 24)), tc.FullyConnected(2)], dtype=np.float64)
    image = np.zeros((channels, 24, 24))
    image[:, :, 10:] = 200
    result = inspect.lime(net, image, 0, segments=8, samples=20)
    assert 2 <= len(result.weights) <= 16 and result.map.shape == (24, 24)
    assert not set(result.segments[:, :10].ravel()) & set(result.segments[:, 10:].ravel())


def test_noise_and_stripes_are_cut_up_too():
    y, x = np.mgrid[:96, :96]
    image = 20 * RNG.standard_normal((1, 96, 96)) + 60 * ((x + y) % 20 < 6)
    net = tc.Sequential([tc.ImageInput((1, 96, 96)), tc.FullyConnected(2)], dtype=np.float64)
    assert 15 <= len(inspect.lime(net, image, 0, segments=30, samples=10).weights) <= 60


def test_the_same_seed_gives_the_same_weights():
    net, image = nested_network(), RNG.normal(3, 2, (3, 12, 12))
    first, again, other = (inspect.lime(net, image, 0, segments=9, samples=30, seed=seed) for seed in (1, 1, 2))
    assert np.array_equal(first.map, again.map) and not np.array_equal(first.map, other.map)


def test_nonsense_is_refused():
    net = linear_network()
    with pytest.raises(ValueError, match="give one image"):
        inspect.lime(net, np.ones((1, 2, 4, 5)), 0)
    with pytest.raises(ValueError, match="segments have shape"):
        inspect.lime(net, np.ones((2, 4, 5)), 0, segments=np.ones((4, 4), int))
    with pytest.raises(ValueError, match="samples is 1"):
        inspect.lime(net, np.ones((2, 4, 5)), 0, samples=1)
