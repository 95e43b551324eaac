"""How good a network is on data that it has not learnt from."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from tinycnn import backend
from tinycnn.layers.base import Array, Shape
from tinycnn.runtime.device_loader import DeviceLoader
from tinycnn.runtime.inference import with_batch_statistics
from tinycnn.training.batch_statistics import check_batch_norm
from tinycnn.training.data import Batches, Dataset

if TYPE_CHECKING:
    from tinycnn.network import Sequential


class Evaluation(NamedTuple):
    """What `evaluate` found."""

    loss: float
    accuracy: float | None  # None where the targets are no labels
    probabilities: np.ndarray  # (N, classes), or what else the network puts out


def evaluate(net: Sequential, data: Any, batch_size: int = 64, *, statistics: str = "moving") -> Evaluation:
    """The network's loss, accuracy and probabilities on a Dataset or a pair (images, labels), without dropout.

    With statistics="batch" batch norm uses each batch's own mean and variance, and the images are dealt to the batches
    at random (always alike), because those of a single class would normalize each other away.
    """
    data = Dataset.of(data)
    check_fit(net, data)
    order = np.arange(len(data))
    if statistics == "batch":
        np.random.default_rng(0).shuffle(order)
    dealt = Dataset(data.x, data.t, data.indices[order])
    batches = Batches(dealt, batch_size, shuffle=False, dtype=net.dtype)
    if statistics == "batch":
        check_batch_norm(net, batches)
    outputs = []
    for x, _, _ in DeviceLoader(net.device).epoch(batches, 1):
        y = net.predict(x, batch_size) if statistics == "moving" else with_batch_statistics(net, x, track=False)
        outputs.append(backend.to_device(y, "cpu"))
    p = np.empty((len(data), *net.shapes[-1]), net.dtype)
    p[order] = np.concatenate(outputs)
    t = data.labels
    loss = net.loss(backend.to_device(p, net.device), backend.to_device(t, net.device))
    return Evaluation(loss, accuracy(p, t), p)


def accuracy(p: Array, labels: np.ndarray) -> float | None:
    """The share of images whose largest probability is their label's; None where the targets are no labels."""
    if not are_labels(labels, p.shape[1:]):
        return None
    return float((backend.to_device(p, "cpu").argmax(axis=1) == labels).mean())


def are_labels(t: np.ndarray, output_shape: Shape) -> bool:
    """Whether targets t name one of several outputs, each image one."""
    return t.ndim == 1 and t.dtype.kind in "iu" and len(output_shape) == 1 and output_shape[0] > 1


def check_fit(net: Sequential, data: Dataset) -> None:
    """Make sure that `data` has the shapes and targets that `net` takes: better said now than after an epoch.

    Raises:
        ValueError, TypeError: naming what does not fit.
    """
    if data.x.shape[1:] != net.input_shape:
        sample, expected = net.wanted()
        raise ValueError(f"the {sample}s have shape {data.x.shape}, but the network takes {expected}")
    net.output_layer()
    output: Any = net.layers[-1]
    output.targets(data.labels, len(data), net.shapes[-1])
