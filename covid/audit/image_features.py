"""What an image file shows besides the patient: its size, format, brightness, border and letters."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from covid.data.duplicates import perceptual_hash, thumbnail
from covid.data.manifest import Radiograph
from covid.data.preprocess import read_grey

BORDER = 0.08  # how wide the border is, as a share of the image's width and height
_LONGEST = 512  # letters are sought in a copy no longer than this


@dataclass(frozen=True)
class ImageFeatures:
    """What one file shows besides the patient. Grey levels run from 0 to 255; shares from 0 to 1."""

    width: int
    height: int
    bytes: int
    format: str  # as Pillow names it: "JPEG", "PNG"
    mode: str  # as Pillow names it: "L" grey, "RGB", "RGBA", "P" palette
    brightness: float  # mean grey level
    spread: float  # standard deviation of the grey levels
    border: float  # mean grey level of the outer frame
    black: float  # share of pixels below 8
    white: float  # share of pixels above 247
    letters: int  # letter-like marks, see `letter_boxes`
    letter_height: float  # where the topmost of them is: 0 at the top edge, 1 at the bottom; 0.5 without any
    bits: NDArray[np.bool_]  # (64,), see `perceptual_hash`
    thumbnail: NDArray[np.uint8]  # (32, 32), whatever the image's shape


def read_image_features(root: Path, images: Sequence[Radiograph], *, workers: int | None = None) -> list[ImageFeatures]:
    """The features of each image, read by several processes behind a progress bar.

    Raises DataError if an image is missing or damaged.
    """
    from tinycnn.training.progress import (
        process_map,  # here, because the processes that it starts import this module too
    )

    return list(
        process_map(
            image_features, [root / image.path for image in images], "inspecting images", "image", workers=workers
        )
    )


def image_features(path: Path) -> ImageFeatures:
    """The features of one image file. Raises DataError if it is missing or damaged."""
    grey = read_grey(path)
    with Image.open(path) as image:
        kind, mode = image.format or "", image.mode
    height, width = grey.shape
    letters = letter_boxes(grey)
    tiny = thumbnail(grey)
    return ImageFeatures(
        width,
        height,
        path.stat().st_size,
        kind,
        mode,
        brightness=float(grey.mean()),
        spread=float(grey.std()),
        border=float(grey[frame(grey.shape)].mean()),
        black=float((grey < 8).mean()),
        white=float((grey > 247).mean()),
        letters=len(letters),
        letter_height=min((top for top, *_ in letters), default=height / 2) / height,
        bits=perceptual_hash(tiny),
        thumbnail=tiny,
    )


def frame(shape: tuple[int, ...], width: float = BORDER) -> NDArray[np.bool_]:
    """A mask (H, W) of the outer frame, as wide as the share `width` of each side and at least one pixel.

    >>> frame((4, 5), 0.2).astype(int)
    array([[1, 1, 1, 1, 1],
           [1, 0, 0, 0, 1],
           [1, 0, 0, 0, 1],
           [1, 1, 1, 1, 1]])
    """
    mask = np.ones(shape, dtype=bool)
    down, across = (max(1, round(width * side)) for side in shape)
    mask[down:-down, across:-across] = False
    return mask


# ------------------------------------------------------------------------------------------ burnt-in text


def letter_boxes(grey: NDArray[np.generic]) -> list[tuple[int, int, int, int]]:
    """Boxes (top, left, bottom, right), in pixels, of what looks like letters burnt into the image's margins.

    A heuristic, not a reader: connected parts that are much brighter than what surrounds them (white top-hat), have
    sharp edges, the size and proportions of a letter, and lie in the outer quarter on the left or right or the outer
    sixth above or below. Letters that touch count as one. It misses dark letters, letters on a bright ground, letters
    of fewer than about 5 pixels, and lettering over the lungs; it can take metal clips, electrodes or a bright edge of
    bone for letters.
    """
    from scipy import ndimage  # here, because SciPy takes long to load

    image = Image.fromarray(np.clip(grey, 0, 255).astype(np.uint8))
    image.thumbnail((_LONGEST, _LONGEST), Image.Resampling.BOX)
    small = np.asarray(image)
    height, width = small.shape
    side = max(small.shape)
    scale = grey.shape[0] / height
    above_ground = small.astype(int) - ndimage.grey_opening(small, size=2 * (side // 28) + 1)
    step = ndimage.grey_dilation(small, size=3).astype(int) - ndimage.grey_erosion(small, size=3)
    parts, _ = ndimage.label(above_ground >= 70, structure=np.ones((3, 3)))
    bright = 0.6 * np.percentile(small, 99.5)
    boxes = []
    for number, (rows, columns) in enumerate(ndimage.find_objects(parts), start=1):
        h, w = rows.stop - rows.start, columns.stop - columns.start
        x, y = (columns.start + w / 2) / width, (rows.start + h / 2) / height
        in_margin = min(x, 1 - x) < 1 / 4 or min(y, 1 - y) < 1 / 6
        if not (in_margin and max(5, 0.014 * side) <= h <= 0.13 * side and 2 <= w <= 1.3 * h):
            continue
        part = parts[rows, columns] == number
        pixels, edges = small[rows, columns][part], step[rows, columns][part]
        if 0.25 <= part.mean() <= 0.9 and np.median(edges) >= 90 and np.percentile(pixels, 75) >= bright:
            top, left, bottom, right = (round(v * scale) for v in (rows.start, columns.start, rows.stop, columns.stop))
            boxes.append((top, left, bottom, right))
    return boxes
