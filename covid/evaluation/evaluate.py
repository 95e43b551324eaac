"""What a trained network says of images: of a run's test images, of another folder's, or of single files."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import tinycnn as tc
from covid.config import Config
from covid.data import collect, manifest
from covid.data.manifest import Radiograph
from covid.data.preprocess import Settings, preprocess, read_grey
from covid.errors import DataError
from covid.runs.pixels import data_root, pixels, readable
from covid.runs.predictions import Predictions
from covid.runs.run import Run
from tinycnn import backend


def on_own_images(run: Run, net: tc.Sequential, cache: Path) -> Predictions:
    """What a network says of a run's validation and test images."""
    config = run.config()
    root = data_root(config, cache)
    if not root.is_dir():
        raise DataError(f"the run's images are not in {root} any more: give their folder with --data")
    images = readable(run.images())
    rows = [row for row, image in enumerate(images) if image.split in ("validation", "test")]
    return _predictions(net, [images[row] for row in rows], pixels(images, config, root, cache), rows, config)


def on_folder(
    run: Run, net: tc.Sequential, root: Path, cache: Path, names: Mapping[str, str] | None = None
) -> tuple[Predictions, list[Radiograph]]:
    """What a run's network says of the images of `root`, and all images found there with why some were left out.

    `names` maps the folder's class names to the network's: to one of them, to several joined by "+", which are then one
    class whose probabilities add up, or to nothing, which leaves those images out. Left out are also images that the
    run was trained or validated on (by their content) and images of classes the network does not know.
    """
    config = run.config()
    groups = merged_classes(config.classes, names or {})
    of_class = {name: group for group in groups for name in group.split("+")}
    seen = {image.sha256 for image in run.images() if image.split in ("train", "validation")}
    images = []
    for image in collect.collect(root):
        label = (names or {}).get(image.label, image.label)
        label = of_class.get(label, label)
        reason = image.excluded
        if not reason and image.sha256 in seen:
            reason = "the network was trained or validated on it"
        elif not reason and not label:
            reason = f"class {image.label}, left out as asked"
        elif not reason and label not in groups:
            reason = f"class {image.label}, which the network does not know"
        images.append(replace(image, label=label or image.label, split="" if reason else "test", excluded=reason))
    kept = [image for image in images if image.split]
    if not kept:
        raise DataError(
            f"no image of {root} is left to evaluate:\n{manifest.summary(images)}\nThe network's classes are "
            f"{', '.join(config.classes)}: give other names as --map FOLDER=CLASS"
        )
    x = pixels(kept, config, root, cache)
    return _predictions(net, kept, x, range(len(kept)), config, groups), images


def merged_classes(classes: Sequence[str], names: Mapping[str, str]) -> tuple[str, ...]:
    """The classes that are left when those joined by "+" in the values of `names` are one, in the old order.

    >>> merged_classes(("COVID-19", "Normal", "Pneumonia"), {"other": "Normal+Pneumonia"})
    ('COVID-19', 'Normal+Pneumonia')
    """
    group_of = {name: name for name in classes}
    for wanted in names.values():
        members = wanted.split("+")
        unknown = [name for name in members if wanted and name not in classes]
        if unknown:
            raise DataError(f"--map names class {unknown[0]!r}, but the network's are {', '.join(classes)}")
        if len(members) > 1:
            if any(group_of[name] not in (name, wanted) for name in members):
                raise DataError(f"--map puts a class into two groups, one of them {wanted!r}: use each class once")
            group_of.update(dict.fromkeys(members, wanted))
    return tuple(dict.fromkeys(group_of[name] for name in classes))


def _predictions(
    net: tc.Sequential,
    images: Sequence[Radiograph],
    x: np.ndarray,
    rows: Sequence[int],
    config: Config,
    groups: Sequence[str] = (),
) -> Predictions:
    """The table for `images`, which lie in these rows of x, with the classes joined as `groups` says."""
    data = tc.Dataset(x, np.zeros(len(x), np.int64), rows)
    p = tc.evaluate(net, data, config.batch_size).probabilities.astype(np.float64)
    groups = groups or config.classes
    joined = [p[:, [config.classes.index(name) for name in group.split("+")]].sum(axis=1) for group in groups]
    return Predictions.of_images(images, groups, np.stack(joined, axis=1))


@dataclass(frozen=True)
class Answer:
    """What a network says of one image file: probabilities (classes,) with doubts about the image, or an error."""

    path: Path
    probabilities: NDArray[np.floating] | None = None
    doubts: Sequence[str] = ()
    error: str = ""


def answers(run: Run, net: tc.Sequential, paths: Sequence[Path]) -> Iterator[Answer]:
    """What a run's network says of each image file."""
    config, provenance = run.config(), run.provenance()
    settings = Settings(size=(config.size, config.size), clahe=config.clahe)
    for path in paths:
        try:
            pixels = preprocess(read_grey(path), settings)
        except DataError as error:
            yield Answer(path, error=str(error))
            continue
        x = np.broadcast_to(pixels, (1, config.channels, *pixels.shape))
        p = backend.to_device(net.predict(backend.to_device(x, net.device)), "cpu")[0]
        yield Answer(path, p, provenance.doubts(path, pixels))


def image_files(paths: Sequence[Path]) -> list[Path]:
    """The files among `paths`, and the images in the folders among them. Raises DataError for a folder without any."""
    found: list[Path] = []
    for path in paths:
        if path.is_dir():
            inside = sorted(file for file in path.rglob("*") if file.suffix.lower() in collect.IMAGE_SUFFIXES)
            if not inside:
                raise DataError(f"{path} holds no images ({', '.join(sorted(collect.IMAGE_SUFFIXES))}): give others")
            found += inside
        else:
            found.append(path)
    return found
