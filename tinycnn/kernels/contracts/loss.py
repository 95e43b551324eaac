"""What softmax and the losses ask of their arguments."""

from __future__ import annotations

from tinycnn.kernels.contracts.checks import (
    Array,
    check_alike,
    check_dimensions,
    check_floats,
    check_integers,
    check_shape,
)


def softmax_forward(x: Array) -> None:
    check_dimensions("x", x.shape, ("N", "K"))
    check_floats("x", x)


def softmax_backward(dy: Array, y: Array) -> None:
    check_dimensions("y", y.shape, ("N", "K"))
    check_shape("dy", dy, y.shape, "y's shape")
    check_floats("dy y", dy, y)


def log_softmax_forward(x: Array) -> None:
    check_dimensions("x", x.shape, ("N", "K"))
    check_floats("x", x)


def cross_entropy_forward(
    log_p: Array, t: Array, class_weights: Array | None = None, label_smoothing: float = 0.0
) -> None:
    _classification("log_p", log_p, t, class_weights, label_smoothing)


def cross_entropy_backward(
    p: Array, t: Array, class_weights: Array | None = None, label_smoothing: float = 0.0
) -> None:
    _classification("p", p, t, class_weights, label_smoothing)


def squared_error_forward(y: Array, t: Array) -> None:
    check_alike("y t", y, t)


def squared_error_backward(y: Array, t: Array) -> None:
    check_alike("y t", y, t)


def _classification(name: str, p: Array, t: Array, class_weights: Array | None, label_smoothing: float) -> None:
    if not 0 <= label_smoothing < 1:
        raise ValueError(f"label_smoothing is {label_smoothing!r}: give a number from 0 to below 1")
    check_dimensions(name, p.shape, ("N", "K"))
    check_shape("t", t, (len(p),), f"one label for each row of {name}")
    check_integers("t", t)
    if class_weights is not None:
        check_shape("class_weights", class_weights, (p.shape[1],), f"one number for each column of {name}")
    check_floats(name, p)
