"""The paper's network: names, shapes and counts as in Table 1 and in sums done by hand."""

import numpy as np
import pytest

import tinycnn as tc
from covid.models.paper import paper_network

TABLE_1 = """
conv_1       (8, 222, 222)      80
batchnorm_1  (8, 222, 222)      16
relu_1       (8, 222, 222)       0
maxpool_1    (8, 111, 111)       0
conv_2       (16, 109, 109)  1,168
batchnorm_2  (16, 109, 109)     32
relu_2       (16, 109, 109)      0
maxpool_2    (16, 54, 54)        0
conv_3       (32, 52, 52)    4,640
batchnorm_3  (32, 52, 52)       64
relu_3       (32, 52, 52)        0
maxpool_3    (32, 26, 26)        0
conv_4       (64, 24, 24)   18,496
batchnorm_4  (64, 24, 24)      128
relu_4       (64, 24, 24)        0
maxpool_4    (64, 12, 12)        0
dropout      (64, 12, 12)        0
fc_1         (3,)           27,651
dropout      (3,)                0
fc_2         (3,)               12
Softmax      (3,)                0
class output (3,)                0
"""


def parameters(net: tc.Sequential) -> int:
    return sum(array.size for array in net.parameters().values())


def test_summary_is_table_1():
    net = paper_network()
    first, *rows, total = str(net.summary()).splitlines()[1:]
    expected = TABLE_1.strip().splitlines()
    assert len(rows) == 22
    assert first.split()[:5] == ["input", "ImageInput", "(1,", "224,", "224)"]
    for row, line, layer in zip(rows, expected, net.layers[1:], strict=True):
        name, _, tail = line.partition("(")
        shape, count = tail.rsplit(")", 1)
        assert row.startswith(name.strip()) and f" {type(layer).__name__} " in row
        assert f" ({shape}) " in row and row.split(")")[1].split()[0] == count.strip()
    assert total.split()[:2] == ["total", "52,287"]


@pytest.mark.parametrize(
    ("options", "count"),
    [
        ({}, 52_287),
        ({"channels": 3}, 52_431),
        ({"padding": "same"}, 62_271),
        ({"channels": 3, "padding": "same"}, 62_415),
        ({"size": (224, 244)}, 54_591),
        ({"variant": "text"}, 52_287),
    ],
)
def test_parameters(options, count):
    assert parameters(paper_network(**options)) == count


def test_batch_norm_keeps_240_statistics():
    state = paper_network().state_dict()
    assert sum(array.size for name, array in state.items() if "running" in name) == 240
    assert set(state) - set(paper_network().parameters()) == {
        "input.mean",
        *(f"batchnorm_{i}.running_{kind}" for i in range(1, 5) for kind in ("mean", "var")),
    }


def test_settings_of_the_layers():
    net = paper_network()
    assert [layer.rate for layer in net.layers if isinstance(layer, tc.Dropout)] == [0.5, 0.3]
    assert {layer.eps for layer in net.layers if isinstance(layer, tc.BatchNorm2D)} == {1e-5}
    assert {layer.padding for layer in net.layers if isinstance(layer, tc.Conv2D)} == {(0, 0, 0, 0)}
    assert net.layers[0].normalization == "zerocenter"
    assert not any(net.parameters()[f"{name}.bias"].any() for name in ("conv_1", "conv_4", "fc_1", "fc_2"))


@pytest.mark.parametrize(("name", "fan_in", "fan_out"), [("conv_1", 9, 72), ("conv_4", 288, 576), ("fc_1", 9216, 3)])
def test_weights_start_uniform_within_the_glorot_limit(name, fan_in, fan_out):
    weight, limit = paper_network().parameters()[f"{name}.weight"], np.sqrt(6 / (fan_in + fan_out))
    assert 0.9 * limit < np.abs(weight).max() <= limit * (1 + 1e-6)
    assert weight.std() == pytest.approx(limit / np.sqrt(3), rel=0.2)


def test_text_variant_has_22_layers_and_one_dropout():
    net = paper_network(variant="text")
    names = [layer.name for layer in net.layers]
    assert len(net.layers) == 22
    assert names.count("dropout") == 1
    assert names[names.index("fc_1") :] == ["fc_1", "dropout", "fc_2", "Softmax", "class output"]


def test_seed_and_classes():
    a, b, c = paper_network(seed=1), paper_network(seed=1), paper_network(seed=2, classes=4)
    assert all((a.parameters()[name] == array).all() for name, array in b.parameters().items())
    assert (a.parameters()["conv_1.weight"] != c.parameters()["conv_1.weight"]).all()
    assert c.classes == 4


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"variant": "paper"}, "variant is 'paper': choose one of table, text"),
        ({"size": 40}, "layer 'maxpool_4' .* does not fit"),
    ],
)
def test_errors(options, words):
    with pytest.raises(ValueError, match=words):
        paper_network(**options)
