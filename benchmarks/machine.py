"""What all subjects share: the machine in words, equal threads for everybody, taking turns on the clock, and tables."""

from __future__ import annotations

import datetime
import importlib.metadata
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
SETTLE_SECONDS = 0.05  # idle threads of the contender before may spin for so long (OpenBLAS)
# NPROC is what XLA, under JAX, sizes its thread pool by.
THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS", "NPROC")


@dataclass(frozen=True)
class Settings:
    """What the command line asked for; `rounds` is None where each subject is to use its own number."""

    threads: int
    rounds: int | None = None
    batch: int = 64
    channels: int = 1
    size: int = 224
    data: str = ""
    quick: bool = False
    only: tuple[str, ...] = ()
    device: str = "cpu"
    tf32: bool = False
    compile: bool = True

    def rounds_or(self, usual: int) -> int:
        """How often to measure."""
        return self.rounds or (1 if self.quick else usual)

    def seconds_or(self, usual: float) -> float:
        """How long to time a contender in its turn; on a GPU, where a step takes a millisecond or so, a fifth."""
        return 0.01 if self.quick else usual / 5 if self.device == "cuda" else usual

    @property
    def images(self) -> tuple[int, int, int]:
        """Batch, channels and size: the arguments of a Problem."""
        return self.batch, self.channels, self.size

    def describe_images(self) -> str:
        precision = "float32 with TF32 matrix products" if self.tf32 else "float32"
        return f"{self.batch} images of {self.channels}×{self.size}×{self.size}, {precision}"


# --- The machine ---


def available_cores() -> int:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def environment(threads: int) -> dict[str, str]:
    """The environment of a process in which every library uses `threads` threads and this checkout is imported.

    How OpenMP's threads, PyTorch's, wait for work is left as it is: by default they spin for some milliseconds, which
    makes small networks faster on an idle machine and slower on a busy one. `take_turns` runs each contender untimed
    before timing it, so that the last one's threads are asleep again.
    """
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH", "")]))
    return {**os.environ, **dict.fromkeys(THREAD_VARIABLES, str(threads)), "JAX_PLATFORMS": "cpu", "PYTHONPATH": path}


def python(module: str, *arguments: object) -> list[str]:
    """The command that runs a module with this Python."""
    return [sys.executable, "-m", module, *map(str, arguments)]


def pin_threads(threads: int) -> None:
    """Keep this process and its children on `threads` cores, where the system can, and tell tinycnn."""
    import tinycnn

    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:threads])
    tinycnn.set_num_threads(threads)


def describe() -> dict[str, Any]:
    """Everything about the machine and the software that a figure depends on."""
    import tinycnn

    def version(package: str) -> str:
        try:
            return importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            return "not installed"

    own = tinycnn.describe()
    return {
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "cpu": own["cpu"],
        "gpu": own["gpu"],
        "cores": available_cores(),
        "memory_bytes": _memory_bytes(),
        "load_average": os.getloadavg() if hasattr(os, "getloadavg") else None,
        "system": platform.platform(),
        "python": platform.python_version(),
        "versions": {"tinycnn": own["tinycnn"]} | {name: version(name) for name in ("numpy", "numba", "torch", "jax")},
        "commit": _commit(),
    }


def headline(description: Mapping[str, Any], threads: int, device: str = "cpu") -> str:
    """The machine in two lines, one for its GPU if that computes, and one when it is too busy to measure on."""
    versions = ", ".join(f"{name} {version}" for name, version in description["versions"].items())
    load = description["load_average"]
    lines = [
        f"{description['cpu']}, {threads} threads; {description['system']}; {description['date']}",
        f"Python {description['python']}, {versions}; commit {description['commit']}",
    ]
    if device == "cuda":
        lines.append(description["gpu"])
    if load and load[0] >= 0.5:
        lines.append(f"The machine is busy (load {load[0]:.1f}): figures of this run are not to be relied on.")
    return "\n".join(lines)


def _memory_bytes() -> int | None:
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):
        return None


def _commit() -> str:
    def git(*arguments: str) -> str:
        return subprocess.run(["git", "-C", str(ROOT), *arguments], capture_output=True, text=True, check=True).stdout

    try:
        return git("rev-parse", "--short", "HEAD").strip() + (" with changes" if git("status", "--porcelain") else "")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


# --- The clock ---


def finished(function: Callable[[], Any], device: str) -> Callable[[], Any]:
    """`function`, on a GPU followed by a wait until all that it launched is done."""
    if device == "cpu":
        return function
    from tinycnn import backend

    wait = backend.cupy().cuda.runtime.deviceSynchronize  # for every library's streams

    def waiting() -> Any:
        result = function()
        wait()
        return result

    return waiting


def take_turns(functions: Mapping[str, Callable[[], object]], rounds: int, seconds: float) -> dict[str, Any]:
    """Time each function once a round, A B C, A B C, …, so that whatever disturbs the machine disturbs all alike.

    In its turn a function runs untimed for a moment, until the threads of the one before have gone to sleep and the
    caches are its own, and then timed for at least `seconds`; the turn counts as the mean time of a call. A first
    round, in which everything gets compiled and its memory, does not count.

    Returns {name: summary(the seconds of a call, round by round)}.
    """
    from tinycnn.training.progress import Progress

    times: dict[str, list[float]] = {name: [] for name in functions}
    with Progress((rounds + 1) * len(functions), "measuring", unit="turn") as bar:
        for _ in range(rounds + 1):
            for name, function in functions.items():
                _repeat(function, SETTLE_SECONDS)
                times[name].append(_repeat(function, seconds))
                bar.update(1, note=name)
    return {name: summary(measured[1:]) for name, measured in times.items()}


def _repeat(function: Callable[[], object], seconds: float) -> float:
    """The mean time of a call, of as many as it takes to fill `seconds`, but at least one."""
    calls, start = 0, time.perf_counter()
    while True:
        function()
        calls += 1
        elapsed = time.perf_counter() - start
        if elapsed >= seconds:
            return elapsed / calls


def summary(values: Sequence[float]) -> dict[str, Any]:
    """All values, their median and their quartiles.

    >>> summary([3.0, 1.0, 2.0])
    {'values': [3.0, 1.0, 2.0], 'median': 2.0, 'quartiles': [1.5, 2.5]}
    """
    quartiles = statistics.quantiles(values, n=4, method="inclusive") if len(values) > 1 else [values[0]] * 3
    return {"values": list(values), "median": statistics.median(values), "quartiles": [quartiles[0], quartiles[2]]}


# --- Tables ---


def table(headers: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Columns under their headers, the first to the left and the others to the right, as Markdown reads them.

    >>> print(table(["", "ms"], [["tinycnn", "99.5"]]))
    |         |   ms |
    |:--------|-----:|
    | tinycnn | 99.5 |
    """
    lines = [headers, *([str(cell) for cell in row] for row in rows)]
    widths = [max(2, *(len(line[i]) for line in lines)) for i in range(len(headers))]
    text = [
        "| "
        + " | ".join(
            cell.ljust(w) if i == 0 else cell.rjust(w) for i, (cell, w) in enumerate(zip(line, widths, strict=True))
        )
        + " |"
        for line in lines
    ]
    ruler = "|" + "|".join(f":{'-' * (w + 1)}" if i == 0 else f"{'-' * (w + 1)}:" for i, w in enumerate(widths)) + "|"
    return "\n".join([text[0], ruler, *text[1:]])


def milliseconds(measured: Mapping[str, Any]) -> tuple[str, str]:
    """The median and the quartiles of a summary in seconds, as table cells in milliseconds."""

    def cell(value: float) -> str:
        return f"{1000 * value:,.1f}" if value >= 0.01 else f"{1000 * value:.2f}"

    low, high = measured["quartiles"]
    return cell(measured["median"]), f"{cell(low)} – {cell(high)}"


def comparison(measured: Mapping[str, Mapping[str, Any]], unit: str = "ms") -> str:
    """A table of contenders: median, quartiles, and how many times as long as tinycnn each took."""
    own = measured.get("tinycnn", {}).get("median")
    rows = [
        [name, *milliseconds(result), f"{result['median'] / own:.2f}" if own else ""]
        for name, result in measured.items()
    ]
    return table(["", unit, "quartiles", "× tinycnn"], rows)


def best_ratio(measured: Mapping[str, Mapping[str, Any]]) -> dict[str, Any] | None:
    """The fastest PyTorch configuration and its median divided by tinycnn's; None when one of the two is missing."""
    rivals = {name: result["median"] for name, result in measured.items() if name.startswith("PyTorch")}
    if not rivals or "tinycnn" not in measured:
        return None
    best = min(rivals, key=rivals.__getitem__)
    return {"best": best, "ratio": rivals[best] / measured["tinycnn"]["median"]}


def verdict(ratio: Mapping[str, Any] | None) -> str:
    """`best_ratio` as a sentence."""
    if ratio is None:
        return "No comparison with PyTorch in this run."
    return f"tinycnn is {ratio['ratio']:.2f} times as fast as the best PyTorch configuration, {ratio['best']}."
