"""Whether an image looks like the training images at all: its colour, and four statistics of its pixels beside theirs.

No check of this kind can tell a radiograph from everything else. It finds what is plainly none: a colour photograph, a
page of text, noise, most screenshots and grey photographs. What passes may still be no radiograph.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

STATISTICS = {
    "brightness": "mean grey level",
    "spread": "standard deviation of the grey levels",
    "edges": "mean difference between neighbouring pixels",
    "likeness": "correlation with the mean training image",
}
COLOURED = 0.05  # share of clearly coloured pixels from which on an image is no grey one; letters alone have less
_CHROMA = 40  # difference between the largest and the smallest of R, G and B that counts as clearly coloured
_SIDE = 32  # of the mean training image
_OUTER = (0.1, 99.9)  # percentiles between which a statistic is usual


@dataclass(frozen=True)
class Reference:
    """What the prepared training images have in common: their mean, and the range of each statistic."""

    mean_image: bytes  # grey levels, _SIDE × _SIDE, row by row
    ranges: dict[str, tuple[float, float]]

    @classmethod
    def of(cls, images: Iterable[NDArray[np.uint8]]) -> Reference:
        """Measure prepared images, each (H, W): the 0.1th to the 99.9th percentile of every statistic.

        The range is widened by a tenth on both sides, because a few hundred images do not show its ends.
        """
        plain, small = zip(*((_statistics(image), _small(image)) for image in images), strict=True)
        mean = np.mean(small, axis=0).round().astype(np.uint8)
        values = np.array([(*three, _correlation(tiny, mean)) for three, tiny in zip(plain, small, strict=True)])
        low, high = np.percentile(values, _OUTER, axis=0)
        margin = (high - low) / 10
        ends = zip((low - margin).round(4).tolist(), (high + margin).round(4).tolist(), strict=True)
        return cls(mean.tobytes(), dict(zip(STATISTICS, ends, strict=True)))

    @classmethod
    def of_json(cls, values: dict[str, Any]) -> Reference:
        """What `to_json` gave."""
        ranges = {name: (low, high) for name, (low, high) in values["ranges"].items()}
        return cls(bytes.fromhex(values["mean_image"]), ranges)

    def to_json(self) -> dict[str, Any]:
        """Plain JSON types."""
        return {"mean_image": self.mean_image.hex(), "ranges": {name: list(ends) for name, ends in self.ranges.items()}}

    def unusual(self, image: NDArray[np.uint8]) -> list[str]:
        """In which statistics a prepared image (H, W) lies outside the training images' range, in words."""
        mean = np.frombuffer(self.mean_image, dtype=np.uint8).reshape(_SIDE, _SIDE)
        values = dict(zip(STATISTICS, (*_statistics(image), _correlation(_small(image), mean)), strict=True))
        return [
            f"{STATISTICS[name]} {values[name]:.2f} instead of {low:.2f} to {high:.2f}"
            for name, (low, high) in self.ranges.items()
            if not low <= values[name] <= high
        ]


def _small(image: NDArray[np.uint8]) -> NDArray[np.float32]:
    picture = Image.fromarray(image).resize((_SIDE, _SIDE), Image.Resampling.BOX)
    return np.asarray(picture).astype(np.float32)


def _statistics(image: NDArray[np.uint8]) -> tuple[float, float, float]:
    """The values of STATISTICS but for the last, in that order."""
    grey = image.astype(np.float32)
    edges = (np.abs(np.diff(grey, axis=0)).mean() + np.abs(np.diff(grey, axis=1)).mean()) / 2
    return float(grey.mean()), float(grey.std()), float(edges)


def _correlation(small: NDArray[np.float32], mean: NDArray[np.uint8]) -> float:
    """Pearson's correlation of two small images; 0 where one of them is of a single grey level."""
    a, b = small - small.mean(), mean - mean.mean()
    norm = float(np.sqrt((a**2).sum() * (b**2).sum()))
    return float((a * b).sum()) / norm if norm else 0.0


def coloured_share(path: Path) -> float:
    """The share of an image file's pixels that are clearly coloured; 0 for a grey image, whatever its mode."""
    with Image.open(path) as image:
        if image.mode in ("1", "L", "LA", "F") or image.mode.startswith("I"):
            return 0.0
        small = image.convert("RGB")
    small.thumbnail((256, 256))
    pixels = np.asarray(small).astype(np.int16)
    return float((pixels.max(axis=2) - pixels.min(axis=2) > _CHROMA).mean())
