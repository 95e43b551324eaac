"""What the normalizations ask of their arguments."""

from __future__ import annotations

from tinycnn.kernels.contracts.checks import (
    IMAGES,
    Array,
    check_channels,
    check_count,
    check_dimensions,
    check_floats,
    check_shape,
)


def batch_norm_statistics(x: Array) -> None:
    _channels_second(x)
    check_floats("x", x)


def batch_norm_forward(x: Array, mean: Array, variance: Array, weight: Array, bias: Array, eps: float) -> None:
    _channels_second(x)
    check_channels("mean variance weight bias", x.shape[1], mean, variance, weight, bias)
    check_floats("x mean variance weight bias", x, mean, variance, weight, bias)


def batch_norm_backward(
    dy: Array, x: Array, mean: Array, variance: Array, weight: Array, eps: float, batch_statistics: bool = True
) -> None:
    _channels_second(x)
    check_shape("dy", dy, x.shape, "x's shape")
    check_channels("mean variance weight", x.shape[1], mean, variance, weight)
    check_floats("dy x mean variance weight", dy, x, mean, variance, weight)


def batch_norm_track(
    running_mean: Array, running_var: Array, mean: Array, variance: Array, momentum: float, unbiased: float
) -> None:
    check_dimensions("mean", mean.shape, ("C",))
    check_channels("running_mean running_var variance", len(mean), running_mean, running_var, variance)
    check_floats("running_mean running_var mean variance", running_mean, running_var, mean, variance)


def cross_channel_norm_forward(x: Array, size: int, alpha: float, beta: float, k: float) -> None:
    check_dimensions("x", x.shape, IMAGES)
    check_count("size", size)
    check_floats("x", x)


def cross_channel_norm_backward(dy: Array, x: Array, size: int, alpha: float, beta: float, k: float) -> None:
    check_dimensions("x", x.shape, IMAGES)
    check_shape("dy", dy, x.shape, "x's shape")
    check_count("size", size)
    check_floats("dy x", dy, x)


def _channels_second(x: Array) -> None:
    """x is (N, C, H, W), or (N, C) after a fully connected layer."""
    check_dimensions("x", x.shape, IMAGES if x.ndim != 2 else ("N", "C"))
