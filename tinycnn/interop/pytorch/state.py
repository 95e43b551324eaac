"""A PyTorch state under a network's names."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import zip_longest
from typing import TYPE_CHECKING, Any

import numpy as np

from tinycnn.layers import InputLayer

if TYPE_CHECKING:
    from tinycnn.network import Sequential

COUNT = "num_batches_tracked"  # a number that PyTorch's batch norm keeps beside the arrays


def torch_state(net: Sequential, state_dict: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """The arrays of a PyTorch `state_dict` under the names of `net`, for `net.load_state_dict`: matched in order.

    The first array of the state goes to the first of `net.state_dict()`, and so on; both must be of one kind ("weight",
    "bias", "running_mean", "running_var") and shape. The input layer's statistics are matched by name, and stay as they
    are in `net` if the state has none. PyTorch lists modules in the order in which they were made, which must be the
    order in which they are used. `net` is not changed, and the arrays are copies.

    Args:
        net: the network that the weights are for.
        state_dict: PyTorch's, of tensors or arrays, whatever its names: "0.weight", "features.conv.weight", …

    Raises:
        ValueError: naming the first array that does not fit.

    >>> import tinycnn as tc
    >>> net = tc.Sequential([tc.ImageInput((1, 1, 2)), tc.FullyConnected(1, name="fc")])
    >>> state = torch_state(net, {"classifier.0.weight": [[1.0, 2.0]], "classifier.0.bias": [3.0]})
    >>> state
    {'fc.weight': array([[1., 2.]]), 'fc.bias': array([3.])}
    >>> _ = net.load_state_dict(state)
    """
    given = {name: as_numpy(value) for name, value in state_dict.items() if not name.endswith(COUNT)}
    own = net.state_dict()
    named = [f"{layer.name}.{key}" for layer in net.layers if isinstance(layer, InputLayer) for key in layer.state]
    result = {name: given.pop(name, own[name]) for name in named}
    wanted = [name for name in own if name not in result]
    for source, target in zip_longest(given, wanted):
        if source is None:
            raise ValueError(
                f"the state has {len(given)} arrays and the network {len(wanted)}: nothing is left for "
                f"{target} {own[target].shape}; give the state of a module with the same layers"
            )
        if target is None:
            raise ValueError(
                f"the state has {len(given)} arrays and the network {len(wanted)}: {source} "
                f"{given[source].shape} has no place; build the network with the same layers, as tc.from_torch does"
            )
        kinds = source.rpartition(".")[2], target.rpartition(".")[2]
        if kinds[0] != kinds[1] or given[source].shape != own[target].shape:
            raise ValueError(
                f"{source} {given[source].shape} of the state does not fit {target} {own[target].shape} of the "
                "network, the next in order: build the network with the same layers, as tc.from_torch does"
            )
        result[target] = given[source]
    return result


def as_numpy(value: Any) -> np.ndarray:
    """A copy of a tensor, on whatever device, or of an array; bfloat16 and float16 become float32."""
    if hasattr(value, "detach"):
        value = value.detach().cpu()
        value = (value.float() if value.element_size() < 4 else value).numpy()
    return np.array(value)
