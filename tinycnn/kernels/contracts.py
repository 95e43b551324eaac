"""What each kernel asks of its arguments, checked at the door of `reference`, `cpu` and `gpu` alike.

The fast kernels read memory by computed addresses: filters of three channels, slid over an image of one, would read
outside it and return numbers. So each operation has a rule here, of the same name and arguments; `guard` puts the rules
in front of a kernel module's public functions, whose own pages stay free of them, and which call each other unchecked.

A rule looks at shapes, dtypes and options, never at the numbers in an array: that costs a microsecond or two, and no
waiting for a GPU. It raises ValueError or TypeError with a sentence that names the argument and says what would fit.
"""

from __future__ import annotations

import functools
import inspect
import operator
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from tinycnn.windows import Padding, Pair, output_shape

Array = Any  # numpy.ndarray or cupy.ndarray
Shape = tuple[int, ...]

shape_of, dtype_of = operator.attrgetter("shape"), operator.attrgetter("dtype")
FLOATS = (np.dtype(np.float32), np.dtype(np.float64))
INTEGERS = (int, np.integer)
REMEMBERED = 1024  # sets of shapes that have been found to fit together: a network meets the same ones at every step
IMAGES, FILTERS, ROWS = ("N", "C", "H", "W"), ("O", "C/groups", "KH", "KW"), ("N", "D")


def guard(module: dict[str, Any], names: Iterable[str]) -> None:
    """Put its rule in front of each named function of a module, given as the module's `globals()`."""
    for name in names:
        if name in globals() and not hasattr(module[name], "__wrapped__"):  # `cpu` takes some over from `reference`
            module[name] = checked(module[name], globals()[name])


def checked(function: Callable[..., Any], rule: Callable[..., None]) -> Callable[..., Any]:
    """`function`, which first asks `rule` about its arguments."""

    @functools.wraps(function)
    def kernel(*args: Any, **kwargs: Any) -> Any:
        try:
            rule(*args, **kwargs)
        except (AttributeError, TypeError) as error:  # a list where an array or a tuple belongs?
            raise _better(error, function, args, kwargs) from None
        return function(*args, **kwargs)

    return kernel


# ---- convolution


def im2col(
    x: Array, kernel: Pair, stride: Pair = (1, 1), padding: Padding = (0, 0, 0, 0), dilation: Pair = (1, 1)
) -> None:
    _windows("x", x.shape, kernel, stride, padding, dilation)
    _floats("x", x)


def col2im(
    columns: Array,
    input_shape: Shape,
    kernel: Pair,
    stride: Pair = (1, 1),
    padding: Padding = (0, 0, 0, 0),
    dilation: Pair = (1, 1),
) -> None:
    oh, ow = _windows("input_shape", input_shape, kernel, stride, padding, dilation)
    n, c, _, _ = input_shape
    _shape("columns", columns, (n, c * kernel[0] * kernel[1], oh * ow), "(N, C·KH·KW, OH·OW) for this input_shape")
    _floats("columns", columns)


def conv2d_forward(
    x: Array,
    weight: Array,
    bias: Array | None,
    stride: Pair = (1, 1),
    padding: Padding = (0, 0, 0, 0),
    dilation: Pair = (1, 1),
    groups: int = 1,
) -> None:
    _convolution("x", x.shape, weight.shape, stride, padding, dilation, groups)
    if bias is not None:
        _shape("bias", bias, weight.shape[:1], "one number a filter")
    _floats("x weight bias", x, weight, bias)


def conv2d_backward_input(
    dy: Array,
    weight: Array,
    input_shape: Shape,
    stride: Pair = (1, 1),
    padding: Padding = (0, 0, 0, 0),
    dilation: Pair = (1, 1),
    groups: int = 1,
) -> None:
    output = _convolution("input_shape", input_shape, weight.shape, stride, padding, dilation, groups)
    _shape("dy", dy, output, "the shape of the output")
    _floats("dy weight", dy, weight)


def conv2d_backward_weight(
    dy: Array,
    x: Array,
    kernel: Pair,
    stride: Pair = (1, 1),
    padding: Padding = (0, 0, 0, 0),
    dilation: Pair = (1, 1),
    groups: int = 1,
) -> None:
    output = _gradient_of_filters(dy.shape, x.shape, kernel, stride, padding, dilation, groups)
    _shape("dy", dy, output, "the shape of the output")
    _floats("dy x", dy, x)


def conv2d_backward_bias(dy: Array) -> None:
    _dimensions("dy", dy.shape, IMAGES)
    _floats("dy", dy)


# ---- pooling


def max_pool2d_forward(x: Array, pool: Pair, stride: Pair, padding: Padding = (0, 0, 0, 0)) -> None:
    _pooling("x", x.shape, pool, stride, padding)
    _floats("x", x)


def max_pool2d_backward(
    dy: Array, argmax: Array, input_shape: Shape, pool: Pair, stride: Pair, padding: Padding = (0, 0, 0, 0)
) -> None:
    output = _pooling("input_shape", input_shape, pool, stride, padding)
    _shape("dy", dy, output, "the shape of the output")
    _shape("argmax", argmax, output, "dy's shape")
    _floats("dy", dy)
    _integers("argmax", argmax)


def average_pool2d_forward(x: Array, pool: Pair, stride: Pair, padding: Padding = (0, 0, 0, 0)) -> None:
    _pooling("x", x.shape, pool, stride, padding)
    _floats("x", x)


def average_pool2d_backward(
    dy: Array, input_shape: Shape, pool: Pair, stride: Pair, padding: Padding = (0, 0, 0, 0)
) -> None:
    _shape("dy", dy, _pooling("input_shape", input_shape, pool, stride, padding), "the shape of the output")
    _floats("dy", dy)


# ---- normalization


def batch_norm_statistics(x: Array) -> None:
    _channels_second(x)
    _floats("x", x)


def batch_norm_forward(x: Array, mean: Array, variance: Array, weight: Array, bias: Array, eps: float) -> None:
    _channels_second(x)
    _of_channels("mean variance weight bias", x.shape[1], mean, variance, weight, bias)
    _floats("x mean variance weight bias", x, mean, variance, weight, bias)


def batch_norm_backward(
    dy: Array, x: Array, mean: Array, variance: Array, weight: Array, eps: float, batch_statistics: bool = True
) -> None:
    _channels_second(x)
    _shape("dy", dy, x.shape, "x's shape")
    _of_channels("mean variance weight", x.shape[1], mean, variance, weight)
    _floats("dy x mean variance weight", dy, x, mean, variance, weight)


def batch_norm_track(
    running_mean: Array, running_var: Array, mean: Array, variance: Array, momentum: float, unbiased: float
) -> None:
    _dimensions("mean", mean.shape, ("C",))
    _of_channels("running_mean running_var variance", len(mean), running_mean, running_var, variance)
    _floats("running_mean running_var mean variance", running_mean, running_var, mean, variance)


def cross_channel_norm_forward(x: Array, size: int, alpha: float, beta: float, k: float) -> None:
    _dimensions("x", x.shape, IMAGES)
    _count("size", size)
    _floats("x", x)


def cross_channel_norm_backward(dy: Array, x: Array, size: int, alpha: float, beta: float, k: float) -> None:
    _dimensions("x", x.shape, IMAGES)
    _shape("dy", dy, x.shape, "x's shape")
    _count("size", size)
    _floats("dy x", dy, x)


# ---- convolution, batch norm, ReLU and pooling as one


def conv_block_forward(
    x: Array,
    weight: Array,
    bias: Array | None,
    gamma: Array,
    beta: Array,
    eps: float,
    stride: Pair,
    padding: Padding,
    dilation: Pair,
    groups: int,
) -> None:
    _pooled_convolution(x.shape, weight.shape, stride, padding, dilation, groups)
    _of_filters("bias gamma beta", len(weight), bias, gamma, beta)
    _floats("x weight bias gamma beta", x, weight, bias, gamma, beta)


def conv_block_backward(
    dy: Array,
    cache: Any,
    weight: Array,
    gamma: Array,
    beta: Array,
    eps: float,
    stride: Pair,
    padding: Padding,
    dilation: Pair,
    groups: int,
    input_gradient: bool = True,
) -> None:
    output = _pooled_convolution(cache.x.shape, weight.shape, stride, padding, dilation, groups)
    _shape("dy", dy, output, "the shape of the output")
    _of_filters("gamma beta", len(weight), gamma, beta)
    _floats("dy cache.x weight gamma beta", dy, cache.x, weight, gamma, beta)


def conv_blocks_inference(x: Array, blocks: Sequence[tuple[Any, ...]]) -> None:
    shape = x.shape
    if not blocks:
        raise ValueError("blocks is empty: give at least one block")
    for block in blocks:
        if len(block) != 11:
            raise ValueError(
                f"a block has {len(block)} members: give weight, bias, γ, β, mean, variance, eps, stride, padding, "
                "dilation and groups"
            )
        arrays = block[:6] if block[1] is not None else (block[0], *block[2:6])
        shape = _block(shape, x.dtype, tuple(map(shape_of, arrays)), tuple(map(dtype_of, arrays)), *block[7:])


# ---- element by element, dense layers, loss


def all_finite(x: Array) -> None:
    if x.dtype.kind not in "biuf":
        raise TypeError(f"x is of {x.dtype}: give real numbers")


def image_input_forward(x: Array, mean: Array, std: Array | None = None) -> None:
    if 0 in x.shape:
        raise ValueError(f"x has shape {x.shape}: give at least one image")
    _shape("mean", mean, x.shape[1:], "that of one image of x")
    if std is not None:
        _shape("std", std, mean.shape, "mean's shape")
    _floats("x mean std", x, mean, std)


def relu_forward(x: Array) -> None:
    _floats("x", x)


def relu_backward(dy: Array, y: Array) -> None:
    _shape("dy", dy, y.shape, "y's shape")
    _floats("dy y", dy, y)


def leaky_relu_forward(x: Array, slope: float = 0.01) -> None:
    _slope(slope)
    _floats("x", x)


def leaky_relu_backward(dy: Array, y: Array, slope: float = 0.01) -> None:
    _slope(slope)
    _shape("dy", dy, y.shape, "y's shape")
    _floats("dy y", dy, y)


def sigmoid_forward(x: Array) -> None:
    _floats("x", x)


def sigmoid_backward(dy: Array, y: Array) -> None:
    _shape("dy", dy, y.shape, "y's shape")
    _floats("dy y", dy, y)


def tanh_forward(x: Array) -> None:
    _floats("x", x)


def tanh_backward(dy: Array, y: Array) -> None:
    _shape("dy", dy, y.shape, "y's shape")
    _floats("dy y", dy, y)


def dropout_forward(x: Array, rate: float, rng: np.random.Generator) -> None:
    if not 0 <= rate < 1:
        raise ValueError(f"rate is {rate!r}: give a number from 0 to below 1")
    _floats("x", x)


def dropout_backward(dy: Array, mask: Array) -> None:
    _shape("dy", dy, mask.shape, "mask's shape")
    _floats("dy mask", dy, mask)


def fully_connected_forward(x: Array, weight: Array, bias: Array | None) -> None:
    _dimensions("x", x.shape, ROWS)
    _dimensions("weight", weight.shape, ("K", "D"))
    _shape("weight", weight, (len(weight), x.shape[1]), "(K, D) for x (N, D)")
    if bias is not None:
        _shape("bias", bias, (len(weight),), "one number for each row of weight")
    _floats("x weight bias", x, weight, bias)


def fully_connected_backward(dy: Array, x: Array, weight: Array) -> None:
    _dimensions("x", x.shape, ROWS)
    _dimensions("weight", weight.shape, ("K", "D"))
    _shape("weight", weight, (len(weight), x.shape[1]), "(K, D) for x (N, D)")
    _shape("dy", dy, (len(x), len(weight)), "(N, K) for x (N, D) and weight (K, D)")
    _floats("dy x weight", dy, x, weight)


def softmax_forward(x: Array) -> None:
    _dimensions("x", x.shape, ("N", "K"))
    _floats("x", x)


def softmax_backward(dy: Array, y: Array) -> None:
    _dimensions("y", y.shape, ("N", "K"))
    _shape("dy", dy, y.shape, "y's shape")
    _floats("dy y", dy, y)


def log_softmax_forward(x: Array) -> None:
    _dimensions("x", x.shape, ("N", "K"))
    _floats("x", x)


def cross_entropy_forward(
    log_p: Array, t: Array, class_weights: Array | None = None, label_smoothing: float = 0.0
) -> None:
    _classification("log_p", log_p, t, class_weights, label_smoothing)


def cross_entropy_backward(
    p: Array, t: Array, class_weights: Array | None = None, label_smoothing: float = 0.0
) -> None:
    _classification("p", p, t, class_weights, label_smoothing)


def squared_error_forward(y: Array, t: Array) -> None:
    _alike("y t", y, t)


def squared_error_backward(y: Array, t: Array) -> None:
    _alike("y t", y, t)


# ---- updates


def sgdm_update(
    weight: Array, gradient: Array, velocity: Array, lr: float, momentum: float, weight_decay: float
) -> None:
    _alike("weight gradient velocity", weight, gradient, velocity)


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
    _alike("weight gradient mean square", weight, gradient, mean, square)
    _count("step", step)


def sgdm_update_all(
    weights: Sequence[Array],
    gradients: Sequence[Array],
    velocities: Sequence[Array],
    lrs: Callable[[], Sequence[float]],
    momentum: float,
    weight_decays: Sequence[float],
) -> None:
    _all_alike("weights gradients velocities", weights, gradients, velocities)
    _per_weight(len(weights), lrs, weight_decays)


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
    _all_alike("weights gradients means squares", weights, gradients, means, squares)
    _per_weight(len(weights), lrs, weight_decays)
    if not callable(step):
        raise TypeError(f"step is {step!r}: give a function without arguments that returns the number")


def learning_rates(lrs: Callable[[], Sequence[float]], count: int) -> Sequence[float]:
    """What lrs() gives, which must be one number for each of `count` weights: no rule, but what kernels read it by."""
    rates = lrs()
    if len(rates) != count:
        raise ValueError(f"lrs() gives {len(rates)} learning rates for {count} weights: give as many of each")
    return rates


# ---- what the rules are made of


@functools.lru_cache(REMEMBERED)
def _windows(name: str, images: Shape, kernel: Pair, stride: Pair, padding: Padding, dilation: Pair) -> Pair:
    """(OH, OW) of windows over images of a shape, which is the argument called `name`."""
    _dimensions(name, images, IMAGES)
    for argument, pair in (("the kernel", kernel), ("stride", stride), ("dilation", dilation)):
        _numbers(argument, pair, ("vertical", "horizontal"), least=1)
    _numbers("padding", padding, ("top", "bottom", "left", "right"), least=0)
    output = output_shape((images[2], images[3]), kernel, stride, padding, dilation)
    if min(output) < 1:
        spread = tuple(d * (k - 1) + 1 for d, k in zip(dilation, kernel, strict=True))
        raise ValueError(
            f"{name} has images of {images[2]} × {images[3]}, which with padding {padding} a window of "
            f"{spread[0]} × {spread[1]} does not fit: give larger images, more padding or a smaller window"
        )
    return output


@functools.lru_cache(REMEMBERED)
def _convolution(
    name: str, images: Shape, filters: Shape, stride: Pair, padding: Padding, dilation: Pair, groups: int
) -> Shape:
    """(N, O, OH, OW) of filters slid over images of a shape, which is the argument called `name`."""
    _count("groups", groups)
    _dimensions(name, images, IMAGES)
    _dimensions("weight", filters, FILTERS)
    if images[1] != filters[1] * groups:
        raise ValueError(
            f"weight has shape {filters}: with groups={groups} it fits images of {filters[1] * groups} channels, "
            f"and {name} {_have(name)} {images}"
        )
    _divisible("weight", filters, 0, groups)
    return (images[0], filters[0], *_windows(name, images, filters[2:], stride, padding, dilation))


@functools.lru_cache(REMEMBERED)
def _gradient_of_filters(
    dy: Shape, x: Shape, kernel: Pair, stride: Pair, padding: Padding, dilation: Pair, groups: int
) -> Shape:
    """(N, O, OH, OW) as it must be for dy."""
    _count("groups", groups)
    _dimensions("dy", dy, ("N", "O", "OH", "OW"))
    output = _windows("x", x, kernel, stride, padding, dilation)
    _divisible("x", x, 1, groups)
    _divisible("dy", dy, 1, groups)
    return (x[0], dy[1], *output)


@functools.lru_cache(REMEMBERED)
def _pooled_convolution(
    images: Shape, filters: Shape, stride: Pair, padding: Padding, dilation: Pair, groups: int
) -> Shape:
    """(N, O, OH // 2, OW // 2): what 2 × 2 pooling leaves of the convolution."""
    n, o, oh, ow = _convolution("x", images, filters, stride, padding, dilation, groups)
    if min(oh, ow) < 2:
        raise ValueError(f"the convolution of x {images} with weight {filters} gives {oh} × {ow}: pooling needs 2 × 2")
    return n, o, oh // 2, ow // 2


@functools.lru_cache(REMEMBERED)
def _block(
    images: Shape, dtype: np.dtype, shapes: tuple[Shape, ...], dtypes: tuple[np.dtype, ...], *geometry: Any
) -> Shape:
    """What a block gives in evaluation; shapes and dtypes are of weight, bias (unless None), γ, β, mean, variance."""
    names = ["weight", "bias", "gamma", "beta", "mean", "variance"]
    if len(shapes) < len(names):
        names.remove("bias")
    output = _pooled_convolution(images, shapes[0], *geometry)
    for name, shape in zip(names[1:], shapes[1:], strict=True):
        if shape != shapes[0][:1]:
            raise ValueError(f"{name} has shape {shape}: it must be {shapes[0][:1]}, one number a filter")
    if dtype not in FLOATS:
        raise TypeError(f"x is of {dtype}: give float32 or float64")
    for name, other in zip(names, dtypes, strict=True):
        if other != dtype:
            raise TypeError(f"{name} is of {other} and x of {dtype}: give both the same dtype")
    return output


@functools.lru_cache(REMEMBERED)
def _pooling(name: str, images: Shape, pool: Pair, stride: Pair, padding: Padding) -> Shape:
    """(N, C, OH, OW) of pooling's windows, none of which may hold nothing but padding."""
    output = _windows(name, images, pool, stride, padding, (1, 1))
    if max(padding[:2]) >= pool[0] or max(padding[2:]) >= pool[1]:
        raise ValueError(f"padding is {padding}, with windows of {pool[0]} × {pool[1]}: give less than a window's size")
    return (*images[:2], *output)


def _classification(name: str, p: Array, t: Array, class_weights: Array | None, label_smoothing: float) -> None:
    if not 0 <= label_smoothing < 1:
        raise ValueError(f"label_smoothing is {label_smoothing!r}: give a number from 0 to below 1")
    _dimensions(name, p.shape, ("N", "K"))
    _shape("t", t, (len(p),), f"one label for each row of {name}")
    _integers("t", t)
    if class_weights is not None:
        _shape("class_weights", class_weights, (p.shape[1],), f"one number for each column of {name}")
    _floats(name, p)


def _slope(slope: float) -> None:
    if not slope >= 0:  # y would not have the sign of x, which is what the backward pass goes by
        raise ValueError(f"slope is {slope!r}: give a number of at least 0")


def _channels_second(x: Array) -> None:
    """x is (N, C, H, W), or (N, C) after a fully connected layer."""
    _dimensions("x", x.shape, IMAGES if x.ndim != 2 else ("N", "C"))


def _dimensions(name: str, shape: Shape, letters: tuple[str, ...]) -> None:
    if len(shape) != len(letters) or 0 in shape or min(shape) < 0:
        what = "is" if name == "input_shape" else "has shape"
        raise ValueError(
            f"{name} {what} {shape}: give {len(letters)} dimension{'s' * (len(letters) > 1)} ({', '.join(letters)}), "
            "each of at least 1"
        )


def _shape(name: str, array: Array, wanted: Shape, which_is: str) -> None:
    if array.shape != wanted:
        raise ValueError(f"{name} has shape {array.shape}: it must be {tuple(wanted)}, {which_is}")


def _of_channels(names: str, channels: int, *arrays: Array) -> None:
    _vectors(names, channels, "channel", arrays)


def _of_filters(names: str, filters: int, *arrays: Array | None) -> None:
    _vectors(names, filters, "filter", arrays)


def _vectors(names: str, length: int, owner: str, arrays: tuple[Array | None, ...]) -> None:
    wanted = (length,)
    for array in arrays:
        if array is not None and array.shape != wanted:
            name = names.split()[_position(array, arrays)]
            raise ValueError(f"{name} has shape {array.shape}: it must be {wanted}, one number a {owner}")


def _floats(names: str, *arrays: Array | None) -> None:
    """All arrays are of one dtype, which is float32 or float64; the first is never None."""
    dtype = arrays[0].dtype  # type: ignore[union-attr]
    if dtype not in FLOATS:
        raise TypeError(f"{names.split()[0]} is of {dtype}: give float32 or float64")
    for array in arrays:
        if array is not None and array.dtype is not dtype and array.dtype != dtype:
            name, first = names.split()[_position(array, arrays)], names.split()[0]
            raise TypeError(f"{name} is of {array.dtype} and {first} of {dtype}: give both the same dtype")


def _position(array: Array, arrays: Sequence[Array]) -> int:
    return next(k for k, other in enumerate(arrays) if other is array)


def _integers(name: str, array: Array) -> None:
    if array.dtype.kind not in "iu":
        raise TypeError(f"{name} is of {array.dtype}: give integers")


def _alike(names: str, *arrays: Array) -> None:
    shape = arrays[0].shape
    for array in arrays:
        if array.shape != shape:
            name, first = names.split()[_position(array, arrays)], names.split()[0]
            raise ValueError(f"{name} has shape {array.shape} and {first} {shape}: give arrays of one shape")
    _floats(names, *arrays)


def _all_alike(names: str, *lists: Sequence[Array]) -> None:
    if any(len(arrays) != len(lists[0]) for arrays in lists):
        counts = ", ".join(f"{len(arrays)} {name}" for name, arrays in zip(names.split(), lists, strict=True))
        raise ValueError(f"there are {counts}: give as many of each")
    for arrays in zip(*lists, strict=True):
        shape, dtype = arrays[0].shape, lists[0][0].dtype
        for array in arrays:  # quickly: there may be hundreds
            if array.shape != shape or array.dtype is not dtype or dtype not in FLOATS:
                _alike(names, *arrays)
                _floats("weights weights", lists[0][0], arrays[0])
                break


def _per_weight(count: int, lrs: Callable[[], Sequence[float]], weight_decays: Sequence[float]) -> None:
    if not callable(lrs):
        raise TypeError(f"lrs is {lrs!r}: give a function without arguments that returns the learning rates")
    if len(weight_decays) != count:
        raise ValueError(f"there are {len(weight_decays)} weight_decays for {count} weights: give as many of each")


def _count(name: str, value: int) -> None:
    if not isinstance(value, INTEGERS) or value < 1:
        raise ValueError(f"{name} is {value!r}: give a whole number of at least 1")


def _numbers(name: str, values: tuple[int, ...], meaning: tuple[str, ...], least: int) -> None:
    if len(values) != len(meaning) or any(not isinstance(v, INTEGERS) or v < least for v in values):
        raise ValueError(
            f"{name} is {values!r}: give {len(meaning)} whole numbers of at least {least} ({', '.join(meaning)})"
        )


def _divisible(name: str, shape: Shape, axis: int, groups: int) -> None:
    if shape[axis] % groups:
        what = "filters" if name == "weight" else "channels"
        raise ValueError(
            f"{name} has shape {shape}: its {shape[axis]} {what} cannot be divided into groups={groups} equal groups"
        )


def _have(name: str) -> str:
    return "is" if name == "input_shape" else "has shape"


TUPLES = ("kernel", "pool", "stride", "padding", "dilation", "input_shape")


def _better(error: Exception, function: Callable[..., Any], args: Any, kwargs: Any) -> Exception:
    """The error that says which argument is of the wrong kind, or the one at hand if that is not the reason."""
    try:
        arguments = inspect.signature(function).bind(*args, **kwargs).arguments
    except TypeError as wrong_call:
        return TypeError(f"{function.__name__}: {wrong_call}")
    kinds = inspect.signature(function).parameters
    for name, value in arguments.items():
        if name in TUPLES and not isinstance(value, tuple):
            return TypeError(f"{name} is {value!r}: give a tuple of whole numbers")
        annotation = str(kinds[name].annotation)
        is_array = annotation.startswith(("Array", "np.ndarray"))
        if is_array and not (value is None and "None" in annotation) and not hasattr(value, "dtype"):
            return TypeError(f"{name} is a {type(value).__name__}: give a NumPy or CuPy array")
    return error
