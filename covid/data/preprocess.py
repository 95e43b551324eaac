"""Images to pixels: read an image as grey, resize it, even out its contrast, and keep the result in one cached file."""

from __future__ import annotations

import hashlib
import json
import math
import os
import shutil
import threading
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from covid.data.manifest import Radiograph
from covid.errors import DataError

Grey = NDArray[np.uint8] | NDArray[np.float32]
_VERSION = 1  # raise it when the same image and settings give other pixels: old caches are then left alone


@dataclass(frozen=True)
class Settings:
    """How an image becomes pixels: output size (height, width), and contrast-limited adaptive histogram equalization.

    `tiles` is the number of CLAHE tiles along each side, `bins` the bins of a tile's histogram, and `clip_limit` is
    between 0 and 1 with the meaning it has in MATLAB's `adapthisteq`. The defaults are the paper's.
    Raises DataError for values that cannot work.
    """

    size: tuple[int, int] = (224, 224)
    clahe: bool = True
    tiles: int = 8
    bins: int = 256
    clip_limit: float = 0.01

    def __post_init__(self) -> None:
        if len(self.size) != 2 or min(self.size) < 1:
            raise DataError(f"size is {self.size}: give a height and a width of at least 1 pixel")
        if not 1 <= self.tiles <= min(self.size):
            raise DataError(f"tiles is {self.tiles}: give 1 to {min(self.size)}, so that a tile has at least one pixel")
        if self.bins < 2:
            raise DataError(f"bins is {self.bins}: give at least 2")
        if not 0 <= self.clip_limit <= 1:
            raise DataError(f"clip_limit is {self.clip_limit}: give a number from 0 (least contrast) to 1 (no limit)")


def read_grey(path: Path | str) -> Grey:
    """Read an image file as grey levels 0 (black) to 255, shape (H, W).

    Eight-bit files give uint8, sixteen-bit ones float32 that keeps the finer steps (65535 becomes 255). Colour turns
    into luma (0.299 R + 0.587 G + 0.114 B), transparent pixels lie on black, and EXIF orientation is obeyed.
    Raises DataError if the file is missing, damaged, or no image.

    >>> read_grey("image.png").shape  # doctest: +SKIP
    (1024, 1024)
    """
    try:
        return decode(path)
    except Exception as error:  # Pillow's decoders raise nearly anything on damaged files
        raise DataError(f"{path} is unreadable: {reason(error)}; download it again, or remove it") from error


def decode(file: Path | str | BinaryIO) -> Grey:
    """What `read_grey` returns; raises whatever Pillow raises on damaged files."""
    with Image.open(file) as opened:
        image = ImageOps.exif_transpose(opened)  # also reads every pixel, so that a truncated file raises here
        if image.mode.startswith("I"):
            deep = np.asarray(image).astype(np.float32)
            if deep.min() < 0 or deep.max() > 65535:
                raise ValueError("pixels of more than 16 bits")
            return deep / np.float32(257)
        if image.mode == "F":
            raise ValueError("floating-point pixels")
        if image.has_transparency_data:
            image = image.convert("RGBA")
            image = Image.alpha_composite(Image.new("RGBA", image.size, "black"), image)
        return np.asarray(image.convert("L"))


def reason(error: Exception) -> str:
    """Why a file could not be read, in a few words."""
    if isinstance(error, FileNotFoundError):
        return "no such file"
    if isinstance(error, UnidentifiedImageError):
        return "not an image"
    if "truncated" in str(error).lower():
        return "truncated image"
    return f"{error}" or type(error).__name__


def preprocess(grey: Grey, settings: Settings) -> NDArray[np.uint8]:
    """Resize a grey image (any H, W; levels 0 to 255) to `settings.size` and equalize it; uint8.

    The resize is bicubic, with antialiasing when it shrinks. CLAHE is scikit-image's, given MATLAB's clip count (see
    `clip_count`). It differs from MATLAB's `adapthisteq` in one way: scikit-image stretches the image's own darkest and
    brightest level to the full range before equalizing, and the result again afterwards, so that every image uses 0 to
    255; MATLAB does neither. An image of one single level comes back unchanged.

    >>> preprocess(np.tile(np.arange(256, dtype=np.uint8), (256, 1)), Settings(size=(32, 32), tiles=4)).shape
    (32, 32)
    """
    height, width = settings.size
    image = Image.fromarray(grey.astype(np.float32)).resize((width, height), Image.Resampling.BICUBIC)
    resized = np.clip(np.asarray(image), 0, 255)  # bicubic overshoots at edges
    if not settings.clahe or resized.min() == resized.max():
        return np.round(resized).astype(np.uint8)

    from skimage.exposure import equalize_adapthist  # here, because reading alone does not need SciPy's start-up time

    kernel = (math.ceil(height / settings.tiles), math.ceil(width / settings.tiles))
    n = kernel[0] * kernel[1]
    # scikit-image clips at int(clip_limit · n); the half keeps rounding from losing a count
    clip_limit = (clip_count(n, settings.bins, settings.clip_limit) + 0.5) / n
    equalized = equalize_adapthist(resized / 255, kernel_size=kernel, clip_limit=clip_limit, nbins=settings.bins)
    return np.round(255 * equalized).astype(np.uint8)


def clip_count(n: int, bins: int, clip_limit: float) -> int:
    """The most pixels a histogram bin of a tile of n pixels may hold: ⌈n/bins⌉ + round(clip_limit · (n − ⌈n/bins⌉)).

    This is MATLAB's rule (`adapthisteq`). A clip limit of 1 limits nothing.

    >>> clip_count(28 * 28, bins=256, clip_limit=0.01)
    12
    """
    least = math.ceil(n / bins)
    return least + math.floor(clip_limit * (n - least) + 0.5)


def pixel_cache(
    root: Path | str,
    images: Sequence[Radiograph],
    settings: Settings,
    folder: Path | str,
    *,
    workers: int | None = None,
) -> NDArray[np.uint8]:
    """The images' pixels, uint8 (len(images), H, W), in a read-only memory-mapped .npy file in `folder`.

    The file's name is a hash of the images' contents (their sha256, in order) and the settings, so another call with
    the same images opens the file that the first call made. Image paths are relative to `root`.
    Raises DataError if an image is missing, damaged or no longer the one that was collected, or if `folder` cannot hold
    the file; nothing half-written stays behind.

    >>> pixels = pixel_cache("data", kept, Settings(), "cache")  # doctest: +SKIP
    """
    if not images or not all(image.sha256 for image in images):
        raise ValueError("images must be images that were kept: at least one, each with its sha256")
    shape = (len(images), *settings.size)
    contents = json.dumps([_VERSION, asdict(settings), [image.sha256 for image in images]])
    path = Path(folder) / f"pixels-{hashlib.sha256(contents.encode()).hexdigest()[:20]}.npy"
    if (pixels := _open(path)) is None:
        from tinycnn.training.progress import (
            process_map,  # here, because the processes that it starts import this module too
        )

        jobs = [(Path(root) / image.path, image.sha256) for image in images]
        images_pixels = process_map(
            partial(_image_pixels, settings), jobs, "preparing images", "image", workers=workers
        )
        _write(path, shape, images_pixels)
        pixels = np.load(path, mmap_mode="r")
    return pixels


def _image_pixels(settings: Settings, job: tuple[Path, str]) -> NDArray[np.uint8]:
    path, sha256 = job
    try:
        data = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path} is unreadable: {reason(error)}; restore it, or start a new run") from error
    if hashlib.sha256(data).hexdigest() != sha256:
        raise DataError(f"{path} changed after the manifest was made; restore it, or start a new run")
    return preprocess(read_grey(path), settings)


def _open(path: Path) -> NDArray[np.uint8] | None:
    try:
        return np.load(path, mmap_mode="r")
    except (OSError, ValueError, EOFError):  # none yet, or damaged: it is made again
        return None


def _write(path: Path, shape: tuple[int, ...], rows: Iterable[NDArray[np.uint8]]) -> None:
    """Write an .npy file row by row: on a full disk a write fails with an error, a memory map ends the process."""
    size = math.prod(shape) + 128  # the header's bytes
    part = path.with_name(f"{path.stem}-{os.getpid()}-{threading.get_ident()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if (free := shutil.disk_usage(path.parent).free) < size:
            raise OSError(f"{free:,} bytes are free")
        try:
            with open(part, "wb") as file:
                np.lib.format.write_array_header_1_0(file, {"descr": "|u1", "fortran_order": False, "shape": shape})
                for row in rows:
                    file.write(row.tobytes())
            part.replace(path)
        except BaseException:
            part.unlink(missing_ok=True)
            raise
    except OSError as error:
        raise DataError(
            f"cannot write the pixels to {path.parent}: {error}; {size:,} bytes are needed: free some space there, or "
            "choose another cache folder"
        ) from error
