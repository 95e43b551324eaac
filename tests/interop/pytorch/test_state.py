"""A state under other names, matched in order: every array arrives, or the first that does not fit is named."""

import numpy as np
import pytest

import tinycnn as tc

torch = pytest.importorskip("torch")
nn = torch.nn


def network(bias: bool = True, normalization: str = "none") -> tc.Sequential:
    return tc.Sequential(
        [
            tc.ImageInput((2, 4, 4), normalization, name="input"),
            tc.Conv2D(3, 3, bias=bias, name="conv"),
            tc.BatchNorm2D(name="norm"),
            tc.ReLU(),
            tc.FullyConnected(2, name="fc"),
        ]
    )


def state(bias: bool = True) -> dict:
    torch.manual_seed(2)
    module = nn.Sequential(nn.Conv2d(2, 3, 3, bias=bias), nn.BatchNorm2d(3), nn.ReLU(), nn.Flatten(), nn.Linear(12, 2))
    for tensor in module.state_dict().values():
        if tensor.is_floating_point():
            tensor.uniform_(0.5, 1.5)
    return module.state_dict()


def test_every_array_arrives():
    net, given = network(), state()
    net.load_state_dict(tc.interop.torch_state(net, given))
    names = {"conv": "0", "norm": "1", "fc": "4"}
    for name, array in net.state_dict().items():
        layer, _, key = name.partition(".")
        np.testing.assert_array_equal(array, given[f"{names[layer]}.{key}"].numpy())


def test_the_mean_stays_or_comes_by_name():
    net = network(normalization="zerocenter")
    net.layers[0].fit(np.ones((1, 2, 4, 4)))
    net.load_state_dict(tc.interop.torch_state(net, state()))
    assert (net.layers[0].state["mean"] == 1).all() and net.layers[0].fitted
    loaded = tc.interop.torch_state(net, {**state(), "input.mean": torch.full((2, 4, 4), 7.0)})
    assert (loaded["input.mean"] == 7).all()


def test_copies_and_half_precision():
    given = {name: tensor.bfloat16() if "fc" in name else tensor for name, tensor in state().items()}
    given["4.bias"] = torch.tensor([1.5, 2.5], dtype=torch.bfloat16)
    loaded = tc.interop.torch_state(network(), given)
    assert loaded["fc.bias"].tolist() == [1.5, 2.5]
    loaded["conv.weight"][...] = 0
    assert given["0.weight"].min() > 0


@pytest.mark.parametrize(
    ("net", "given", "words"),
    [
        (network(), state(bias=False), r"^1.weight \(3,\) of the state does not fit conv.bias \(3,\) of the network"),
        (network(bias=False), state(), r"^0.bias \(3,\) of the state does not fit norm.weight \(3,\)"),
        (
            network(),
            {**state(), "0.weight": torch.zeros(3, 2, 5, 5)},
            r"0.weight \(3, 2, 5, 5\) .* conv.weight \(3, 2, 3, 3\)",
        ),
        (
            network(),
            dict(list(state().items())[:-1]),
            r"has 7 arrays and the network 8: nothing is left for fc.bias \(2,\)",
        ),
        (
            network(),
            {**state(), "5.weight": torch.zeros(1)},
            r"has 9 arrays and the network 8: 5.weight \(1,\) has no place",
        ),
        (network(), {}, r"nothing is left for conv.weight"),
    ],
)
def test_the_first_that_does_not_fit(net, given, words):
    with pytest.raises(ValueError, match=words):
        tc.interop.torch_state(net, given)
