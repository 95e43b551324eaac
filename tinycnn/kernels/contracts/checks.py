"""What the rules are made of: each check passes, or raises a sentence that names the argument."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tinycnn.windows import Padding, Pair, output_shape

Array = Any  # numpy.ndarray or cupy.ndarray
Shape = tuple[int, ...]

FLOATS = (np.dtype(np.float32), np.dtype(np.float64))
INTEGERS = (int, np.integer)
REMEMBERED = 1024  # sets of shapes that have been found to fit together: a network meets the same ones at every step
IMAGES, FILTERS, ROWS = ("N", "C", "H", "W"), ("O", "C/groups", "KH", "KW"), ("N", "D")


@functools.lru_cache(REMEMBERED)
def windows_over(name: str, images: Shape, kernel: Pair, stride: Pair, padding: Padding, dilation: Pair) -> Pair:
    """(OH, OW) of windows over images of a shape, which is the argument called `name`."""
    check_dimensions(name, images, IMAGES)
    for argument, pair in (("the kernel", kernel), ("stride", stride), ("dilation", dilation)):
        check_numbers(argument, pair, ("vertical", "horizontal"), least=1)
    check_numbers("padding", padding, ("top", "bottom", "left", "right"), least=0)
    output = output_shape((images[2], images[3]), kernel, stride, padding, dilation)
    if min(output) < 1:
        spread = tuple(d * (k - 1) + 1 for d, k in zip(dilation, kernel, strict=True))
        raise ValueError(
            f"{name} has images of {images[2]} × {images[3]}, which with padding {padding} a window of "
            f"{spread[0]} × {spread[1]} does not fit: give larger images, more padding or a smaller window"
        )
    return output


@functools.lru_cache(REMEMBERED)
def convolution(
    name: str, images: Shape, filters: Shape, stride: Pair, padding: Padding, dilation: Pair, groups: int
) -> Shape:
    """(N, O, OH, OW) of filters slid over images of a shape, which is the argument called `name`."""
    check_count("groups", groups)
    check_dimensions(name, images, IMAGES)
    check_dimensions("weight", filters, FILTERS)
    if images[1] != filters[1] * groups:
        raise ValueError(
            f"weight has shape {filters}: with groups={groups} it fits images of {filters[1] * groups} channels, "
            f"and {name} {have(name)} {images}"
        )
    check_divisible("weight", filters, 0, groups)
    return (images[0], filters[0], *windows_over(name, images, filters[2:], stride, padding, dilation))


def check_dimensions(name: str, shape: Shape, letters: tuple[str, ...]) -> None:
    if len(shape) != len(letters) or 0 in shape or min(shape) < 0:
        what = "is" if name == "input_shape" else "has shape"
        raise ValueError(
            f"{name} {what} {shape}: give {len(letters)} dimension{'s' * (len(letters) > 1)} ({', '.join(letters)}), "
            "each of at least 1"
        )


def check_shape(name: str, array: Array, wanted: Shape, which_is: str) -> None:
    if array.shape != wanted:
        raise ValueError(f"{name} has shape {array.shape}: it must be {tuple(wanted)}, {which_is}")


def check_channels(names: str, channels: int, *arrays: Array) -> None:
    check_vectors(names, channels, "channel", arrays)


def check_filters(names: str, filters: int, *arrays: Array | None) -> None:
    check_vectors(names, filters, "filter", arrays)


def check_vectors(names: str, length: int, owner: str, arrays: tuple[Array | None, ...]) -> None:
    wanted = (length,)
    for array in arrays:
        if array is not None and array.shape != wanted:
            name = names.split()[position(array, arrays)]
            raise ValueError(f"{name} has shape {array.shape}: it must be {wanted}, one number a {owner}")


def check_floats(names: str, *arrays: Array | None) -> None:
    """All arrays are of one dtype, which is float32 or float64; the first is never None."""
    dtype = arrays[0].dtype  # type: ignore[union-attr]
    if dtype not in FLOATS:
        raise TypeError(f"{names.split()[0]} is of {dtype}: give float32 or float64")
    for array in arrays:
        if array is not None and array.dtype is not dtype and array.dtype != dtype:
            name, first = names.split()[position(array, arrays)], names.split()[0]
            raise TypeError(f"{name} is of {array.dtype} and {first} of {dtype}: give both the same dtype")


def position(array: Array, arrays: Sequence[Array]) -> int:
    return next(k for k, other in enumerate(arrays) if other is array)


def check_integers(name: str, array: Array) -> None:
    if array.dtype.kind not in "iu":
        raise TypeError(f"{name} is of {array.dtype}: give integers")


def check_alike(names: str, *arrays: Array) -> None:
    shape = arrays[0].shape
    for array in arrays:
        if array.shape != shape:
            name, first = names.split()[position(array, arrays)], names.split()[0]
            raise ValueError(f"{name} has shape {array.shape} and {first} {shape}: give arrays of one shape")
    check_floats(names, *arrays)


def check_count(name: str, value: int) -> None:
    if not isinstance(value, INTEGERS) or value < 1:
        raise ValueError(f"{name} is {value!r}: give a whole number of at least 1")


def check_numbers(name: str, values: tuple[int, ...], meaning: tuple[str, ...], least: int) -> None:
    if len(values) != len(meaning) or any(not isinstance(v, INTEGERS) or v < least for v in values):
        raise ValueError(
            f"{name} is {values!r}: give {len(meaning)} whole numbers of at least {least} ({', '.join(meaning)})"
        )


def have(name: str) -> str:
    return "is" if name == "input_shape" else "has shape"


def check_divisible(name: str, shape: Shape, axis: int, groups: int) -> None:
    if shape[axis] % groups:
        what = "filters" if name == "weight" else "channels"
        raise ValueError(
            f"{name} has shape {shape}: its {shape[axis]} {what} cannot be divided into groups={groups} equal groups"
        )


def learning_rates(lrs: Callable[[], Sequence[float]], count: int) -> Sequence[float]:
    """What lrs() gives, which must be one number for each of `count` weights: kernels read it by this."""
    rates = lrs()
    if len(rates) != count:
        raise ValueError(f"lrs() gives {len(rates)} learning rates for {count} weights: give as many of each")
    return rates
