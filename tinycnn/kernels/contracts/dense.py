"""What the fully connected layer and dropout ask of their arguments."""

from __future__ import annotations

import numpy as np

from tinycnn.kernels.contracts.checks import ROWS, Array, check_dimensions, check_floats, check_shape


def dropout_forward(x: Array, rate: float, rng: np.random.Generator) -> None:
    if not 0 <= rate < 1:
        raise ValueError(f"rate is {rate!r}: give a number from 0 to below 1")
    check_floats("x", x)


def dropout_backward(dy: Array, mask: Array) -> None:
    check_shape("dy", dy, mask.shape, "mask's shape")
    check_floats("dy mask", dy, mask)


def fully_connected_forward(x: Array, weight: Array, bias: Array | None) -> None:
    check_dimensions("x", x.shape, ROWS)
    check_dimensions("weight", weight.shape, ("K", "D"))
    check_shape("weight", weight, (len(weight), x.shape[1]), "(K, D) for x (N, D)")
    if bias is not None:
        check_shape("bias", bias, (len(weight),), "one number for each row of weight")
    check_floats("x weight bias", x, weight, bias)


def fully_connected_backward(dy: Array, x: Array, weight: Array) -> None:
    check_dimensions("x", x.shape, ROWS)
    check_dimensions("weight", weight.shape, ("K", "D"))
    check_shape("weight", weight, (len(weight), x.shape[1]), "(K, D) for x (N, D)")
    check_shape("dy", dy, (len(x), len(weight)), "(N, K) for x (N, D) and weight (K, D)")
    check_floats("dy x weight", dy, x, weight)
