"""What activations ask of their arguments."""

from __future__ import annotations

from tinycnn.kernels.contracts.checks import Array, check_floats, check_shape


def relu_forward(x: Array) -> None:
    check_floats("x", x)


def relu_backward(dy: Array, y: Array) -> None:
    check_shape("dy", dy, y.shape, "y's shape")
    check_floats("dy y", dy, y)


def leaky_relu_forward(x: Array, slope: float = 0.01) -> None:
    _slope(slope)
    check_floats("x", x)


def leaky_relu_backward(dy: Array, y: Array, slope: float = 0.01) -> None:
    _slope(slope)
    check_shape("dy", dy, y.shape, "y's shape")
    check_floats("dy y", dy, y)


def sigmoid_forward(x: Array) -> None:
    check_floats("x", x)


def sigmoid_backward(dy: Array, y: Array) -> None:
    check_shape("dy", dy, y.shape, "y's shape")
    check_floats("dy y", dy, y)


def tanh_forward(x: Array) -> None:
    check_floats("x", x)


def tanh_backward(dy: Array, y: Array) -> None:
    check_shape("dy", dy, y.shape, "y's shape")
    check_floats("dy y", dy, y)


def _slope(slope: float) -> None:
    if not slope >= 0:  # y would not have the sign of x, which is what the backward pass goes by
        raise ValueError(f"slope is {slope!r}: give a number of at least 0")
