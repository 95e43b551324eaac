"""What runs here: versions, device, threads and kernels."""

from __future__ import annotations

import importlib.metadata
import os
import platform

import numpy as np

from tinycnn import backend, kernels
from tinycnn._version import __version__
from tinycnn.runtime import threads


def describe() -> dict[str, str]:
    """Versions, device, threads and active kernels, by name: what a bug report or a benchmark should quote."""

    def version(package: str) -> str:
        try:
            return importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            return "not installed"

    try:
        module = backend.cupy()
        name = module.cuda.runtime.getDeviceProperties(0)["name"].decode()
        gpu = f"{name} (CuPy {module.__version__}, {backend.get_precision()})"
    except RuntimeError as error:
        gpu = f"none: {error}"
    return {
        "tinycnn": __version__,
        "python": platform.python_version(),
        "numpy": np.__version__,
        "numba": version("numba"),
        "cpu": f"{_cpu_name()}, {os.cpu_count()} cores",
        "threads": str(threads.get_num_threads()),
        "gpu": gpu,
        "kernels": kernels.active(),
    }


def _cpu_name() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            names = [line.partition(":")[2].strip() for line in file if line.startswith("model name")]
    except OSError:
        names = []
    return names[0] if names else platform.processor() or platform.machine()
