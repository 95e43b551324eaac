"""A run's images as arrays: the folder that they are in, their cached pixels, and a Dataset for each split."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

import tinycnn as tc
from covid.config import Config
from covid.data import phantom
from covid.data.manifest import SPLITS, Film
from covid.data.preprocess import Settings, pixel_cache


def data_root(config: Config, cache: Path) -> Path:
    """The folder with the films; phantoms are drawn into the cache folder when there is no data."""
    if config.data:
        return Path(config.data)
    folder = cache / f"phantoms-{phantom.VERSION}-{config.phantoms}-{config.size}-{config.seed}"
    phantom.write_phantoms(folder, config.phantoms, config.seed, config.size)
    return folder


def datasets(films: Sequence[Film], config: Config, root: Path, cache: Path) -> dict[str, tc.Dataset]:
    """Each split's films as a Dataset of pixels 0 … 255, from one memory-mapped file."""
    films = readable(films)
    x = pixels(films, config, root, cache)
    t = np.array([config.classes.index(film.label) if film.split else -1 for film in films])
    sides = np.array([film.split for film in films])
    return {side: tc.Dataset(x, t, np.flatnonzero(sides == side)) for side in SPLITS}


def readable(films: Sequence[Film]) -> list[Film]:
    """The films whose file could be read, those left out of the split too: then all splits share one cache."""
    return [film for film in films if film.sha256]


def pixels(films: Sequence[Film], config: Config, root: Path, cache: Path) -> np.ndarray:
    """The films' pixels (N, channels, H, W) uint8; grey repeated for every channel, without copying."""
    settings = Settings(size=(config.size, config.size), clahe=config.clahe)
    grey = pixel_cache(root, films, settings, cache)
    return np.broadcast_to(grey[:, None], (len(grey), config.channels, *grey.shape[1:]))
