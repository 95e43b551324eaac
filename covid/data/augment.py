"""Small random changes of training images that leave the class as it is: flip, shift, rotation, zoom and contrast."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Pixels = NDArray[np.uint8]


@dataclass(frozen=True)
class Augmentation:
    """Changes each image of a batch by its own random amount; called as augment(x, rng), x uint8 (N, C, H, W).

    `untouched` is the share of images left exactly as they are: turning and zooming blurs an image a little, and a
    network that saw no other would find the sharp images of the test strange. Each other amount is drawn evenly from
    −limit … limit: `shift` as a share of the image's sides, `rotation` in degrees, `zoom` and `contrast` as shares of 1
    (contrast stretches around the image's mean), `brightness` in grey levels of 255. Half of these images are mirrored
    if `flip`.
    What comes in from outside the image has the image's mean grey.

    >>> x = np.zeros((2, 1, 8, 8), np.uint8)
    >>> Augmentation()(x, np.random.default_rng(0)).shape
    (2, 1, 8, 8)
    """

    untouched: float = 0.5
    flip: bool = True
    shift: float = 0.05
    rotation: float = 8.0
    zoom: float = 0.08
    contrast: float = 0.2
    brightness: float = 15.0

    def __call__(self, x: Pixels, rng: np.random.Generator) -> Pixels:
        drawn = rng.uniform(-1, 1, (len(x), 6)) * [
            self.shift,
            self.shift,
            self.rotation,
            self.zoom,
            self.contrast,
            self.brightness,
        ]
        mirrored, touched = rng.random(len(x)) < 0.5 * self.flip, rng.random(len(x)) >= self.untouched
        grey = x.shape[1] > 1 and bool((x == x[:, :1]).all())  # grey repeated for every channel: change it once
        images = x[:, :1] if grey else x
        changed = np.stack(
            [
                _changed(image, mirror, *amounts) if touch else image
                for image, touch, mirror, amounts in zip(images, touched, mirrored, drawn, strict=True)
            ]
        )
        return np.broadcast_to(changed, x.shape) if grey else changed


def _changed(
    image: Pixels,
    mirror: bool,
    down: float,
    right: float,
    degrees: float,
    zoom: float,
    contrast: float,
    brightness: float,
) -> Pixels:
    """One image (C, H, W), changed."""
    mean = round(float(image.mean()))
    matrix = affine(image.shape[1:], down, right, degrees, 1 + zoom, mirror)
    levels = np.clip((np.arange(256) - mean) * (1 + contrast) + mean + brightness, 0, 255).round().astype(np.uint8)
    return levels[np.stack([_transformed(plane, matrix, mean) for plane in image])]


def _transformed(plane: Pixels, matrix: tuple[float, ...], fill: int) -> NDArray[Any]:
    height, width = plane.shape
    image = Image.fromarray(np.ascontiguousarray(plane))
    return np.asarray(
        image.transform((width, height), Image.Transform.AFFINE, matrix, Image.Resampling.BICUBIC, fillcolor=fill)
    )


def affine(
    shape: tuple[int, ...], down: float, right: float, degrees: float, zoom: float = 1.0, mirror: bool = False
) -> tuple[float, ...]:
    """Pillow's six numbers (a, b, c, d, e, f): output pixel (x, y) shows the input at (ax + by + c, dx + ey + f).

    The picture is mirrored, zoomed and turned counter-clockwise by `degrees` around its centre, then shifted by shares
    of its sides.
    """
    height, width = shape
    centre_x, centre_y = width / 2, height / 2
    angle = math.radians(degrees)
    cos, sin = math.cos(angle) / zoom, math.sin(angle) / zoom
    a, b, d, e = cos, -sin, sin, cos
    if mirror:
        a, b = -a, -b
    x, y = centre_x + right * width, centre_y + down * height  # where the input's centre comes to lie
    return a, b, centre_x - a * x - b * y, d, e, centre_y - d * x - e * y
