"""The process that measures one subject: `python -m benchmarks.subject NAME SETTINGS FILE`, run by `__main__`."""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path

from benchmarks import contenders, machine
from benchmarks.machine import Settings


def main(name: str, settings: str, file: str) -> None:
    options = json.loads(settings)
    chosen = Settings(**{**options, "only": tuple(options["only"])})
    machine.pin_threads(chosen.threads)
    if chosen.device == "cuda":
        contenders.prepare_gpu(chosen)
    record = importlib.import_module(f"benchmarks.{name}").run(chosen)
    Path(file).write_text(json.dumps(record), encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
