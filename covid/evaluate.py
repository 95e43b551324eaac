"""What a trained network says of films: of a run's test films, of another folder's, or of single files."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

import tinycnn as tc
from covid import collect, metrics, train
from covid.config import Config
from covid.errors import DataError
from covid.preprocess import Settings, preprocess, read_grey
from covid.run import Run


def on_dataset(net: tc.Sequential, data: tc.Dataset, classes: Sequence[str], batch_size: int = 64) -> dict[str, Any]:
    """The metrics of `net` on a dataset, as `covid.metrics.metrics` gives them."""
    p = tc.evaluate(net, data, batch_size).probabilities
    return metrics.metrics(metrics.confusion_matrix(data.labels, p.argmax(axis=1), len(classes)), list(classes))


def on_test_films(run: Run, net: tc.Sequential, cache: Path) -> dict[str, Any]:
    """The metrics of a run's network on the run's own test films."""
    config = run.config()
    root = train.data_root(config, cache)
    if not root.is_dir():
        raise DataError(f"the run's films are not in {root} any more: give their folder with --data")
    films = [film for film in run.films() if film.split == "test"]
    return _on_films(net, films, config, root, cache)


def on_folder(run: Run, net: tc.Sequential, root: Path, cache: Path) -> tuple[dict[str, Any], list[collect.Film]]:
    """The metrics of a run's network on the films of `root`, and all films found there with why some were left out.

    Left out are films that the run was trained or validated on (by their content) and films of classes it does not
    know.
    """
    config = run.config()
    seen = {film.sha256 for film in run.films() if film.split in ("train", "validation")}
    films = []
    for film in collect.collect(root):
        reason = film.excluded
        if not reason and film.sha256 in seen:
            reason = "the network was trained or validated on it"
        elif not reason and film.label not in config.classes:
            reason = f"class {film.label}, which the network does not know"
        films.append(replace(film, excluded=reason))
    kept = [film for film in films if not film.excluded]
    if not kept:
        raise DataError(f"no film of {root} is left to evaluate:\n{collect.summary(films)}")
    return _on_films(net, kept, config, root, cache), films


def _on_films(
    net: tc.Sequential, films: Sequence[collect.Film], config: Config, root: Path, cache: Path
) -> dict[str, Any]:
    x = train.images(films, config, root, cache)
    t = np.array([config.classes.index(film.label) for film in films])
    return on_dataset(net, tc.Dataset(x, t), config.classes)


def predictions(run: Run, net: tc.Sequential, paths: Sequence[Path]) -> Iterator[tuple[Path, np.ndarray | DataError]]:
    """For each image file, and each image in a folder: its probabilities (classes,), or why it cannot be read."""
    config = run.config()
    settings = Settings(size=(config.size, config.size), clahe=config.clahe)
    for path in _files(paths):
        try:
            pixels = preprocess(read_grey(path), settings)
        except DataError as error:
            yield path, error
            continue
        x = np.broadcast_to(pixels, (1, config.channels, *pixels.shape))
        yield path, net.predict(x)[0]


def _files(paths: Sequence[Path]) -> Iterator[Path]:
    for path in paths:
        if path.is_dir():
            inside = sorted(file for file in path.rglob("*") if file.suffix.lower() in collect.IMAGE_SUFFIXES)
            if not inside:
                raise DataError(f"{path} holds no images ({', '.join(sorted(collect.IMAGE_SUFFIXES))}): give others")
            yield from inside
        else:
            yield path
