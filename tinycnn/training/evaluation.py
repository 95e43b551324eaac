"""How good a network is on data that it has not learnt from."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from tinycnn import backend
from tinycnn.layers.base import Array
from tinycnn.runtime.device_loader import DeviceLoader
from tinycnn.runtime.inference import with_batch_statistics
from tinycnn.training.data import Batches, Dataset

if TYPE_CHECKING:
    from tinycnn.network import Sequential


class Evaluation(NamedTuple):
    """What `evaluate` found."""

    loss: float
    accuracy: float
    probabilities: np.ndarray  # (N, classes)


def evaluate(net: Sequential, data: Any, batch_size: int = 64, *, statistics: str = "moving") -> Evaluation:
    """The network's loss, accuracy and probabilities on a Dataset or a pair (images, labels), without dropout.

    With statistics="batch" batch norm uses each batch's own mean and variance, and the images are dealt to the batches
    at random (always alike), because those of a single class would normalize each other away.
    """
    data = Dataset.of(data)
    order = np.arange(len(data))
    if statistics == "batch":
        np.random.default_rng(0).shuffle(order)
    dealt = Dataset(data.x, data.t, data.indices[order])
    batches = Batches(dealt, batch_size, shuffle=False, drop_last=False, dtype=net.dtype)
    outputs = []
    for x, _, _ in DeviceLoader(net.device).epoch(batches, 1):
        y = net.predict(x, batch_size) if statistics == "moving" else with_batch_statistics(net, x, track=False)
        outputs.append(backend.to_device(y, "cpu"))
    p = np.empty((len(data), net.classes), net.dtype)
    p[order] = np.concatenate(outputs)
    t = data.labels
    loss = net.loss(backend.to_device(p, net.device), backend.to_device(t, net.device))
    return Evaluation(loss, accuracy(p, t), p)


def accuracy(p: Array, labels: np.ndarray) -> float:
    """The share of images whose largest probability is their label's."""
    return float((backend.to_device(p, "cpu").argmax(axis=1) == labels).mean())
