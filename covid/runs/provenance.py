"""What a run's network was trained on, and which images its answers are therefore worth nothing for."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from covid.data.phantom import is_phantom
from covid.data.plausibility import COLOURED, Reference, coloured_share

PHANTOMS, RADIOGRAPHS = "phantoms", "radiographs"
PHANTOM_WEIGHTS = (
    "These weights were trained on drawn phantoms: what they say of a radiograph of a patient means nothing."
)


@dataclass(frozen=True)
class Provenance:
    """Whether the training images were PHANTOMS or RADIOGRAPHS, and what they have in common.

    `reference` is None for a run of an earlier version, which did not measure it.
    """

    trained_on: str
    reference: Reference | None = None

    @classmethod
    def of(cls, paths: Iterable[str], images: Iterable[NDArray[np.uint8]] | None = None) -> Provenance:
        """That of a run with these training files, measured on their prepared pixels, each (H, W)."""
        paths = list(paths)
        drawn = bool(paths) and all(map(is_phantom, paths))
        return cls(PHANTOMS if drawn else RADIOGRAPHS, None if images is None else Reference.of(images))

    @classmethod
    def of_json(cls, values: dict[str, Any]) -> Provenance:
        """What `to_json` gave."""
        return cls(values["trained_on"], Reference.of_json(values["reference"]))

    def to_json(self) -> dict[str, Any]:
        """Plain JSON types."""
        return {"trained_on": self.trained_on, "reference": self.reference.to_json() if self.reference else None}

    def warnings(self, paths: Iterable[str]) -> list[str]:
        """What stands above the figures of a network for the image files `paths`: nothing, or one sentence."""
        real = self.trained_on == PHANTOMS and not all(map(is_phantom, paths))
        return [PHANTOM_WEIGHTS] if real else []

    def doubts(self, path: Path, pixels: NDArray[np.uint8]) -> list[str]:
        """Why an image file, prepared as `pixels` (H, W), may be no chest radiograph: nothing, or one sentence."""
        reasons = self.reference.unusual(pixels) if self.reference else []
        coloured = coloured_share(path)
        if coloured > COLOURED:
            reasons.insert(0, f"{coloured:.0%} of its pixels are coloured")
        if not reasons:
            return []
        return [f"{path.name} looks unlike the training images ({'; '.join(reasons)}): it may be no chest radiograph"]
