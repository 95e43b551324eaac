"""Networks in files: safetensors, a JSON header and raw numbers, with nothing in it that could run.

Format: https://github.com/huggingface/safetensors. The layers travel as JSON in the header's metadata.
Reading and writing are done here, in a few dozen lines, and not by the safetensors package: `import tinycnn` stays at
NumPy and Numba, and each refusal can name the file and the remedy. A test crosses files with that package both ways.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tinycnn import layers as layer_types
from tinycnn.layers import Layer

if TYPE_CHECKING:
    from tinycnn.network import Sequential

_DTYPES = {
    "F64": "<f8",
    "F32": "<f4",
    "F16": "<f2",
    "I64": "<i8",
    "I32": "<i4",
    "I16": "<i2",
    "I8": "|i1",
    "U64": "<u8",
    "U32": "<u4",
    "U16": "<u2",
    "U8": "|u1",
    "BOOL": "|b1",
}
_NAMES = {np.dtype(dtype): name for name, dtype in _DTYPES.items()}


def save_file(tensors: Mapping[str, np.ndarray], path: str | Path, metadata: Mapping[str, str] | None = None) -> None:
    """Write named arrays to a safetensors file, whole or not at all: an existing file survives a full disk.

    Raises:
        OSError: naming the file and the bytes it needs, when it cannot be written.
    """
    path, offset = Path(path), 0
    header: dict[str, Any] = {}
    arrays = {name: np.ascontiguousarray(array) for name, array in tensors.items()}
    if metadata:
        header["__metadata__"] = dict(metadata)
    for name, array in arrays.items():
        if array.dtype.newbyteorder("=") not in _NAMES:
            raise ValueError(f"{name} has dtype {array.dtype}, which safetensors cannot hold")
        header[name] = {
            "dtype": _NAMES[array.dtype.newbyteorder("=")],
            "shape": list(tensors[name].shape),
            "data_offsets": [offset, offset + array.nbytes],
        }
        offset += array.nbytes
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)  # the numbers start on a multiple of eight bytes
    partial = path.with_name(f"{path.name}.{os.getpid()}.partial")
    try:
        with open(partial, "wb") as file:
            file.write(len(text).to_bytes(8, "little") + text)
            for array in arrays.values():
                file.write(array.astype(array.dtype.newbyteorder("<"), copy=False).tobytes())
        os.replace(partial, path)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise OSError(
            f"cannot write {path} ({offset + len(text):,} bytes): {error.strerror or error}; "
            "free some space or choose another folder"
        ) from error


def load_file(path: str | Path) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """Read a safetensors file: its arrays by name, and its metadata.

    Raises:
        FileNotFoundError: when there is no such file.
        ValueError: when it is not a safetensors file, or is cut short.
    """
    with open(path, "rb") as file:
        content = file.read()
    try:
        start = 8 + int.from_bytes(content[:8], "little")
        if len(content) < start:
            raise ValueError("it ends within the header")
        header = json.loads(content[8:start])
        metadata = header.pop("__metadata__", None) or {}
        tensors = {}
        for name, entry in header.items():
            begin, end = entry["data_offsets"]
            dtype, shape = np.dtype(_DTYPES[entry["dtype"]]), tuple(entry["shape"])
            if begin < 0 or start + end > len(content) or end - begin != math.prod(shape) * dtype.itemsize:
                raise ValueError(f"{name} is cut short")
            tensors[name] = np.frombuffer(content, dtype, math.prod(shape), start + begin).reshape(shape).copy()
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{path} is not a whole safetensors file: {error}") from error
    return tensors, metadata


def save_network(
    net: Sequential,
    path: str | Path,
    extra: Mapping[str, np.ndarray] | None = None,
    metadata: Mapping[str, str] | None = None,
) -> None:
    """Write `net` to `path`; `extra` arrays and `metadata` ride along, and `load` ignores them."""
    layers = [{"type": type(layer).__name__, **layer.config()} for layer in net.layers]
    description = {"layers": layers, "seed": net.seed, "dtype": net.dtype.name, "fuse": net.fuse}
    tensors = {name: array.get() if hasattr(array, "get") else array for name, array in net.state_dict().items()}
    save_file({**tensors, **(extra or {})}, path, {"tinycnn": json.dumps(description), **(metadata or {})})


def load(path: str | Path, device: str = "cpu", custom_layers: Iterable[type[Layer]] = ()) -> Sequential:
    """The network that `net.save(path)` wrote, on `device`.

    Args:
        path: the file.
        device: "cpu" or "cuda".
        custom_layers: layer classes of your own that the network uses.

    Raises:
        FileNotFoundError: when there is no such file.
        ValueError: when the file is damaged, holds weights without layers, or uses a layer that is not known.
    """
    from tinycnn.network import Sequential

    tensors, metadata = load_file(path)
    if "tinycnn" not in metadata:
        raise ValueError(
            f"{path} holds weights but no tinycnn layers: build the network, then call "
            "net.load_state_dict(tinycnn.storage.load_file(path)[0])"
        )
    description = json.loads(metadata["tinycnn"])
    known = {name: getattr(layer_types, name) for name in layer_types.__all__}
    known.update({custom.__name__: custom for custom in custom_layers})
    layers = []
    for config in description["layers"]:
        kind = config.pop("type")
        if kind not in known:
            raise ValueError(f"{path} uses an unknown layer {kind!r}: pass its class in custom_layers")
        layers.append(known[kind](**config))
    net = Sequential(layers, seed=description["seed"], dtype=description["dtype"], fuse=description["fuse"])
    net.load_state_dict({name: tensors[name] for name in net.state_dict() if name in tensors})
    return net.to(device)
