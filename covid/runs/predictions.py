"""What a network said of each image, as a table that a person can open: everything measured later starts here."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from covid.data.manifest import Radiograph
from covid.errors import DataError

COLUMNS = ("path", "patient", "source", "split", "class")  # then a probability for each class, headed "p CLASS"


@dataclass(frozen=True)
class Predictions:
    """N images with their class and the network's probabilities of the K classes."""

    classes: tuple[str, ...]
    paths: NDArray[np.str_]  # (N,), relative to the data folder
    patients: NDArray[np.str_]
    sources: NDArray[np.str_]
    splits: NDArray[np.str_]  # "validation" or "test"
    targets: NDArray[np.int64]  # (N,), indices into classes
    probabilities: NDArray[np.float64]  # (N, K)

    def __len__(self) -> int:
        return len(self.targets)

    def __getitem__(self, chosen: NDArray[np.bool_] | NDArray[np.int64]) -> Predictions:
        """The images that a mask or an array of positions chooses."""
        return Predictions(
            self.classes,
            self.paths[chosen],
            self.patients[chosen],
            self.sources[chosen],
            self.splits[chosen],
            self.targets[chosen],
            self.probabilities[chosen],
        )

    def of(self, split: str) -> Predictions:
        """The images of one split."""
        return self[self.splits == split]

    @property
    def outputs(self) -> NDArray[np.int64]:
        """(N,): the class that the network finds most probable."""
        return self.probabilities.argmax(axis=1)

    @classmethod
    def of_images(
        cls, images: Sequence[Radiograph], classes: Sequence[str], probabilities: NDArray[np.float64]
    ) -> Predictions:
        """The table of images and their probabilities (N, K), row by row."""

        def column(name: str) -> NDArray[np.str_]:
            return np.array([getattr(image, name) for image in images], dtype=str)

        targets = np.array([list(classes).index(image.label) for image in images], dtype=np.int64)
        return cls(
            tuple(classes),
            column("path"),
            column("patient"),
            column("source"),
            column("split"),
            targets,
            np.asarray(probabilities, dtype=np.float64),
        )

    def write(self, path: Path) -> None:
        """Write predictions.csv."""
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow([*COLUMNS, *(f"p {name}" for name in self.classes)])
            for i, target in enumerate(self.targets):
                writer.writerow(
                    [
                        self.paths[i],
                        self.patients[i],
                        self.sources[i],
                        self.splits[i],
                        self.classes[target],
                        *(f"{p:.9g}" for p in self.probabilities[i]),
                    ]
                )

    @classmethod
    def read(cls, path: Path) -> Predictions:
        """Read predictions.csv. Raises DataError when it is missing or damaged."""
        try:
            with path.open(newline="", encoding="utf-8") as file:
                header, *rows = csv.reader(file)
            if tuple(header[: len(COLUMNS)]) != COLUMNS:
                raise ValueError(f"its columns are {header}, not {', '.join(COLUMNS)} …")
            classes = tuple(name.removeprefix("p ") for name in header[len(COLUMNS) :])
            columns = [np.array(column, dtype=str) for column in zip(*rows, strict=True)]
            targets = np.array([classes.index(name) for name in columns[4]], dtype=np.int64)
            probabilities = np.stack([column.astype(np.float64) for column in columns[5:]], axis=1)
        except (OSError, ValueError, IndexError) as error:
            raise DataError(f"{path} cannot be read ({error}): covid evaluate of its run writes it again") from error
        paths, patients, sources, splits = columns[:4]
        return cls(classes, paths, patients, sources, splits, targets, probabilities)
