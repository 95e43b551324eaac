"""The door: what users hand over becomes arrays of the right kind, or one clear error."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tinycnn import kernels
from tinycnn.backend import get_array_module

Array = Any  # numpy.ndarray or cupy.ndarray


def as_array(x: Any) -> Array:
    """x itself if it is a NumPy or CuPy array, else what NumPy makes of it."""
    return x if hasattr(x, "dtype") else np.asarray(x)


def checked_pixels(x: Array, number: int = 0) -> Array:
    """x (N, C, H, W) itself, after making sure that no pixel is NaN or infinite; its first image is called `number`.

    Raises:
        ValueError: naming the first image that has one.
    """
    if x.dtype.kind not in "biu" and not kernels.for_array(x).all_finite(x):
        image = number + int((~get_array_module(x).isfinite(x)).reshape(len(x), -1).any(axis=1).argmax())
        raise ValueError(
            f"x holds NaN or infinite pixels, first in image {image}: clean the data, "
            "for instance with numpy.nan_to_num"
        )
    return x


def checked_labels(t: Any, n: int, classes: int) -> Array:
    """t as an integer array (N,), after making sure that it holds one label of 0 … classes − 1 an image.

    Raises:
        ValueError, TypeError: saying which label is wrong.
    """
    t = as_array(t)
    if t.dtype.kind not in "iu":
        raise TypeError(f"labels t have dtype {t.dtype}: give whole numbers 0 … {classes - 1}, such as t.astype(int)")
    if t.shape != (n,):
        raise ValueError(f"labels t have shape {tuple(t.shape)}, but there are {n} images: give shape ({n},)")
    wrong = (t < 0) | (t >= classes)
    if wrong.any():
        first = int(wrong.argmax())
        raise ValueError(
            f"label t[{first}] is {int(t[first])}, but the network has {classes} classes: "
            f"labels must be 0 … {classes - 1}"
        )
    return t


def checked_targets(t: Any, n: int, output_shape: tuple[int, ...]) -> Array:
    """t as an array of floats (N, …), after making sure that it holds numbers for n outputs of `output_shape`.

    Raises:
        ValueError, TypeError: saying which target is wrong.
    """
    t, wanted = as_array(t), (n, *output_shape)
    if t.dtype.kind != "f":
        raise TypeError(
            f"targets t have dtype {t.dtype}: give floats, such as t.astype(float); to learn classes from labels, "
            "end the network in Softmax() and ClassificationOutput() instead"
        )
    if t.shape != wanted:
        remedy = f"use t.reshape{wanted}" if t.size == math.prod(wanted) else f"give shape {wanted}"
        raise ValueError(
            f"targets t have shape {tuple(t.shape)}, but {n} outputs of the network have shape {wanted}: {remedy}"
        )
    wrong = ~get_array_module(t).isfinite(t).reshape(n, -1).all(axis=1)
    if wrong.any():
        raise ValueError(
            f"targets t hold NaN or infinite numbers, first in t[{int(wrong.argmax())}]: leave such samples out"
        )
    return t
