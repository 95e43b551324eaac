"""What the input layer's operations ask of their arguments."""

from __future__ import annotations

from tinycnn.kernels.contracts.checks import Array, check_floats, check_shape


def all_finite(x: Array) -> None:
    if x.dtype.kind not in "biuf":
        raise TypeError(f"x is of {x.dtype}: give real numbers")


def image_input_forward(x: Array, mean: Array, std: Array | None = None) -> None:
    if 0 in x.shape:
        raise ValueError(f"x has shape {x.shape}: give at least one image")
    check_shape("mean", mean, x.shape[1:], "that of one image of x")
    if std is not None:
        check_shape("std", std, mean.shape, "mean's shape")
    check_floats("x mean std", x, mean, std)
