"""What one side has and the other lacks is refused, naming the module by its path and what to do."""

import re

import numpy as np
import pytest

import tinycnn as tc

torch = pytest.importorskip("torch")
prune = pytest.importorskip("torch.nn.utils.prune")
nn = torch.nn


class Block(nn.Module):
    def forward(self, x):
        return x + 1


class OwnConv(nn.Conv2d):
    def forward(self, x):
        return -super().forward(x)


class OwnSequence(nn.Sequential):
    def forward(self, x):
        return x + super().forward(x)


def pruned() -> nn.Module:
    conv = nn.Conv2d(2, 2, 1)
    prune.random_unstructured(conv, "weight", 0.5)
    return conv


CONV = nn.Conv2d(2, 2, 1)

REFUSED = {
    "padding mode": (
        nn.Conv2d(2, 2, 3, padding=1, padding_mode="reflect"),
        r"Conv2d\(padding_mode='reflect'\) .* use padding_mode='zeros'",
    ),
    "channels": (nn.Conv2d(3, 2, 1), r"Conv2d\(in_channels=3\) gets 2: give the input_shape"),
    "kernel": (nn.Conv2d(2, 2, 9), "a 9×9 kernel .* does not fit into 8×8 pixels"),
    "norm channels": (nn.BatchNorm2d(3), r"BatchNorm2d\(num_features=3\) gets 2"),
    "norm mean": (nn.BatchNorm2d(2, momentum=None), r"BatchNorm2d\(momentum=None\).* such as PyTorch's default of 0.1"),
    "norm momentum": (nn.BatchNorm2d(2, momentum=1.5), "momentum is 1.5: give a number from 0 to 1"),
    "norm statistics": (
        nn.BatchNorm2d(2, track_running_stats=False),
        r"\(track_running_stats=False\) .* use track_running_stats=True",
    ),
    "ceil max": (
        nn.MaxPool2d(3, ceil_mode=True),
        r"MaxPool2d\(ceil_mode=True\) has no counterpart in tinycnn: use ceil_mode=False",
    ),
    "dilated max": (nn.MaxPool2d(2, dilation=2), r"MaxPool2d\(dilation=2\) .* use dilation=1"),
    "indices": (nn.MaxPool2d(2, return_indices=True), r"MaxPool2d\(return_indices=True\)"),
    "ceil average": (nn.AvgPool2d(3, ceil_mode=True), r"AvgPool2d\(ceil_mode=True\) .* use ceil_mode=False"),
    "divisor": (nn.AvgPool2d(2, divisor_override=3), r"AvgPool2d\(divisor_override=3\) .* use divisor_override=None"),
    "count": (
        nn.AvgPool2d(2, padding=1, count_include_pad=False),
        r"\(count_include_pad=False\) .* use count_include_pad=True, or no padding",
    ),
    "adaptive": (nn.AdaptiveAvgPool2d(3), r"AdaptiveAvgPool2d\(3\) gets 8×8 pixels, .* use AdaptiveAvgPool2d\(1\)"),
    "flatten start": (nn.Flatten(0), r"Flatten\(start_dim=0\) .* use start_dim=1"),
    "flatten end": (nn.Flatten(1, 2), r"Flatten\(end_dim=2\) .* use end_dim=-1"),
    "linear on images": (
        nn.Linear(8, 2),
        r"Linear gets images of shape \(2, 8, 8\).*: put torch.nn.Flatten\(\) before it",
    ),
    "linear inputs": (
        nn.Sequential(nn.Flatten(), nn.Linear(5, 2)),
        r"Linear\(in_features=5\) gets 128: give the input_shape",
    ),
    "softmax": (nn.Sequential(nn.Flatten(), nn.Softmax(dim=0)), r"Softmax\(dim=0\) .* use dim=1"),
    "softmax of images": (nn.Softmax(dim=1), "needs one score a class"),
    "dropout": (nn.Dropout(1.0), "rate is 1.0: give a number from 0 to below 1"),
    "dropout 2d": (nn.Dropout2d(), "Dropout2d has no counterpart in tinycnn: replace it by one of Conv2d, "),
    "unknown": (nn.GELU(), "GELU has no counterpart in tinycnn: replace it by one of"),
    "slope": (nn.LeakyReLU(-1.0), "slope is -1.0: give a number of at least 0"),
    "flat norm": (nn.BatchNorm1d(2), "needs flat data of shape .* use BatchNorm2D"),
    "response": (nn.LocalResponseNorm(3, k=0.0), "k 0.0: give alpha and beta ≥ 0, and k > 0"),
    "zeros alone": (nn.ZeroPad2d(1), "ZeroPad2d is read directly before Conv2d only"),
    "zeros before pooling": (
        nn.Sequential(nn.ZeroPad2d(1), nn.AvgPool2d(2)),
        "ZeroPad2d is read directly before Conv2d only",
    ),
    "cropping": (nn.Sequential(nn.ZeroPad2d(-1), CONV), "ZeroPad2d.* crop the images beforehand"),
    "skip connection": (Block(), "Block is not one of torch.nn's own layers, and PyTorch does not tell"),
    "subclass": (OwnConv(2, 2, 1), "OwnConv is not one of torch.nn's own layers"),
    "sequence with a forward": (OwnSequence(CONV), "OwnSequence is not one of torch.nn's own layers"),
    "parametrized": (nn.utils.parametrizations.weight_norm(nn.Conv2d(2, 2, 1)), "ParametrizedConv2d is not one of"),
    "hooks": (pruned(), "Conv2d has forward hooks, which a network would not run: remove them"),
    "shared weights": (
        nn.Sequential(CONV, nn.ReLU(), CONV),
        "Conv2d shares its weight with features.3.0, .* copy.deepcopy",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused_by_path(name):
    part, words = REFUSED[name]
    module = nn.Sequential()
    module.add_module("features", nn.Sequential(nn.ReLU(), nn.Identity(), nn.ReLU(), part))
    with pytest.raises(ValueError, match=words) as caught:
        tc.from_torch(module, input_shape=(2, 8, 8))
    assert re.match(r"features\.3(\.\d)?: ", str(caught.value)) and "\n" not in str(caught.value)


def test_count_include_pad_without_padding():
    tc.from_torch(nn.Sequential(nn.AvgPool2d(2, count_include_pad=False)), (2, 8, 8))


@pytest.mark.parametrize(
    ("module", "error", "words"),
    [
        (np.zeros(3), TypeError, "module is a ndarray: give a torch.nn.Sequential"),
        (nn.Conv2d(1, 1, 1), ValueError, "module is a Conv2d, .* such as torch.nn.Sequential"),
        (Block(), ValueError, "module is a Block, and PyTorch does not tell what its forward does"),
        (nn.Sequential(nn.Conv2d(1, 1, 1)).half(), ValueError, r"module holds numbers of float16: .* module.float\(\)"),
        (
            nn.Sequential(nn.Conv2d(1, 1, 1), nn.Conv2d(1, 1, 1).double()),
            ValueError,
            "numbers of float32 and float64: convert",
        ),
    ],
)
def test_no_sequence_of_one_dtype(module, error, words):
    with pytest.raises(error, match=words):
        tc.from_torch(module, (1, 4, 4))


def test_unknown_output():
    with pytest.raises(ValueError, match="output is 'softmax': choose None or one of 'classification', 'regression'"):
        tc.from_torch(nn.Sequential(nn.Flatten()), (1, 2, 2), output="softmax")


class OwnReLU(tc.ReLU):
    pass


@pytest.mark.parametrize(
    ("layer", "words"),
    [
        (OwnReLU(name="mine"), r"layer 'mine' \(OwnReLU\): to_torch knows no PyTorch module for it"),
        (tc.MaxPool2D(3, padding=2, name="pool"), r"layer 'pool' \(MaxPool2D\): padding is \(2, 2\) .* at most half"),
        (tc.AveragePool2D((2, 3), padding=(0, 2), name="pool"), r"'pool' .* padding is \(0, 2\) for a 2×3 window"),
    ],
)
def test_layers_that_pytorch_lacks(layer, words):
    net = tc.Sequential([tc.ImageInput((1, 8, 8)), layer])
    with pytest.raises(ValueError, match=words):
        tc.to_torch(net)


def test_no_network():
    with pytest.raises(TypeError, match="net is a ReLU: give a tinycnn.Sequential"):
        tc.to_torch(tc.ReLU())
