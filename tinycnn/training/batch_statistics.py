"""Batch norm's statistics for evaluation, from one pass over a whole dataset."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from tinycnn.layers import BatchNorm
from tinycnn.runtime.device_loader import DeviceLoader
from tinycnn.runtime.inference import with_batch_statistics
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
    norms = [layer for _, layer in net.simple_layers() if isinstance(layer, BatchNorm)]
    batches = Batches(Dataset.of(data), batch_size, balanced=balanced, augment=augment, dtype=net.dtype)
    check_batch_norm(net, batches)
    for norm in norms:
        norm.seen = 0
    try:
        for x, _, _ in DeviceLoader(net.device).epoch(batches, 1):
            with_batch_statistics(net, x, track=True)
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
    for name, layer in net.simple_layers():
        if isinstance(layer, BatchNorm) and math.prod(layer.input_shape[1:]) == 1:
            raise ValueError(
                f"{len(batches.data)} images in batches of {batches.batch_size} leave a batch of one image, in which "
                f"batch norm {name!r} has a single value a channel and cannot normalize it: choose another "
                "batch_size, or leave that batch out of training with drop_last=True"
            )
