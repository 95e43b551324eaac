"""The door: what users hand over becomes arrays of the right kind, or one clear error."""

from __future__ import annotations

import math
import operator
import warnings
import weakref
from typing import Any

import numpy as np

from tinycnn import backend, kernels
from tinycnn.backend import get_array_module

Array = Any  # numpy.ndarray or cupy.ndarray

NUMBERS = "biuf"  # NumPy's kinds of dtype that are computed with: booleans, integers, floats
TEXT = "UST"
READABLE_DEVICES = (1, 3)  # DLPack's device types whose memory NumPy can read: the CPU's, pinned or not
UNREADABLE = (TypeError, ValueError, RuntimeError, BufferError)  # what other libraries' conversions raise

_warned: weakref.WeakSet[Any] = weakref.WeakSet()  # input layers that `warn_unfitted` has spoken of


# --- Arrays ---


def as_array(x: Any, name: str = "x") -> Array:
    """x as a NumPy or CuPy array of numbers: itself if it is one, and without copying where that is possible.

    Takes everything that has `__array__` (pandas, Polars, Pillow, PyTorch) or `__dlpack__` (PyTorch on a GPU, for CuPy
    to read there), lists of numbers, and lists of such arrays of one shape. A tensor's gradient graph is left behind.

    Args:
        x: what a user handed over.
        name: what errors call it.

    Raises:
        TypeError: for what is no array of real numbers, such as text.
        ValueError: for a list whose items differ in shape, or an array with masked values.

    >>> as_array([np.zeros((1, 2, 2)), np.ones((1, 2, 2))]).shape
    (2, 1, 2, 2)
    """
    array = x if type(x) is np.ndarray else _converted(x, name)
    if array.dtype.kind in NUMBERS:
        return array
    if _holds_arrays(array):
        return _joined(list(array), name)
    raise TypeError(_why_no_numbers(x, array, name))


def _converted(x: Any, name: str) -> Array:
    """x as an array of any dtype."""
    if backend.is_cupy(x):
        return x
    if isinstance(x, np.ma.MaskedArray) and np.ma.is_masked(x):
        raise ValueError(f"{name} is an array with masked values: give each one a number with {name}.filled(value)")
    if isinstance(x, np.ndarray):
        return np.asarray(x)
    if isinstance(x, (list, tuple)):
        return _joined(x, name)
    try:
        x = x.detach() if hasattr(x, "detach") else x
        if _is_on_gpu(x):
            return backend.cupy().from_dlpack(x)
        if hasattr(x, "__dlpack__") and not hasattr(x, "__array__"):
            return np.from_dlpack(x)
        return np.asarray(x)
    except UNREADABLE as error:
        kind, why = _with_article(type(x).__name__), str(error).partition("\n")[0]
        remedy = f"call {name}.cpu() first" if _is_on_gpu(x) else "give a NumPy array"
        raise TypeError(f"{name} is {kind} that cannot be read as an array ({why}): {remedy}") from error


def _is_on_gpu(x: Any) -> bool:
    return hasattr(x, "__dlpack_device__") and x.__dlpack_device__()[0] not in READABLE_DEVICES


def _is_array(x: Any) -> bool:
    protocols = ("__array__", "__array_interface__", "__dlpack__")
    return not isinstance(x, np.generic) and any(hasattr(x, protocol) for protocol in protocols)


def _holds_arrays(array: Array) -> bool:
    """Whether this is a row of arrays, as a DataFrame's column of images."""
    return array.dtype.kind == "O" and array.ndim == 1 and array.size > 0 and _is_array(array[0])


def _joined(items: Any, name: str) -> Array:
    """A list of numbers, of nested lists or of arrays as one array."""
    if items and _is_array(items[0]):
        arrays = [as_array(item, f"{name}[{i}]") for i, item in enumerate(items)]
        odd = next((i for i, array in enumerate(arrays) if array.shape != arrays[0].shape), None)
        if odd is not None:
            raise ValueError(
                f"{name}[{odd}] has shape {arrays[odd].shape}, but {name}[0] has {arrays[0].shape}: "
                "bring all to one shape, for instance by resizing the images"
            )
        return get_array_module(*arrays).stack(arrays)
    try:
        return np.asarray(items)
    except UNREADABLE as error:
        raise ValueError(f"{name} is a {type(items).__name__} whose items differ in shape: bring all to one") from error


def _why_no_numbers(x: Any, array: Array, name: str) -> str:
    kind = array.dtype.kind
    if kind == "c":
        return f"{name} holds complex numbers: give real ones, such as abs({name}) or {name}.real"
    first = next(iter(array.flat), None)
    if kind in TEXT or isinstance(first, str):
        return f"{name} holds text, such as {str(first)[:40]!r}: give numbers"
    if kind == "O" and array.ndim == 0:
        return f"{name} is {described(x)}: give an array of numbers"
    if kind == "O":
        return f"{name} holds Python objects, such as {str(first)[:40]} ({type(first).__name__}): give numbers"
    return f"{name} has dtype {array.dtype}: convert it to numbers, such as {name}.astype(numpy.float32)"


def described(x: Any) -> str:
    """What x is, for an error: a short value itself, a class by its name, an array's shape, the type of all else."""
    if isinstance(x, np.ndarray):
        return f"an array of shape {x.shape}"
    if isinstance(x, type):
        return f"the class {x.__name__}"
    if x is None or isinstance(x, (bool, int, float, str)):
        return repr(x)[:60]
    return _with_article(type(x).__name__)


def _with_article(noun: str) -> str:
    return f"{'an' if noun[0] in 'AEIOUaeiou' else 'a'} {noun}"


# --- Images and labels ---


def checked_pixels(x: Array, number: int = 0) -> Array:
    """x (N, …) itself, after making sure that no pixel is NaN or infinite; its first image is called `number`.

    Raises:
        ValueError: naming the first image that has one.
    """
    if x.dtype.kind not in "biu" and not kernels.for_array(x).all_finite(x):
        wrong = ~get_array_module(x).isfinite(x).reshape(len(x), -1)
        raise ValueError(
            f"x holds NaN or infinite pixels, first in image {number + int(wrong.any(axis=1).argmax())}: "
            "clean the data, for instance with numpy.nan_to_num"
        )
    return x


def as_labels(t: Any) -> Array:
    """t as an array of numbers, like `as_array`; a column (N, 1) of labels becomes (N,), and names raise the remedy.

    Raises:
        TypeError, ValueError: as `as_array`.
    """
    t = t if type(t) is np.ndarray else _converted(t, "labels t")
    if t.dtype.kind in TEXT or (t.dtype.kind == "O" and isinstance(next(iter(t.flat), None), str)):
        raise TypeError(
            f"labels t are names, such as {str(t.flat[0])[:40]!r}: number the classes, "
            "names, t = numpy.unique(t, return_inverse=True)"
        )
    t = as_array(t, "labels t")
    is_column = t.ndim == 2 and t.shape[1] == 1 and t.dtype.kind in "iu"
    return t[:, 0] if is_column else t


def checked_labels(t: Any, n: int, classes: int) -> Array:
    """t as an integer array (N,), after making sure that it holds one label of 0 … classes − 1 an image.

    Raises:
        ValueError, TypeError: saying which label is wrong, and how to make the right ones.
    """
    t = as_labels(t)
    if t.ndim == 2 and t.shape == (n, classes):
        raise ValueError(
            f"labels t have shape {t.shape}, a row an image as in one-hot coding: give one number an image, "
            "such as t.argmax(axis=1)"
        )
    if t.dtype.kind not in "iu":
        raise TypeError(_why_no_labels(t, classes))
    if t.shape != (n,):
        raise ValueError(f"labels t have shape {tuple(t.shape)}, but there are {n} images: give shape ({n},)")
    wrong = (t < 0) | (t >= classes)
    if wrong.any():
        first = int(wrong.argmax())
        from_one = " (t − 1, if yours begin at 1)" if t.min() == 1 and t.max() == classes else ""
        raise ValueError(
            f"label t[{first}] is {int(t[first])}, but the network has {classes} classes: "
            f"labels must be 0 … {classes - 1}{from_one}"
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


def _why_no_labels(t: Array, classes: int) -> str:
    numbers = f"whole numbers 0 … {classes - 1}"
    if t.dtype.kind == "f":
        fractions = (t != get_array_module(t).rint(t)).reshape(-1)  # NaN too
        if fractions.any():
            i = int(fractions.argmax())
            return (
                f"labels t hold {float(t.reshape(-1)[i]):g} at t[{i}], but classes are {numbers}: round or bin them, "
                "or, to predict numbers, end the network in RegressionOutput"
            )
    return f"labels t have dtype {t.dtype}: give {numbers}, such as t.astype(int)"


# --- Arguments ---


def checked_count(value: Any, name: str, of: str = "", smallest: int = 1) -> int:
    """value as an int; ValueError unless it is a whole number of at least `smallest`."""
    try:
        count = operator.index(value)
    except TypeError:
        count = smallest - 1
    if count < smallest:
        raise ValueError(f"{name} is {value!r}: give a whole number of {of and of + ', '}at least {smallest}")
    return count


def checked_instance(x: Any, kind: type, name: str, example: str) -> Any:
    """x itself; TypeError unless it is a `kind`, saying what to write instead."""
    if isinstance(x, kind):
        return x
    if isinstance(x, type) and issubclass(x, kind):
        raise TypeError(f"{name} is the class {x.__name__}: make an object of it with brackets, {x.__name__}(…)")
    raise TypeError(f"{name} is {described(x)}: give {example}")


# --- Networks ---


def checked_gradients(net: Any) -> dict[str, Array]:
    """The gradients of `net`, after making sure that the last backward pass left one of the right shape everywhere.

    Raises:
        RuntimeError: when there was no backward pass, or a layer's `backward` has filled nothing in.
        ValueError: for a gradient of another shape than its parameter's.
    """
    gradients = net.gradients()
    for name, parameter in net.parameters().items():
        place = f'self.gradients["{name.rpartition(".")[2]}"]'
        if name not in gradients:
            remedy = "" if gradients else "call net.forward(x, training=True), net.backward(t) first; if you did, "
            raise RuntimeError(f"{name} has no gradient: {remedy}its layer's backward must fill {place}")
        if gradients[name].shape != parameter.shape:
            raise ValueError(
                f"the gradient of {name} has shape {gradients[name].shape}, but the parameter {parameter.shape}: "
                f"its layer's backward must fill {place} with an array of the parameter's shape"
            )
    return gradients


def warn_unfitted(layer: Any) -> None:
    """Warn, once for each layer, that it normalizes by statistics that nobody has measured."""
    if layer not in _warned:
        _warned.add(layer)
        warnings.warn(
            f"the input layer {layer.name!r} normalizes by statistics that were never measured, so it changes nothing: "
            "call net.layers[0].fit(x) with the training images before the first step, as Trainer.fit does",
            stacklevel=3,
        )
