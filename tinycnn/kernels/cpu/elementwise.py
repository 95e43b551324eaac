"""Operations element by element: single passes over memory, cut into ranges that threads share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numba import njit

from tinycnn.kernels import reference
from tinycnn.kernels.contracts.checks import learning_rates
from tinycnn.kernels.cpu.ranges import OPTIONS, over_ranges
from tinycnn.runtime import memory

FINITE_BLOCK = 2**15  # numbers that share one sum


def all_finite(x: np.ndarray) -> bool:
    """Twin of `reference.all_finite`. x·0 is 0, or NaN where x is not finite, and a sum shows whether there was any."""
    x = np.ascontiguousarray(x)
    sums = np.zeros(x.size // FINITE_BLOCK + 1)
    over_ranges(_zero_sums, len(sums), FINITE_BLOCK * x.itemsize, x.reshape(-1), sums)
    return not np.isnan(sums.sum())


def image_input_forward(x: np.ndarray, mean: np.ndarray, std: np.ndarray | None = None) -> np.ndarray:
    """Twin of `reference.image_input_forward`. One pass over x, which multiplies by 1/std instead of dividing."""
    x = np.ascontiguousarray(x)
    y = memory.empty(x.shape, x.dtype)
    scale = np.ones_like(mean) if std is None else 1 / std
    over_ranges(
        _standardize,
        len(x),
        mean.nbytes,
        x.reshape(len(x), -1),
        mean.reshape(-1),
        scale.reshape(-1),
        y.reshape(len(x), -1),
    )
    return y


def relu_forward(x: np.ndarray) -> np.ndarray:
    """Twin of `reference.relu_forward`. Ranges of x, one after another, whatever its shape: threads share them."""
    x = np.ascontiguousarray(x)
    y = memory.empty(x.shape, x.dtype)
    over_ranges(_relu_forward, x.size, x.itemsize, x.reshape(-1), y.reshape(-1))
    return y


def relu_backward(dy: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Twin of `reference.relu_backward`. One pass, without an array of y > 0 in between."""
    dy, y = np.ascontiguousarray(dy), np.ascontiguousarray(y)
    dx = memory.empty(dy.shape, dy.dtype)
    over_ranges(_relu_backward, dy.size, dy.itemsize, dy.reshape(-1), y.reshape(-1), dx.reshape(-1))
    return dx


def sgdm_update(
    weight: np.ndarray, gradient: np.ndarray, velocity: np.ndarray, lr: float, momentum: float, weight_decay: float
) -> None:
    """Twin of `reference.sgdm_update`. One pass over memory instead of five."""
    if not _all_contiguous(weight, gradient, velocity):
        return reference.sgdm_update(weight, gradient, velocity, lr, momentum, weight_decay)
    scalars = (weight.dtype.type(value) for value in (lr, momentum, weight_decay))
    arrays = (array.reshape(-1) for array in (weight, gradient, velocity))
    over_ranges(_sgdm_update, weight.size, weight.itemsize, *arrays, *scalars)


def adam_update(
    weight: np.ndarray,
    gradient: np.ndarray,
    mean: np.ndarray,
    square: np.ndarray,
    lr: float,
    beta1: float,
    beta2: float,
    eps: float,
    weight_decay: float,
    step: int,
) -> None:
    """Twin of `reference.adam_update`. One pass over memory instead of fifteen."""
    if not _all_contiguous(weight, gradient, mean, square):
        return reference.adam_update(weight, gradient, mean, square, lr, beta1, beta2, eps, weight_decay, step)
    values = (lr, beta1, beta2, eps, weight_decay, 1 - beta1, 1 - beta2, 1 - beta1**step, 1 - beta2**step)
    scalars = (weight.dtype.type(value) for value in values)
    arrays = (array.reshape(-1) for array in (weight, gradient, mean, square))
    over_ranges(_adam_update, weight.size, weight.itemsize, *arrays, *scalars)


def sgdm_update_all(
    weights: Sequence[np.ndarray],
    gradients: Sequence[np.ndarray],
    velocities: Sequence[np.ndarray],
    lrs: Callable[[], Sequence[float]],
    momentum: float,
    weight_decays: Sequence[float],
) -> None:
    """Twin of `reference.sgdm_update_all`. One parameter after another: each is one pass already."""
    rates = learning_rates(lrs, len(weights))
    for weight, gradient, velocity, lr, weight_decay in zip(
        weights, gradients, velocities, rates, weight_decays, strict=True
    ):
        sgdm_update(weight, gradient, velocity, lr, momentum, weight_decay)


def adam_update_all(
    weights: Sequence[np.ndarray],
    gradients: Sequence[np.ndarray],
    means: Sequence[np.ndarray],
    squares: Sequence[np.ndarray],
    lrs: Callable[[], Sequence[float]],
    beta1: float,
    beta2: float,
    eps: float,
    weight_decays: Sequence[float],
    step: Callable[[], int],
) -> None:
    """Twin of `reference.adam_update_all`. One parameter after another: each is one pass already."""
    rates, t = learning_rates(lrs, len(weights)), step()
    for weight, gradient, mean, square, lr, weight_decay in zip(
        weights, gradients, means, squares, rates, weight_decays, strict=True
    ):
        adam_update(weight, gradient, mean, square, lr, beta1, beta2, eps, weight_decay, t)


def _all_contiguous(*arrays: np.ndarray) -> bool:
    return all(array.flags.c_contiguous and array.dtype == arrays[0].dtype for array in arrays)


@njit(**OPTIONS)
def _zero_sums(first: int, last: int, x: Any, sums: Any) -> None:
    zero = x.dtype.type(0)
    for k in range(first, last):
        block, total = x[k * FINITE_BLOCK : (k + 1) * FINITE_BLOCK], zero
        for i in range(len(block)):  # by index: going through the block itself would not become vectors
            total += block[i] * zero
        sums[k] = total


@njit(**OPTIONS)
def _standardize(first: int, last: int, x: Any, mean: Any, scale: Any, y: Any) -> None:
    for n in range(first, last):
        source, target = x[n], y[n]
        for i in range(len(mean)):
            target[i] = (source[i] - mean[i]) * scale[i]


@njit(**OPTIONS)
def _relu_forward(first: int, last: int, x: Any, y: Any) -> None:
    x, y = x[first:last], y[first:last]
    zero = x.dtype.type(0)
    for i in range(len(x)):
        y[i] = zero if x[i] <= 0 else x[i]  # a NaN stays one


@njit(**OPTIONS)
def _relu_backward(first: int, last: int, dy: Any, y: Any, dx: Any) -> None:
    dy, y, dx = dy[first:last], y[first:last], dx[first:last]
    zero = dy.dtype.type(0)
    for i in range(len(dy)):
        dx[i] = dy[i] if y[i] > 0 else zero


@njit(**OPTIONS)
def _sgdm_update(
    first: int, last: int, weight: Any, gradient: Any, velocity: Any, lr: Any, momentum: Any, weight_decay: Any
) -> None:
    weight, gradient, velocity = weight[first:last], gradient[first:last], velocity[first:last]
    for i in range(len(weight)):
        velocity[i] = velocity[i] * momentum - lr * (gradient[i] + weight_decay * weight[i])
        weight[i] += velocity[i]


@njit(**OPTIONS)
def _adam_update(
    first: int,
    last: int,
    weight: Any,
    gradient: Any,
    mean: Any,
    square: Any,
    lr: Any,
    beta1: Any,
    beta2: Any,
    eps: Any,
    weight_decay: Any,
    rest1: Any,
    rest2: Any,
    bias1: Any,
    bias2: Any,
) -> None:
    weight, gradient, mean, square = weight[first:last], gradient[first:last], mean[first:last], square[first:last]
    for i in range(len(weight)):
        g = gradient[i] + weight_decay * weight[i]
        mean[i] = beta1 * mean[i] + rest1 * g
        square[i] = beta2 * square[i] + rest2 * g * g
        weight[i] -= lr * (mean[i] / bias1) / (np.sqrt(square[i] / bias2) + eps)
