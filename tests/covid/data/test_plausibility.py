"""Images unlike the training images: found where they are plainly other, by numbers computed by hand and by NumPy."""

import numpy as np
import pytest
from PIL import Image

from covid.data.phantom import CLASSES, phantom
from covid.data.plausibility import COLOURED, STATISTICS, Reference, coloured_share
from covid.data.preprocess import Settings, preprocess

SETTINGS = Settings(size=(96, 96))


def drawn(first, count):
    return [
        preprocess(phantom(CLASSES[i % 3], np.random.default_rng(i), 96), SETTINGS) for i in range(first, first + count)
    ]


@pytest.fixture(scope="module")
def reference():
    return Reference.of(drawn(0, 90))


def test_the_ranges_are_those_of_numpys_percentiles_and_a_tenth_more():
    images = drawn(0, 20)
    low, high = np.percentile([image.mean() for image in images], [0.1, 99.9])
    margin = (high - low) / 10
    assert Reference.of(images).ranges["brightness"] == pytest.approx((low - margin, high + margin), abs=1e-3)
    low, high = np.percentile([image.std() for image in images], [0.1, 99.9])
    margin = (high - low) / 10
    assert Reference.of(images).ranges["spread"] == pytest.approx((low - margin, high + margin), abs=1e-3)


def test_edges_and_likeness_by_hand():
    """Stripes: neighbours across differ by 100, neighbours down by nothing, so by 50 on average."""
    stripes = np.tile(np.array([[0, 100]], np.uint8), (64, 32))
    reference = Reference.of([stripes, stripes])
    assert reference.ranges["edges"] == (50, 50)
    halves = np.repeat(np.array([[0, 200]], np.uint8), 32, axis=1).repeat(64, axis=0)
    like = Reference.of([halves, halves])
    assert like.ranges["likeness"] == pytest.approx((1, 1))
    (told,) = (text for text in like.unusual(halves[:, ::-1]) if STATISTICS["likeness"] in text)
    assert "-1.00 instead of 1.00 to 1.00" in told


def test_most_other_phantoms_pass(reference):
    assert sum(bool(reference.unusual(image)) for image in drawn(1000, 90)) <= 9


@pytest.mark.parametrize(
    "other",
    [
        np.random.default_rng(0).integers(0, 256, (96, 96), dtype=np.uint8),
        np.zeros((96, 96), np.uint8),
        np.full((96, 96), 255, np.uint8),
        np.indices((96, 96)).sum(axis=0).astype(np.uint8),
    ],
    ids=["noise", "black", "white", "ramp"],
)
def test_what_is_plainly_no_radiograph_does_not(reference, other):
    assert reference.unusual(other)


def test_written_and_read_back(reference):
    again = Reference.of_json(reference.to_json())
    assert again == reference and again.unusual(np.zeros((96, 96), np.uint8)) == reference.unusual(
        np.zeros((96, 96), np.uint8)
    )


def test_colour_is_what_differs_between_channels(tmp_path):
    grey = phantom("Normal", np.random.default_rng(0), 96)
    tinted = np.stack([grey, grey, np.minimum(grey.astype(int) + 20, 255).astype(np.uint8)], axis=2)
    marked = np.stack([grey] * 3, axis=2)
    marked[:9, :9] = (255, 0, 0)  # a red mark on 81 of 9216 pixels
    red = np.broadcast_to(np.array([255, 0, 0], np.uint8), (96, 96, 3))
    palette = Image.fromarray(red).convert("P")
    shares = {}
    for name, image in {"grey": grey, "tinted": tinted, "marked": marked, "red": red, "palette": palette}.items():
        picture = image if isinstance(image, Image.Image) else Image.fromarray(np.ascontiguousarray(image))
        picture.save(tmp_path / f"{name}.png")
        shares[name] = coloured_share(tmp_path / f"{name}.png")
    assert (shares["grey"], shares["tinted"], shares["red"], shares["palette"]) == (0, 0, 1, 1)
    assert shares["marked"] == pytest.approx(81 / 9216) and shares["marked"] < COLOURED
