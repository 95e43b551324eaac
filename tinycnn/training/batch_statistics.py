"""Batch norm's statistics for evaluation, from one pass over a whole dataset."""

from __future__ import annotations

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
    batches = Batches(
        Dataset.of(data), batch_size, drop_last=False, balanced=balanced, augment=augment, dtype=net.dtype
    )
    for norm in norms:
        norm.seen = 0
    try:
        for x, _, _ in DeviceLoader(net.device).epoch(batches, 1):
            with_batch_statistics(net, x, track=True)
    finally:
        for norm in norms:
            norm.seen = None
