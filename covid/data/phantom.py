"""Phantom chest X-rays: drawn from random anatomy, so that everything runs before any real image is downloaded.

An image is built the way an X-ray machine builds one. Every pixel is traced back to a place in the chest, the tissues
there add up to an attenuation, and an exposure curve turns attenuation into grey. Places are in chest units: u runs
across, from -1 at the patient's right side (the viewer's left) to 1, v runs down, from -1 at the neck to 1 below the
diaphragm; |u| is called x where both sides are alike.

The three classes differ in the lungs and nowhere else: exposure, build, position, noise and everything outside the
lungs are drawn before the disease and without knowing it.
"""

from __future__ import annotations

import math
import os
import re
import shutil
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from scipy.ndimage import gaussian_filter

from covid.errors import DataError

CLASSES = ("COVID-19", "Normal", "Pneumonia")
VERSION = 1  # raise it when the same seed draws other images: old folders are then left alone

_PHANTOM = re.compile(rf"(^|/)({'|'.join(CLASSES)})/seed\d+-\d+px-\d{{4}}\.png$")

Field = NDArray[np.floating[Any]]  # float32 throughout: see `View.grid`
RIGHT, LEFT = -1, 1  # the patient's sides: the sign of u


@dataclass(frozen=True)
class Chest:
    """The proportions of one patient, in chest units."""

    width: float  # outer edge of the lungs at their widest
    apex: float  # v of the top of the lungs
    domes: dict[int, float]  # v of the top of each half of the diaphragm
    heart: tuple[float, float]  # half-axes across and down
    mediastinum: float  # half-width
    rib_spacing: float
    rib_droop: float  # how far a rib sinks from the spine to the side

    @classmethod
    def random(cls, rng: np.random.Generator) -> Chest:
        right_dome = rng.uniform(0.38, 0.62)
        return cls(
            width=rng.uniform(0.70, 0.82),
            apex=rng.uniform(-0.86, -0.76),
            domes={RIGHT: right_dome, LEFT: right_dome + rng.uniform(0.02, 0.10)},
            heart=(rng.uniform(0.30, 0.42), rng.uniform(0.25, 0.33)),
            mediastinum=rng.uniform(0.12, 0.18),
            rib_spacing=rng.uniform(0.145, 0.185),
            rib_droop=rng.uniform(0.22, 0.42),
        )

    def outer_edge(self, v: Field) -> Field:
        """x of the rib cage's inner side: a rounded apex, widest near the diaphragm."""
        depth = np.clip((v - self.apex) / (0.75 - self.apex), 0, 1)
        return self.width * (1 - (1 - depth) ** 2.4) ** 0.46

    def rim(self, v: float) -> float:
        """The outer edge at one height."""
        return float(self.outer_edge(np.array(v)))


@dataclass(frozen=True)
class View:
    """Where the patient stands on the image: pixel ↔ chest units."""

    size: int
    scale: float  # half the image's width, in chest units
    aspect: float  # of the chest's height to its width
    angle: float
    shift: tuple[float, float]

    @classmethod
    def random(cls, rng: np.random.Generator, size: int) -> View:
        return cls(
            size=size,
            scale=rng.uniform(0.90, 1.10),
            aspect=rng.uniform(0.92, 1.08),
            angle=rng.normal(0, 0.04),
            shift=(rng.uniform(-0.10, 0.10), rng.uniform(-0.10, 0.07)),
        )

    def grid(self) -> tuple[Field, Field]:
        """u and v of every pixel, each (size, size)."""
        line = ((np.arange(self.size, dtype=np.float32) + 0.5) / self.size * 2 - 1) * self.scale
        a, b = line[None, :], line[:, None]
        cos, sin = math.cos(self.angle), math.sin(self.angle)
        return cos * a + sin * b + self.shift[0], (cos * b - sin * a + self.shift[1]) / self.aspect

    def pixel(self, u: Field, v: Field) -> tuple[Field, Field]:
        """Columns and rows of places in the chest: the inverse of `grid`."""
        a, b = u - self.shift[0], v * self.aspect - self.shift[1]
        cos, sin = math.cos(self.angle), math.sin(self.angle)
        column, row = (cos * a - sin * b) / self.scale, (cos * b + sin * a) / self.scale
        return (column + 1) / 2 * self.size, (row + 1) / 2 * self.size


def phantom(label: str, rng: np.random.Generator, size: int = 224) -> NDArray[np.uint8]:
    """Draw one phantom chest X-ray of a class: grey values (size, size), 0 = black.

    "Normal" has clear lungs, "Pneumonia" one dense consolidation in one lung, "COVID-19" several mottled patches of
    ground glass near the outer edge of both lungs. Equal seeds give the same patient and the same image but for the
    disease. Raises ValueError for another label.

    >>> image = phantom("COVID-19", np.random.default_rng(0))
    >>> image.shape, image.dtype
    ((224, 224), dtype('uint8'))
    """
    if label not in CLASSES:
        raise ValueError(f"label is {label!r}; phantoms exist for {', '.join(CLASSES)}")
    disease = rng.spawn(1)[0]  # a stream of its own: equal seeds give the same patient, ill or well
    chest, view = Chest.random(rng), View.random(rng, size)
    u, v = view.grid()
    x = np.abs(u)

    body = _body(chest, x, v)
    heart = _heart(chest, u, v, rng)
    lungs = _lungs(chest, u, x, v) * (1 - 0.75 * heart)
    air = lungs * _aeration(rng, size)
    air -= lungs * _vessels(chest, view, rng)
    if label == "Pneumonia":
        air *= 1 - _consolidation(chest, u, v, disease)
    elif label == "COVID-19":
        air *= 1 - _ground_glass(chest, u, v, disease)

    flesh = body * rng.uniform(0.85, 1.05)
    attenuation = flesh - rng.uniform(0.50, 0.66) * air
    attenuation += _mediastinum(chest, u, x, v, rng) * body + 0.08 * heart + _bones(chest, x, v, rng)
    attenuation += _soft_tissue(chest, u, x, v, rng) * body
    return _expose(attenuation, view, rng)


def write_phantoms(folder: Path | str, per_class: int, seed: int, size: int = 224) -> Path:
    """Write `per_class` phantom images of each class as PNGs, one folder a class, and return the folder.

    Image i of a class depends on the seed, the class, i and the size alone, so a larger set begins with the smaller
    one. A folder that already holds exactly these images is left as it is; one that holds anything else raises
    DataError. The images are written beside the folder and moved into place together: an interrupted run leaves no
    half a data set.
    """
    folder = Path(folder)
    names = [f"{label}/seed{seed}-{size}px-{i:04d}.png" for label in CLASSES for i in range(per_class)]
    if folder.exists() and any(folder.iterdir()):
        present = {path.relative_to(folder).as_posix() for path in folder.rglob("*.png")}
        if present == set(names):
            return folder
        raise DataError(
            f"{folder} holds something other than {per_class} phantom images a class with seed {seed} and "
            f"{size} pixels; name another folder or delete this one"
        )

    def write(name: str) -> None:
        label, index = name.split("/")[0], int(name[-8:-4])
        rng = np.random.default_rng([seed, CLASSES.index(label), index])
        Image.fromarray(phantom(label, rng, size)).save(unfinished / name, compress_level=1)

    folder.parent.mkdir(parents=True, exist_ok=True)
    unfinished = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        for label in CLASSES:
            (unfinished / label).mkdir()
        # Threads are enough: NumPy, SciPy's filters and the PNG encoder let go of the interpreter.
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            list(pool.map(write, names))
        unfinished.chmod(0o755)
        unfinished.replace(folder)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    return folder


def is_phantom(path: str) -> bool:
    """Whether a file's path ends as those that `write_phantoms` gives; the image is not looked at.

    >>> is_phantom("cache/Normal/seed0-224px-0012.png"), is_phantom("Normal/IM-0115-0001.jpeg")
    (True, False)
    """
    return _PHANTOM.search(path.replace(os.sep, "/")) is not None


# --- tissues: each returns attenuation, or a share of the lungs, per pixel ---


def _step(distance: Field, softness: float) -> Field:
    """0 far outside an edge, 1 far inside it."""
    return 0.5 + 0.5 * np.tanh(distance * (0.5 / softness))


def _distance(across: Field, down: Field) -> Field:
    return np.sqrt(across * across + down * down)  # three times faster than np.hypot


def _clouds(rng: np.random.Generator, size: int, cells: int) -> Field:
    """Smooth noise of mean 0 and standard deviation about 1, with `cells` cells across."""
    coarse = rng.standard_normal((cells + 3, cells + 3)).astype(np.float32)
    inner = (1.0, 1.0, cells + 2.0, cells + 2.0)
    fine = np.asarray(Image.fromarray(coarse).resize((size, size), Image.Resampling.BICUBIC, box=inner))
    return fine / (fine.std() + 1e-6)


def _body(chest: Chest, x: Field, v: Field) -> Field:
    """Neck, shoulders, trunk and hanging arms; thinner towards the sides, as a round trunk is."""
    side = chest.width + 0.17 + 0.05 * v
    shoulder = v - (-1.0 + 0.30 * np.maximum(x - 0.20, 0) ** 1.2)
    trunk = _step(side - x, 0.010) * _step(shoulder, 0.012)
    neck = _step(0.22 + 0.08 * np.clip(v + 1, 0, 1) - x, 0.012) * _step(-0.8 - v, 0.02)
    outside = x - chest.width - 0.36 - 0.16 * v
    arm = _step(0.19 - np.abs(outside), 0.012) * _step(shoulder, 0.012)
    armpit = _step(side + 0.20 - x, 0.02) * _step(shoulder, 0.012) * _step(-0.42 - v, 0.05)
    depth = np.sqrt(np.clip(1 - (x / (side + 0.08)) ** 2, 0.04, 1))
    trunk = trunk * (0.50 + 0.50 * depth)
    return np.maximum(np.maximum(trunk, 0.78 * neck), 0.52 * np.maximum(arm, armpit))


def _lungs(chest: Chest, u: Field, x: Field, v: Field) -> Field:
    """Share of air: 1 inside the lungs, falling off towards their edges."""
    outer = chest.outer_edge(v) - x
    inner = x - chest.mediastinum * 0.75
    dome = np.where(u < 0, np.float32(chest.domes[RIGHT]), np.float32(chest.domes[LEFT]))
    # The diaphragm sinks steeply at the side (the costophrenic angle) and gently towards the heart.
    side = np.maximum(x - 0.38, 0) / (chest.width - 0.38)
    middle = np.maximum(0.38 - x, 0) / 0.38
    below = dome + 0.30 * side**2.2 + 0.16 * middle**2 - v
    depth = 0.60 + 0.40 * np.clip(np.minimum(outer, inner) / 0.22, 0, 1)  # lungs are thin at the rim
    return _step(outer, 0.010) * _step(inner, 0.015) * _step(below, 0.010) * depth


def _aeration(rng: np.random.Generator, size: int) -> Field:
    """How much air a lung holds from place to place: breath depth and fine lung markings."""
    texture = 0.035 * _clouds(rng, size, 6) + 0.02 * _clouds(rng, size, 28)
    return rng.uniform(0.80, 1.0) + texture.astype(np.float32)


def _vessels(chest: Chest, view: View, rng: np.random.Generator) -> Field:
    """Vessels that fork from each hilum towards the rim, thinning out, and the hilum itself."""
    image = Image.new("L", (view.size, view.size))
    draw = ImageDraw.Draw(image)
    trunks = 5
    side = np.repeat((RIGHT, LEFT), trunks)
    u, v = side * chest.mediastinum, rng.uniform(-0.12, 0.06, 2 * trunks)
    fan = np.tile(np.linspace(-1.25, 1.35, trunks), 2) + rng.normal(0, 0.12, 2 * trunks)
    angle = np.where(side == LEFT, fan, np.pi - fan)
    length, width, grey = 0.20, 0.034 * view.size / (2 * view.scale), 230.0
    for _ in range(5):
        points = [view.pixel(u, v)]
        for _ in range(2):
            step = length * rng.uniform(0.35, 0.65, len(u))
            u, v = u + step * np.cos(angle), v + step * np.sin(angle)
            points.append(view.pixel(u, v))
            angle = angle + rng.normal(0, 0.16, len(u))
        for path in np.array(points).transpose(2, 0, 1).tolist():
            draw.line([tuple(point) for point in path], fill=int(grey), width=max(1, round(width)))
        u, v, turn = np.tile(u, 2), np.tile(v, 2), rng.uniform(0.15, 0.6, 2 * len(u))
        angle = np.tile(angle, 2) + np.repeat((1, -1), len(u) // 2) * turn
        length, width, grey = length * 0.74, width * 0.68, grey * 0.78
    vessels = np.asarray(image, dtype=np.float32) / 255
    return rng.uniform(0.18, 0.34) * gaussian_filter(vessels, view.size / 224 * 0.9)


def _heart(chest: Chest, u: Field, v: Field, rng: np.random.Generator) -> Field:
    """Share of the depth taken by the heart, a tilted egg that lies on the left half of the diaphragm."""
    across, down = chest.heart
    tilt = rng.uniform(0.4, 0.7)
    du, dv = u - rng.uniform(0.09, 0.15), v - (chest.domes[LEFT] + 0.10 - down)
    p, q = du * math.cos(tilt) + dv * math.sin(tilt), dv * math.cos(tilt) - du * math.sin(tilt)
    return _step(1 - _distance(p / across, q / down), 0.05)


def _mediastinum(chest: Chest, u: Field, x: Field, v: Field, rng: np.random.Generator) -> Field:
    """Great vessels, spine and, darker, the windpipe; the trunk also thickens downwards."""
    vessels = _step(chest.mediastinum + 0.05 * v - x, 0.022)
    aorta = _step(0.09 - _distance(u - chest.mediastinum * 0.8, v + 0.30), 0.015)
    lean = rng.normal(0, 0.015)
    vertebrae = 0.78 + 0.22 * np.cos(v / (chest.rib_spacing * 0.92) * 2 * np.pi)
    spine = _step(0.08 - np.abs(u - lean), 0.012) * vertebrae
    trachea = np.exp(-(((u - lean) / 0.035) ** 2)) * _step(-0.28 - v, 0.04)
    return 0.22 * vessels + 0.09 * aorta + 0.14 * spine - 0.16 * trachea + 0.07 * np.clip(v + 0.2, 0, 1)


def _bones(chest: Chest, x: Field, v: Field, rng: np.random.Generator) -> Field:
    """Ribs behind (bright) and in front (faint), collar bones, upper arms."""
    cage = _step(chest.outer_edge(v) + 0.03 - x, 0.010) * _step(x - 0.06, 0.012) * _step(0.72 - v, 0.10)
    r = x / chest.width
    behind = v - (chest.rib_droop * r**2.2 - 0.15 * np.sin(np.pi * np.minimum(r, 1)))
    front = v - (0.10 - 0.66 * r)
    strength = rng.uniform(0.06, 0.11)
    ribs = cage * (
        strength * _stripes(behind, chest.rib_spacing, 0.42, rng.uniform())
        + 0.35 * strength * _stripes(front, chest.rib_spacing * 1.1, 0.38, rng.uniform()) * _step(r - 0.45, 0.05)
    )
    tilt = rng.uniform(0.02, 0.20)
    line = -0.63 - tilt * x - 0.05 * np.sin(np.clip(x - 0.06, 0, 1) * 5.5)
    clavicle = _tube((v - line) / (0.036 + 0.010 * np.cos(x * 7))) * _step(x - 0.07, 0.01) * _step(0.84 - x, 0.02)
    shaft = _tube((x - chest.width - 0.40 - 0.16 * v) / 0.075) * _step(v + 0.55, 0.02)
    head = _step(0.11 - _distance(x - chest.width - 0.27, v + 0.58), 0.02)
    return ribs + 0.20 * clavicle + 0.25 * np.maximum(shaft, head)


def _tube(t: Field) -> Field:
    """Attenuation across a hollow bone: t in half-widths, brightest near |t| = 1, where the rays graze its wall."""
    t = np.abs(t)
    return _step(1 - t, 0.12) * (0.62 + 0.38 * np.minimum(t, 1) ** 2)


def _stripes(t: Field, spacing: float, share: float, phase: float) -> Field:
    """Parallel bones, one every `spacing`, each covering that share of it."""
    offset = t / spacing + phase
    offset -= np.round(offset)
    return _tube(offset / (share / 2))


def _soft_tissue(chest: Chest, u: Field, x: Field, v: Field, rng: np.random.Generator) -> Field:
    """Breast or muscle shadows over the lower lungs, and sometimes a gas bubble in the stomach."""
    low = _step(0.30 - _distance((x - 0.42) * 0.8, v - rng.uniform(0.12, 0.34)), 0.03)
    tissue = rng.uniform(0, 0.09) * low
    if rng.random() < 0.6:
        centre = rng.uniform(0.25, 0.5), chest.domes[LEFT] + rng.uniform(0.12, 0.22)
        r = _distance((u - centre[0]) / 1.5, v - centre[1])
        tissue = tissue - rng.uniform(0.1, 0.3) * _step(rng.uniform(0.05, 0.09) - r, 0.012)
    return tissue


# --- disease: the share of air that is replaced by fluid ---


def _patch(u: Field, v: Field, centre: tuple[float, float], radius: float, ragged: Field, softness: float) -> Field:
    """A blob whose edge wanders with the field `ragged`."""
    r = _distance(u - centre[0], v - centre[1]) / radius
    return _step(1 - r + 0.30 * ragged, softness)


def _consolidation(chest: Chest, u: Field, v: Field, rng: np.random.Generator) -> Field:
    """One dense, fluffy focus."""
    side = RIGHT if rng.random() < 0.5 else LEFT
    height = rng.uniform(-0.38, chest.domes[side] - 0.12)
    rim = chest.rim(height)
    centre = side * rng.uniform(0.55, 0.80) * rim, height
    size = u.shape[0]
    blob = _patch(u, v, centre, rng.uniform(0.26, 0.38), _clouds(rng, size, 9), 0.07)
    fluffy = np.clip(0.65 + 0.50 * _clouds(rng, size, 30), 0.2, 1)
    return rng.uniform(0.85, 1.0) * blob * fluffy


def _ground_glass(chest: Chest, u: Field, v: Field, rng: np.random.Generator) -> Field:
    """Hazy, finely mottled patches along the rim of both lungs."""
    size = u.shape[0]
    ragged = _clouds(rng, size, 10)
    mottled = np.clip(0.65 + 0.65 * _clouds(rng, size, 66), 0, 1.7)
    clear = np.ones_like(u)
    for side in (RIGHT, LEFT):
        for _ in range(rng.integers(2, 5)):
            height = rng.uniform(-0.50, chest.domes[side] + 0.08)
            rim = chest.rim(height)
            centre = side * (rim - rng.uniform(0.04, 0.25)), height
            clear *= 1 - rng.uniform(0.40, 0.60) * _patch(u, v, centre, rng.uniform(0.13, 0.23), ragged, 0.22) * mottled
    return np.clip(1 - clear, 0, 0.9)


# --- the image ---


def _expose(attenuation: Field, view: View, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Scatter, exposure, noise, image borders and the side marker: attenuation → grey values."""
    size = view.size
    pixel = size / 224
    sharp = gaussian_filter(attenuation, rng.uniform(0.4, 0.8) * pixel)
    low, high = rng.uniform(-0.05, 0.15), rng.uniform(1.25, 1.55)
    grey = np.clip((sharp - low) / (high - low), 0, 1) ** rng.uniform(0.75, 1.35)
    grain = gaussian_filter(rng.standard_normal((size, size)).astype(np.float32), 0.6 * pixel)
    grey = grey * rng.uniform(0.82, 1.0) + rng.uniform(0, 0.06) + rng.uniform(0.006, 0.02) * grain
    if rng.random() < 0.25:  # a collimated image: black beyond the shutters
        edges = rng.integers(0, max(1, size // 14), 4)
        grey[: edges[0]], grey[size - edges[1] :], grey[:, : edges[2]], grey[:, size - edges[3] :] = 0, 0, 0, 0
    image = Image.fromarray((np.clip(grey, 0, 1) * 255).astype(np.uint8))
    marker, place = ("R", rng.uniform(0.02, 0.07)) if rng.random() < 0.75 else ("L", rng.uniform(0.88, 0.93))
    font = ImageFont.load_default(size * rng.uniform(0.05, 0.08))
    corner = place * size, rng.uniform(0.03, 0.25) * size
    ImageDraw.Draw(image).text(corner, marker, fill=int(rng.uniform(200, 255)), font=font)
    return np.asarray(image).copy()
