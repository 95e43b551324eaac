"""From a file to a network."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from tinycnn import layers as layer_types
from tinycnn import storage
from tinycnn.layers import Layer
from tinycnn.network import Sequential

_OURS: dict[str, type[Layer]] = {name: getattr(layer_types, name) for name in layer_types.__all__}
_OURS["Sequential"] = Sequential


def load(path: str | Path, device: str = "cpu", custom_layers: Iterable[type[Layer]] = ()) -> Sequential:
    """The network that `net.save(path)` wrote, on `device`.

    Args:
        path: the file.
        device: "cpu" or "cuda".
        custom_layers: classes of your own that the network uses: its layers, or its own subclass of Sequential.

    Raises:
        FileNotFoundError: when there is no such file.
        ValueError: when the file is damaged, holds weights without layers, or uses a class that is not known.
    """
    tensors, metadata = storage.load_file(path)
    if "tinycnn" not in metadata:
        raise ValueError(
            f"{path} holds weights but no tinycnn layers: build the network, then call "
            "net.load_state_dict(tinycnn.storage.load_file(path)[0])"
        )
    description = json.loads(metadata["tinycnn"])
    own = {kind.__name__: kind for kind in custom_layers}
    kind: Any = _kind({"type": "Sequential", **description}, own, path)
    layers = [_built(layer, own, path) for layer in description["layers"]]
    net = kind(layers, seed=description["seed"], dtype=description["dtype"], fuse=description["fuse"])
    net.load_state_dict({name: tensors[name] for name in net.state_dict() if name in tensors})
    return net.to(device)


def _built(value: Any, own: Mapping[str, type[Layer]], path: str | Path) -> Any:
    """The inverse of what `storage` writes: a layer from a dict with a "type", other values as they are."""
    if isinstance(value, list):
        return [_built(part, own, path) for part in value]
    if not isinstance(value, dict) or "type" not in value:
        return value
    arguments = {name: _built(part, own, path) for name, part in value.items() if name not in ("type", "module")}
    return _kind(value, own, path)(**arguments)


def _kind(description: Mapping[str, Any], own: Mapping[str, type[Layer]], path: str | Path) -> type[Layer]:
    name = description["type"]
    known = own if "module" in description else _OURS
    if name not in known:
        raise ValueError(f"{path} uses a class of your own, {name!r}: pass it in custom_layers")
    return known[name]
