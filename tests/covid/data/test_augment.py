"""Augmentation: each change alone against what it should do to pixels one can count."""

import numpy as np
import pytest

from covid.data.augment import Augmentation, affine
from covid.data.augment import _transformed as transformed

NOTHING = Augmentation(untouched=0, flip=False, shift=0, rotation=0, zoom=0, contrast=0, brightness=0)
RNG = np.random.default_rng(5)
IMAGES = RNG.integers(0, 256, (40, 1, 16, 12), dtype=np.uint8)


def test_no_limits_no_change():
    np.testing.assert_array_equal(NOTHING(IMAGES, np.random.default_rng(0)), IMAGES)


def test_a_share_of_the_images_is_left_as_it_is():
    y = Augmentation(untouched=0.7)(IMAGES, np.random.default_rng(3))
    same = [np.array_equal(a, b) for a, b in zip(y, IMAGES, strict=True)]
    assert 20 <= sum(same) <= 36


def test_half_the_images_are_mirrored():
    flipped = Augmentation(untouched=0, flip=True, shift=0, rotation=0, zoom=0, contrast=0, brightness=0)(IMAGES, RNG)
    mirrored = [np.array_equal(a, b[:, :, ::-1]) for a, b in zip(flipped, IMAGES, strict=True)]
    same = [np.array_equal(a, b) for a, b in zip(flipped, IMAGES, strict=True)]
    assert all(np.logical_xor(mirrored, same)) and 10 <= sum(mirrored) <= 30


@pytest.mark.parametrize(
    ("down", "right", "degrees", "mirror", "expected"),
    [
        (0.25, 0, 0, False, lambda x: np.vstack([np.full((2, 8), 9), x[:-2]])),  # a quarter of 8 rows further down
        (0, -0.125, 0, False, lambda x: np.hstack([x[:, 1:], np.full((8, 1), 9)])),
        (0, 0, 90, False, np.rot90),  # counter-clockwise
        (0, 0, 180, False, lambda x: x[::-1, ::-1]),
        (0, 0, 0, True, np.fliplr),
        (0, 0, 90, True, lambda x: np.rot90(np.fliplr(x))),  # mirrored first
    ],
)
def test_geometry(down, right, degrees, mirror, expected):
    x = RNG.integers(0, 256, (8, 8), dtype=np.uint8)
    y = transformed(x, affine(x.shape, down, right, degrees, mirror=mirror), 9)
    np.testing.assert_allclose(y, expected(x).astype(int), atol=1)  # Pillow cuts fractions off: 37.9999 becomes 37


def test_zoom_makes_things_larger():
    x = np.zeros((32, 32), np.uint8)
    x[12:20, 12:20] = 200
    assert (transformed(x, affine(x.shape, 0, 0, 0, zoom=2), 0) > 100).sum() == pytest.approx(4 * 64, rel=0.1)


def test_contrast_and_brightness_change_levels_only():
    y = Augmentation(untouched=0, flip=False, shift=0, rotation=0, zoom=0, contrast=0.5, brightness=20)(IMAGES, RNG)
    assert y.dtype == np.uint8
    for a, b in zip(IMAGES.reshape(40, -1), y.reshape(40, -1), strict=True):
        order = np.argsort(a, kind="stable")
        assert (np.diff(b[order].astype(int)) >= 0).all()  # brighter stays brighter: one curve for the whole image
        inside = (b > 0) & (b < 255)
        slope = np.polyfit(a[inside].astype(float), b[inside], 1)[0]
        assert 0.49 < slope < 1.51


def test_grey_images_stay_grey_and_seeds_repeat():
    rgb = np.broadcast_to(IMAGES, (40, 3, 16, 12))
    a, b, c = (Augmentation()(rgb, np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert (a == a[:, :1]).all()
    np.testing.assert_array_equal(a, b)
    assert not np.array_equal(a, c)
    np.testing.assert_array_equal(a[:, :1], Augmentation()(IMAGES, np.random.default_rng(1)))
