"""Batch norm of flat data: PyTorch's BatchNorm1d and BatchNorm2D of single pixels, in every module of kernels."""

import numpy as np
import pytest

import tinycnn as tc


@pytest.mark.parametrize("shape", [(2, 1), (5, 3), (64, 300)])
@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float32, 1e-5), (np.float64, 1e-11)])
def test_kernels_on_flat_data(kernels, shape, dtype, tolerance):
    rng = np.random.default_rng(0)
    x, dy = rng.normal(2, 3, (2, *shape)).astype(dtype)
    weight, bias = rng.normal(size=(2, shape[1])).astype(dtype)
    exact, close = x.astype(float), {"rtol": tolerance, "atol": 100 * tolerance}
    mean, variance = kernels.batch_norm_statistics(x)
    np.testing.assert_allclose(mean, exact.mean(axis=0), **close)
    np.testing.assert_allclose(variance, exact.var(axis=0), **close)
    x_hat = (exact - exact.mean(axis=0)) / np.sqrt(exact.var(axis=0) + 1e-3)
    y = kernels.batch_norm_forward(x, mean, variance, weight, bias, 1e-3)
    np.testing.assert_allclose(y, x_hat * weight + bias, **close)
    for training in (True, False):
        dx, dweight, dbias = kernels.batch_norm_backward(dy, x, mean, variance, weight, 1e-3, training)
        centred = dy - dy.mean(axis=0) - x_hat * (dy * x_hat).mean(axis=0) if training else dy
        np.testing.assert_allclose(dx, weight / np.sqrt(exact.var(axis=0) + 1e-3) * centred, **close)
        np.testing.assert_allclose(dweight, (dy * x_hat).sum(axis=0), **close)
        np.testing.assert_allclose(dbias, dy.sum(axis=0), **close)
    assert {a.dtype for a in (mean, variance, y, dx, dweight, dbias)} == {np.dtype(dtype)}


def dense(**options) -> tc.Sequential:
    layers = [
        tc.VectorInput(6),
        tc.FullyConnected(4, name="0"),
        tc.BatchNorm1D(momentum=0.3, name="1"),
        tc.LeakyReLU(0.2),
        tc.FullyConnected(3, name="3"),
        tc.Softmax(),
        tc.ClassificationOutput(),
    ]
    return tc.Sequential(layers, **options)


@pytest.mark.parametrize("kernel_set", ["reference", "cpu"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_dense_network_equals_torch(kernel_set, dtype):
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    model = torch.nn.Sequential(
        torch.nn.Linear(6, 4), torch.nn.BatchNorm1d(4, momentum=0.3), torch.nn.LeakyReLU(0.2), torch.nn.Linear(4, 3)
    ).to(getattr(torch, np.dtype(dtype).name))
    net, rng = dense(dtype=dtype), np.random.default_rng(1)
    net.load_state_dict(model.state_dict())
    optimizer, tolerance = torch.optim.SGD(model.parameters(), lr=0.1), {"rtol": 1e-4, "atol": 1e-5}
    with tc.kernels.use(kernel_set):
        for _ in range(3):
            x, t = rng.normal(1, 2, (9, 6)).astype(dtype), rng.integers(0, 3, 9)
            optimizer.zero_grad()
            loss = torch.nn.functional.cross_entropy(model(torch.from_numpy(x)), torch.from_numpy(t))
            loss.backward()
            assert net.train_step(x, t, tc.SGDM(0.1, momentum=0)) == pytest.approx(loss.item(), rel=1e-4)
            for name, parameter in model.named_parameters():
                np.testing.assert_allclose(net.gradients()[name], parameter.grad, **tolerance)
            optimizer.step()
        expected = {name: a for name, a in model.state_dict().items() if "num_batches" not in name}
        assert net.state_dict().keys() == expected.keys()
        for name, array in expected.items():
            np.testing.assert_allclose(net.state_dict()[name], array, **tolerance)
        np.testing.assert_allclose(net.predict(x), model.eval()(torch.from_numpy(x)).softmax(1).detach(), **tolerance)


def test_save_and_load(tmp_path):
    net, x = dense(), np.random.default_rng(2).normal(size=(9, 6))
    net.train_step(x, np.arange(9) % 3, tc.SGDM(0.1))
    net.save(tmp_path / "net.safetensors")
    loaded = tc.load(tmp_path / "net.safetensors")
    np.testing.assert_array_equal(loaded.predict(x), net.predict(x))
    assert repr(loaded) == repr(net)


@pytest.mark.parametrize("kernel_set", ["reference", "cpu"])
def test_a_single_value_a_channel_is_refused_in_training_only(kernel_set):
    images = tc.Sequential([tc.ImageInput((3, 1, 1)), tc.BatchNorm2D(name="norm")])
    with tc.kernels.use(kernel_set):
        for net, x in ((dense(), np.ones((1, 6))), (images, np.ones((1, 3, 1, 1)))):
            before = net.state_dict()
            words = r"layer '(1|norm)' \(BatchNorm[12]D\) gets a single value .*at least two images a batch"
            with pytest.raises(ValueError, match=words):
                net.forward(x, training=True)
            assert all(np.array_equal(array, before[name]) for name, array in net.state_dict().items())
            net.forward(x)
            net.forward(np.concatenate([x, x]), training=True)
