"""The gradient check itself: it passes the paper's whole network, and it sees mistakes of 0.1 %."""

import numpy as np
import pytest

import tinycnn as tc
from covid.models.paper import paper_network
from tinycnn.runtime.fusion import SoftmaxCrossEntropy

RNG = np.random.default_rng(5)
X, T = RNG.normal(size=(3, 1, 8, 8)), np.array([0, 2, 1])


def make() -> tc.Sequential:
    return tc.Sequential(
        [
            tc.ImageInput((1, 8, 8), name="input"),
            tc.Conv2D(3, 3, name="conv"),
            tc.BatchNorm2D(name="norm"),
            tc.ReLU(),
            tc.MaxPool2D(2),
            tc.Conv2D(3, 2, name="conv_2"),
            tc.AveragePool2D(2),
            tc.Dropout(0.2),
            tc.FullyConnected(3, name="fc"),
            tc.Softmax(),
            tc.ClassificationOutput(),
        ]
    )


@pytest.mark.parametrize("training", [True, False], ids=["training", "evaluation"])
@pytest.mark.parametrize("kernel_set", ["reference", "cpu"])
def test_the_papers_network(training, kernel_set):
    net = paper_network(size=48, seed=2)
    net.layers[0].fit(RNG.normal(size=(4, 1, 48, 48)))
    with tc.kernels.use(kernel_set):
        net.forward(RNG.normal(size=(3, 1, 48, 48)), training=True)  # moves the running statistics away from 0 and 1
        errors = tc.gradcheck(net, RNG.normal(size=(3, 1, 48, 48)), T, training=training, samples=4)
    assert len(errors) == 21 and max(errors.values()) < 1e-6, errors


def test_the_network_that_the_mistakes_below_are_planted_in():
    assert max(tc.gradcheck(make(), X, T).values()) < 1e-6


def scaled_dx(backward):
    return lambda self, dy: backward(self, dy) * 1.001


def scaled_gradient(name):
    def plant(backward):
        def wrong(self, dy):
            dx = backward(self, dy)
            self.gradients[name] = self.gradients[name] * 1.001
            return dx

        return wrong

    return plant


def one_wrong_channel(backward):
    def wrong(self, dy):
        dx = backward(self, dy)
        dx[:, 0] *= 0.999
        return dx

    return wrong


@pytest.mark.parametrize(
    ("layer", "method", "plant"),
    [
        (tc.Conv2D, "backward", scaled_dx),
        (tc.Conv2D, "backward_parameters", scaled_gradient("weight")),
        (tc.BatchNorm2D, "backward", scaled_dx),
        (tc.BatchNorm2D, "backward", scaled_gradient("weight")),
        (tc.BatchNorm2D, "backward", scaled_gradient("bias")),
        (tc.ReLU, "backward", one_wrong_channel),
        (tc.MaxPool2D, "backward", one_wrong_channel),
        (tc.AveragePool2D, "backward", scaled_dx),
        (tc.Dropout, "backward", scaled_dx),
        (tc.FullyConnected, "backward", scaled_dx),
        (tc.FullyConnected, "backward", scaled_gradient("weight")),
        (tc.FullyConnected, "backward", scaled_gradient("bias")),
        (tc.ImageInput, "backward", scaled_dx),
        (SoftmaxCrossEntropy, "backward", scaled_dx),
    ],
)
def test_a_planted_error_of_a_thousandth_is_seen(monkeypatch, layer, method, plant):
    monkeypatch.setattr(layer, method, plant(getattr(layer, method)))
    assert max(tc.gradcheck(make(), X, T, samples=9).values()) > 1e-4


def test_a_forgotten_term_of_batch_norm_is_seen(monkeypatch):
    """Treating the batch's statistics as constants is the classic mistake, which a sum of outputs would not show."""
    from tinycnn.kernels import reference

    right = reference.batch_norm_backward
    monkeypatch.setattr(reference, "batch_norm_backward", lambda *a, **k: right(*a, **{**k, "batch_statistics": False}))
    with tc.kernels.use("reference"):
        assert max(tc.gradcheck(make(), X, T).values()) > 1e-2


def test_the_network_stays_as_it_was():
    net = make()
    net.train_step(X, T, tc.SGDM())
    before, generator = net.state_dict(), net.rng.bit_generator.state
    images = X.copy()
    tc.gradcheck(net, images, T)
    after = net.state_dict()
    assert all(np.array_equal(before[name], after[name]) for name in before)
    assert net.dtype == np.float32 and net.rng.bit_generator.state == generator and np.array_equal(images, X)


def test_network_without_loss_or_parameters():
    net = tc.Sequential([tc.ImageInput((1, 4, 4)), tc.MaxPool2D(2)])
    errors = tc.gradcheck(net, RNG.normal(size=(2, 1, 4, 4)), RNG.normal(size=(2, 1, 2, 2)).astype(np.float32))
    assert errors.keys() == {"input"} and errors["input"] < 1e-6


def test_a_gradient_of_zero_is_right():
    net = tc.Sequential([tc.ImageInput((1, 2, 2)), tc.FullyConnected(2, initializer="zeros", bias=False, name="fc")])
    assert tc.gradcheck(net, np.ones((1, 1, 2, 2)), np.zeros((1, 2))) == {"fc.weight": 0.0, "input": 0.0}
