"""Runs the GPU's kernels on the CPU: each `.cu` compiled as C++ with g++, its blocks and threads played by a header.

What it catches: wrong results, writing or reading outside the arrays (each argument lies between two guards of NaN),
barriers that not all threads reach, and, with `backwards`, missing ones. What it cannot: anything about speed.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import hashlib
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tinycnn.kernels.gpu import launch

HEADER = Path(__file__).with_name("cuda_on_cpu.h")
COMPILER = shutil.which("g++") if sys.platform == "linux" else None  # elsewhere shared memory has no section
GUARD = 512  # bytes before and after each array
KERNEL = re.compile(r'extern "C" __global__ void\s+(?:__launch_bounds__\([^)]*\)\s+)?(?!__launch)(\w+)\(')
backwards = False  # the order in which a block's threads run


def run(
    source: str,
    kernel: str,
    options: tuple[str, ...],
    grid: tuple[int, ...],
    block: tuple[int, ...],
    args: Sequence[Any],
) -> None:
    """A stand-in for launch.on_device: the same arguments, with NumPy arrays."""
    guards: list[_Guarded] = []

    def address(array: np.ndarray) -> np.uint64:
        guards.append(_Guarded(array))
        return guards[-1].address

    scalars = [
        launch.structure(a, lambda array: int(address(array)))
        if isinstance(a, tuple)
        else np.array(address(a) if isinstance(a, np.ndarray) else a)
        for a in args
    ]  # in memory, by value
    pointers = (ctypes.c_void_p * len(args))(*(s.ctypes.data for s in scalars))
    shape = (ctypes.c_uint * 4)(*(*grid, 1, 1)[:3], *block)
    function = getattr(_library(source, options), f"emulate_{kernel}")
    function.restype = ctypes.c_char_p
    trouble = function(shape, pointers, int(backwards))
    assert trouble is None, f"{source}.cu, {kernel}: {trouble.decode()}"
    for guard in guards:
        guard.take_back(f"{source}.cu, {kernel}")


class _Guarded:
    """A copy of an array between two guards of bytes that make NaN, to be copied back."""

    def __init__(self, array: np.ndarray):
        assert array.flags.c_contiguous
        self.array = array
        self.memory = np.full(array.nbytes + 2 * GUARD + 64, 0xFF, np.uint8)
        self.start = GUARD + -(self.memory.ctypes.data + GUARD) % 64
        self.inside = slice(self.start, self.start + array.nbytes)
        self.memory[self.inside] = array.reshape(-1).view(np.uint8)
        self.address = np.uint64(self.memory.ctypes.data + self.start)

    def take_back(self, where: str) -> None:
        before, after = self.memory[: self.inside.start], self.memory[self.inside.stop :]
        assert (before == 0xFF).all() and (after == 0xFF).all(), f"{where}: wrote outside an array"
        if self.array.flags.writeable:
            self.array.reshape(-1).view(np.uint8)[:] = self.memory[self.inside]


@functools.cache
def _library(source: str, options: tuple[str, ...]) -> ctypes.CDLL:
    kernels = launch.code(source)
    text = f"namespace {{\n{kernels}\n}}\n" + "\n".join(  # unnamed, so that shared variables are the file's own
        f'extern "C" const char* emulate_{name}(const unsigned* shape, void** args, int backwards) '
        f"{{ return emulate({name}, shape, args, backwards); }}"
        for name in KERNEL.findall(kernels)
    )
    command = [
        str(COMPILER),
        "-std=c++17",
        "-O1",
        "-w",
        "-shared",
        "-fPIC",
        "-march=native",
        *options,
        "-include",
        str(HEADER),
    ]
    content = "\0".join([text, HEADER.read_text(encoding="utf-8"), *command])
    folder = Path(tempfile.gettempdir()) / "tinycnn-emulation"
    folder.mkdir(exist_ok=True)
    path = folder / f"{source}-{hashlib.sha256(content.encode()).hexdigest()[:20]}.so"
    if not path.exists():
        with tempfile.TemporaryDirectory(dir=folder) as work:
            (Path(work) / "kernel.cpp").write_text(text, encoding="utf-8")
            subprocess.run([*command, f"{work}/kernel.cpp", "-o", f"{work}/kernel.so"], check=True)
            Path(work, "kernel.so").replace(path)
    return ctypes.CDLL(str(path))


@contextlib.contextmanager
def emulated() -> Iterator[None]:
    """Within the with-block `tinycnn.kernels.gpu` computes on NumPy arrays."""
    kept = launch.runner
    launch.runner = run
    try:
        yield
    finally:
        launch.runner = kept
