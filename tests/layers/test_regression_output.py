"""Regression: the loss by hand and as in PyTorch, training that finds a line, and targets that do not fit."""

import numpy as np
import pytest

import tinycnn as tc

RNG = np.random.default_rng(23)


@pytest.fixture(params=["reference", "cpu"], autouse=True)
def kernel_set(request):
    with tc.kernels.use(request.param):
        yield


def line(outputs: int = 2, **options) -> tc.Sequential:
    layers = [tc.VectorInput(3), tc.FullyConnected(outputs, name="fc"), tc.RegressionOutput()]
    return tc.Sequential(layers, **options)


def test_by_hand():
    net = tc.Sequential([tc.VectorInput(2), tc.RegressionOutput()], dtype=np.float64)
    y = net.forward(np.array([[1.0, 2], [3, 4]]), training=True)
    t = np.array([[1.0, 4], [0, 4]])
    assert net.loss(y, t) == (4 + 9) / 4
    np.testing.assert_array_equal(net.backward(t), [[0, -1], [1.5, 0]])


@pytest.mark.parametrize(("dtype", "rtol"), [(np.float32, 1e-5), (np.float64, 1e-12)])
def test_five_steps_equal_torch(dtype, rtol):
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Conv2d(1, 2, 3), torch.nn.Tanh(), torch.nn.Conv2d(2, 1, 2))
    model.to(getattr(torch, np.dtype(dtype).name))
    layers = [tc.ImageInput((1, 7, 6)), tc.Conv2D(2, 3, name="0"), tc.Tanh(), tc.Conv2D(1, 2, name="2")]
    net, optimizer = (
        tc.Sequential([*layers, tc.RegressionOutput()], dtype=dtype),
        torch.optim.SGD(model.parameters(), 0.1),
    )
    net.load_state_dict(model.state_dict())
    for _ in range(5):
        x, t = RNG.normal(size=(4, 1, 7, 6)).astype(dtype), RNG.normal(size=(4, 1, 4, 3))
        optimizer.zero_grad()
        loss = torch.nn.MSELoss()(model(torch.from_numpy(x)), torch.from_numpy(t.astype(dtype)))
        loss.backward()
        optimizer.step()
        assert net.train_step(x, t, tc.SGDM(0.1, momentum=0)) == pytest.approx(loss.item(), rel=rtol)
    for name, parameter in model.named_parameters():
        np.testing.assert_allclose(net.parameters()[name], parameter.detach(), rtol=100 * rtol, atol=rtol)


def test_training_finds_the_line():
    slope, x = np.array([[1.0, -2, 0.5], [0, 3, 1]]), RNG.normal(size=(64, 3))
    t, net, optimizer = x @ slope.T + [4, -1], line(dtype=np.float64), tc.SGDM(0.2)
    for _ in range(300):
        loss = net.train_step(x, t, optimizer)
    assert loss < 1e-12
    np.testing.assert_allclose(net.parameters()["fc.weight"], slope, atol=1e-5)
    np.testing.assert_allclose(net.parameters()["fc.bias"], [4, -1], atol=1e-5)


def test_float64_targets_leave_float32_networks_alone():
    net, x, t = line(), RNG.normal(size=(5, 3)), RNG.normal(size=(5, 2))
    y = net.forward(x, training=True)
    assert net.loss(y, t) == pytest.approx(((y - t) ** 2).mean(), rel=1e-6)
    assert net.backward(t).dtype == net.gradients()["fc.weight"].dtype == np.float32


def test_save_and_load(tmp_path):
    net, x, t = line(), RNG.normal(size=(5, 3)), RNG.normal(size=(5, 2))
    net.save(tmp_path / "net.safetensors")
    loaded = tc.load(tmp_path / "net.safetensors")
    assert loaded.loss(loaded.predict(x), t) == net.loss(net.predict(x), t)


def column_with(value: float) -> np.ndarray:
    t = np.zeros((4, 2))
    t[2, 1] = value
    return t


@pytest.mark.parametrize(
    "call",
    [
        lambda net, x, t: net.loss(net.forward(x), t),
        lambda net, x, t: net.backward(t),
        lambda net, x, t: net.train_step(x, t, tc.SGDM()),
    ],
    ids=["loss", "backward", "train_step"],
)
@pytest.mark.parametrize(
    ("t", "outputs", "error", "words"),
    [
        (np.zeros(4), 1, ValueError, r"targets t have shape \(4,\), but 4 outputs .* \(4, 1\): use t.reshape\(4, 1\)"),
        (np.zeros((4, 3)), 2, ValueError, r"shape \(4, 3\), but 4 outputs .* have shape \(4, 2\): give shape"),
        (np.zeros((3, 2)), 2, ValueError, r"shape \(3, 2\), but 4 outputs"),
        (np.zeros((2, 4)), 2, ValueError, r"use t.reshape\(4, 2\)"),
        (np.array([0, 1, 2, 1]), 2, TypeError, r"t have dtype int64: give floats, such as t.astype\(float\); to learn"),
        (np.zeros((4, 2), bool), 2, TypeError, "dtype bool: give floats"),
        (column_with(np.nan), 2, ValueError, r"targets t hold NaN or infinite numbers, first in t\[2\]: leave such"),
        (column_with(-np.inf), 2, ValueError, r"first in t\[2\]"),
    ],
)
def test_wrong_targets_change_nothing(call, t, outputs, error, words):
    net, x = line(outputs), RNG.normal(size=(4, 3))
    net.forward(x, training=True)
    before = net.state_dict()
    with pytest.raises(error, match=words):
        call(net, x, t)
    assert all(np.array_equal(array, before[name]) for name, array in net.state_dict().items())


def test_a_trainer_fits_and_evaluates_a_regression(capsys):
    slope, x = np.array([[1.0, -2, 0.5], [0, 3, 1]]), RNG.normal(50, [1, 20, 300], (200, 3))
    t = x @ slope.T
    layers = [tc.VectorInput(3, "zscore"), tc.FullyConnected(2), tc.RegressionOutput()]
    net = tc.Sequential(layers, dtype=np.float64)
    callbacks = [tc.TrainingTable(), tc.EarlyStopping(patience=100)]
    trainer = tc.Trainer(net, tc.SGDM(0.2, momentum=0.5), callbacks=callbacks, batch_size=20)
    history = trainer.fit((x[:150], t[:150]), (x[150:], t[150:]), epochs=60)
    assert history[-1]["loss"] < 1e-9 * history[0]["loss"]
    assert all(row["accuracy"] is None and row["validation_accuracy"] is None for row in history)
    np.testing.assert_allclose(net.layers[0].state["mean"], x[:150].mean(axis=0))
    result = tc.evaluate(net, (x[150:], t[150:]))
    assert result.accuracy is None and result.loss == pytest.approx(((result.probabilities - t[150:]) ** 2).mean())
    assert result.loss == pytest.approx(history[-1]["validation_loss"])


def test_a_trainer_refuses_targets_that_do_not_fit():
    trainer = tc.Trainer(line(), tc.SGDM())
    with pytest.raises(ValueError, match=r"targets t have shape \(8, 1\), but 8 outputs .* \(8, 2\)"):
        trainer.fit((np.ones((8, 3)), np.ones((8, 1))))
    with pytest.raises(TypeError, match="targets t have dtype int64"):
        trainer.fit((np.ones((8, 3)), np.arange(8)))
    with pytest.raises(ValueError, match=r"the vectors have shape \(8, 4\), but the network takes vectors \(N, 3\)"):
        trainer.fit((np.ones((8, 4)), np.ones((8, 2))))
