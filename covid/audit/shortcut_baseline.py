"""The shortcut baseline, which any claim must beat: a linear classifier of a few coarse features of the image.

They are plain numbers such as mean brightness or the letters' place, and no detail of the lungs. What it gets right
needs no radiology, so only what a network gets right beyond that can come from the disease.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from covid.audit.image_features import BORDER, ImageFeatures, frame

FILE_FEATURES = (
    "pixels",
    "aspect ratio",
    "bytes per pixel",
    "brightness",
    "spread",
    "border brightness",
    "black share",
    "white share",
    "letters",
    "topmost letter",
    "JPEG",
    "colour",
)
PIXEL_FEATURES = (
    "brightness",
    "spread",
    "top edge",
    "bottom edge",
    "left edge",
    "right edge",
    "border spread",
    "black share",
    "white share",
    "sharpness",
)
_DECAY = 1e-3
_CHUNK = 256


def file_features(features: Sequence[ImageFeatures]) -> NDArray[np.float64]:
    """What the original files show, as numbers (N, len(FILE_FEATURES))."""
    return np.array(
        [
            [
                np.log(c.width * c.height),
                np.log(c.width / c.height),
                np.log(c.bytes / (c.width * c.height)),
                c.brightness,
                c.spread,
                c.border,
                c.black,
                c.white,
                min(c.letters, 3),
                c.letter_height,
                c.format == "JPEG",
                c.mode not in ("L", "1", "I", "I;16", "LA"),
            ]
            for c in features
        ],
        dtype=np.float64,
    )


def pixel_features(x: NDArray[np.uint8]) -> NDArray[np.float64]:
    """What prepared films x (N, C, H, W) show without any detail, as numbers (N, len(PIXEL_FEATURES))."""
    return np.concatenate([_pixel_features(x[i : i + _CHUNK, 0]) for i in range(0, len(x), _CHUNK)])


def _pixel_features(x: NDArray[np.uint8]) -> NDArray[np.float64]:
    grey = x.astype(np.float32)
    height, width = grey.shape[1:]
    down, across = max(1, round(BORDER * height)), max(1, round(BORDER * width))
    return np.stack(
        [
            grey.mean(axis=(1, 2)),
            grey.std(axis=(1, 2)),
            grey[:, :down].mean(axis=(1, 2)),
            grey[:, -down:].mean(axis=(1, 2)),
            grey[:, :, :across].mean(axis=(1, 2)),
            grey[:, :, -across:].mean(axis=(1, 2)),
            grey[:, frame((height, width))].std(axis=1),
            (x < 8).mean(axis=(1, 2)),
            (x > 247).mean(axis=(1, 2)),
            np.abs(np.diff(grey, axis=2)).mean(axis=(1, 2)),
        ],
        axis=1,
    ).astype(np.float64)


@dataclass(frozen=True)
class LinearClassifier:
    """Multinomial logistic regression: p = softmax(W·z + b), z the features with mean 0 and spread 1 in training."""

    mean: NDArray[np.float64]  # (F,)
    spread: NDArray[np.float64]  # (F,)
    weight: NDArray[np.float64]  # (F, K)
    bias: NDArray[np.float64]  # (K,)

    @classmethod
    def fit(
        cls, features: NDArray[np.float64], targets: NDArray[np.int64], classes: int, *, equal_classes: bool = False
    ) -> LinearClassifier:
        """Minimise the mean cross-entropy plus a little weight decay. features (N, F), targets (N,) in 0 … classes-1.

        With `equal_classes` every class weighs the same, however few films it has.
        """
        from scipy.optimize import minimize  # here, because SciPy takes long to load

        mean, spread = features.mean(axis=0), features.std(axis=0)
        spread = np.where(spread > 1e-12, spread, 1)
        z, (n, f) = (features - mean) / spread, features.shape
        wanted = np.eye(classes)[targets]
        counts = wanted.sum(axis=0)
        weights = (1 / np.maximum(counts, 1) / (counts > 0).sum())[targets] if equal_classes else np.full(n, 1 / n)

        def loss(parameters: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
            weight, bias = parameters[:-classes].reshape(f, classes), parameters[-classes:]
            scores = z @ weight + bias
            log_p = scores - np.logaddexp.reduce(scores, axis=1, keepdims=True)
            slope = weights[:, None] * (np.exp(log_p) - wanted)
            value = -(weights * (wanted * log_p).sum(axis=1)).sum() + _DECAY / 2 * (weight**2).sum()
            return float(value), np.concatenate([(z.T @ slope + _DECAY * weight).ravel(), slope.sum(axis=0)])

        best = minimize(loss, np.zeros((f + 1) * classes), jac=True, method="L-BFGS-B").x
        return cls(mean, spread, best[:-classes].reshape(f, classes), best[-classes:])

    def predict(self, features: NDArray[np.float64]) -> NDArray[np.int64]:
        """The most probable class of each film (N,)."""
        return ((features - self.mean) / self.spread @ self.weight + self.bias).argmax(axis=1)
