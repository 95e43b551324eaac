"""Compiles the .cu files for real GPUs, without one: by NVRTC, as CuPy does, or by nvcc."""

from __future__ import annotations

import ctypes
import ctypes.util
import importlib.util
import shutil
import subprocess
from pathlib import Path

from tinycnn.kernels.gpu import launch


def compiler():
    """A function of (source, options, architecture) that returns the compiler's complaints; None without one."""
    library = _nvrtc()
    if library is not None:
        return lambda *args: _by_nvrtc(library, *args)
    return _by_nvcc if shutil.which("nvcc") else None


def _nvrtc() -> ctypes.CDLL | None:
    spec = importlib.util.find_spec("nvidia")
    folders = [Path(folder) for folder in (spec.submodule_search_locations or [])] if spec else []
    names = [str(path) for folder in folders for path in folder.glob("*/lib/libnvrtc.so.*") if "alt" not in path.name]
    name = next(iter(names), ctypes.util.find_library("nvrtc"))
    return ctypes.CDLL(name) if name else None


def _by_nvrtc(library: ctypes.CDLL, source: str, options: tuple[str, ...], architecture: str) -> str:
    program, size = ctypes.c_void_p(), ctypes.c_size_t()
    library.nvrtcCreateProgram(
        ctypes.byref(program), launch.code(source).encode(), f"{source}.cu".encode(), 0, None, None
    )
    flags = [flag.encode() for flag in (f"-arch={architecture}", *launch.OPTIONS, *options)]
    failed = library.nvrtcCompileProgram(program, len(flags), (ctypes.c_char_p * len(flags))(*flags))
    library.nvrtcGetProgramLogSize(program, ctypes.byref(size))
    log = ctypes.create_string_buffer(size.value)
    library.nvrtcGetProgramLog(program, log)
    library.nvrtcDestroyProgram(ctypes.byref(program))
    return log.value.decode() or ("failed" if failed else "")


def _by_nvcc(source: str, options: tuple[str, ...], architecture: str) -> str:
    command = ["nvcc", f"-arch={architecture}", *launch.OPTIONS, *options, "-x", "cu", "-", "-cubin", "-o", "/dev/null"]
    result = subprocess.run(command, input=launch.code(source), capture_output=True, text=True)
    return result.stderr or ("failed" if result.returncode else "")
