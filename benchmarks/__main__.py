"""The command line: `python -m benchmarks train --json train.json`.

Every subject runs in a process of its own, started with the same number of threads set for every library, before any
of them is imported. So no subject inherits memory, threads or compiled code from another.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks import machine
from benchmarks.contenders import FRAMEWORKS
from benchmarks.machine import Settings
from tinycnn import backend

SUBJECTS = {
    "train": "one train step of the paper's network",
    "infer": "inference with it, a batch and a single image",
    "layers": "single layers of many shapes, forward and backward",
    "startup": "from the start of Python to the first finished train step",
    "memory": "peak memory of a training process",
    "data": "how long an epoch waits for its images, and how fast images become pixels",
    "roofline": "the machine's two ceilings, and how near a train step comes",
    "ladder": "each operation from loops in Python to the kernel that trains, an idea a rung",
}
ON_GPU = ("train", "infer", "layers", "roofline", "ladder")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the subjects asked for, one after the other; returns 0, or 1 when one of them failed."""
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    parser = _parser()
    options = parser.parse_args(arguments)
    names = [options.subject] if options.subject != "all" else list(SUBJECTS if options.device == "cpu" else ON_GPU)
    if options.device == "cuda":
        if not set(names) <= set(ON_GPU):
            parser.error(f"{options.subject} is about the CPU; with --device cuda there are {', '.join(ON_GPU)}")
        try:
            backend.cupy()
        except RuntimeError as error:
            print(f"benchmarks: {error}", file=sys.stderr)
            return 1
    elif options.tf32:
        parser.error("--tf32 is about the GPU: add --device cuda")
    settings = Settings(
        threads=options.threads,
        rounds=options.rounds,
        batch=options.batch or (4 if options.quick else 64),
        channels=options.channels,
        size=options.size or (64 if options.quick else 224),
        data=str(options.data or ""),
        quick=options.quick,
        only=tuple(options.only),
        device=options.device,
        tf32=options.tf32,
        compile=not options.no_compile,
    )
    report: dict[str, Any] = {
        "command": shlex.join(["python", "-m", "benchmarks", *arguments]),
        "settings": asdict(settings),
        "machine": machine.describe(),
        "environment": {
            name: value
            for name, value in machine.environment(settings.threads).items()
            if name.startswith(("OMP_", "GOMP_", "KMP_", "OPENBLAS_", "MKL_", "XLA_", "NPROC"))
        },
        "subjects": {},
    }
    print(machine.headline(report["machine"], settings.threads, settings.device))
    for name in names:
        print(f"\n## {name}: {SUBJECTS[name]}\n", flush=True)
        report["subjects"][name] = _run(name, settings)
    if options.json:
        options.json.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    failed = [name for name, record in report["subjects"].items() if record is None]
    if failed:
        print(f"failed: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


def _run(name: str, settings: Settings) -> dict[str, Any] | None:
    """The record of one subject, from its own process; None when it failed."""
    with tempfile.TemporaryDirectory() as folder:
        record = Path(folder, "record.json")
        command = machine.python("benchmarks.subject", name, json.dumps(asdict(settings)), record)
        subprocess.run(command, env=machine.environment(settings.threads), check=False)
        return json.loads(record.read_text(encoding="utf-8")) if record.exists() else None


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        description="Measure tinycnn beside PyTorch and JAX.",
        epilog="subjects:\n" + "\n".join(f"  {name:10}{text}" for name, text in SUBJECTS.items()),
    )
    parser.add_argument(
        "subject",
        nargs="?",
        default="train",
        choices=[*SUBJECTS, "all"],
        metavar="SUBJECT",
        help="train (the default), infer, layers, startup, memory, data, roofline, ladder, or all",
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write everything that was measured")
    parser.add_argument(
        "--threads", type=int, default=machine.available_cores(), metavar="N", help="for every contender (all cores)"
    )
    parser.add_argument("--rounds", type=int, metavar="N", help="how often each thing is measured (3 to 15)")
    parser.add_argument("--batch", type=int, metavar="N", help="images a step (64)")
    parser.add_argument("--channels", type=int, default=1, choices=[1, 3], help="grey or RGB images (1)")
    parser.add_argument("--size", type=int, metavar="N", help="images of N × N pixels (224)")
    parser.add_argument(
        "--data",
        type=Path,
        default=os.environ.get("COVID_DATA"),
        metavar="DIR",
        help="images for `data` ($COVID_DATA, or else phantoms)",
    )
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"], help="where everybody computes (cpu)")
    parser.add_argument("--tf32", action="store_true", help="let everybody's matrix products on the GPU round to TF32")
    parser.add_argument("--no-compile", action="store_true", help="leave torch.compile out, which takes minutes")
    parser.add_argument(
        "--only",
        nargs="+",
        default=[],
        choices=FRAMEWORKS,
        metavar="NAME",
        help=f"measure only these of {', '.join(FRAMEWORKS)}",
    )
    parser.add_argument(
        "--quick", action="store_true", help="a smoke test, no figures: 1 round, 4 images of 64 × 64, no torch.compile"
    )
    return parser


if __name__ == "__main__":
    raise SystemExit(main())
