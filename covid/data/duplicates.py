"""The same image under two names: identical files, and images that were re-encoded, resized or brightened."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

THUMBNAIL = 32  # pixels along each side
MAX_DISTANCE, MIN_CORRELATION = 10, 0.98  # two different radiographs hardly ever reach either, and never both
_CHUNK = 1024  # images compared with all others at once


class Pair(NamedTuple):
    """Two images, by their positions, with the bits in which their hashes differ and their thumbnails' correlation."""

    first: int
    second: int
    distance: int
    correlation: float


def exact_duplicates(hashes: Sequence[str]) -> list[list[int]]:
    """Groups of positions with the same hash of the file's bytes, for every hash that occurs more than once.

    >>> exact_duplicates(["a", "b", "a"])
    [[0, 2]]
    """
    groups = defaultdict(list)
    for i, value in enumerate(hashes):
        groups[value].append(i)
    return [group for group in groups.values() if len(group) > 1]


def near_duplicates(bits: NDArray[np.bool_], thumbnails: NDArray[np.uint8]) -> list[Pair]:
    """All pairs of images whose perceptual hashes nearly agree and whose thumbnails confirm it.

    `bits` (N, 64) comes from `perceptual_hash`, `thumbnails` (N, 32, 32) from `thumbnail`. A pair's hashes differ in at
    most MAX_DISTANCE bits, and its thumbnails' correlation is at least MIN_CORRELATION: the hash alone would pair
    images that are merely alike. Rotated, mirrored or cropped copies are not found, nor are images of one even grey.
    """
    signs = np.where(bits, np.float32(1), np.float32(-1))
    flat = thumbnails.reshape(len(thumbnails), -1).astype(np.float32)
    flat -= flat.mean(axis=1, keepdims=True)
    flat /= np.maximum(np.linalg.norm(flat, axis=1, keepdims=True), 1e-6)
    pairs = []
    for start in range(0, len(bits), _CHUNK):
        chunk = slice(start, start + _CHUNK)
        distance = (64 - signs[chunk] @ signs.T) / 2  # 64 minus twice the differing bits is the dot product
        correlation = flat[chunk] @ flat.T
        close = (distance <= MAX_DISTANCE) & (correlation >= MIN_CORRELATION)
        for i, j in np.argwhere(np.triu(close, k=start + 1)):
            pairs.append(Pair(start + int(i), int(j), int(distance[i, j]), float(correlation[i, j])))
    return pairs


# ----------------------------------------------------------------------------------------- fingerprints


def thumbnail(grey: NDArray[np.generic]) -> NDArray[np.uint8]:
    """The image (H, W) reduced to 32 × 32 pixels by averaging, whatever its shape."""
    image = Image.fromarray(grey.astype(np.float32)).resize((THUMBNAIL, THUMBNAIL), Image.Resampling.BOX)
    return np.asarray(image).round().astype(np.uint8)


def perceptual_hash(tiny: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """64 bits that survive re-encoding, resizing and a change of brightness or contrast (pHash).

    The thumbnail's discrete cosine transform, its 8 × 8 lowest frequencies without the constant row and column, each
    compared with their median. Source: C. Zauner, "Implementation and benchmarking of perceptual image hash functions"
    (2010).
    """
    from scipy.fft import dctn  # here, because SciPy takes long to load

    low = dctn(tiny.astype(np.float64))[1:9, 1:9]
    return (low > np.median(low)).ravel()
