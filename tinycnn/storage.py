"""Networks in files: safetensors, a JSON header and raw numbers, with nothing in it that could run.

Format: https://github.com/huggingface/safetensors. The layers travel as JSON in the header's metadata.
Reading and writing are done here, in a few dozen lines, and not by the safetensors package: `import tinycnn` stays at
NumPy and Numba, and each refusal can name the file and the remedy. A test crosses files with that package both ways.
"""

from __future__ import annotations

import errno
import json
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

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
            f"{_write_remedy(error, path)}"
        ) from error


def _write_remedy(error: OSError, path: Path) -> str:
    """What to do about a file that could not be written."""
    if not path.parent.exists():
        return f"make the folder {path.parent} first"
    if path.is_dir():
        return "give the name of a file, not of a folder"
    if isinstance(error, PermissionError) or error.errno == errno.EROFS:
        return "choose a folder that you may write to"
    return "free some space or choose another folder"


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
    layers = [_described(layer) for layer in net.layers]
    description = {**kind_of(net), "layers": layers, "seed": net.seed, "dtype": net.dtype.name, "fuse": net.fuse}
    tensors = {name: array.get() if hasattr(array, "get") else array for name, array in net.state_dict().items()}
    save_file({**tensors, **(extra or {})}, path, {"tinycnn": json.dumps(description), **(metadata or {})})


def _described(value: Any) -> Any:
    """A layer as {"type": its class, its arguments …}, those inside it likewise; other values as they are."""
    if isinstance(value, Layer):
        return {**kind_of(value), **{name: _described(part) for name, part in value.config().items()}}
    return [_described(part) for part in value] if isinstance(value, (list, tuple)) else value


def kind_of(layer: Layer) -> dict[str, str]:
    """{"type": the class's name}, and its "module" if that is not tinycnn's."""
    kind = type(layer)
    origin = {} if kind.__module__.partition(".")[0] == "tinycnn" else {"module": kind.__module__}
    return {"type": kind.__name__, **origin}
