import dataclasses
import hashlib
import importlib
import resource
import signal
from pathlib import Path

import numpy as np
import pytest
import skimage.exposure
from PIL import Image

from covid.data.manifest import Radiograph
from covid.data.preprocess import Settings, clip_count, pixel_cache, preprocess, read_grey
from covid.errors import DataError

RNG = np.random.default_rng(0)
GREY = RNG.integers(0, 256, (40, 30), dtype=np.uint8)
PLAIN = Settings(size=(16, 16), clahe=False)


def save(path, image, **options):
    (image if isinstance(image, Image.Image) else Image.fromarray(image)).save(path, **options)
    return path


def images_of(root, n, shape=(32, 32)):
    images = []
    for i in range(n):
        path = save(root / f"{i}.png", RNG.integers(0, 256, shape, dtype=np.uint8))
        sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
        images.append(Radiograph(path.name, "Normal", "folder", path.name, "", sha256))
    return images


# ------------------------------------------------------------------------------------------------ reading


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "LA"])
def test_grey_comes_back_whatever_the_mode(tmp_path, mode):
    out = read_grey(save(tmp_path / "x.png", Image.fromarray(GREY).convert(mode)))
    assert out.dtype == np.uint8
    np.testing.assert_array_equal(out, GREY)


def test_palette(tmp_path):
    image = Image.fromarray(np.array([[0, 1], [2, 1]], np.uint8), mode="P")
    image.putpalette([10, 10, 10, 200, 200, 200, 77, 77, 77])
    np.testing.assert_array_equal(read_grey(save(tmp_path / "x.png", image)), [[10, 200], [77, 200]])
    np.testing.assert_array_equal(read_grey(save(tmp_path / "t.png", image, transparency=1)), [[10, 0], [77, 0]])


def test_colour_becomes_luma(tmp_path):
    rgb = np.array([[[255, 0, 0], [0, 255, 0], [0, 0, 255]]], np.uint8)
    np.testing.assert_allclose(read_grey(save(tmp_path / "x.png", rgb)), [[76, 150, 29]], atol=1)


def test_transparent_pixels_lie_on_black(tmp_path):
    rgba = np.array([[[200, 200, 200, 255], [200, 200, 200, 0], [200, 200, 200, 51]]], np.uint8)
    np.testing.assert_allclose(read_grey(save(tmp_path / "x.png", rgba)), [[200, 0, 40]], atol=1)


def test_cmyk_jpeg(tmp_path):
    path = save(tmp_path / "x.jpg", Image.new("RGB", (16, 16), (90, 90, 90)).convert("CMYK"))
    np.testing.assert_allclose(read_grey(path), 90, atol=2)


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_sixteen_bits_keep_their_steps(tmp_path, suffix):
    deep = np.array([[0, 1], [32896, 65535]], np.uint16)
    out = read_grey(save(tmp_path / f"x{suffix}", deep))
    assert out.dtype == np.float32
    np.testing.assert_allclose(out, [[0, 255 / 65535], [128, 255]], rtol=1e-6)


def test_wider_pixels_are_refused(tmp_path):
    for pixels, words in (
        (np.array([[0, 70000]], np.int32), "more than 16 bits"),
        (np.ones((2, 2), np.float32), "floating-point"),
    ):
        with pytest.raises(DataError, match=words):
            read_grey(save(tmp_path / "x.tif", pixels))


def test_bilevel(tmp_path):
    np.testing.assert_array_equal(read_grey(save(tmp_path / "x.png", np.array([[True, False]]))), [[255, 0]])


def test_exif_orientation_is_obeyed(tmp_path):
    image = Image.fromarray(GREY)
    exif = image.getexif()
    exif[274] = 6  # "rotate 90° clockwise to show"
    np.testing.assert_array_equal(read_grey(save(tmp_path / "x.png", image, exif=exif)), np.rot90(GREY, -1))


def test_damaged_files_are_named(tmp_path):
    good = save(tmp_path / "good.jpg", RNG.integers(0, 256, (99, 99), dtype=np.uint8)).read_bytes()
    (tmp_path / "half.jpg").write_bytes(good[: len(good) // 2])
    (tmp_path / "text.jpg").write_text("not found")
    (tmp_path / "empty.png").write_bytes(b"")
    for name, reason in (("half.jpg", "truncated image"), ("text.jpg", "not an image"), ("empty.png", "not an image"),
                         ("none.png", "no such file")):  # fmt: skip
        with pytest.raises(DataError, match=f"{name} is unreadable: {reason}; download it again, or remove it"):
            read_grey(tmp_path / name)


@pytest.mark.filterwarnings("ignore::UserWarning:PIL")
def test_damage_anywhere_is_a_data_error(tmp_path):
    for suffix in ("png", "jpg", "tif"):
        good = bytearray(save(tmp_path / f"x.{suffix}", GREY).read_bytes())
        for _ in range(60):
            bad = good.copy()
            for at in RNG.integers(0, len(bad), 4):
                bad[at] = RNG.integers(0, 256)
            (tmp_path / f"bad.{suffix}").write_bytes(bad)
            try:
                read_grey(tmp_path / f"bad.{suffix}")
            except DataError:
                pass  # anything else fails the test


# ------------------------------------------------------------------------------------------------- pixels


def test_shrinking_averages_instead_of_skipping():
    checkers = np.indices((64, 64)).sum(0) % 2 * 255
    out = preprocess(checkers.astype(np.uint8), PLAIN)
    assert out.shape == (16, 16) and abs(out.astype(int) - 127.5).max() <= 2


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
@pytest.mark.parametrize("size", [(16, 24), (90, 70)])
def test_resize_is_bicubic_with_antialiasing(size, dtype):
    torch = pytest.importorskip("torch")
    x = torch.from_numpy(GREY.astype(np.float32))[None, None]
    expected = torch.nn.functional.interpolate(x, size, mode="bicubic", antialias=True)[0, 0].clip(0, 255)
    out = preprocess(GREY.astype(dtype), Settings(size=size, clahe=False))
    assert out.dtype == np.uint8 and out.shape == size
    assert abs(out - expected.numpy()).max() <= 0.51


def test_clip_count_is_matlabs():
    assert clip_count(28 * 28, 256, 0.01) == 12
    assert clip_count(100, 256, 0.0) == 1
    assert clip_count(1000, 100, 1.0) == 1000


@pytest.mark.parametrize(("size", "kernel", "count"), [((224, 224), (28, 28), 12), ((100, 50), (13, 7), 2)])
def test_scikit_image_is_given_matlabs_count(monkeypatch, size, kernel, count):
    module = importlib.import_module("skimage.exposure._adapthist")
    used, original = set(), module.clip_histogram

    def spy(hist, clip_limit):
        used.add((hist.sum(), hist.size, clip_limit))
        return original(hist, clip_limit)

    monkeypatch.setattr(module, "clip_histogram", spy)
    preprocess(RNG.integers(0, 256, size, dtype=np.uint8), Settings(size=size))
    assert used == {(kernel[0] * kernel[1], 256, count)}


def test_clahe_is_scikit_images_with_the_limit_the_notes_give():
    image = np.add.outer(np.arange(224), np.arange(224)) // 4 + RNG.integers(0, 40, (224, 224))
    image = image.astype(np.uint8)
    expected = skimage.exposure.equalize_adapthist(image, kernel_size=28, clip_limit=0.0154, nbins=256)
    for grey in (image, image.astype(np.float32)):
        out = preprocess(grey, Settings())
        assert out.dtype == np.uint8
        assert abs(out / 255 - expected).max() <= 0.5 / 255 + 1e-9
    wrong = skimage.exposure.equalize_adapthist(image, kernel_size=28, clip_limit=0.01, nbins=256)
    assert abs(wrong - expected).max() > 2 / 255


def test_contrast_spans_the_full_range_and_exposure_drops_out():
    image = np.tile(np.linspace(100, 120, 64, dtype=np.float32), (64, 1))
    out = preprocess(image, Settings(size=(64, 64)))
    assert out.min() == 0 and out.max() == 255
    brighter = preprocess(2 * image, Settings(size=(64, 64))).astype(int)
    assert abs(brighter - out).max() <= 8  # where rounding moves a pixel to the next bin


def test_a_blank_image_stays_blank():
    np.testing.assert_array_equal(preprocess(np.full((50, 60), 7, np.uint8), Settings()), np.full((224, 224), 7))


@pytest.mark.parametrize(
    "options", [{"size": (0, 5)}, {"size": (8, 8), "tiles": 9}, {"tiles": 0}, {"bins": 1}, {"clip_limit": 1.5}]
)
def test_settings_that_cannot_work_are_refused(options):
    with pytest.raises(DataError, match="give"):
        Settings(**options)


# -------------------------------------------------------------------------------------------------- cache


@pytest.mark.parametrize("n", [5, 40])  # in this process, and in others
def test_cache_holds_every_image_in_order(tmp_path, n):
    images = images_of(tmp_path, n)
    settings = Settings(size=(24, 16), tiles=4)
    pixels = pixel_cache(tmp_path, images, settings, tmp_path / "new" / "cache", workers=2)
    assert isinstance(pixels, np.memmap) and not pixels.flags.writeable
    assert pixels.shape == (n, 24, 16) and pixels.dtype == np.uint8
    for image, row in zip(images, pixels, strict=True):
        np.testing.assert_array_equal(row, preprocess(read_grey(tmp_path / image.path), settings))
    assert len(list((tmp_path / "new" / "cache").iterdir())) == 1


def test_second_call_opens_the_file(tmp_path):
    images, cache = images_of(tmp_path, 3), tmp_path / "cache"
    first = np.array(pixel_cache(tmp_path, images, PLAIN, cache))
    for image in images:
        (tmp_path / image.path).unlink()
    np.testing.assert_array_equal(pixel_cache(tmp_path, images, PLAIN, cache), first)


def test_other_images_order_or_settings_make_another_file(tmp_path):
    images, cache = images_of(tmp_path, 3), tmp_path / "cache"
    for wanted, settings in (
        (images, PLAIN), (images[::-1], PLAIN), (images[:2], PLAIN),
        *((images, dataclasses.replace(PLAIN, **{k: v}))
          for k, v in dict(size=(16, 17), clahe=True, tiles=4, bins=64, clip_limit=0.5).items()),
    ):  # fmt: skip
        pixel_cache(tmp_path, wanted, settings, cache)
    assert len(list(cache.iterdir())) == 8
    pixel_cache(tmp_path, images, Settings(size=[16, 16], clahe=False), cache)  # as read from a JSON file
    assert len(list(cache.iterdir())) == 8


def test_a_damaged_cache_is_made_again(tmp_path):
    images = images_of(tmp_path, 3)
    path = Path(pixel_cache(tmp_path, images, PLAIN, tmp_path / "cache").filename)
    good = path.read_bytes()
    for bad in (good[:-1], good[:50], b"", b"nonsense" * 20):
        path.write_bytes(bad)
        pixel_cache(tmp_path, images, PLAIN, tmp_path / "cache")
        assert path.read_bytes() == good


def test_an_image_that_changed_or_vanished_is_named_and_nothing_stays(tmp_path):
    images = images_of(tmp_path, 3)
    save(tmp_path / "1.png", GREY)
    with pytest.raises(DataError, match="1.png changed after the manifest was made"):
        pixel_cache(tmp_path, images, PLAIN, tmp_path / "cache")
    (tmp_path / "1.png").unlink()
    with pytest.raises(DataError, match="1.png is unreadable: no such file"):
        pixel_cache(tmp_path, images, PLAIN, tmp_path / "cache")
    assert list((tmp_path / "cache").iterdir()) == []


def test_errors_cross_processes(tmp_path):
    images = images_of(tmp_path, 40)
    (tmp_path / "39.png").unlink()
    with pytest.raises(DataError, match="39.png"):
        pixel_cache(tmp_path, images, PLAIN, tmp_path / "cache", workers=2)


def test_a_full_disk_is_told_and_nothing_stays(tmp_path):
    images, cache = images_of(tmp_path, 3), tmp_path / "cache"
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    old = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (500, limit[1]))  # writes beyond it fail, as on a full disk
        with pytest.raises(DataError, match=f"{cache}.* 896 bytes are needed"):  # 128 + 3 · 16 · 16
            pixel_cache(tmp_path, images, PLAIN, cache)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
        signal.signal(signal.SIGXFSZ, old)
    assert list(cache.iterdir()) == []


def test_too_little_space_is_told_before_the_work(tmp_path):
    images = images_of(tmp_path, 1)
    with pytest.raises(DataError, match="bytes are free; 1,000,000,000,000,128 bytes are needed"):
        pixel_cache(tmp_path, images, Settings(size=(10**6, 10**9)), tmp_path)


def test_an_unusable_folder_is_told(tmp_path):
    images = images_of(tmp_path, 1)
    with pytest.raises(DataError, match="cannot write the pixels to .*0.png"):
        pixel_cache(tmp_path, images, PLAIN, tmp_path / "0.png")


def test_images_that_were_left_out_are_refused(tmp_path):
    left_out = Radiograph("x.png", "Normal", "folder", "x", "", excluded="view: L")
    for images in ([], [left_out]):
        with pytest.raises(ValueError, match="kept"):
            pixel_cache(tmp_path, images, PLAIN, tmp_path)
