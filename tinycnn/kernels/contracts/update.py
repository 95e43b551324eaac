"""What the optimizers' updates ask of their arguments."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from tinycnn.kernels.contracts.checks import FLOATS, Array, check_alike, check_count, check_floats


def sgdm_update(
    weight: Array, gradient: Array, velocity: Array, lr: float, momentum: float, weight_decay: float
) -> None:
    check_alike("weight gradient velocity", weight, gradient, velocity)


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
    check_alike("weight gradient mean square", weight, gradient, mean, square)
    check_count("step", step)


def sgdm_update_all(
    weights: Sequence[Array],
    gradients: Sequence[Array],
    velocities: Sequence[Array],
    lrs: Callable[[], Sequence[float]],
    momentum: float,
    weight_decays: Sequence[float],
) -> None:
    _all_alike("weights gradients velocities", weights, gradients, velocities)
    _per_weight(len(weights), lrs, weight_decays)


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
    _all_alike("weights gradients means squares", weights, gradients, means, squares)
    _per_weight(len(weights), lrs, weight_decays)
    if not callable(step):
        raise TypeError(f"step is {step!r}: give a function without arguments that returns the number")


def _all_alike(names: str, *lists: Sequence[Array]) -> None:
    if any(len(arrays) != len(lists[0]) for arrays in lists):
        counts = ", ".join(f"{len(arrays)} {name}" for name, arrays in zip(names.split(), lists, strict=True))
        raise ValueError(f"there are {counts}: give as many of each")
    for arrays in zip(*lists, strict=True):
        shape, dtype = arrays[0].shape, lists[0][0].dtype
        for array in arrays:  # quickly: there may be hundreds
            if array.shape != shape or array.dtype is not dtype or dtype not in FLOATS:
                check_alike(names, *arrays)
                check_floats("weights weights", lists[0][0], arrays[0])
                break


def _per_weight(count: int, lrs: Callable[[], Sequence[float]], weight_decays: Sequence[float]) -> None:
    if not callable(lrs):
        raise TypeError(f"lrs is {lrs!r}: give a function without arguments that returns the learning rates")
    if len(weight_decays) != count:
        raise ValueError(f"there are {len(weight_decays)} weight_decays for {count} weights: give as many of each")
