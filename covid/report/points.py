"""Where a run's points come from: patients on both sides, the official test folder, or a hold-out used for choosing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from covid.data.manifest import Radiograph
from covid.evaluation.intervals import wilson
from covid.report.against_paper import History, validation_accuracies
from covid.runs.predictions import Predictions

Mask = NDArray[np.bool_]


class Part(NamedTuple):
    """A part of the test images: how many, how many of them were answered rightly."""

    name: str
    images: int
    right: int

    @property
    def accuracy(self) -> float | None:
        """Share of right answers, None without images."""
        return self.right / self.images if self.images else None

    @property
    def interval(self) -> tuple[float, float] | None:
        """Its 95 % Wilson interval, None without images."""
        return wilson(self.right, self.images) if self.images else None


def folder(image_path: str, source: str) -> str:
    """Where an image comes from: the folder of Kermany's official split, or its source.

    >>> folder("chest_xray/test/NORMAL/IM-0001-0001.jpeg", "Kermany")
    'Kermany, test folder'
    """
    if source == "Kermany":
        return f"Kermany, {image_path.split('/')[-3]} folder"
    return "one folder a class" if source == "folder" else source


def by_folder(test: Predictions) -> list[Part]:
    """The test images by the folder they come from, all and class by class."""
    folders = np.array([folder(path, source) for path, source in zip(test.paths, test.sources, strict=True)])
    return [part for name in np.unique(folders) for part in _with_classes(name, test, folders == name)]


def by_acquaintance(test: Predictions, images: Sequence[Radiograph]) -> list[Part]:
    """The test images, all and class by class, by whether the network was trained on images of the same patient."""
    known = met(test, images)
    return [
        *_with_classes("patient also trained on", test, known),
        *_with_classes("patient not trained on", test, ~known),
    ]


def met(test: Predictions, images: Sequence[Radiograph]) -> Mask:
    """For each test image whether another image of its patient was trained on: (N,)."""
    trained = {image.patient for image in images if image.split == "train"}
    return np.array([patient in trained for patient in test.patients], dtype=bool)


def choosing(history: History) -> dict[str, Any] | None:
    """The best and the last epoch's accuracy on the hold-out, and what choosing the best would add; None if unknown."""
    measured = validation_accuracies(history)
    if not measured:
        return None
    best, last = max(measured, key=lambda epoch: measured[epoch]), max(measured)
    return {
        "best_epoch": best,
        "best": measured[best],
        "last_epoch": last,
        "last": measured[last],
        "gain": measured[best] - measured[last],
    }


def standardised(test: Predictions, chosen: Mask, mix: Mapping[str, float]) -> float | None:
    """Accuracy on the chosen images with classes weighted by `mix`; None when a class of it has no image among them.

    Parts of the data differ in how many images of each class they hold, and classes in how hard they are; equal
    weights make accuracies comparable.
    """
    total = 0.0
    for name, share in mix.items():
        here = chosen & (test.targets == test.classes.index(name))
        if not here.any():
            return None
        total += share * float((test.outputs == test.targets)[here].mean())
    return total


def class_mix(test: Predictions) -> dict[str, float]:
    """Each class's share of the images."""
    return {name: float((test.targets == i).mean()) for i, name in enumerate(test.classes)}


def _with_classes(name: str, test: Predictions, chosen: Mask) -> list[Part]:
    """The chosen images, and each class's share of them if they hold more than one; nothing without images."""
    right = test.outputs == test.targets
    masks = {name: chosen} | {f"{name}: {label}": chosen & (test.targets == i) for i, label in enumerate(test.classes)}
    parts = [Part(title, int(mask.sum()), int(right[mask].sum())) for title, mask in masks.items() if mask.any()]
    return parts if len(parts) > 2 else parts[:1]


def chain(
    paper_like: tuple[Predictions, Sequence[Radiograph], History], by_patient: Predictions
) -> list[tuple[str, float | None]]:
    """From a run on the paper's split to one on a patient split, step by step: (what is measured, accuracy).

    Every step but the first and the last weighs the classes as the paper's hold-out does, so the differences between
    neighbours add up to the whole.
    """
    holdout, images, history = paper_like[0].of("test"), *paper_like[1:]
    test = by_patient.of("test")
    mix = class_mix(holdout)
    right = holdout.outputs == holdout.targets
    choice = choosing(history)
    accuracy = float(right.mean())
    official = np.array(
        [
            folder(path, source) in ("Kermany, test folder", "Kermany, val folder")
            for path, source in zip(test.paths, test.sources, strict=True)
        ]
    )
    everything = np.ones(len(test), dtype=bool)
    return [
        ("paper split, the best accuracy of any epoch", choice["best"] if choice else None),
        ("paper split, after the last epoch", accuracy),
        ("paper split, only patients not trained on", standardised(holdout, ~met(holdout, images), mix)),
        ("patient split, without the official test and val folders", standardised(test, ~official, mix)),
        ("patient split, all its test images, classes as in the paper's hold-out", standardised(test, everything, mix)),
        ("patient split, all its test images as they are", float((test.outputs == test.targets).mean())),
    ]
