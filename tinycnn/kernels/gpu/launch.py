"""Starts a kernel of a `.cu` file: compiled once a process for the numbers' type and sizes, kept on disk by CuPy."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tinycnn import backend

Array = Any  # cupy.ndarray
FOLDER = Path(__file__).parent / "cuda"
C_TYPES = {np.dtype(np.float32): "float", np.dtype(np.float64): "double"}
NULL = np.uint64(0)
WARP = 32  # threads that run in step: common.cu's
MOST_BLOCKS = 1024  # of a launch whose blocks go on to further elements: enough to fill any GPU
OPTIONS = ("--std=c++17",)  # of the compiler; nothing that would lose NaN
INCLUDE = re.compile(r'^#include "(\w+\.cu)"$', re.MULTILINE)

Runner = Callable[[str, str, tuple[str, ...], tuple[int, ...], tuple[int, ...], list[Any]], None]


def launch(
    source: str, kernel: str, grid: int | tuple[int, ...], block: int, *args: Any, dtype: Any, **defines: int | str
) -> None:
    """Run `kernel` of `source`.cu on the current stream, with one block of `block` threads for each place in `grid`.

    The source is compiled with `real` as dtype's C type and with the `defines`, which are constants there. An argument
    is a contiguous array, a Python int (C's int) or float (`real`), a NumPy scalar (as it is), None (a null pointer),
    or a tuple of all these: a struct with these members. An empty grid is nothing to do.
    """
    grid = grid if isinstance(grid, tuple) else (grid,)
    if 0 in grid:
        return
    types = {"real": C_TYPES[np.dtype(dtype)], **defines}
    options = tuple(f"-D{name}={value}" for name, value in types.items())
    runner(source, kernel, options, grid, (block,), [_argument(value, np.dtype(dtype).type) for value in args])


def blocks(elements: int, threads: int = 256) -> int:
    """How many blocks of `threads` it takes to give each element a thread."""
    return -(-elements // threads)


@functools.cache
def multiprocessors() -> int:
    """How many multiprocessors the current device has: work is cut into enough blocks for all of them.

    Without a GPU, where the kernels are only emulated, an H100's 132.
    """
    return int(backend.cupy().cuda.Device().attributes["MultiProcessorCount"]) if backend.has_gpu() else 132


def code(source: str) -> str:
    """The text of `source`.cu, with each file that it includes put in where that is first asked for."""
    pasted: set[str] = set()

    def paste(name: str) -> str:
        if name in pasted:
            return ""
        pasted.add(name)
        return INCLUDE.sub(lambda match: paste(match[1]), (FOLDER / name).read_text(encoding="utf-8"))

    return paste(f"{source}.cu")


def structure(members: tuple[Any, ...], address: Callable[[Array], int]) -> np.ndarray:
    """A C struct, as NumPy's 0-d array, of numbers and of arrays' addresses."""
    values = [address(value) if hasattr(value, "shape") and value.shape else value for value in members]
    kinds = tuple("u8" if isinstance(value, int) else value.dtype.str for value in values)
    return np.array(tuple(values), _layout(kinds))


@functools.cache
def _layout(kinds: tuple[str, ...]) -> np.dtype[Any]:
    return np.dtype([(f"member_{k}", kind) for k, kind in enumerate(kinds)], align=True)


def _argument(value: Any, real: type) -> Any:
    if isinstance(value, tuple):
        return tuple(_argument(member, real) for member in value)
    if value is None:
        return NULL
    if isinstance(value, int):
        return np.int32(value)
    return real(value) if type(value) is float else value  # a float64 is a float too, and stays one


@functools.cache
def _function(source: str, kernel: str, options: tuple[str, ...]) -> Any:
    return _module(source, options).get_function(kernel)


@functools.cache
def _module(source: str, options: tuple[str, ...]) -> Any:
    text = code(source).encode("ascii", "ignore").decode()  # CuPy writes it to a file in the system's own encoding
    return backend.cupy().RawModule(code=text, options=(*OPTIONS, *options), backend="nvrtc")


def on_device(
    source: str,
    kernel: str,
    options: tuple[str, ...],
    grid: tuple[int, ...],
    block: tuple[int, ...],
    args: Sequence[Any],
) -> None:
    """Compile, unless done before, and start the kernel on the current device and stream."""
    values = [structure(a, lambda array: array.data.ptr) if isinstance(a, tuple) else a for a in args]
    _function(source, kernel, options)(grid, block, tuple(values))


runner: Runner = on_device  # the tests put an emulator here
