"""Ctrl-C at random moments of training and predicting: none is lost, and all goes on as if there had been none."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = Path(__file__).with_name("interrupted_program.py")
THREADS = 4  # the program's


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs a timer's signals and /proc")
@pytest.mark.parametrize(("count", "seconds"), [(300, 300), pytest.param(5000, 1800, marks=pytest.mark.long)])
def test_training_and_predicting(count, seconds):
    root = str(PROGRAM.parents[2])
    run = subprocess.run([sys.executable, PROGRAM, str(count)], env=os.environ | {"PYTHONPATH": root}, timeout=seconds,
                         capture_output=True, text=True, check=True)  # fmt: skip
    assert run.stderr == ""
    outcome = json.loads(run.stdout)
    growth = outcome.pop("more mebibytes")
    assert outcome == {
        "received": count,
        "sent": count,
        "swallowed": [],
        "same bits": True,
        "threads at work": THREADS,
        "threads alive": THREADS,
    }
    assert growth < 40, f"{growth:.0f} MiB more after {count} interrupts"
