"""From the start of Python to the first finished train step: what a user waits before anything happens.

A process that imports one framework, builds the network and makes one step, timed from outside. With a cold cache
the compiled code of earlier runs (Numba's, torch.compile's) is not there; with a warm one it is.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from typing import Any

from benchmarks import contenders, machine
from benchmarks.contenders import Problem
from benchmarks.machine import Settings

CONTENDERS = ("tinycnn", "PyTorch", "PyTorch channels_last", "PyTorch compiled channels_last")
CACHES = ("NUMBA_CACHE_DIR", "TORCHINDUCTOR_CACHE_DIR")


def run(settings: Settings) -> dict[str, Any]:
    """Time first steps, in turns, with a warm cache and, for those that keep one, with a cold cache."""
    names = contenders.present(settings, CONTENDERS)
    compiling = [] if settings.quick else [name for name in names if name == "tinycnn" or "compiled" in name]
    warm: dict[str, list[float]] = {name: [] for name in names}
    cold: dict[str, list[float]] = {name: [] for name in compiling}
    for name in names:
        first_step(name, settings)
    for _ in range(settings.rounds_or(5)):
        for name in names:
            warm[name].append(first_step(name, settings))
        for name in compiling:
            with tempfile.TemporaryDirectory() as empty:
                cold[name].append(first_step(name, settings, empty))
    result: dict[str, Any] = {}
    for title, times in {"warm cache": warm, "cold cache": cold}.items():
        result[title] = {name: machine.summary(values) for name, values in times.items()}
        print(f"First train step, {settings.describe_images()}, {title}:\n\n{machine.comparison(result[title])}\n")
    result["against_best_pytorch"] = machine.best_ratio(result["warm cache"])
    print(f"Warm cache: {machine.verdict(result['against_best_pytorch'])}")
    return result


def first_step(name: str, settings: Settings, cache: str = "") -> float:
    """Seconds from the start of a Python process until its first train step; `cache` is a folder for compiled code."""
    environment = machine.environment(settings.threads) | (dict.fromkeys(CACHES, cache) if cache else {})
    command = machine.python("benchmarks.startup", name, *settings.images)
    start = time.perf_counter()
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        seconds = time.perf_counter() - start
    if process.returncode or not line.startswith("loss"):
        raise RuntimeError(f"the process of {name} failed with status {process.returncode}; its message is above")
    return seconds


if __name__ == "__main__":
    print("loss", contenders.make(sys.argv[1], Problem(*map(int, sys.argv[2:]))).train_step(), flush=True)
