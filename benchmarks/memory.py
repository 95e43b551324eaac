"""Peak memory of a training process, and whether it grows from step to step."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from benchmarks import contenders, machine
from benchmarks.contenders import Problem
from benchmarks.machine import Settings

CONTENDERS = ("tinycnn", "PyTorch", "PyTorch channels_last")
STEPS, EARLY = 20, 5


def run(settings: Settings) -> dict[str, Any]:
    """Train 20 steps in a process of its own for each contender, several times over."""
    names = contenders.present(settings, CONTENDERS)
    runs: dict[str, list[dict[str, Any]]] = {name: [] for name in names}
    for _ in range(settings.rounds_or(3)):
        for name in names:
            runs[name].append(_train(name, settings))
    peaks = {name: machine.summary([one["peak"] for one in each]) for name, each in runs.items()}
    rows = []
    for name, each in runs.items():
        cells = [f"{peaks[name]['median'] / 1e6:,.0f}"]
        for key in ("early", "end"):
            values = [one[key] for one in each if one[key]]
            cells.append(f"{machine.summary(values)['median'] / 1e6:,.0f}" if values else "unknown")
        rows.append([name, *cells, f"{peaks[name]['median'] / peaks[names[0]]['median']:.2f}"])
    print(f"Memory of a process that trains {STEPS} steps of {settings.batch} images, MB:\n")
    print(machine.table(["", "peak", f"after step {EARLY}", f"after step {STEPS}", f"peak × {names[0]}"], rows))
    return {"peak_bytes": peaks, "runs": runs, "steps": STEPS}


def _train(name: str, settings: Settings) -> dict[str, Any]:
    command = machine.python("benchmarks.memory", name, *settings.images)
    environment = machine.environment(settings.threads)
    finished = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(finished.stdout)


def resident(field: str) -> int | None:
    """VmRSS, the memory a process holds now, or VmHWM, the most it ever held, in bytes; None but on Linux."""
    try:
        lines = Path("/proc/self/status").read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{field}:")), None)


def most_resident() -> int | None:
    """The peak as `getrusage` gives it, in bytes; on Linux never less than what the parent held when it began."""
    try:
        import resource
    except ImportError:  # Windows
        return None
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def _measure(name: str, problem: Problem) -> dict[str, Any]:
    contender = contenders.make(name, problem)
    early = None
    for step in range(1, STEPS + 1):
        contender.train_step()
        if step == EARLY:
            early = resident("VmRSS")
    end, maximum = resident("VmRSS"), most_resident()
    return {"peak": resident("VmHWM") or maximum, "ru_maxrss": maximum, "early": early, "end": end}


if __name__ == "__main__":
    print(json.dumps(_measure(sys.argv[1], Problem(*map(int, sys.argv[2:])))))
