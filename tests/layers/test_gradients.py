"""Every layer with every option: its backward pass against what its forward pass really does, in float64."""

from collections.abc import Callable

import numpy as np
import pytest

import tinycnn as tc

IMAGE = (4, 7, 6)  # C, H, W
LAYERS: dict[str, Callable[[], list[tc.Layer]]] = {
    "conv": lambda: [tc.Conv2D(3, 3)],
    "conv 1×1": lambda: [tc.Conv2D(3, 1)],
    "conv kernel pair": lambda: [tc.Conv2D(3, (2, 5))],
    "conv stride": lambda: [tc.Conv2D(3, 3, stride=2)],
    "conv stride pair": lambda: [tc.Conv2D(3, 2, stride=(1, 3))],
    "conv stride above kernel": lambda: [tc.Conv2D(3, 2, stride=3)],
    "conv padding": lambda: [tc.Conv2D(3, 3, padding=2)],
    "conv padding pair": lambda: [tc.Conv2D(3, 3, padding=(0, 2))],
    "conv four sides": lambda: [tc.Conv2D(3, 3, stride=2, padding=(0, 3, 1, 2))],
    "conv same": lambda: [tc.Conv2D(3, 3, padding="same")],
    "conv same even kernel": lambda: [tc.Conv2D(3, (4, 2), padding="same")],
    "conv same stride": lambda: [tc.Conv2D(3, 3, stride=(2, 4), padding="same")],
    "conv same even stride dilation": lambda: [tc.Conv2D(3, 2, stride=2, padding="same", dilation=3)],
    "conv dilation": lambda: [tc.Conv2D(3, 3, dilation=2)],
    "conv dilation pair": lambda: [tc.Conv2D(3, 2, stride=2, padding=1, dilation=(3, 1))],
    "conv groups": lambda: [tc.Conv2D(6, 3, groups=2)],
    "conv depthwise": lambda: [tc.Conv2D(8, 3, stride=2, padding=1, groups=4)],
    "conv no bias": lambda: [tc.Conv2D(3, 3, bias=False)],
    "batch norm": lambda: [tc.BatchNorm2D()],
    "batch norm large eps": lambda: [tc.BatchNorm2D(eps=0.5)],
    "conv, batch norm, relu, pool": lambda: [tc.Conv2D(5, 3), tc.BatchNorm2D(), tc.ReLU(), tc.MaxPool2D(2)],
    "cross-channel norm": lambda: [tc.CrossChannelNorm(3, alpha=2, k=0.5)],
    "cross-channel norm even size": lambda: [tc.CrossChannelNorm(2, alpha=2, beta=0.6)],
    "cross-channel norm all channels": lambda: [tc.CrossChannelNorm(9, alpha=5, beta=2)],
    "relu": lambda: [tc.ReLU()],
    "max pool": lambda: [tc.MaxPool2D(2)],
    "max pool overlapping": lambda: [tc.MaxPool2D(3, stride=1)],
    "max pool pairs": lambda: [tc.MaxPool2D((3, 2), stride=(2, 1), padding=(2, 1))],
    "max pool gaps": lambda: [tc.MaxPool2D(2, stride=3)],
    "average pool": lambda: [tc.AveragePool2D(2)],
    "average pool overlapping": lambda: [tc.AveragePool2D(3, stride=2, padding=1)],
    "average pool pairs": lambda: [tc.AveragePool2D((4, 1), stride=(1, 2), padding=(3, 0))],
    "global average pool": lambda: [tc.GlobalAveragePool2D()],
    "leaky relu": lambda: [tc.LeakyReLU()],
    "leaky relu steep": lambda: [tc.LeakyReLU(1.5)],
    "sigmoid": lambda: [tc.Sigmoid()],
    "tanh": lambda: [tc.Tanh()],
    "batch norm of features": lambda: [tc.FullyConnected(5), tc.BatchNorm1D(), tc.Sigmoid()],
    "batch norm of features large eps": lambda: [tc.Flatten(), tc.BatchNorm1D(eps=0.5)],
    "dropout": lambda: [tc.Dropout(0.5)],
    "flatten": lambda: [tc.Flatten()],
    "fully connected": lambda: [tc.FullyConnected(3)],
    "fully connected no bias": lambda: [tc.FullyConnected(3, bias=False), tc.FullyConnected(2)],
    "softmax": lambda: [tc.FullyConnected(5), tc.Softmax()],
}


def check(
    layers: list[tc.Layer], training: bool, source: tc.layers.InputLayer | None = None, classes: int = 0, **options
) -> None:
    """Gradient check of a network with random weights, statistics and upstream gradient (or random targets)."""
    rng = np.random.default_rng(3)
    source = source or tc.ImageInput(IMAGE)
    net = tc.Sequential([source, *layers], dtype=np.float64, **options)
    net.load_state_dict({name: array + rng.uniform(0.1, 0.9, array.shape) for name, array in net.state_dict().items()})
    source.fit(rng.normal(size=(5, *source.shape)))
    t = rng.integers(0, classes, size=4) if classes else rng.normal(size=(4, *net.shapes[-1]))
    errors = tc.gradcheck(net, rng.normal(size=(4, *source.shape)), t, training=training)
    assert errors.keys() == {"input", *net.parameters()}
    assert max(errors.values()) < 1e-6, errors


@pytest.mark.parametrize("kernel_set", ["reference", "cpu"])
@pytest.mark.parametrize("training", [True, False], ids=["training", "evaluation"])
@pytest.mark.parametrize("name", LAYERS)
def test_layer(name, training, kernel_set):
    with tc.kernels.use(kernel_set):
        check(LAYERS[name](), training)


@pytest.mark.parametrize("normalization", ["none", "zerocenter", "zscore"])
def test_input(normalization):
    check([tc.ReLU()], True, tc.ImageInput(IMAGE, normalization))
    check([tc.ReLU(), tc.FullyConnected(2)], True, tc.VectorInput(7, normalization))


@pytest.mark.parametrize("fuse", [True, False])
@pytest.mark.parametrize("smoothing", [0, 0.3])
@pytest.mark.parametrize("class_weights", [None, [1, 2.5, 0.2, 0]])
def test_loss(class_weights, smoothing, fuse):
    output = tc.ClassificationOutput(class_weights, label_smoothing=smoothing)
    check([tc.FullyConnected(4, initializer="zeros"), tc.Softmax(), output], True, classes=4, fuse=fuse)


@pytest.mark.parametrize("kernel_set", ["reference", "cpu"])
@pytest.mark.parametrize("training", [True, False], ids=["training", "evaluation"])
def test_regression(training, kernel_set):
    with tc.kernels.use(kernel_set):
        check([tc.FullyConnected(3), tc.RegressionOutput()], training)
        check([tc.Conv2D(2, 3), tc.Tanh(), tc.RegressionOutput()], training)
