"""Inference with the paper's network: probabilities in evaluation mode, for a batch and for a single image."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from benchmarks import contenders, machine
from benchmarks.contenders import Problem
from benchmarks.machine import Settings


def run(settings: Settings) -> dict[str, Any]:
    """Check that all contenders give the same probabilities, then time them in turns; for each batch size."""
    names, images = contenders.present(settings), Problem.of(settings)
    sizes = dict.fromkeys((settings.batch, 1))
    return {f"batch {batch}": _run(replace(settings, batch=batch), names, images) for batch in sizes}


def _run(settings: Settings, names: list[str], images: Problem) -> dict[str, Any]:
    from benchmarks.with_tinycnn import starting_state

    contenders.forget_compiled()
    state, problem = starting_state(images), images.first(settings.batch)
    present = {name: contenders.make(name, problem, state) for name in names}
    checked = contenders.check_inference(present, contenders.tolerance(settings))
    largest = max(checked["differences"].values(), default=0)
    print(f"Checked first: all {len(names)} contenders give the same probabilities (to {largest:.0e}).\n")
    measured = machine.take_turns(
        {name: one.infer for name, one in present.items()}, settings.rounds_or(15), settings.seconds_or(0.5)
    )
    ratio = machine.best_ratio(measured)
    print(f"Inference, {settings.describe_images()}:\n\n{machine.comparison(measured)}\n\n{machine.verdict(ratio)}\n")
    return {"check": checked, "seconds": measured, "against_best_pytorch": ratio}
