"""The check with random weights: SciPy's ranks, and maps of which the answer is known."""

import numpy as np
import pytest

import tinycnn as tc
from tests.inspect.networks import linear_network, nested_network
from tinycnn import inspect
from tinycnn.inspect.similarity import rank_correlation, ssim

RNG = np.random.default_rng(0)
X = RNG.normal(3, 2, (3, 3, 12, 12))


def test_the_rank_correlation_is_scipys():
    stats = pytest.importorskip("scipy.stats")
    for _ in range(5):
        a, b = RNG.integers(0, 4, (5, 6)), RNG.integers(0, 4, (5, 6))  # many ties
        np.testing.assert_allclose(rank_correlation(a, b), stats.spearmanr(a.ravel(), b.ravel()).statistic)
    assert np.isnan(rank_correlation(np.ones(5), RNG.normal(size=5)))


def test_a_map_of_the_image_looks_the_same_and_says_so():
    check = inspect.sanity_check(lambda net, x: x, nested_network(), X, ssim=True)
    assert check.looks_the_same and all(row.rank_correlation == pytest.approx(1) for row in check)
    assert all(row.ssim == pytest.approx(1) for row in check)
    assert "does not show what the network has learned" in repr(check)


def test_a_map_of_the_weights_changes_with_the_first_layer_drawn_anew():
    net = linear_network(shape=(1, 20, 20))
    x = RNG.normal(size=(2, 1, 20, 20))
    check = inspect.sanity_check(lambda net, x: inspect.saliency(net, x, 0), net, x)
    assert not check.looks_the_same and abs(check[0].rank_correlation) < 0.2
    assert check.sentence.startswith("The map changes with the weights")


def test_the_cascade_goes_from_the_end_and_ends_with_all_layers_random():
    seen = []

    def method(net, x):
        seen.append(net.state_dict())
        return x

    net = nested_network()
    rows = inspect.sanity_check(method, net, X)
    names = [row.layer for row in rows]
    assert names == ["fc", "stage.inner.conv", "block.shortcut.conv", "block.norm", "block.conv", "norm", "conv"]
    for step, state in enumerate(seen[1:], 1):
        changed = {name.rpartition(".")[0] for name in state if not np.array_equal(state[name], seen[0][name])}
        assert changed == set(names[:step])


def test_a_flat_map_is_no_verdict():
    check = inspect.sanity_check(lambda net, x: np.ones((len(x), 4, 4)), nested_network(), X)
    assert not check.looks_the_same and "says nothing" in check.sentence


def test_images_with_flat_maps_are_left_out_of_the_mean():
    def method(net, x):
        return np.concatenate([x[:1, 0], 0 * x[1:, 0]])

    assert inspect.sanity_check(method, nested_network(), X)[-1].rank_correlation == pytest.approx(1)


def test_ssim_is_scikit_images_of_the_scaled_maps():
    from skimage.metrics import structural_similarity

    a, b = RNG.random((2, 3, 9, 10))
    expected = structural_similarity(a.sum(0) / a.sum(0).max(), b.sum(0) / b.sum(0).max(), data_range=1.0)
    np.testing.assert_allclose(ssim(a, b), expected)
    with pytest.raises(ValueError, match="at least 3×3"):
        ssim(np.ones((2, 2)), np.ones((2, 2)))


def test_random_weights_are_those_of_an_untrained_network():
    net = nested_network()
    twin, again, other = (inspect.randomized(net, seed) for seed in (3, 3, 4))
    state = twin.state_dict()
    assert all(np.array_equal(state[name], array) for name, array in again.state_dict().items())
    assert not np.array_equal(state["conv.weight"], other.state_dict()["conv.weight"])
    young = linear_network(seed=3)  # its own first weights would correlate with what was learned from them
    assert not np.array_equal(inspect.randomized(young, 3).state_dict()["fc.weight"], young.state_dict()["fc.weight"])
    assert np.array_equal(state["input.mean"], net.state_dict()["input.mean"])
    assert (state["norm.running_mean"] == 0).all() and (state["block.norm.weight"] == 1).all()
    limit = np.sqrt(6 / (3 * 9 + 4 * 9))  # Glorot and Bengio's
    assert 0.9 * limit < np.abs(state["conv.weight"]).max() <= limit
    np.testing.assert_allclose(  # the copy computes with its own weights, fused and unfused
        twin.predict(X), twin.forward(X), rtol=1e-9
    )


def test_some_layers_or_a_block_of_them():
    net = nested_network()
    state, mixed = net.state_dict(), inspect.randomized(net, 0, ["block", "fc"]).state_dict()
    changed = {name.rpartition(".")[0] for name in state if not np.array_equal(state[name], mixed[name])}
    assert changed == {"block.conv", "block.norm", "block.shortcut.conv", "fc"}
    with pytest.raises(KeyError, match="no layer with parameters is called 'relu'"):
        inspect.randomized(net, 0, ["relu"])
    with pytest.raises(ValueError, match="no weights to draw anew"):
        inspect.sanity_check(lambda n, x: x, tc.Sequential([tc.ImageInput((1, 2, 2))]), X)
