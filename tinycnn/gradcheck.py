"""Are the gradients right? Compare them with what the loss really does when a number is changed a little."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from tinycnn import backend
from tinycnn.layers.base import Array, OutputLayer

if TYPE_CHECKING:
    from tinycnn.network import Sequential

STEPS = (1e-4, 1e-5, 1e-6, 1e-7)  # a kink of ReLU or max pooling spoils some step sizes; a wrong gradient, all


def gradcheck(
    net: Sequential, x: Array, t: Array, *, training: bool = True, samples: int = 20, seed: int = 0
) -> dict[str, float]:
    """The relative error of each parameter's gradient, and of the images' under "input".

    Some numbers of each array are moved by ±h, and (L(θ+h) − L(θ−h)) / 2h is compared with the gradient that
    `net.backward` gives: the error is |numerical − analytical| / the array's largest gradient. L is the loss; for a
    network without an output layer it is Σ y·t with a random t of the output's shape, which sees more than an
    all-ones one. The check runs in float64 on a copy of the network, with the same dropout masks every time. Below
    1e-6 a gradient can be called right; a mistake of 0.1 % shows as 1e-3.

    Args:
        net: any network.
        x: images (N, C, H, W).
        t: labels (N,) or other targets, or dloss/dy for a network without an output layer.
        training: check training mode (batch statistics, dropout) or evaluation mode.
        samples: how many numbers of each array are tried.
        seed: which ones.

    Source: CS231n, "Gradient checks"; HIPS/autograd.

    >>> import tinycnn as tc
    >>> net = tc.Sequential([tc.ImageInput((1, 5, 5)), tc.Conv2D(2, 3, name="conv")])
    >>> rng = np.random.default_rng(0)
    >>> errors = gradcheck(net, rng.normal(size=(2, 1, 5, 5)), rng.normal(size=(2, 2, 3, 3)))
    >>> sorted(errors), max(errors.values()) < 1e-6
    (['conv.bias', 'conv.weight', 'input'], True)
    """
    net = copy.deepcopy(net).to("cpu").astype(np.float64)
    x = np.array(backend.to_device(x, "cpu"), np.float64, order="C")
    t = backend.to_device(t, "cpu")
    generator = net.rng.bit_generator.state
    has_loss = isinstance(net.layers[-1], OutputLayer)

    def forward() -> Array:
        net.rng.bit_generator.state = generator
        return net.forward(x, training)

    def loss() -> float:
        y = forward()
        return net.loss(y, t) if has_loss else float((y * t).sum())

    forward()
    dx = net.backward(t)
    gradients = {**net.gradients(), "input": dx}
    arrays = {**net.parameters(), "input": x}
    floor = 1e-3 * max((float(np.abs(g).max()) for name, g in gradients.items() if name != "input"), default=0.0)
    rng = np.random.default_rng(seed)
    errors = {}
    for name, array in arrays.items():
        entries = rng.choice(array.size, size=min(samples, array.size), replace=False)
        scale = max(float(np.abs(gradients[name]).max()), floor) or 1.0
        flat, gradient = array.reshape(-1), gradients[name].reshape(-1)
        errors[name] = max(_error(loss, flat, entry, float(gradient[entry])) for entry in entries) / scale
    return errors


def _error(loss: Callable[[], float], array: Array, entry: int, gradient: float) -> float:
    """|numerical − analytical| for one number, at the step size where they agree best."""
    value, best = array[entry], np.inf
    for step in STEPS:
        h = step * max(1.0, abs(value))
        array[entry] = value + h
        above = loss()
        array[entry] = value - h
        below = loss()
        array[entry] = value
        best = min(best, abs((above - below) / (2 * h) - gradient))
    return float(best)
