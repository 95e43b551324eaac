"""Input layers: vectors beside images, what errors call them, and shapes that seem to be the wrong way round."""

import warnings

import numpy as np
import pytest

import tinycnn as tc

RNG = np.random.default_rng(17)


def vectors(normalization: str = "none", **options) -> tc.Sequential:
    layers = [tc.VectorInput(5, normalization, name="input"), tc.FullyConnected(4, name="fc_1"), tc.Tanh()]
    return tc.Sequential([*layers, tc.FullyConnected(2, name="fc_2")], **options)


@pytest.mark.parametrize("normalization", ["none", "zerocenter", "zscore"])
def test_vectors_against_numpy(normalization):
    x = RNG.normal([0, 3, -1000, 1e-9, 7], [1e-9, 2, 30, 1e-10, 0], (50, 5))
    layer = tc.VectorInput(5, normalization)
    layer.build((5,), np.float64, RNG)
    assert layer.shape == (5,) and layer.fitted == (normalization == "none")
    layer.fit(x)
    mean, std = x.mean(axis=0), x.std(axis=0)
    std[4] = 1  # it never changes; the others do, however small they are
    expected = {"none": x, "zerocenter": x - mean, "zscore": (x - mean) / std}[normalization]
    np.testing.assert_allclose(layer.forward(x), expected, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(layer.backward(x), x / std if normalization == "zscore" else x)
    assert layer.fitted


def test_deviations_of_rounding_alone_do_not_count():
    x = 1000 + RNG.normal(0, 1e-4, (50, 1))  # float32 has seven digits
    layer = tc.VectorInput(1, "zscore")
    layer.build((1,), np.float32, RNG)
    layer.fit(x)
    assert layer.state["std"] == 1


@pytest.mark.parametrize("kernel_set", ["reference", "cpu"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_network_of_vectors(tmp_path, kernel_set, dtype):
    with tc.kernels.use(kernel_set):
        net, x = vectors("zscore", dtype=dtype), RNG.normal(4, 2, (9, 5))
        net.layers[0].fit(x)
        state = {name: array.astype(float) for name, array in net.state_dict().items()}
        hidden = np.tanh((x - x.mean(axis=0)) / x.std(axis=0) @ state["fc_1.weight"].T + state["fc_1.bias"])
        expected = hidden @ state["fc_2.weight"].T + state["fc_2.bias"]
        y = net.predict(x)
        np.testing.assert_allclose(y, expected, rtol=1e-4, atol=1e-5)
        assert y.dtype == dtype
        net.save(tmp_path / "net.safetensors")
        loaded = tc.load(tmp_path / "net.safetensors")
        np.testing.assert_array_equal(loaded.predict(x), y)
        assert loaded.layers[0].fitted and repr(loaded) == repr(net)


def test_errors_speak_of_vectors():
    net = vectors()
    with pytest.raises(ValueError, match=r"x has shape \(3, 4\), but the network takes vectors \(N, 5\): a row each"):
        net.forward(np.ones((3, 4)))
    with pytest.raises(ValueError, match="x holds no vectors: give at least one"):
        net.forward(np.ones((0, 5)))
    x = np.ones((3, 5))
    x[1, 2] = np.nan
    with pytest.raises(ValueError, match="NaN or infinite .* 1: clean the data"):
        net.forward(x)
    with pytest.raises(ValueError, match=r"vector 0 has shape \(4,\), but the network takes vectors \(5,\)"):
        vectors("zscore").layers[0].fit(np.ones((3, 4)))
    with pytest.raises(ValueError, match="vector 1 holds NaN or infinite numbers: clean the data"):
        vectors("zscore").layers[0].fit(x)
    with pytest.raises(ValueError, match="there are no vectors to measure the mean on"):
        vectors("zscore").layers[0].fit([])


@pytest.mark.parametrize("shape", [(28, 28, 1), (224, 160, 3)])
def test_channels_last_is_asked_about(shape):
    h, w, c = shape
    with pytest.warns(
        UserWarning,
        match=rf"means {h} channels of {w} × {c} pixels: .* give \({c}, {h}, {w}\) for images of {h} × {w} pixels, and "
        r"turn arrays by x.transpose\(0, 3, 1, 2\)",
    ):
        assert tc.ImageInput(shape).shape == shape  # it may be meant so


@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 9, 3), (3, 3, 1), (16, 28, 28), (12, 1, 1), (2, 9, 1)])
def test_other_shapes_are_not(shape):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert tc.ImageInput(shape).shape == shape
