"""The optimizers' updates, in place."""

from __future__ import annotations

from typing import Any

from tinycnn.backend import get_array_module

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
