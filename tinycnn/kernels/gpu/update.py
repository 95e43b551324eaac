"""The optimizers' updates, in place: all parameters of a network in one launch."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from tinycnn.backend import get_array_module
from tinycnn.kernels import reference
from tinycnn.kernels.contracts.checks import learning_rates
from tinycnn.kernels.gpu import replay
from tinycnn.kernels.gpu.launch import MOST_BLOCKS, Array, blocks, launch

MOST = 64  # parameters in a launch: what a launch takes along may have 4 KB
THREADS = 256


def sgdm_update(
    weight: Array, gradient: Array, velocity: Array, lr: float, momentum: float, weight_decay: float
) -> None:
    """Twin of `reference.sgdm_update`. `sgdm_update_all` with one parameter."""
    if not _all_contiguous(weight, gradient, velocity):
        return reference.sgdm_update(weight, gradient, velocity, lr, momentum, weight_decay)
    sgdm_update_all([weight], [gradient], [velocity], lambda: [lr], momentum, [weight_decay])


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
    """Twin of `reference.adam_update`. `adam_update_all` with one parameter."""
    if not _all_contiguous(weight, gradient, mean, square):
        return reference.adam_update(weight, gradient, mean, square, lr, beta1, beta2, eps, weight_decay, step)
    adam_update_all(
        [weight], [gradient], [mean], [square], lambda: [lr], beta1, beta2, eps, [weight_decay], lambda: step
    )


def sgdm_update_all(
    weights: Sequence[Array],
    gradients: Sequence[Array],
    velocities: Sequence[Array],
    lrs: Callable[[], Sequence[float]],
    momentum: float,
    weight_decays: Sequence[float],
) -> None:
    """Twin of `reference.sgdm_update_all`. One launch for MOST parameters; a replay reads lrs() anew.

    Raises:
        ValueError: for arrays that are not contiguous.
    """
    if not weights:
        return
    rates = _rates(weights, lrs)
    for table, some, grid in _tables(weights, gradients, velocities, [None] * len(weights), weight_decays):
        launch("update", "sgdm", grid, THREADS, table, rates[some], float(momentum), dtype=rates.dtype, MOST=MOST)


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
    """Twin of `reference.adam_update_all`. One launch for MOST parameters; a replay reads lrs() and step() anew.

    Raises:
        ValueError: for arrays that are not contiguous.
    """
    if not weights:
        return
    rates = _rates(weights, lrs)
    number = replay.device_scalar(step, np.int64, like=weights[0])
    for table, some, grid in _tables(weights, gradients, means, squares, weight_decays):
        launch(
            "update",
            "adam",
            grid,
            THREADS,
            table,
            rates[some],
            np.float64(beta1),
            np.float64(beta2),
            float(eps),
            number,
            dtype=rates.dtype,
            MOST=MOST,
        )


def _rates(weights: Sequence[Array], lrs: Callable[[], Sequence[float]]) -> Array:
    """The learning rates on the device: those of now, and at each replay those of then."""
    return replay.device_values(lambda: learning_rates(lrs, len(weights)), weights[0].dtype, like=weights[0])


def _tables(
    weights: Sequence[Array],
    gradients: Sequence[Array],
    first: Sequence[Array],
    second: Sequence[Array | None],
    weight_decays: Sequence[float],
) -> Iterator[tuple[tuple[Any, ...], slice, tuple[int, int]]]:
    """For every MOST parameters: the struct `Table`, which they are, and a grid."""
    dtype = weights[0].dtype
    gradients = [get_array_module(gradient).ascontiguousarray(gradient, dtype) for gradient in gradients]
    for array in (*weights, *first, *second):
        if array is not None and not array.flags.c_contiguous:
            raise ValueError(f"an array of shape {array.shape} is not contiguous: it cannot be updated in one launch")
    columns = list(
        zip(
            weights,
            first,
            second,
            gradients,
            [np.int64(weight.size) for weight in weights],
            [dtype.type(decay) for decay in weight_decays],
            strict=True,
        )
    )
    nothing = (None, None, None, None, np.int64(0), dtype.type(0))
    for start in range(0, len(weights), MOST):
        some = slice(start, min(start + MOST, len(weights)))
        rows = columns[some] + [nothing] * (MOST - (some.stop - some.start))
        largest = max(weight.size for weight in weights[some])
        table = tuple(value for column in zip(*rows, strict=True) for value in column)
        yield table, some, (min(MOST_BLOCKS, blocks(largest, 4 * THREADS)), some.stop - some.start)


def _all_contiguous(*arrays: Array) -> bool:
    return all(array.flags.c_contiguous and array.dtype == arrays[0].dtype for array in arrays)
