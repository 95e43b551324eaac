"""One train step of the paper's network: forward, backward, update, dropout and running statistics included."""

from __future__ import annotations

from typing import Any

from benchmarks import contenders, machine
from benchmarks.contenders import Problem
from benchmarks.machine import Settings


def run(settings: Settings) -> dict[str, Any]:
    """Check that all contenders compute the same, then time them in turns."""
    from benchmarks.with_tinycnn import starting_state

    problem = Problem.of(settings)
    names = contenders.present(settings)
    state = starting_state(problem)
    few = problem.first(contenders.CHECKED_IMAGES)
    checked = contenders.check_training(
        {name: contenders.make(name, few, state, dropout=False) for name in names}, contenders.tolerance(settings)
    )
    print(describe_check(checked))
    contenders.forget_compiled()
    steps = {name: contenders.make(name, problem, state).train_step for name in names}
    measured = machine.take_turns(steps, settings.rounds_or(15), settings.seconds_or(0.5))
    ratio = machine.best_ratio(measured)
    print(
        f"\nOne train step, {settings.describe_images()}:\n\n{machine.comparison(measured)}\n\n{machine.verdict(ratio)}"
    )
    return {"check": checked, "seconds": measured, "against_best_pytorch": ratio}


def describe_check(checked: dict[str, Any]) -> str:
    """The outcome of `check_training` as a sentence."""
    if not checked["differences"]:
        return "Nothing to compare gradients with: one contender."
    count, loss = len(checked["differences"]) + 1, max(each["loss"] for each in checked["differences"].values())
    name, worst = max(checked["differences"].items(), key=lambda item: item[1]["largest"])
    return (
        f"Checked first, from equal weights and with dropout off: all {count} contenders have the same "
        f"loss,\n{checked['loss']:.6f} (to {loss:.0e}), and the same gradients (to {worst['largest']:.0e} of a layer's "
        f"largest: {worst['in']}, {name})."
    )
