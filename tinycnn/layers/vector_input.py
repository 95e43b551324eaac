"""The input layer for flat data: rows of numbers instead of images."""

from __future__ import annotations

import numpy as np

from tinycnn.layers.normalized_input import NormalizedInput


class VectorInput(NormalizedInput):
    """The first layer of a network for vectors: y = x ("none"), x − mean ("zerocenter") or (x − mean) / std ("zscore").

    x (N, D) → y of the same shape. mean and std are vectors (D,), each number's own over the training set. They are
    state, saved with the network, and measured by `fit` (the Trainer calls it); until then they are 0 and 1.

    Args:
        size: D, how many numbers a sample has.
        normalization: "none", "zerocenter" or "zscore".

    Raises:
        ValueError: for a size that is no positive whole number, or an unknown normalization.

    Source: MATLAB's featureInputLayer.

    >>> layer = VectorInput(2, normalization="zscore")
    >>> layer.build((2,), np.float64, np.random.default_rng(0))
    >>> layer.fit(np.array([[1.0, 100.0], [3.0, 300.0]]))
    >>> layer.forward(np.array([[3.0, 200.0]]))
    array([[1., 0.]])
    """

    sample = "vector"

    def __init__(self, size: int, normalization: str = "none", name: str | None = None):
        if not isinstance(size, (int, np.integer)) or size < 1:
            remedy = "; for images use ImageInput((channels, height, width))" if np.ndim(size) else ""
            raise ValueError(f"size is {size!r}: give one positive whole number{remedy}")
        super().__init__((int(size),), normalization, name)
        self.size = int(size)

    def expected(self) -> str:
        return f"{super().expected()}: a row each"
