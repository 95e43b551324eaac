"""The shortcut baseline, which any claim must beat: a linear classifier of a few coarse features of the image.

They are plain numbers such as mean brightness or the letters' place, and no detail of the lungs. What it gets right
needs no radiology, so only what a network gets right beyond that can come from the disease.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from covid.audit.image_features import BORDER, ImageFeatures, frame

if TYPE_CHECKING:
    from sklearn.pipeline import Pipeline

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
_DECAY = 1e-3  # λ
_CHUNK = 256  # images at once


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
    """What prepared images x (N, C, H, W) show without any detail, as numbers (N, len(PIXEL_FEATURES))."""
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


def fit_linear_classifier(
    features: NDArray[np.float64], targets: NDArray[np.int64], *, equal_classes: bool = False
) -> Pipeline:
    """Multinomial logistic regression of features (N, F) on targets (N,), as a scikit-learn pipeline.

    The features are scaled to mean 0 and standard deviation 1, and the mean cross-entropy plus λ/2·‖W‖² is minimised,
    λ = 0.001. With `equal_classes` every class weighs the same, however few images it has. `predict(features)` gives
    the most probable class of each image (N,), one of those in `targets`.

    >>> fit_linear_classifier(np.array([[0.0], [1.0], [9.0]]), np.array([0, 0, 1])).predict([[0.5], [8.0]]).tolist()
    [0, 1]
    """
    from sklearn.linear_model import LogisticRegression  # here, because scikit-learn takes long to load
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    # Two classes get one column of weights, the difference of the softmax's two, whose ‖W‖² is half its own.
    decay = _DECAY / 2 if len(np.unique(targets)) == 2 else _DECAY
    weights = "balanced" if equal_classes else None
    regression = LogisticRegression(C=1 / (decay * len(targets)), class_weight=weights, tol=1e-6, max_iter=1000)
    return make_pipeline(StandardScaler(), regression).fit(features, targets)
