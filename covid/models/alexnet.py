"""AlexNet, the other network of the paper's Table 5: a layer is a line here; and the weights that others trained."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

import tinycnn as tc
from covid.errors import DataError

# As in 2012. With Glorot's wider weights, made for batch norm's small numbers, pixels of 0 … 255 make training diverge.
_conv = partial(tc.Conv2D, initializer="narrow_normal")
_dense = partial(tc.FullyConnected, initializer="narrow_normal")

VARIANTS = {"caffe": 96, "torchvision": 64}  # and how many filters conv1 has

# What the pixels 0 … 255 of an RGB image were turned into before the weights saw them: (pixel − MEAN) / STD.
MEAN = {"caffe": (122.67891434, 116.66876762, 104.00698793), "torchvision": (123.675, 116.28, 103.53)}
STD = {"caffe": (1.0, 1.0, 1.0), "torchvision": (58.395, 57.12, 57.375)}


def alexnet(
    channels: int = 3,
    classes: int = 3,
    *,
    size: int | tuple[int, int] = 227,
    variant: str = "caffe",
    seed: int = 0,
    dtype: Any = np.float32,
) -> tc.Sequential:
    """AlexNet: 56,880,515 parameters for three channels and three classes, or 57,016,131 in torchvision's variant.

    Images come in as pixels 0 … 255, and the input layer subtracts the mean.

    Args:
        channels: 3 for RGB, which pretrained weights need (a grey image three times will do), 1 for grey images.
        classes: how many there are.
        size: height and width of the images, as one number or a pair; 227 gives the original's 6×6×256 features.
        variant: "caffe", the network of 2012 as Caffe and MATLAB have it, with groups and normalization across
            channels, or "torchvision", without them and with fewer filters, whose own size is 224.
        seed: of the weights and dropout masks.
        dtype: np.float32 to train, np.float64 to check gradients.

    Raises:
        ValueError: for an unknown variant, or images too small for the layers.

    Source: Krizhevsky, Sutskever & Hinton (2012), in the form of Caffe's bvlc_alexnet; for torchvision's, Krizhevsky,
    "One weird trick for parallelizing convolutional neural networks" (2014).

    >>> len(alexnet().layers)
    25
    """
    if variant not in VARIANTS:
        raise ValueError(f"variant is {variant!r}: choose one of {', '.join(VARIANTS)}")
    height, width = (size, size) if isinstance(size, int) else size
    layers = _torchvision_layers(classes) if variant == "torchvision" else _caffe_layers(classes)
    first = tc.ImageInput((channels, height, width), normalization="zerocenter", name="data")
    return tc.Sequential([first, *layers], seed=seed, dtype=dtype)


def _caffe_layers(classes: int) -> list[tc.Layer]:
    return [
        _conv(96, 11, stride=4, name="conv1"),
        tc.ReLU(name="relu1"),
        tc.CrossChannelNorm(5, alpha=1e-4, beta=0.75, k=1, name="norm1"),
        tc.MaxPool2D(3, stride=2, name="pool1"),
        _conv(256, 5, padding=2, groups=2, name="conv2"),
        tc.ReLU(name="relu2"),
        tc.CrossChannelNorm(5, alpha=1e-4, beta=0.75, k=1, name="norm2"),
        tc.MaxPool2D(3, stride=2, name="pool2"),
        _conv(384, 3, padding=1, name="conv3"),
        tc.ReLU(name="relu3"),
        _conv(384, 3, padding=1, groups=2, name="conv4"),
        tc.ReLU(name="relu4"),
        _conv(256, 3, padding=1, groups=2, name="conv5"),
        tc.ReLU(name="relu5"),
        tc.MaxPool2D(3, stride=2, name="pool5"),
        _dense(4096, name="fc6"),
        tc.ReLU(name="relu6"),
        tc.Dropout(0.5, name="drop6"),
        _dense(4096, name="fc7"),
        tc.ReLU(name="relu7"),
        tc.Dropout(0.5, name="drop7"),
        _dense(classes, name="fc8"),
        tc.Softmax(name="prob"),
        tc.ClassificationOutput(name="output"),
    ]


def _torchvision_layers(classes: int) -> list[tc.Layer]:
    return [
        _conv(64, 11, stride=4, padding=2, name="conv1"),
        tc.ReLU(name="relu1"),
        tc.MaxPool2D(3, stride=2, name="pool1"),
        _conv(192, 5, padding=2, name="conv2"),
        tc.ReLU(name="relu2"),
        tc.MaxPool2D(3, stride=2, name="pool2"),
        _conv(384, 3, padding=1, name="conv3"),
        tc.ReLU(name="relu3"),
        _conv(256, 3, padding=1, name="conv4"),
        tc.ReLU(name="relu4"),
        _conv(256, 3, padding=1, name="conv5"),
        tc.ReLU(name="relu5"),
        tc.MaxPool2D(3, stride=2, name="pool5"),  # what torchvision averages next is 6×6 already
        tc.Dropout(0.5, name="drop6"),
        _dense(4096, name="fc6"),
        tc.ReLU(name="relu6"),
        tc.Dropout(0.5, name="drop7"),
        _dense(4096, name="fc7"),
        tc.ReLU(name="relu7"),
        _dense(classes, name="fc8"),
        tc.Softmax(name="prob"),
        tc.ClassificationOutput(name="output"),
    ]


def variant_of(tensors: Mapping[str, np.ndarray]) -> str:
    """Which variant of `alexnet` these weights are of, by the number of their 11×11 filters; DataError if of none."""
    filters = [array.shape[0] for array in tensors.values() if array.ndim == 4 and array.shape[2:] == (11, 11)]
    for variant, count in VARIANTS.items():
        if filters == [count]:
            return variant
    raise DataError(
        f"the weights are no AlexNet's: they have {filters or 'no'} filters of 11×11 pixels, where Caffe's "
        "layout has 96 and torchvision's 64; give another file"
    )


def load_weights(net: tc.Sequential, tensors: Mapping[str, np.ndarray]) -> str:
    """Put weights that others trained into `net`, made by `alexnet`; returns a sentence that says which they were.

    Layers are recognised by the shapes of their weights, whatever their names; a layer's bias has the same name with
    "bias" for "weight", or is the next array. fc8 is loaded if it tells as many classes as `net` does, and else stays
    fresh.

    Foreign weights expect the images of their makers; conv1 and the input layer change so that `net` takes RGB pixels
    0 … 255 all the same, exactly. In Caffe's layout, which takes BGR pixels less a mean pixel, conv1's channels are
    reversed; in torchvision's, which takes RGB from 0 to 1 less a mean and divided by a deviation, conv1's weights
    are divided by 255 and that deviation. The input layer subtracts the mean pixel from then on: training does not
    measure another. Weights that `net.save` wrote are taken as they are.

    Raises:
        DataError: for weights that lack a layer, are of the other variant, or do not fit the network's images.
    """
    variant, parameters = variant_of(tensors), net.parameters()
    if len(parameters["conv1.weight"]) != VARIANTS[variant]:
        raise DataError(
            f"the weights are of AlexNet's {variant} variant, but the network is of the other: build it "
            f"with variant={variant!r}"
        )
    state: dict[str, np.ndarray] = {}
    for name in (name.removesuffix(".weight") for name in parameters if name.endswith(".weight")):
        pair = _weight_and_bias(tensors, parameters[f"{name}.weight"].shape)
        if pair:
            state[f"{name}.weight"], state[f"{name}.bias"] = pair
        elif name != "fc8":
            raise DataError(
                f"the weights have no array {parameters[f'{name}.weight'].shape} with a bias for {name}: "
                "give a whole AlexNet, and build the network for three channels of 227×227 pixels"
            )
    if "data.mean" in tensors:
        state["data.mean"] = tensors["data.mean"]
    else:
        mean, std = (np.reshape(values[variant], (3, 1, 1)) for values in (MEAN, STD))
        first = state["conv1.weight"][:, ::-1] if variant == "caffe" else state["conv1.weight"]
        state["conv1.weight"] = first / std
        state["data.mean"] = np.broadcast_to(mean, net.input_shape)
    try:
        net.load_state_dict(state, strict=False)
    except ValueError as error:
        raise DataError(f"the weights do not fit the network: {error}; give another file") from error
    if "fc8.weight" in state:
        return f"All layers start from the weights given, of AlexNet's {variant} variant."
    return (
        f"conv1 to fc7 start from the weights given, of AlexNet's {variant} variant; fc8 starts fresh, since "
        f"the weights do not tell {net.classes} classes."
    )


def _weight_and_bias(tensors: Mapping[str, np.ndarray], shape: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray] | None:
    """The array of that shape and its bias."""
    names = list(tensors)
    for position, name in enumerate(names):
        if tensors[name].shape == shape:
            for bias in (name.replace("weight", "bias").replace("_w", "_b"), *names[position + 1 : position + 2]):
                if bias in tensors and tensors[bias].shape == shape[:1]:
                    return tensors[name], tensors[bias]
    return None


def read_weights(path: str | Path) -> dict[str, np.ndarray]:
    """The arrays in a file of weights, by name: .safetensors, PyTorch's .pth or .pt, or .onnx in the order of use.

    PyTorch files hold a state_dict, alone or as "state_dict", and nothing in them is run; reading them needs the torch
    package, and .onnx files the onnx package.

    Raises:
        DataError: for a missing or damaged file, an unknown suffix, or a package that is not installed.
    """
    path = Path(path)
    readers = {".safetensors": _read_safetensors, ".pth": _read_torch, ".pt": _read_torch, ".onnx": _read_onnx}
    if path.suffix.lower() not in readers:
        raise DataError(f"{path} has the suffix {path.suffix!r}: give weights as {', '.join(readers)}")
    if not path.is_file():
        raise DataError(f"there is no file {path}: give the path of the weights")
    try:
        return readers[path.suffix.lower()](path)
    except ImportError as error:
        raise DataError(
            f"reading {path} needs the {error.name} package: pip install {error.name}, or give the weights "
            "as .safetensors"
        ) from error
    except Exception as error:  # each package has its own errors for a damaged file, and they share no base
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise DataError(
            f"{path} holds no weights that can be read ({reason}): give a whole file with nothing but a "
            "network's weights"
        ) from error


def _read_safetensors(path: Path) -> dict[str, np.ndarray]:
    return tc.storage.load_file(path)[0]


def _read_torch(path: Path) -> dict[str, np.ndarray]:
    import torch

    content = torch.load(path, map_location="cpu", weights_only=True)
    state = content.get("state_dict", content)
    return {name: tensor.detach().float().numpy() for name, tensor in state.items()}


def _read_onnx(path: Path) -> dict[str, np.ndarray]:
    """Initializers in the order in which the graph uses them: a weight, then its bias."""
    import onnx
    from onnx import numpy_helper

    graph = onnx.load(path).graph
    stored = {tensor.name: tensor for tensor in graph.initializer}
    tensors = {}
    for node in graph.node:
        transposed = any(attribute.name == "transB" and attribute.i for attribute in node.attribute)
        inputs_by_outputs = node.op_type in ("MatMul", "Gemm") and not transposed
        for name in node.input:
            if name in stored:
                array = numpy_helper.to_array(stored[name])
                tensors[name] = array.T if inputs_by_outputs and array.ndim == 2 else array
    return tensors
