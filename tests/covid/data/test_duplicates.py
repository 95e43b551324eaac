import numpy as np
import pytest
from PIL import Image, ImageEnhance

from covid.data.duplicates import exact_duplicates, near_duplicates, perceptual_hash, thumbnail
from covid.data.phantom import CLASSES, phantom


def drawn(i, label="Normal"):
    return phantom(label, np.random.default_rng([7, i]), 160)


def fingerprints(images):
    tiny = np.array([thumbnail(np.asarray(image)) for image in images])
    return np.array([perceptual_hash(t) for t in tiny]), tiny


def copy_of(image, how, folder):
    picture = Image.fromarray(image)
    if how == "re-encoded":
        picture.save(folder / "copy.jpg", quality=40)
        picture = Image.open(folder / "copy.jpg")
    if how == "resized":
        picture = picture.resize((301, 211), Image.Resampling.BICUBIC)
    if how == "brightened":
        picture = ImageEnhance.Brightness(picture).enhance(1.15)
    if how == "less contrast":
        picture = ImageEnhance.Contrast(picture).enhance(0.5)
    return np.asarray(picture)


@pytest.mark.parametrize("how", ["re-encoded", "resized", "brightened", "less contrast"])
def test_a_changed_copy_is_found_and_nothing_else(tmp_path, how):
    images = [drawn(i, CLASSES[i % 3]) for i in range(12)]
    images.insert(5, copy_of(images[2], how, tmp_path))
    pairs = near_duplicates(*fingerprints(images))
    assert [(pair.first, pair.second) for pair in pairs] == [(2, 5)]


def test_a_pair_in_different_chunks_is_found_once(monkeypatch):
    monkeypatch.setattr("covid.data.duplicates._CHUNK", 3)
    images = [drawn(i) for i in range(5)]
    pairs = near_duplicates(*fingerprints([*images, images[1], images[3], images[3]]))
    assert [(pair.first, pair.second, pair.distance) for pair in pairs] == [(1, 5, 0), (3, 6, 0), (3, 7, 0), (6, 7, 0)]
    assert all(pair.correlation == pytest.approx(1, abs=1e-5) for pair in pairs)


def test_alike_in_one_measure_only_is_no_pair():
    bits, tiny = fingerprints([drawn(0), drawn(1)])
    assert near_duplicates(bits[[0, 0]], tiny) == []  # equal hashes, other thumbnails
    assert near_duplicates(bits, tiny[[0, 0]]) == []


def test_images_of_one_even_grey_are_no_pair():
    assert near_duplicates(*fingerprints([np.full((40, 40), 90, np.uint8)] * 2)) == []


def test_perceptual_hash_is_that_of_the_cosine_transform_by_its_sum():
    for i in range(4):
        tiny = thumbnail(drawn(i)).astype(float)
        n = np.arange(32)
        low = np.empty((8, 8))
        for row, column in np.ndindex(8, 8):
            waves = [np.cos(np.pi * (k + 1) * (2 * n + 1) / 64) for k in (row, column)]
            low[row, column] = (np.outer(*waves) * tiny).sum()
        assert (perceptual_hash(tiny.astype(np.uint8)) == (low > np.median(low)).ravel()).all()


def test_exact_duplicates_keep_their_order():
    assert exact_duplicates(list("abcab")) == [[0, 3], [1, 4]]
