"""The optimizers' updates, in place."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from tinycnn.backend import get_array_module
from tinycnn.kernels.contracts.checks import learning_rates

Array = Any  # numpy.ndarray or cupy.ndarray


def sgdm_update(
    weight: Array, gradient: Array, velocity: Array, lr: float, momentum: float, weight_decay: float
) -> None:
    """v ← γ·v − α·(∇E + λ·θ),  θ ← θ + v, any shape. The velocity is a step: a new α leaves it as it is."""
    velocity *= momentum
    velocity -= lr * (gradient + weight_decay * weight)
    weight += velocity


def adam_update(
    weight: Array,
    gradient: Array,
    mean: Array,
    square: Array,
    lr: float,
    beta1: float,
    beta2: float,
    eps: float,
    weight_decay: float,
    step: int,
) -> None:
    """m ← β₁m + (1−β₁)g,  v ← β₂v + (1−β₂)g²,  θ ← θ − α · m/(1−β₁ᵗ) / (√(v/(1−β₂ᵗ)) + ε), where g = ∇E + λ·θ."""
    xp = get_array_module(weight)
    gradient = gradient + weight_decay * weight
    mean *= beta1
    mean += (1 - beta1) * gradient
    square *= beta2
    square += (1 - beta2) * gradient * gradient
    weight -= lr * (mean / (1 - beta1**step)) / (xp.sqrt(square / (1 - beta2**step)) + eps)


def sgdm_update_all(
    weights: Sequence[Array],
    gradients: Sequence[Array],
    velocities: Sequence[Array],
    lrs: Callable[[], Sequence[float]],
    momentum: float,
    weight_decays: Sequence[float],
) -> None:
    """`sgdm_update` of every parameter, each with its own learning rate and weight decay.

    lrs() returns the learning rates, one for each of the weights. It is a function because a CUDA graph replays this
    call without Python: what may change from step to step is asked for anew at each replay.
    """
    rates = learning_rates(lrs, len(weights))
    for weight, gradient, velocity, lr, weight_decay in zip(
        weights, gradients, velocities, rates, weight_decays, strict=True
    ):
        sgdm_update(weight, gradient, velocity, lr, momentum, weight_decay)


def adam_update_all(
    weights: Sequence[Array],
    gradients: Sequence[Array],
    means: Sequence[Array],
    squares: Sequence[Array],
    lrs: Callable[[], Sequence[float]],
    beta1: float,
    beta2: float,
    eps: float,
    weight_decays: Sequence[float],
    step: Callable[[], int],
) -> None:
    """`adam_update` of every parameter, each with its own learning rate and weight decay.

    lrs() returns the learning rates, one for each of the weights, and step() the number t of the step, from 1. They are
    functions because a CUDA graph replays this call without Python: both are asked for anew at each replay.
    """
    rates, t = learning_rates(lrs, len(weights)), step()
    for weight, gradient, mean, square, lr, weight_decay in zip(
        weights, gradients, means, squares, rates, weight_decays, strict=True
    ):
        adam_update(weight, gradient, mean, square, lr, beta1, beta2, eps, weight_decay, t)
