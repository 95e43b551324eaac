"""A run's images as arrays: the folder that they are in, their cached pixels, and a Dataset for each split."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

import tinycnn as tc
from covid.config import Config
from covid.data import phantom
from covid.data.manifest import SPLITS, Radiograph
from covid.data.preprocess import Settings, pixel_cache


def data_root(config: Config, cache: Path) -> Path:
    """The folder with the images; phantoms are drawn into the cache folder when there is no data."""
    if config.data:
        return Path(config.data)
    folder = cache / f"phantoms-{phantom.VERSION}-{config.phantoms}-{config.size}-{config.seed}"
    phantom.write_phantoms(folder, config.phantoms, config.seed, config.size)
    return folder


def datasets(images: Sequence[Radiograph], config: Config, root: Path, cache: Path) -> dict[str, tc.Dataset]:
    """Each split's images as a Dataset of pixels 0 … 255, from one memory-mapped file."""
    images = readable(images)
    x = pixels(images, config, root, cache)
    t = np.array([config.classes.index(image.label) if image.split else -1 for image in images])
    sides = np.array([image.split for image in images])
    return {side: tc.Dataset(x, t, np.flatnonzero(sides == side)) for side in SPLITS}


def readable(images: Sequence[Radiograph]) -> list[Radiograph]:
    """The images whose file could be read, those left out of the split too: then all splits share one cache."""
    return [image for image in images if image.sha256]


def pixels(images: Sequence[Radiograph], config: Config, root: Path, cache: Path) -> np.ndarray:
    """The images' pixels (N, channels, H, W) uint8; grey repeated for every channel, without copying."""
    settings = Settings(size=(config.size, config.size), clahe=config.clahe)
    grey = pixel_cache(root, images, settings, cache)
    return np.broadcast_to(grey[:, None], (len(grey), config.channels, *grey.shape[1:]))
