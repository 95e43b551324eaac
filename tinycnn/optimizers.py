"""Optimizers: how a gradient becomes a change of the weights."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np

from tinycnn import backend, kernels
from tinycnn.checks import checked_gradients, checked_instance
from tinycnn.layers.base import Array
from tinycnn.representation import constructor_call

if TYPE_CHECKING:
    from tinycnn.network import Sequential


class Optimizer:
    """What optimizers share: the learning rate, weight decay, clipping, and one memory array or more a parameter.

    Attributes:
        lr: the base learning rate.
        lr_scale: what a schedule multiplies it by; each parameter's own `lr_factors` come on top.
        state: {"velocity/conv_1.weight": array, …}: what is carried from step to step.
        steps: how many there have been.
    """

    slots: tuple[str, ...] = ()  # the names of the arrays kept for each parameter
    together = ""  # the kernel that changes all parameters at once, for an optimizer that has one

    def __init__(self, lr: float, weight_decay: float = 0.0, max_grad_norm: float | None = None):
        if not lr >= 0 or not weight_decay >= 0:
            raise ValueError(f"lr is {lr!r} and weight_decay {weight_decay!r}: give numbers ≥ 0")
        if max_grad_norm is not None and not max_grad_norm > 0:
            raise ValueError(f"max_grad_norm is {max_grad_norm!r}: give a positive number, or None for no clipping")
        self.lr, self.weight_decay, self.max_grad_norm = lr, weight_decay, max_grad_norm
        self.lr_scale = 1.0
        self.steps = 0
        self.state: dict[str, Array] = {}

    def step(self, net: Sequential) -> None:
        """Change every parameter of `net` once, by the gradients its last backward pass left.

        Raises:
            RuntimeError: when there are no gradients yet, or a layer's `backward` has filled nothing in.
            ValueError: for a gradient of another shape than its parameter's.
        """
        gradients = checked_gradients(net)
        clip = self._clip_factor(gradients)
        self.steps += 1
        changes, lr_factors, weight_decays = [], [], []
        for name, layer, key in net.parameter_places():
            weight = layer.parameters[key]
            gradient = gradients[name] if clip == 1 else gradients[name] * weight.dtype.type(clip)
            changes.append((weight, gradient, *(self._slot(f"{slot}/{name}", weight) for slot in self.slots)))
            lr_factors.append(layer.lr_factor(key))
            weight_decays.append(self.weight_decay * layer.l2_factor(key))

        def lrs() -> list[float]:
            return [self.lr * self.lr_scale * factor for factor in lr_factors]

        k = kernels.for_array(*(change[0] for change in changes))
        together = vars(type(self)).get("together")  # not a parent's: a subclass may have an update of its own
        if together:
            self.update_all(k, *map(list, zip(*changes, strict=True)), lrs=lrs, weight_decays=weight_decays)
            return
        for arrays, lr, weight_decay in zip(changes, lrs(), weight_decays, strict=True):
            self.update(*arrays, lr=lr, weight_decay=weight_decay)

    def update(self, weight: Array, gradient: Array, *memory: Array, lr: float, weight_decay: float) -> None:
        """Change one parameter and its memory arrays in place."""
        raise NotImplementedError

    def update_all(
        self,
        k: ModuleType,
        weights: list[Array],
        gradients: list[Array],
        *memory: list[Array],
        lrs: Callable[[], list[float]],
        weight_decays: list[float],
    ) -> None:
        """Change all parameters and their memory in place, by one call of the kernel `together` of the module k.

        lrs() gives each parameter's learning rate: a recording of this call asks anew at every replay.
        """
        raise NotImplementedError

    def _slot(self, name: str, like: Array) -> Array:
        xp = backend.get_array_module(like)
        if name not in self.state or self.state[name].shape != like.shape:
            self.state[name] = xp.zeros_like(like)
        there = backend.to_device(self.state[name], backend.device_of(like))
        self.state[name] = there.astype(like.dtype, copy=False)
        return self.state[name]

    def _clip_factor(self, gradients: Mapping[str, Array]) -> float:
        """1, or what brings the norm of all gradients together down to `max_grad_norm`."""
        if self.max_grad_norm is None:
            return 1.0
        norm = math.sqrt(sum(float((g.astype(np.float64) ** 2).sum()) for g in gradients.values()))
        return min(1.0, self.max_grad_norm / norm) if norm > 0 else 1.0

    def __repr__(self) -> str:
        return constructor_call(self)


def checked_optimizer(optimizer: Any) -> Optimizer:
    """`optimizer` itself; TypeError for a name, a class or anything else that is no Optimizer."""
    return checked_instance(optimizer, Optimizer, "optimizer", "an Optimizer, such as tc.SGDM(lr=0.01) or tc.Adam()")


class SGDM(Optimizer):
    """Stochastic gradient descent with momentum: v ← γ·v − α·(∇E + λ·θ),  θ ← θ + v.

    The velocity is in steps, not in gradients: when the learning rate drops, the momentum gathered before goes on at
    its old size (PyTorch's shrinks with it; at a constant rate the two agree).

    Args:
        lr: α, the learning rate.
        momentum: γ, how much of the last step is repeated.
        weight_decay: λ of the penalty ½λ‖θ‖², on weights and batch norm's scale and offset, not on biases.
        max_grad_norm: gradients whose joint L2 norm is larger are scaled down to it; None for no clipping.

    Source: MATLAB's trainingOptions("sgdm"); Polyak (1964).

    >>> SGDM(lr=0.01, momentum=0.9, weight_decay=1e-4)
    SGDM(weight_decay=0.0001)
    """

    slots = ("velocity",)
    together = "sgdm_update_all"

    def __init__(
        self, lr: float = 0.01, momentum: float = 0.9, weight_decay: float = 0.0, max_grad_norm: float | None = None
    ):
        super().__init__(lr, weight_decay, max_grad_norm)
        if not 0 <= momentum < 1:
            raise ValueError(f"momentum is {momentum!r}: give a number from 0 to below 1")
        self.momentum = momentum

    def update(self, weight: Array, gradient: Array, *memory: Array, lr: float, weight_decay: float) -> None:
        (velocity,) = memory
        kernels.for_array(weight).sgdm_update(weight, gradient, velocity, lr, self.momentum, weight_decay)

    def update_all(
        self,
        k: ModuleType,
        weights: list[Array],
        gradients: list[Array],
        *memory: list[Array],
        lrs: Callable[[], list[float]],
        weight_decays: list[float],
    ) -> None:
        k.sgdm_update_all(weights, gradients, *memory, lrs, self.momentum, weight_decays)


class Adam(Optimizer):
    """m ← β₁m + (1−β₁)g,  v ← β₂v + (1−β₂)g²,  θ ← θ − α · m/(1−β₁ᵗ) / (√(v/(1−β₂ᵗ)) + ε), with g = ∇E + λ·θ.

    Args:
        lr: α, the learning rate.
        beta1, beta2: how slowly the means of the gradient and of its square forget.
        eps: ε, what keeps the divisor away from zero.
        weight_decay: λ of the penalty ½λ‖θ‖², on weights and batch norm's scale and offset, not on biases.
        max_grad_norm: gradients whose joint L2 norm is larger are scaled down to it; None for no clipping.

    Source: Kingma & Ba (2015).
    """

    slots = ("mean", "square")
    together = "adam_update_all"

    def __init__(
        self,
        lr: float = 0.001,
        beta1: float = 0.9,
        beta2: float = 0.999,
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        max_grad_norm: float | None = None,
    ):
        super().__init__(lr, weight_decay, max_grad_norm)
        if not (0 <= beta1 < 1 and 0 <= beta2 < 1):
            raise ValueError(f"beta1 is {beta1!r} and beta2 {beta2!r}: give numbers from 0 to below 1")
        self.beta1, self.beta2, self.eps = beta1, beta2, eps

    def update(self, weight: Array, gradient: Array, *memory: Array, lr: float, weight_decay: float) -> None:
        mean, square = memory
        kernels.for_array(weight).adam_update(
            weight, gradient, mean, square, lr, self.beta1, self.beta2, self.eps, weight_decay, self.steps
        )

    def update_all(
        self,
        k: ModuleType,
        weights: list[Array],
        gradients: list[Array],
        *memory: list[Array],
        lrs: Callable[[], list[float]],
        weight_decays: list[float],
    ) -> None:
        k.adam_update_all(
            weights, gradients, *memory, lrs, self.beta1, self.beta2, self.eps, weight_decays, lambda: self.steps
        )
