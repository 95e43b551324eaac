"""What a trained network gives away: numbers that are none, dead ReLUs, and steps too small or too large."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator, Mapping

from tinycnn.backend import get_array_module
from tinycnn.inspect.findings import Finding
from tinycnn.inspect.tape import Tape
from tinycnn.layers import ReLU
from tinycnn.layers.base import Array
from tinycnn.network import Sequential
from tinycnn.optimizers import Optimizer

RATIOS = 1e-5, 1e-1  # of an update to its weights; about 1e-3 is healthy


def weight_findings(net: Sequential) -> Iterator[Finding]:
    """Parameters that hold NaN or infinite numbers."""
    for name, array in net.parameters().items():
        wrong = int((~get_array_module(array).isfinite(array)).sum())
        if wrong:
            sentence = (
                f"{wrong} of the {array.size} numbers of {name} are NaN or infinite: "
                "train anew with a lower learning rate."
            )
            yield Finding("weights", wrong, sentence)


def relu_findings(net: Sequential, x: Array, batch_size: int = 64) -> Iterator[Finding]:
    """ReLUs with channels that are 0 at all places of all images."""
    relus = [(name, layer) for name, layer in net.simple_layers() if isinstance(layer, ReLU)]
    alive: dict[str, Array] = {}
    x = net.checked_images(x)
    tape = Tape(net)
    for start in range(0, len(x), batch_size):
        tape.forward(x[start : start + batch_size])
        for name, relu in relus:
            y = tape.output(relu)
            on = (y > 0).reshape(*y.shape[:2], -1).any(axis=(0, 2))
            alive[name] = alive.get(name, False) | on
    for name, on in alive.items():
        dead = int((~on).sum())
        if dead:
            sentence = (
                f"{dead} of the {on.size} channels of {name} are dead, 0 for all {len(x)} images: "
                "lower the learning rate, or use LeakyReLU."
            )
            yield Finding("dead ReLUs", dead / on.size, sentence)


def update_ratios(
    net: Sequential, rate: float, x: Array | None = None, t: Array | None = None, optimizer: Optimizer | None = None
) -> dict[str, float]:
    """‖ΔW‖ / ‖W‖ by parameter, biases and other vectors left out; empty where nothing can be measured.

    Measured on copies by a step of the optimizer on (x, t), or else rate·‖∂L/∂W‖ / ‖W‖ of the gradients left behind.
    """
    before = {name: array for name, array in net.parameters().items() if array.ndim > 1}
    if x is not None and t is not None and optimizer is not None:
        twin = copy.deepcopy(net)
        twin.train_step(x, t, copy.deepcopy(optimizer))
        after = twin.parameters()
        steps = {name: after[name] - array for name, array in before.items()}
    else:
        steps = {name: rate * gradient for name, gradient in net.gradients().items() if name in before}
    return {name: _norm(step) / size for name, step in steps.items() if (size := _norm(before[name]))}


def update_findings(ratios: Mapping[str, float]) -> Iterator[Finding]:
    """Steps that are tiny or huge beside the weights that they change."""
    for name, ratio in ratios.items():
        size = f"A step changes {name} by {ratio:.1g} of its size, where 1e-3 is usual: "
        if ratio < RATIOS[0]:
            remedy = "it hardly learns; raise the learning rate, or look for vanishing gradients."
            yield Finding("updates", ratio, size + remedy)
        elif ratio > RATIOS[1]:
            yield Finding("updates", ratio, size + "lower the learning rate.")


def _norm(array: Array) -> float:
    return math.sqrt(float((array.astype(float) ** 2).sum()))
