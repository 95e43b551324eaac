"""Dropout from a counter-based generator: its one number from the host is the seed."""

from __future__ import annotations

import numpy as np

from tinycnn.backend import get_array_module
from tinycnn.kernels.gpu import replay
from tinycnn.kernels.gpu.launch import Array, blocks, launch

THREADS = 256


def dropout_forward(x: Array, rate: float, rng: np.random.Generator) -> tuple[Array, Array]:
    """Twin of `reference.dropout_forward`. Other random numbers: counters and one seed, drawn from rng at each call."""
    xp = get_array_module(x)
    x, y, mask = xp.ascontiguousarray(x), xp.empty(x.shape, x.dtype), xp.empty(x.shape, x.dtype)
    seed = replay.device_scalar(lambda: rng.integers(2**63), np.uint64, like=x)
    threshold = np.uint32(min(2**32 - 1, round(rate * 2**32)))
    launch(
        "dropout",
        "dropout_forward",
        blocks(x.size, 4 * THREADS),
        THREADS,
        x,
        seed,
        y,
        mask,
        threshold,
        1 / (1 - rate),
        np.int64(x.size),
        dtype=x.dtype,
    )
    return y, mask
