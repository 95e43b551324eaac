"""The paper's Tables 1 and 2 as a run has them."""

from __future__ import annotations

import math
from typing import Any

import tinycnn as tc
from covid import paper
from covid.config import Config
from covid.report.document import Table, table


def table_1(net: tc.Sequential) -> Table:
    """Every layer of a network, from the network itself."""
    rows, total = [], 0
    for layer, shape in zip(net.layers, net.shapes, strict=True):
        parameters = sum(array.size for array in layer.parameters.values())
        total += parameters
        place = (*shape[1:], shape[0]) if len(shape) == 3 else shape
        rows.append([layer.name, configuration(layer), " × ".join(map(str, place)), f"{parameters:,}"])
    rows.append(["total", "", "", f"{total:,}"])
    return table(
        "Table 1. The network, layer by layer: output shape (height × width × channels) and number of parameters.",
        ["layer", "configuration", "output", "parameters"],
        rows,
    )


def configuration(layer: Any) -> str:
    """What the paper's Table 1 says of a layer, in its words.

    >>> configuration(tc.Conv2D(8, 3))
    'filter size 3,3; filters 8; stride 1,1; padding 0'
    """
    if isinstance(layer, tc.Conv2D):
        groups = f"; groups {layer.groups}" if layer.groups > 1 else ""
        return (
            f"filter size {_pair(layer.kernel)}; filters {layer.filters}; stride {_pair(layer.stride)}; padding "
            f"{_padding(layer.padding)}{groups}"
        )
    if isinstance(layer, tc.MaxPool2D):
        return f"pool size {_pair(layer.pool)}; stride {_pair(layer.stride)}; padding {_padding(layer.padding)}"
    if isinstance(layer, tc.BatchNorm2D):
        return f"epsilon {layer.eps:.10f}".rstrip("0")
    if isinstance(layer, tc.Dropout):
        return f"probability {layer.rate:g}"
    if isinstance(layer, tc.FullyConnected):
        return f"output size {layer.outputs}"
    if isinstance(layer, tc.ImageInput):
        return f"normalization {layer.normalization}, mean of each {layer.mean_of}"
    return {"ReLU": "max(0, x)", "GlobalAveragePool2D": "mean of each channel"}.get(type(layer).__name__, "")


def same_as_table_1(net: tc.Sequential, config: Config) -> str:
    """A sentence on how far the network is the paper's Table 1."""
    parameters = sum(math.prod(array.shape) for array in net.parameters().values())
    if config.network != "paper":
        return f"This is not the network of the paper's Table 1; it has {parameters:,} parameters."
    if config.variant == "text":
        return "These are the 22 layers that the paper's text describes, with one dropout layer; its Table 1 has two."
    choices = (config.channels, config.padding, config.size) == (1, 0, 224)
    made_for = (
        "grey 224 × 224 images and no padding"
        if choices
        else (f"{config.channels} channel(s), {config.size} × {config.size} images and padding {config.padding}")
    )
    return (
        f"After the input these are the {len(net.layers) - 1} rows of the paper's Table 1, with {parameters:,} "
        f"parameters for {made_for}."
    )


def table_2(config: Config) -> Table:
    """The paper's training options beside the run's."""
    rows = [[option, value, _setting(config, name)] for name, option, value in paper.TABLE_2]
    return table("Table 2. Training options.", ["option", "paper", "this run"], rows)


_FURTHER = {
    "optimizer": ("Optimizer", "SGDM"),
    "schedule": ("Learning rate schedule", "piecewise"),
    "weight_decay": ("L2 factor", "–"),
    "batch_norm": ("Batch norm statistics when evaluating", "–"),
    "balanced": ("Classes balanced", "–"),
    "augment": ("Augmentation", "–"),
    "clahe": ("Adaptive histogram equalization", "yes"),
    "size": ("Size of the images", "224 × 224 and 224 × 244"),
    "channels": ("Channels", "–"),
    "padding": ("Padding of the convolutions", "–"),
    "split": ("Split", "by image"),
    "seed": ("Seed", "–"),
    "split_seed": ("Seed of the split", "–"),
}


def further_settings(config: Config) -> Table:
    """What Table 2 leaves out, and what the paper says of it elsewhere."""
    rows = []
    for name, (option, value) in _FURTHER.items():
        rows.append([option, value, _setting(config, name)])
    return table("What Table 2 leaves out; a dash where the paper says nothing.", ["option", "paper", "this run"], rows)


def _setting(config: Config, name: str) -> str:
    if not name:  # shuffling, which is no setting
        return "every epoch"
    value = getattr(config, name)
    if value is None:
        return "as the seed"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if name == "size":
        return f"{value} × {value}"
    if (config.optimizer == "adam" and name == "momentum") or (config.schedule != "piecewise" and "drop" in name):
        return "not used"
    return f"{value:g}" if isinstance(value, float) else str(value)


def _pair(values: Any) -> str:
    return ",".join(map(str, values))


def _padding(values: Any) -> str:
    if isinstance(values, str):
        return values
    return str(values[0]) if len(set(values)) == 1 else _pair(values)
