"""Cross-channel normalization as a layer: by hand, as PyTorch's, in files and in the summary."""

import numpy as np
import pytest

import tinycnn as tc

RNG = np.random.default_rng(12)


@pytest.fixture(params=["reference", "cpu"])
def kernel_set(request):
    with tc.kernels.use(request.param):
        yield


def network(**options) -> tc.Sequential:
    return tc.Sequential(
        [
            tc.ImageInput((3, 9, 9)),
            tc.Conv2D(7, 3, name="conv"),
            tc.ReLU(),
            tc.CrossChannelNorm(4, alpha=0.3, beta=0.6, k=1.5, name="norm"),
            tc.MaxPool2D(3, stride=2),
            tc.FullyConnected(3, name="fc"),
            tc.Softmax(),
            tc.ClassificationOutput(),
        ],
        **options,
    )


def test_defaults_are_alexnets(kernel_set):
    x = RNG.normal(0, 100, (2, 6, 3, 3))
    y = tc.CrossChannelNorm().forward(x)
    np.testing.assert_allclose(y[:, 0], x[:, 0] / (1 + 2e-5 * (x[:, :3] ** 2).sum(axis=1)) ** 0.75)
    np.testing.assert_allclose(y[:, 3], x[:, 3] / (1 + 2e-5 * (x[:, 1:] ** 2).sum(axis=1)) ** 0.75)


def test_a_network_equals_pytorchs(kernel_set):
    torch = pytest.importorskip("torch")
    net = network(dtype=np.float64)
    model = torch.nn.Sequential(
        torch.nn.Conv2d(3, 7, 3),
        torch.nn.ReLU(),
        torch.nn.LocalResponseNorm(4, 0.3, 0.6, 1.5),
        torch.nn.MaxPool2d(3, 2),
        torch.nn.Flatten(),
        torch.nn.Linear(63, 3),
    ).double()
    names = {"0.weight": "conv.weight", "0.bias": "conv.bias", "5.weight": "fc.weight", "5.bias": "fc.bias"}
    net.load_state_dict({names[name]: array for name, array in model.state_dict().items()})
    x, t = RNG.normal(0, 3, (5, 3, 9, 9)), RNG.integers(0, 3, 5)
    images = torch.from_numpy(x).requires_grad_()
    loss = torch.nn.functional.cross_entropy(model(images), torch.from_numpy(t))
    loss.backward()
    assert net.loss(net.forward(x, training=True), t) == pytest.approx(loss.item(), rel=1e-12)
    np.testing.assert_allclose(net.backward(t), images.grad, rtol=1e-9, atol=1e-12)
    for name, parameter in model.named_parameters():
        np.testing.assert_allclose(net.gradients()[names[name]], parameter.grad, rtol=1e-9, atol=1e-12)


def test_round_trip_and_summary(tmp_path):
    net = network(seed=3)
    net.save(tmp_path / "net.safetensors")
    loaded = tc.load(tmp_path / "net.safetensors")
    assert repr(loaded) == repr(net)
    assert "CrossChannelNorm(size=4, alpha=0.3, beta=0.6, k=1.5, name='norm')" in repr(loaded)
    x = RNG.normal(size=(2, 3, 9, 9)).astype(np.float32)
    assert loaded.predict(x).tobytes() == net.predict(x).tobytes()
    row = next(line for line in str(net.summary()).splitlines() if line.startswith("norm "))
    assert " CrossChannelNorm " in row and " (7, 7, 7) " in row and row.split(")")[1].split()[0] == "0"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"size": 0}, "size is 0"),
        ({"size": 2.5}, "size is 2.5"),
        ({"k": 0}, "k 0: give alpha and beta ≥ 0, and k > 0"),
        ({"alpha": -1}, "alpha is -1"),
        ({"beta": float("nan")}, "beta nan"),
    ],
)
def test_errors(arguments, words):
    with pytest.raises(ValueError, match=words):
        tc.CrossChannelNorm(**arguments)


def test_needs_images():
    with pytest.raises(ValueError, match="'norm'.* needs images"):
        tc.Sequential([tc.ImageInput((1, 2, 2)), tc.Flatten(), tc.CrossChannelNorm(name="norm")])
