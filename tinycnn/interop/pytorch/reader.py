"""From a sequential PyTorch module to a network."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from tinycnn import layers
from tinycnn.interop.optional import required
from tinycnn.interop.pytorch.modules import normalize_class, residual_class
from tinycnn.interop.pytorch.state import COUNT, as_numpy
from tinycnn.layers import Layer, Residual
from tinycnn.layers.base import Shape, image_shape
from tinycnn.network import Sequential

OUTPUTS: dict[str, tuple[type[Layer], ...]] = {
    "classification": (layers.Softmax, layers.ClassificationOutput),
    "regression": (layers.RegressionOutput,),
}


def from_torch(module: Any, input_shape: Shape, *, output: str | None = None, seed: int = 0) -> Sequential:
    """The network of a torch.nn.Sequential: its layers with all their options, weights and batch-norm statistics.

    The network computes what the module does, in the module's dtype, and its layers are called by their paths in the
    module, so that `net.load_state_dict(module.state_dict())` works for later states of it too. Nested Sequentials are
    opened and Identity is left out. Weights with requires_grad=False get a learning-rate factor of 0. The module is not
    changed.

    Read are Conv2d (also after ZeroPad2d), BatchNorm2d and 1d, ReLU, LeakyReLU, Sigmoid, Tanh, MaxPool2d, AvgPool2d,
    AdaptiveAvgPool2d, LocalResponseNorm, Flatten, Linear, Dropout, Softmax and, in front,
    `tinycnn.interop.pytorch.modules.Normalize`. A module that does something between its parts, such as a skip
    connection, cannot be read: PyTorch does not tell what its forward does. Of one whose parts simply follow one
    another, make a Sequential:
    `torch.nn.Sequential(model.features, torch.nn.Flatten(), model.classifier)`.

    Args:
        module: a torch.nn.Sequential on any device; the network is on the CPU.
        input_shape: (C, H, W) of one image, or (D,) of one vector, which PyTorch's modules do not know.
        output: what follows the module: None, nothing; "classification", Softmax (unless the module ends in it) and
            ClassificationOutput; "regression", RegressionOutput. A module trained with CrossEntropyLoss ends in
            scores: with "classification" the network puts out their probabilities, and its loss is CrossEntropyLoss.
        seed: of the dropout masks.

    Raises:
        ValueError: naming, by its path, the first module or option that tinycnn has nothing equal for, and a remedy.
        ImportError: without PyTorch.

    >>> import torch, tinycnn as tc  # doctest: +SKIP
    >>> module = torch.nn.Sequential(  # doctest: +SKIP
    ...     torch.nn.Conv2d(1, 8, 3), torch.nn.ReLU(), torch.nn.Flatten(), torch.nn.Linear(8 * 26 * 26, 10))
    >>> net = tc.from_torch(module, input_shape=(1, 28, 28), output="classification")  # doctest: +SKIP
    >>> [layer.name for layer in net.layers]  # doctest: +SKIP
    ['imageinput_1', '0', '1', '2', '3', 'softmax_1', 'classificationoutput_1']
    >>> net.predict(torch.rand(5, 1, 28, 28).numpy()).shape  # doctest: +SKIP
    (5, 10)
    """
    torch = required("torch", "tc.from_torch")
    if not isinstance(module, torch.nn.Module):
        raise TypeError(f"module is a {type(module).__name__}: give a torch.nn.Sequential")
    if not _is_sequential(module, torch):
        raise ValueError(
            f"module is a {type(module).__name__}, and PyTorch does not tell what its forward does: give its parts in "
            "the order of their use, such as torch.nn.Sequential(model.features, torch.nn.Flatten(), model.classifier)"
        )
    if output is not None and output not in OUTPUTS:
        raise ValueError(f"output is {output!r}: choose None or one of {', '.join(map(repr, OUTPUTS))}")
    dtype = _dtype(module)
    read = _read(list(_leaves(module, torch)), input_shape)
    ending = OUTPUTS[output] if output else ()
    if ending and type(read[-1][0]) is ending[0]:
        ending = ending[1:]
    net = Sequential([*(layer for layer, _ in read), *(kind() for kind in ending)], seed=seed, dtype=dtype)
    state = net.state_dict()
    for layer, leaf in read:
        tensors = leaf.state_dict().items() if leaf is not None else ()
        state |= {f"{layer.name}.{name}": as_numpy(value) for name, value in tensors if not name.endswith(COUNT)}
    net.load_state_dict(state)
    return net


def _is_sequential(module: Any, torch: Any) -> bool:
    return isinstance(module, torch.nn.Sequential) and type(module).forward is torch.nn.Sequential.forward


def _dtype(module: Any) -> np.dtype[Any]:
    """float32 or float64: the one dtype of all the module's numbers."""
    tensors = (tensor for name, tensor in module.state_dict().items() if not name.endswith(COUNT))
    dtypes = sorted({str(tensor.dtype).removeprefix("torch.") for tensor in tensors}) or ["float32"]
    if dtypes not in (["float32"], ["float64"]):
        raise ValueError(
            f"module holds numbers of {' and '.join(dtypes)}: convert it with module.float() or module.double()"
        )
    return np.dtype(dtypes[0])


def _leaves(module: Any, torch: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """(path, module) of each step, in order, a module that is used twice also twice."""
    if module._forward_hooks or module._forward_pre_hooks:
        raise ValueError(
            f"{prefix or 'module'}: {type(module).__name__} has forward hooks, which a network would not run: remove "
            "them first (weight_norm's and pruning's with torch.nn.utils.remove_weight_norm and prune.remove)"
        )
    if not _is_sequential(module, torch):
        yield prefix, module
        return
    for name, child in module._modules.items():  # named_children would name a module that is used twice once
        yield from _leaves(child, torch, f"{prefix}.{name}" if prefix else name)


def _read(leaves: list[tuple[str, Any]], shape: Shape) -> list[tuple[Layer, Any]]:
    """Each layer with the module that it is read from, the input layer first, with None if no module stands for it."""
    source: tuple[str | None, Any] = (None, None)
    if leaves and type(leaves[0][1]) is normalize_class():
        source, *leaves = leaves
    return [(_input(*source, shape), source[1]), *_steps(leaves, shape)]


def _steps(leaves: list[tuple[str, Any]], shape: Shape) -> list[tuple[Layer, Any]]:
    """Each layer after the input layer with the module that it is read from, for data of `shape`."""
    read: list[tuple[Layer, Any]] = []
    zeros, owners = (0, 0, 0, 0), dict[int, str]()
    for (path, module), (_, follower) in zip(leaves, [*leaves[1:], ("", None)], strict=False):
        try:
            _check_weights(path, module, owners)
            if _kind(module) == "ZeroPad2d":
                zeros = _zeros(module, follower)
                continue
            layer: Any = (_residual if type(module) is residual_class() else _reader(module))(module, shape)
            if layer is None:
                continue
            if any(zeros):
                top, bottom, left, right = layer.geometry(shape[1:])[1]
                layer.padding = zeros[0] + top, zeros[1] + bottom, zeros[2] + left, zeros[3] + right
                zeros = (0, 0, 0, 0)
            layer.name = path
            if not isinstance(layer, Residual):
                frozen = [name for name, parameter in module.named_parameters() if not parameter.requires_grad]
                layer.lr_factors = {**layer.lr_factors, **dict.fromkeys(frozen, 0.0)}
            shape = layer.output_shape(shape)
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from error
        read.append((layer, module))
    return read


def _residual(module: Any, shape: Shape) -> Residual:
    """The residual block of a module that `to_torch` has made."""
    torch = required("torch", "tc.from_torch")
    parts = dict(module._modules)
    shortcut = list(_leaves(parts.pop("shortcut", torch.nn.Sequential()), torch))
    main = [leaf for name, part in parts.items() for leaf in _leaves(part, torch, name)]
    rows = [[layer for layer, _ in _steps(leaves, shape)] for leaves in (main, shortcut)]
    return Residual(rows[0], rows[1] or None)


def _check_weights(path: str, module: Any, owners: dict[int, str]) -> None:
    """ValueError if a step before has one of the module's parameters, whose owners are noted by id."""
    for name, parameter in module.named_parameters():
        if id(parameter) in owners:
            raise ValueError(
                f"{type(module).__name__} shares its {name} with {owners[id(parameter)]}, and each layer has weights "
                "of its own: copy the module with copy.deepcopy"
            )
    owners |= {id(parameter): path for parameter in module.parameters()}


def _kind(module: Any) -> str | None:
    """The name of a torch.nn class; None for a subclass of one, whose forward may differ."""
    torch = required("torch", "tc.from_torch")
    name = type(module).__name__
    return name if getattr(torch.nn, name, None) is type(module) else None


def _reader(module: Any) -> Callable[[Any, Shape], Any]:
    kind = _kind(module)
    if kind is None:
        raise ValueError(
            f"{type(module).__name__} is not one of torch.nn's own layers, and PyTorch does not tell what its forward "
            "does: replace it by a torch.nn.Sequential of them, or build this network from tinycnn's layers"
        )
    if kind not in READERS:
        raise ValueError(f"{kind} has no counterpart in tinycnn: replace it by one of {', '.join(READERS)}")
    return READERS[kind]


def _only(module: Any, option: str, *values: Any, remedy: str = "") -> None:
    """ValueError unless the module's option has one of these values."""
    value = getattr(module, option)
    if value not in values:
        raise ValueError(
            f"{type(module).__name__}({option}={value!r}) has no counterpart in tinycnn: use {option}={values[0]!r}"
            + remedy
        )


def _takes(module: Any, option: str, given: int) -> None:
    """ValueError unless the module was made for as many channels or numbers as it gets."""
    wanted = getattr(module, option)
    if wanted != given:
        raise ValueError(
            f"{type(module).__name__}({option}={wanted}) gets {given}: give the input_shape that it was made for"
        )


def _zeros(module: Any, follower: Any) -> tuple[int, int, int, int]:
    """(top, bottom, left, right) of a ZeroPad2d, which the convolution after it takes over."""
    left, right, top, bottom = module.padding
    if _kind(follower) != "Conv2d":
        raise ValueError("ZeroPad2d is read directly before Conv2d only: move it there, or pad the images beforehand")
    if min(module.padding) < 0:
        raise ValueError(f"ZeroPad2d({module.padding}) cuts the image: crop the images beforehand")
    return top, bottom, left, right


# --- One function a kind: the layer of a module that gets data of `shape`, or None where it does nothing ---


def _input(name: str | None, module: Any, shape: Any) -> Layer:
    """The input layer for a Normalize called `name`, or for none."""
    normalization = "none" if module is None else "zerocenter" if module.std is None else "zscore"
    if len(shape) == 1:
        return layers.VectorInput(shape[0], normalization, name)
    return layers.ImageInput(shape, normalization, name, "pixel" if module is None else module.mean_of)


def _conv2d(module: Any, shape: Shape) -> Layer:
    _takes(module, "in_channels", image_shape(shape)[0])
    _only(module, "padding_mode", "zeros")
    padding = 0 if module.padding == "valid" else module.padding
    options = module.stride, padding, module.dilation, module.groups, module.bias is not None
    return layers.Conv2D(module.out_channels, module.kernel_size, *options, initializer=None)


def _batch_norm(module: Any, shape: Shape) -> Layer:
    _takes(module, "num_features", shape[0])
    _only(module, "track_running_stats", True, remedy=", which also keeps statistics for evaluation")
    if module.momentum is None:
        raise ValueError(
            f"{type(module).__name__}(momentum=None), the mean over all batches, has no counterpart in tinycnn: "
            "give a number, such as PyTorch's default of 0.1"
        )
    fixed = None if module.affine else {"weight": 0.0, "bias": 0.0}  # they stay at 1 and 0
    kind = layers.BatchNorm1D if _kind(module) == "BatchNorm1d" else layers.BatchNorm2D
    return kind(module.eps, module.momentum, lr_factors=fixed)


def _max_pool2d(module: Any, shape: Shape) -> Layer:
    _only(module, "ceil_mode", False, remedy=", which drops a last row or column that fills no window")
    _only(module, "dilation", 1, (1, 1))
    _only(module, "return_indices", False)
    return layers.MaxPool2D(module.kernel_size, module.stride, module.padding)


def _avg_pool2d(module: Any, shape: Shape) -> Layer:
    _only(module, "ceil_mode", False, remedy=", which drops a last row or column that fills no window")
    _only(module, "divisor_override", None)
    if module.padding not in (0, (0, 0)):
        _only(module, "count_include_pad", True, remedy=", or no padding")
    return layers.AveragePool2D(module.kernel_size, module.stride, module.padding)


def _adaptive_avg_pool2d(module: Any, shape: Shape) -> Layer | None:
    _, h, w = image_shape(shape)
    size = module.output_size if isinstance(module.output_size, tuple) else (module.output_size,) * 2
    oh, ow = h if size[0] is None else size[0], w if size[1] is None else size[1]
    if (oh, ow) == (1, 1):
        return layers.GlobalAveragePool2D()
    if h % oh or w % ow:
        raise ValueError(
            f"AdaptiveAvgPool2d({module.output_size!r}) gets {h}×{w} pixels, which it cuts into unequal windows: use "
            "AdaptiveAvgPool2d(1), or an output size that divides theirs"
        )
    return None if (oh, ow) == (h, w) else layers.AveragePool2D((h // oh, w // ow))


def _flatten(module: Any, shape: Shape) -> Layer:
    _only(module, "start_dim", 1)
    _only(module, "end_dim", -1, len(shape))
    return layers.Flatten()


def _linear(module: Any, shape: Shape) -> Layer:
    if len(shape) != 1:
        raise ValueError(
            f"Linear gets images of shape {shape}, whose last axis alone PyTorch would multiply: put "
            "torch.nn.Flatten() before it"
        )
    _takes(module, "in_features", shape[0])
    return layers.FullyConnected(module.out_features, module.bias is not None, initializer=None)


def _softmax(module: Any, shape: Shape) -> Layer:
    _only(module, "dim", 1, -len(shape))
    return layers.Softmax()


READERS: dict[str, Callable[[Any, Shape], Layer | None]] = {
    "Conv2d": _conv2d,
    "BatchNorm1d": _batch_norm,
    "BatchNorm2d": _batch_norm,
    "ReLU": lambda module, shape: layers.ReLU(),
    "LeakyReLU": lambda module, shape: layers.LeakyReLU(module.negative_slope),
    "Sigmoid": lambda module, shape: layers.Sigmoid(),
    "Tanh": lambda module, shape: layers.Tanh(),
    "MaxPool2d": _max_pool2d,
    "AvgPool2d": _avg_pool2d,
    "AdaptiveAvgPool2d": _adaptive_avg_pool2d,
    "LocalResponseNorm": lambda module, shape: layers.CrossChannelNorm(
        module.size, module.alpha, module.beta, module.k
    ),
    "Flatten": _flatten,
    "Linear": _linear,
    "Dropout": lambda module, shape: layers.Dropout(module.p),
    "Softmax": _softmax,
    "Identity": lambda module, shape: None,
}
