"""From a network to a sequential PyTorch module."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable
from typing import Any

from tinycnn import backend, layers
from tinycnn.interop.optional import required
from tinycnn.interop.pytorch.modules import normalize_class, residual_class
from tinycnn.layers import Block, Layer, OutputLayer
from tinycnn.layers.base import Shape
from tinycnn.network import Sequential

Modules = dict[str, Any]  # what a layer becomes: modules in their order by what is added to the layer's name


def to_torch(net: Sequential) -> Any:
    """The torch.nn.Sequential that computes what `net` does: its layers with all their options, weights and state.

    Outputs and, in training, gradients are the network's, but for rounding; dropout draws other masks. The module is in
    evaluation mode, as `net.forward` is by default: call `module.train()` to train it. Its modules are called by the
    layers' names ("conv_1"), and so are the entries of its state_dict ("conv_1.weight"), which `net.load_state_dict`
    takes; a name with a dot ("features.0") becomes a Sequential within, and one that PyTorch cannot take ("forward") or
    has already gets an underscore or a number. Weights with a learning-rate factor of 0 get requires_grad=False.

    An input layer that subtracts a mean becomes `tinycnn.interop.pytorch.modules.Normalize`. The output layer, which is
    the loss, stays behind, and so do class weights: PyTorch's CrossEntropyLoss wants the scores before Softmax, which
    `module[:-1]` puts out. Other factors of learning rate and weight decay belong to PyTorch's optimizers: a warning
    names the layers that have some. (PyTorch's weight decay is of all parameters, ours not of most biases.)

    Args:
        net: any network of tinycnn's own layers, on any device; the module is on the CPU and shares no memory with it.

    Raises:
        ValueError: naming the first layer or option that PyTorch has nothing equal for, and a remedy.
        ImportError: without PyTorch.

    >>> import torch, tinycnn as tc  # doctest: +SKIP
    >>> net = tc.Sequential([tc.ImageInput((1, 4, 4)), tc.Conv2D(2, 3, name="conv"), tc.ReLU(), tc.FullyConnected(3),
    ...                      tc.Softmax(), tc.ClassificationOutput()])  # doctest: +SKIP
    >>> tc.to_torch(net)  # doctest: +SKIP
    Sequential(
      (conv): Conv2d(1, 2, kernel_size=(3, 3), stride=(1, 1))
      (relu_1): ReLU()
      (fullyconnected_1_flatten): Flatten(start_dim=1, end_dim=-1)
      (fullyconnected_1): Linear(in_features=8, out_features=3, bias=True)
      (softmax_1): Softmax(dim=1)
    )
    """
    torch = required("torch", "tc.to_torch")
    if not isinstance(net, Sequential):
        raise TypeError(f"net is a {type(net).__name__}: give a tinycnn.Sequential")
    return _sequence(net.layers, net.input_shape, torch).eval()


def _sequence(steps: Iterable[Layer], shape: Shape, torch: Any) -> Any:
    """A torch.nn.Sequential of these layers, for data of `shape`."""
    return _fill(torch.nn.Sequential(), steps, shape, torch)


def _fill(sequence: Any, steps: Iterable[Layer], shape: Shape, torch: Any) -> Any:
    """Append the modules of these layers to `sequence`, and return it."""
    for layer in steps:
        try:
            modules = _modules(layer, shape, torch)
        except ValueError as error:
            raise ValueError(f"layer {layer.name!r} ({type(layer).__name__}): {error}") from error
        for suffix, module in modules.items():
            _add(sequence, f"{layer.name}{suffix}", module, torch)
        shape = layer.output_shape(shape)
    return sequence


def _modules(layer: Layer, shape: Shape, torch: Any) -> Modules:
    """The modules of one layer, the last with its weights."""
    if isinstance(layer, OutputLayer):
        return {}  # it passes its input through
    kind = type(layer).__name__
    if kind not in WRITERS or type(layer) not in (
        getattr(layers, kind, None),
        Sequential,
    ):  # a subclass may compute something else
        raise ValueError(
            "to_torch knows no PyTorch module for it: convert the layers before and after it as networks of "
            "their own, and write a torch.nn.Module for it"
        )
    modules = WRITERS[kind](layer, shape, torch)
    if isinstance(layer, Block):
        return modules  # its layers have given their modules their weights
    if layer.parameters or layer.state:
        _load(modules[""], layer, torch)
    return modules


def _load(module: Any, layer: Layer, torch: Any) -> None:
    """Give the module copies of the layer's arrays, in their dtype, and of what stands still."""
    arrays = {**layer.parameters, **layer.state}
    tensors = {name: torch.tensor(backend.to_device(array, "cpu")) for name, array in arrays.items()}
    module.load_state_dict({**module.state_dict(), **tensors}, assign=True)
    for name, parameter in module.named_parameters():
        parameter.requires_grad_(layer.lr_factor(name) != 0)
    plain = {"weight": 1.0, "bias": 1.0 if "running_mean" in layer.state else 0.0}
    learning = [name for name in layer.parameters if layer.lr_factor(name) != 0]
    if any(layer.lr_factor(name) != 1 or layer.l2_factor(name) != plain[name] for name in learning):
        warnings.warn(
            f"layer {layer.name!r} has factors of its own for learning rate or weight decay, which a PyTorch module "
            "cannot hold: give them to torch.optim as parameter groups",
            stacklevel=5,
        )


def _add(sequence: Any, name: str, module: Any, torch: Any) -> None:
    """Append a module; the dots of its name lead through Sequentials, made where the last module is not that one."""
    group, dot, rest = name.partition(".")
    if not dot:
        sequence.add_module(_free(sequence, group), module)
        return
    if list(sequence._modules)[-1:] != [group] or type(sequence[-1]) is not torch.nn.Sequential:
        group = _free(sequence, group)
        sequence.add_module(group, torch.nn.Sequential())
    _add(sequence[-1], rest, module, torch)


def _free(sequence: Any, name: str) -> str:
    """The name, or the nearest that `sequence` can give to one more module."""
    name = name or "layer"
    if name not in sequence._modules and hasattr(sequence, name):  # such as "forward"
        name += "_"
    taken, number, stem = sequence._modules, 1, name
    while name in taken:
        number += 1
        name = f"{stem}_{number}"
    return name


# --- One function a kind: the modules of a layer that gets data of `shape` ---


def _input(layer: Any, shape: Shape, torch: Any) -> Modules:
    if layer.normalization == "none":
        return {}
    std = torch.ones(layer.shape) if layer.normalization == "zscore" else None
    return {"": normalize_class()(torch.zeros(layer.shape), std, getattr(layer, "mean_of", "pixel"))}


def _conv2d(layer: Any, shape: Shape, torch: Any) -> Modules:
    nn, modules = torch.nn, {}
    top, bottom, left, right = layer.geometry(shape[1:])[1]
    padding: Any = (top, left)
    if layer.padding == "same" and layer.stride == (1, 1):
        padding = "same"
    elif (top, left) != (bottom, right):
        padding = 0
        modules["_pad"] = nn.ZeroPad2d((left, right, top, bottom))
    options = layer.kernel, layer.stride, padding, layer.dilation, layer.groups, layer.bias
    modules[""] = nn.Conv2d(shape[0], layer.filters, *options, device="meta")  # without drawing weights
    return modules


def _max_pool2d(layer: Any, shape: Shape, torch: Any) -> Modules:
    _check_pool_padding(layer)
    return {"": torch.nn.MaxPool2d(layer.pool, layer.stride, layer.padding)}


def _average_pool2d(layer: Any, shape: Shape, torch: Any) -> Modules:
    _check_pool_padding(layer)
    return {"": torch.nn.AvgPool2d(layer.pool, layer.stride, layer.padding)}


def _check_pool_padding(layer: Any) -> None:
    if any(padding > window // 2 for padding, window in zip(layer.padding, layer.pool, strict=True)):
        raise ValueError(
            f"padding is {layer.padding} for a {layer.pool[0]}×{layer.pool[1]} window, and PyTorch pads by at most "
            "half a window: choose a smaller padding"
        )


def _fully_connected(layer: Any, shape: Shape, torch: Any) -> Modules:
    inputs = layer.parameters["weight"].shape[1]
    modules = {"_flatten": torch.nn.Flatten()} if len(shape) > 1 else {}
    return {**modules, "": torch.nn.Linear(inputs, layer.outputs, layer.bias, device="meta")}


def _residual(layer: Any, shape: Shape, torch: Any) -> Modules:
    if any(inner.name == "shortcut" for inner in layer.layers):
        raise ValueError('a layer inside is called "shortcut", as the row beside it is: give it another name')
    module = _fill(residual_class()(), layer.layers, shape, torch)
    if layer.shortcut:
        module.add_module("shortcut", _sequence(layer.shortcut, shape, torch))
    return {"": module}


WRITERS: dict[str, Callable[[Any, Shape, Any], Modules]] = {
    "ImageInput": _input,
    "VectorInput": _input,
    "Conv2D": _conv2d,
    "BatchNorm1D": lambda layer, shape, torch: {"": torch.nn.BatchNorm1d(shape[0], layer.eps, layer.momentum)},
    "BatchNorm2D": lambda layer, shape, torch: {"": torch.nn.BatchNorm2d(shape[0], layer.eps, layer.momentum)},
    "ReLU": lambda layer, shape, torch: {"": torch.nn.ReLU()},
    "LeakyReLU": lambda layer, shape, torch: {"": torch.nn.LeakyReLU(layer.slope)},
    "Sigmoid": lambda layer, shape, torch: {"": torch.nn.Sigmoid()},
    "Tanh": lambda layer, shape, torch: {"": torch.nn.Tanh()},
    "MaxPool2D": _max_pool2d,
    "AveragePool2D": _average_pool2d,
    "GlobalAveragePool2D": lambda layer, shape, torch: {"": torch.nn.AdaptiveAvgPool2d(1)},
    "CrossChannelNorm": lambda layer, shape, torch: {
        "": torch.nn.LocalResponseNorm(layer.size, layer.alpha, layer.beta, layer.k)
    },
    "Flatten": lambda layer, shape, torch: {"": torch.nn.Flatten()},
    "FullyConnected": _fully_connected,
    "Dropout": lambda layer, shape, torch: {"": torch.nn.Dropout(layer.rate)},
    "Softmax": lambda layer, shape, torch: {"": torch.nn.Softmax(dim=1)},
    "Sequential": lambda layer, shape, torch: {"": _sequence(layer.layers, shape, torch)},
    "Residual": _residual,
}
