"""Where an array lives: NumPy on the CPU or CuPy on a GPU. The only module that imports CuPy."""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any

import numpy as np

Array = Any  # numpy.ndarray or cupy.ndarray

GPU_HELP = (
    "install CuPy for your CUDA version (cupy-cuda12x or cupy-cuda13x), or stay on the CPU: "
    'device "cpu" in Python, --device cpu on the command line'
)


def is_cupy(x: Array) -> bool:
    """Whether x is a CuPy array, found out without importing CuPy."""
    return type(x).__module__.partition(".")[0] == "cupy"


def get_array_module(*arrays: Array) -> ModuleType:
    """The module, numpy or cupy, that the given arrays belong to.

    Raises TypeError when both kinds are mixed, or for something that is not an array.

    >>> get_array_module(np.zeros(3)).__name__
    'numpy'
    """
    if all(type(x) is np.ndarray for x in arrays):  # the usual case, without the work below
        return np
    kinds = {"cupy" if is_cupy(x) else type(x).__module__.partition(".")[0] for x in arrays}
    if kinds == {"cupy"}:
        return sys.modules["cupy"]
    if kinds == {"numpy"}:
        return np
    if kinds == {"numpy", "cupy"}:
        raise TypeError(
            'these arrays live on different devices: call net.to("cpu") or net.to("cuda"), and '
            "tinycnn.backend.to_device(x, device) for the data, so that all are on one"
        )
    strangers = ", ".join(sorted({type(x).__name__ for x in arrays if not isinstance(x, np.ndarray)}))
    raise TypeError(f"expected NumPy or CuPy arrays, got {strangers}: convert with numpy.asarray first")


def cupy() -> ModuleType:
    """The cupy module, or one clear RuntimeError that says why there is no GPU to use."""
    try:
        import cupy as module
    except ImportError as error:
        raise RuntimeError(f"the GPU needs CuPy, which is not installed: {GPU_HELP}") from error
    try:
        count = module.cuda.runtime.getDeviceCount()
        module.cuda.nvrtc.getVersion()  # the compiler of all kernels is a library of its own, and may be missing
    except RuntimeError as error:
        raise RuntimeError(f"CuPy finds no usable GPU ({error}): {GPU_HELP}") from error
    if count == 0:
        raise RuntimeError(f"CuPy finds no GPU: {GPU_HELP}")
    return module


def device_of(x: Array) -> str:
    """Where x lives: "cuda" for a CuPy array, "cpu" for a NumPy array."""
    return "cpu" if get_array_module(x) is np else "cuda"


def to_device(x: Array, device: str) -> Array:
    """x itself if it is on `device` ("cpu" or "cuda") already, a copy there otherwise.

    >>> to_device(np.ones(2), "cpu")
    array([1., 1.])
    """
    if device not in ("cpu", "cuda"):
        raise ValueError(f'device is {device!r}: choose "cpu" or "cuda"')
    if device == device_of(x):
        return x
    return cupy().asarray(x) if device == "cuda" else x.get()


def has_gpu() -> bool:
    """Whether `cupy()` finds a GPU."""
    try:
        cupy()
    except RuntimeError:
        return False
    return True


def best_device() -> str:
    """The fastest there is: "cuda" where CuPy finds a GPU, else "cpu"."""
    return "cuda" if has_gpu() else "cpu"


def free_memory() -> int:
    """Bytes of GPU memory that arrays could still take: what the system calls free, and what CuPy holds unused."""
    module = cupy()
    return module.cuda.runtime.memGetInfo()[0] + module.get_default_memory_pool().free_bytes()


PRECISIONS = ("float32", "tf32")
MATH_MODES = {"float32": 0, "tf32": 3}  # CUBLAS_DEFAULT_MATH and CUBLAS_TF32_TENSOR_OP_MATH


def set_precision(precision: str) -> None:
    """How float32 matrix products are computed on the GPU from now on: set it in the thread that computes.

    "float32", as everywhere else, or "tf32": the tensor cores, several times faster, which round the factors to 10 bits
    of mantissa (an error of about 1e-3 instead of 1e-7 in each). It reaches fully connected layers and convolutions by
    im2col; all other kernels compute in float32 whatever is set. Networks keep float32 arrays either way.

    Raises:
        ValueError: for another precision.
        RuntimeError: when there is no CuPy or no GPU.
    """
    if precision not in PRECISIONS:
        raise ValueError(f"precision is {precision!r}: choose one of {', '.join(PRECISIONS)}")
    module = cupy()
    core = module._core
    tf32, usual = core._routines_linalg.COMPUTE_TYPE_TF32, core._routines_linalg.COMPUTE_TYPE_DEFAULT
    core.set_compute_type(np.float32, tf32 if precision == "tf32" else usual)  # read for single products alone;
    module.cuda.cublas.setMathMode(module.cuda.get_cublas_handle(), MATH_MODES[precision])  # stacks go by this


def get_precision() -> str:
    """What `set_precision` set: "float32" at first, unless the environment has CUPY_TF32=1; always so without a GPU."""
    if not has_gpu():
        return "float32"
    core = cupy()._core
    is_tf32 = core.get_compute_type(np.float32) == core._routines_linalg.COMPUTE_TYPE_TF32
    return "tf32" if is_tf32 else "float32"
