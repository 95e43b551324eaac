import numpy as np
import pytest
from PIL import Image

from covid.data.phantom import CLASSES, View, phantom, write_phantoms
from covid.errors import DataError


def image(label, seed, size=224):
    return phantom(label, np.random.default_rng(seed), size)


@pytest.mark.parametrize("label", CLASSES)
@pytest.mark.parametrize("size", [224, 97])
def test_an_image_is_grey_and_repeatable(label, size):
    first = image(label, 3, size)
    assert first.shape == (size, size) and first.dtype == np.uint8
    assert np.ptp(first) > 120  # neither blank nor flat
    assert np.array_equal(first, image(label, 3, size))
    assert not np.array_equal(first, image(label, 4, size))


def test_another_label_is_an_error():
    with pytest.raises(ValueError, match="'Flu'; phantoms exist for COVID-19, Normal, Pneumonia"):
        image("Flu", 0)


def test_lungs_are_darker_than_the_heart_and_the_flanks():
    for seed in range(5):
        view = View(size=224, scale=1.0, aspect=1.0, angle=0.0, shift=(0.0, 0.0))
        grey = image("Normal", seed).astype(float)
        columns = [round(view.pixel(u, 0)[0]) for u in (-0.4, 0.0, 0.4)]
        right, middle, left = (grey[90:115, c - 8 : c + 8].mean() for c in columns)
        assert middle > right + 30 and middle > left + 30


@pytest.mark.parametrize("seed", range(6))
def test_disease_lies_where_it_should(seed):
    well = image("Normal", seed).astype(int)
    for label, both_sides in (("Pneumonia", False), ("COVID-19", True)):
        change = image(label, seed).astype(int) - well
        assert (change >= -2).all()  # fluid only takes the place of air
        rows, columns = np.nonzero(change > 8)
        assert len(rows) > 300
        assert (np.ptp(columns) > 110) == both_sides  # one lung is narrower than half the image
        assert np.median(well[rows, columns]) < np.median(well)  # the lungs are the dark part of the image


def test_brightness_alone_tells_nothing():
    means = np.array([[image(label, [k, i]).mean() for i in range(25)] for k, label in enumerate(CLASSES)])
    spread = means.std(axis=1).mean()
    assert np.ptp(means.mean(axis=1)) < spread


def test_pixel_is_the_inverse_of_grid():
    view = View.random(np.random.default_rng(0), 50)
    u, v = view.grid()
    column, row = view.pixel(u[30, 7], v[30, 7])
    assert column == pytest.approx(7.5, abs=1e-3) and row == pytest.approx(30.5, abs=1e-3)


def names(folder):
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def test_a_folder_of_images_is_written_once(tmp_path):
    folder = write_phantoms(tmp_path / "deep" / "images", 2, seed=7, size=48)
    assert folder == tmp_path / "deep" / "images"
    assert names(folder) == sorted(f"{label}/seed7-48px-{i:04d}.png" for label in CLASSES for i in range(2))
    one = folder / "Normal" / "seed7-48px-0001.png"
    assert np.array_equal(np.asarray(Image.open(one)), image("Normal", [7, 1, 1], 48))
    written = one.stat().st_mtime_ns
    write_phantoms(folder, 2, seed=7, size=48)
    assert one.stat().st_mtime_ns == written
    assert list(folder.parent.iterdir()) == [folder]


def test_a_larger_set_begins_with_the_smaller_one(tmp_path):
    small, large = write_phantoms(tmp_path / "a", 1, 0, 48), write_phantoms(tmp_path / "b", 3, 0, 48)
    for name in names(small):
        assert (small / name).read_bytes() == (large / name).read_bytes()


@pytest.mark.parametrize("other", [{"per_class": 3}, {"seed": 1}, {"size": 50}])
def test_a_folder_with_other_images_is_refused(tmp_path, other):
    request = {"per_class": 2, "seed": 0, "size": 48}
    write_phantoms(tmp_path / "images", **request)
    with pytest.raises(DataError, match="images holds something other than"):
        write_phantoms(tmp_path / "images", **(request | other))


def test_a_failure_leaves_nothing_behind(tmp_path):
    with pytest.raises(ValueError):
        write_phantoms(tmp_path / "images", 2, seed=0, size=0)
    assert list(tmp_path.iterdir()) == []
