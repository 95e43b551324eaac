"""What input layers share: what is subtracted from the data, and what the rest is divided by."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from tinycnn import kernels
from tinycnn.backend import get_array_module
from tinycnn.layers.base import Array, InputLayer, Shape

NORMALIZATIONS = ("none", "zerocenter", "zscore")
CONSTANT = 1e-6  # a deviation below this share of the numbers' own size is rounding


class NormalizedInput(InputLayer):
    """y = x ("none"), x − mean ("zerocenter") or (x − mean) / std ("zscore"), for samples of any shape.

    mean and std have a sample's shape. They are state, saved with the network, and measured by `fit` (the Trainer calls
    it); until then they are 0 and 1.
    """

    def __init__(self, shape: Shape, normalization: str, name: str | None):
        super().__init__(name)
        if normalization not in NORMALIZATIONS:
            raise ValueError(f"normalization is {normalization!r}: choose one of {', '.join(NORMALIZATIONS)}")
        self.shape, self.normalization = shape, normalization
        self.fitted = normalization == "none"

    def build(self, input_shape: Shape, dtype: Any, rng: np.random.Generator) -> None:
        if self.normalization != "none":
            self.state["mean"] = np.zeros(self.shape, dtype)
        if self.normalization == "zscore":
            self.state["std"] = np.ones(self.shape, dtype)

    def fit(self, samples: Iterable[Array]) -> None:
        """Measure mean (and std) over samples of this layer's shape, taken one by one.

        A number that never changes gets std 1.

        Raises:
            ValueError: for a sample of another shape, one with NaN or infinite numbers, or no samples at all.
        """
        total, squares, count = np.zeros(self.shape), np.zeros(self.shape), 0
        for sample in samples:
            if sample.shape != self.shape:
                raise ValueError(
                    f"{self.sample} {count} has shape {sample.shape}, but the network takes {self.sample}s {self.shape}"
                )
            if not np.isfinite(sample).all():
                raise ValueError(
                    f"{self.sample} {count} holds NaN or infinite numbers: clean the data, "
                    "for instance with numpy.nan_to_num"
                )
            total += sample
            squares += np.square(sample, dtype=np.float64)
            count += 1
        if count == 0:
            raise ValueError(f"there are no {self.sample}s to measure the mean on: give at least one")
        mean, square = self.joined(total / count), self.joined(squares / count)
        std = np.sqrt(np.maximum(square - mean**2, 0))
        statistics = {"mean": mean, "std": np.where(std <= CONSTANT * np.sqrt(square), 1, std)}
        for name, array in self.state.items():
            array[...] = get_array_module(array).asarray(statistics[name])
        self.fitted = True

    def joined(self, means: np.ndarray) -> np.ndarray:
        """The means of single numbers, joined where several share one."""
        return means

    def forward(self, x: Array, training: bool = False) -> Array:
        if self.normalization == "none":
            return x
        return kernels.for_array(x).image_input_forward(x, self.state["mean"], self.state.get("std"))

    def backward(self, dy: Array) -> Array:
        return dy / self.state["std"] if self.normalization == "zscore" else dy
