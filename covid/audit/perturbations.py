"""Images changed on purpose: parts occluded, the image turned, moved, or given another contrast or brightness.

Every function takes prepared images x (N, C, H, W) uint8 and returns new ones of the same shape, leaving x alone.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from covid.audit.image_features import frame

Pixels = NDArray[np.uint8]
Mask = NDArray[np.bool_]

# Two upright ellipses that hold the lungs of nearly all images of this data, as shares of width and height, by eye
LUNG_CENTRES, LUNG_RADII = ((0.28, 0.47), (0.72, 0.47)), (0.19, 0.34)
UNTOUCHED = "untouched"
MIDDLE_FRAME = 0.09  # width of the border around the middle, as a share of the sides: it ends where the lungs begin


class Perturbation(NamedTuple):
    """One way to change images: its name, its kind, and the function that does it."""

    name: str
    kind: str  # UNTOUCHED, "occlusion", "rotation", "shift", "contrast" or "brightness"
    apply: Callable[[Pixels], Pixels]


def perturbations(height: int, width: int) -> list[Perturbation]:
    """All the changes that an audit tries on images of this size, the first being none.

    Shifts are named in pixels of an image of 224 × 224, and scaled to this size.
    """
    lungs, border = lung_fields(height, width), frame((height, width), MIDDLE_FRAME)
    changes = [
        Perturbation(UNTOUCHED, UNTOUCHED, np.copy),
        Perturbation("lungs occluded", "occlusion", partial(occlude, mask=lungs)),
        Perturbation("only the lungs", "occlusion", partial(occlude, mask=~lungs)),
        Perturbation("only the border", "occlusion", partial(occlude, mask=~border)),
        Perturbation("only the middle", "occlusion", partial(occlude, mask=border)),
    ]
    changes += [
        Perturbation(f"turned by {angle:+d}°", "rotation", partial(rotate, degrees=angle))
        for angle in (-20, -10, -5, 5, 10, 20)
    ]
    for word, sign in (("left", -1), ("right", 1)):
        changes += [
            Perturbation(f"{n} px to the {word}", "shift", partial(shift, right=round(sign * n * width / 224)))
            for n in (5, 10, 20)
        ]
    for word, sign in (("up", -1), ("down", 1)):
        changes += [
            Perturbation(f"{n} px {word}", "shift", partial(shift, down=round(sign * n * height / 224)))
            for n in (5, 10, 20)
        ]
    changes += [
        Perturbation(f"contrast {factor:.0%}", "contrast", partial(contrast, factor=factor))
        for factor in (0.5, 0.75, 1.25, 1.5)
    ]
    changes += [
        Perturbation(f"brightness {offset:+d}", "brightness", partial(brightness, offset=offset))
        for offset in (-40, -20, 20, 40)
    ]
    return changes


def lung_fields(height: int, width: int) -> Mask:
    """A mask (H, W) of two ellipses over the usual place of the lungs, about 41 % of the image.

    They are the same for every image, not a segmentation: the lungs of an image that is turned or cropped, or of a
    small child on a large image, lie partly elsewhere, and heart, ribs and diaphragm lie partly inside.
    """
    y, x = (np.arange(height)[:, None] + 0.5) / height, (np.arange(width) + 0.5) / width
    (rx, ry), mask = LUNG_RADII, np.zeros((height, width), dtype=bool)
    for cx, cy in LUNG_CENTRES:
        mask |= ((x - cx) / rx) ** 2 + ((y - cy) / ry) ** 2 <= 1
    return mask


def occlude(x: Pixels, mask: Mask) -> Pixels:
    """The images with the pixels of the mask (H, W) set to the mean of those outside it, so that nothing of what is
    occluded shows through.

    >>> occlude(np.array([[[[90, 10], [20, 30]]]], np.uint8), np.array([[True, False], [False, False]])).tolist()
    [[[[20, 10], [20, 30]]]]
    """
    fill = x[:, :, ~mask].mean(axis=(1, 2)).round().astype(np.uint8)
    return np.where(mask, fill[:, None, None, None], x)


def rotate(x: Pixels, degrees: float) -> Pixels:
    """The images turned anticlockwise about their centre, by bilinear interpolation; their mean fills the corners."""
    y = np.empty_like(x)
    for image, mean, turned in zip(x, _means(x)[:, 0, 0, 0], y, strict=True):
        for channel, target in zip(image, turned, strict=True):
            picture = Image.fromarray(np.ascontiguousarray(channel))
            target[:] = np.asarray(picture.rotate(degrees, Image.Resampling.BILINEAR, fillcolor=int(mean)))
    return y


def shift(x: Pixels, down: int = 0, right: int = 0) -> Pixels:
    """The images moved by whole pixels, up and to the left for negative numbers; their mean fills what comes free."""
    y = np.broadcast_to(_means(x), x.shape).copy()
    height, width = x.shape[2:]
    y[:, :, max(down, 0) : height + min(down, 0), max(right, 0) : width + min(right, 0)] = x[
        :, :, max(-down, 0) : height + min(-down, 0), max(-right, 0) : width + min(-right, 0)
    ]
    return y


def contrast(x: Pixels, factor: float) -> Pixels:
    """Every grey level's distance from the image's mean times `factor`, cut off at 0 and 255."""
    means = _means(x)
    return _to_uint8((x - means.astype(np.float32)) * np.float32(factor) + means)


def brightness(x: Pixels, offset: float) -> Pixels:
    """Every grey level plus `offset`, cut off at 0 and 255."""
    return _to_uint8(x + np.float32(offset))


def _means(x: Pixels) -> Pixels:
    """Each image's mean grey level, rounded: (N, 1, 1, 1)."""
    return x.mean(axis=(1, 2, 3), keepdims=True).round().astype(np.uint8)


def _to_uint8(x: NDArray[np.float32]) -> Pixels:
    return np.clip(np.round(x), 0, 255).astype(np.uint8)
