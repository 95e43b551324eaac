"""LeakyReLU, Sigmoid and Tanh as layers: in a network like PyTorch's, saved and loaded, in both precisions."""

import numpy as np
import pytest

import tinycnn as tc


def layers() -> list[tc.Layer]:
    return [
        tc.ImageInput((2, 6, 6)),
        tc.Conv2D(3, 3, name="0"),
        tc.LeakyReLU(0.2),
        tc.Conv2D(3, 2, name="2"),
        tc.Sigmoid(),
        tc.FullyConnected(4, name="5"),
        tc.Tanh(),
        tc.FullyConnected(2, name="7"),
        tc.Softmax(),
        tc.ClassificationOutput(),
    ]


@pytest.mark.parametrize("kernel_set", ["reference", "cpu"])
@pytest.mark.parametrize(("dtype", "rtol"), [(np.float32, 1e-4), (np.float64, 1e-11)])
def test_a_network_equals_torch(kernel_set, dtype, rtol):
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    nn = torch.nn
    model = nn.Sequential(
        *(nn.Conv2d(2, 3, 3), nn.LeakyReLU(0.2), nn.Conv2d(3, 3, 2), nn.Sigmoid()),
        *(nn.Flatten(), nn.Linear(27, 4), nn.Tanh(), nn.Linear(4, 2)),
    ).to(getattr(torch, np.dtype(dtype).name))
    net, rng = tc.Sequential(layers(), dtype=dtype), np.random.default_rng(1)
    net.load_state_dict(model.state_dict())
    x, t = rng.normal(size=(5, 2, 6, 6)).astype(dtype), rng.integers(0, 2, 5)
    images = torch.from_numpy(x).requires_grad_()
    loss = nn.functional.cross_entropy(model(images), torch.from_numpy(t))
    loss.backward()
    with tc.kernels.use(kernel_set):
        assert net.loss(net.forward(x, training=True), t) == pytest.approx(loss.item(), rel=rtol)
        np.testing.assert_allclose(net.backward(t), images.grad, rtol=10 * rtol, atol=rtol / 100)
        for name, parameter in model.named_parameters():
            np.testing.assert_allclose(net.gradients()[name], parameter.grad, rtol=10 * rtol, atol=rtol / 10)


def test_save_and_load(tmp_path):
    net, x = tc.Sequential(layers()), np.random.default_rng(2).normal(size=(3, 2, 6, 6))
    net.save(tmp_path / "net.safetensors")
    loaded = tc.load(tmp_path / "net.safetensors")
    np.testing.assert_array_equal(loaded.predict(x), net.predict(x))
    assert loaded.layers[2].slope == 0.2


@pytest.mark.parametrize("kind", [tc.LeakyReLU, tc.Sigmoid, tc.Tanh])
@pytest.mark.parametrize("shape", [(4,), (2, 3, 3)])
def test_any_shape_and_backward_twice(kind, shape):
    layer, (x, dy) = kind(), np.random.default_rng(3).normal(size=(2, 5, *shape))
    assert layer.output_shape(shape) == shape
    layer.forward(x, training=True)
    np.testing.assert_array_equal(layer.backward(dy), layer.backward(dy))
