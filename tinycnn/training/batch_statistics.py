"""Batch norm's statistics for evaluation, from one pass over a whole dataset."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from tinycnn.layers import BatchNorm2D
from tinycnn.runtime.device_loader import DeviceLoader
from tinycnn.training.data import Augment, Batches, Dataset

if TYPE_CHECKING:
    from tinycnn.network import Sequential


def population_statistics(
    net: Sequential, data: Any, batch_size: int = 64, *, balanced: bool = False, augment: Augment | None = None
) -> None:
    """Set every batch norm's running mean and variance to those of the whole dataset, in one pass.

    Each batch is normalized by its own statistics on the way, as in training, with dropout off; the batches' means and
    variances are then joined: σ² = Σ n_b (σ_b² + (μ_b − μ)²) / Σ n_b. For the same reason the batches are mixed, chosen
    (`balanced`) and changed (`augment`) as in training: data often comes sorted, and a batch of a single class would
    have that class's own scale taken out of it.
    """
    norms = [layer for layer in net.layers if isinstance(layer, BatchNorm2D)]
    batches = Batches(Dataset.of(data), batch_size, balanced=balanced, augment=augment, dtype=net.dtype)
    check_batch_norm(net, batches)
    for norm in norms:
        norm.seen = 0
    try:
        for x, _, _ in DeviceLoader(net.device).epoch(batches, 1):
            net.observe(x)
    finally:
        for norm in norms:
            norm.seen = None


def check_batch_norm(net: Sequential, batches: Batches) -> None:
    """Make sure that no batch would leave a batch norm a single value a channel, from which nothing can be learnt.

    Raises:
        ValueError: naming the layer, and which batch size to avoid.
    """
    if batches.smallest > 1:
        return
    for layer, shape in zip(net.layers, net.shapes, strict=True):
        if isinstance(layer, BatchNorm2D) and math.prod(shape[1:]) == 1:
            raise ValueError(
                f"{len(batches.data)} images in batches of {batches.batch_size} leave a batch of one image, in which "
                f"batch norm {layer.name!r} has a single value a channel and cannot normalize it: choose another "
                "batch_size, or leave that batch out of training with drop_last=True"
            )
