"""The input layer: are all pixels numbers, and what is subtracted from them."""

from __future__ import annotations

from typing import Any

from tinycnn.backend import get_array_module

Array = Any  # numpy.ndarray or cupy.ndarray


def all_finite(x: Array) -> bool:
    """Whether no number of x, of any shape, is NaN or infinite."""
    return bool(get_array_module(x).isfinite(x).all())


def image_input_forward(x: Array, mean: Array, std: Array | None = None) -> Array:
    """y = x − mean, or (x − mean) / std: x (N, C, H, W), mean and std (C, H, W) → y (N, C, H, W)."""
    return x - mean if std is None else (x - mean) / std
