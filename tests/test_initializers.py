"""Initializers: their spread, functions of one's own, and what a file keeps of these."""

import functools

import numpy as np
import pytest

import tinycnn as tc
from tinycnn import initializers


def constant(shape, rng):
    return np.full(shape, 0.25)


def test_spreads():
    shape, rng = (64, 32, 3, 3), np.random.default_rng(0)
    limit = np.sqrt(6 / (9 * 96))
    uniform = initializers.glorot_uniform(shape, rng)
    assert abs(uniform).max() <= limit and uniform.std() == pytest.approx(limit / np.sqrt(3), rel=0.02)
    assert initializers.he_normal(shape, rng).std() == pytest.approx(np.sqrt(2 / 288), rel=0.02)
    assert initializers.narrow_normal(shape, rng).std() == pytest.approx(0.01, rel=0.02)


def network(initializer, **options) -> tc.Sequential:
    conv = tc.Conv2D(2, 3, initializer=initializer, name="conv")
    dense = tc.FullyConnected(3, initializer=initializer, name="fc")
    return tc.Sequential([tc.ImageInput((1, 4, 4)), conv, dense], **options)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_function_of_ones_own(dtype):
    net = network(constant, dtype=dtype)
    for name in ("conv.weight", "fc.weight"):
        assert (net.parameters()[name] == 0.25).all() and net.parameters()[name].dtype == dtype
    assert not net.parameters()["conv.bias"].any()


def test_functions_draw_from_the_networks_generator():
    def normal(shape, rng):
        return rng.normal(0, 0.01, shape)

    for seed in (3, 4):
        a, b = network(normal, seed=seed), network("narrow_normal", seed=seed)
        np.testing.assert_array_equal(a.parameters()["fc.weight"], b.parameters()["fc.weight"])


def test_our_functions_are_their_names():
    assert tc.Conv2D(1, 1, initializer=initializers.he_normal).initializer == "he_normal"
    network(functools.partial(constant))  # anything that can be called


def test_a_network_with_a_function_of_ones_own_is_saved_with_its_weights(tmp_path):
    net = network(constant)
    assert "constant" in repr(net)
    net.save(tmp_path / "net.safetensors")
    loaded = tc.load(tmp_path / "net.safetensors")
    x = np.ones((2, 1, 4, 4))
    np.testing.assert_array_equal(loaded.predict(x), net.predict(x))
    assert loaded.layers[1].initializer is None
    loaded.save(tmp_path / "again.safetensors")
    np.testing.assert_array_equal(tc.load(tmp_path / "again.safetensors").predict(x), net.predict(x))


def test_weights_that_nobody_drew_are_not_numbers():
    assert np.isnan(network(None).parameters()["conv.weight"]).all()


@pytest.mark.parametrize(
    ("initializer", "words"),
    [
        ("he", "initializer is 'he': choose one of glorot_uniform, .* or give a function"),
        (0.5, "initializer is 0.5: choose one of"),
        (lambda shape: np.zeros(shape), r"<lambda> cannot be called as <lambda>\(shape, rng\) → array: too many"),
        (lambda shape, rng: np.zeros(3), r"<lambda> returned an array of shape \(3,\) for .* shape \(2, 1, 3, 3\)"),
        (lambda shape, rng: np.full(shape, np.nan), "returned NaN or infinite numbers .*: return finite numbers"),
        (lambda shape, rng: None, "returned an array of object"),
    ],
)
def test_functions_that_do_not_serve(initializer, words):
    with pytest.raises(ValueError, match=words):
        network(initializer)
