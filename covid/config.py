"""How to train: the paper's choices as a preset, and where every one of them can be changed."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from covid import earlier
from covid.data.split import HOW
from covid.errors import DataError

CHOICES: dict[str, tuple[Any, ...]] = {
    "optimizer": ("sgdm", "adam"),
    "schedule": ("piecewise", "cosine"),
    "batch_norm": ("population", "moving"),
    "network": ("paper", "pooled", "alexnet"),
    "channels": (1, 3),
    "padding": (0, "same"),
    "variant": ("table", "text"),
    "mean_of": ("pixel", "channel"),
    "validation_statistics": ("moving", "batch"),
    "split": HOW,
}


@dataclass(frozen=True)
class Config:
    """Everything that decides a training run; written to the run folder as config.json. The defaults are the paper's.

    The first block is Table 2, with MATLAB's defaults where the table is silent, and two ways of choosing and changing
    training images; the second is the network and what the paper leaves open about it; the third is about the data.
    """

    epochs: int = 20
    batch_size: int = 64
    optimizer: str = "sgdm"
    learning_rate: float = 0.01
    momentum: float = 0.9
    schedule: str = "piecewise"
    drop_factor: float = 0.2
    drop_period: int = 5
    weight_decay: float = 1e-4
    batch_norm: str = "population"
    balanced: bool = False
    augment: bool = False

    network: str = "paper"
    weights: str = ""  # a file to begin from; empty for random weights
    channels: int = 1
    padding: int | str = 0
    variant: str = "table"
    mean_of: str = "pixel"
    validation_statistics: str = "moving"
    size: int = 224
    clahe: bool = True

    split: str = "patient"
    seed: int = 0
    split_seed: int | None = None  # the seed, where it is None
    data: str = ""  # the folder of images; empty for phantoms
    phantoms: int = 600  # of each class, when there is no data
    preset: str = "paper"
    classes: tuple[str, ...] = ()  # as found in the data

    def __post_init__(self) -> None:
        for name in ("epochs", "batch_size", "drop_period", "channels", "size", "phantoms"):
            if getattr(self, name) < 1:
                raise DataError(f"{name} is {getattr(self, name)}: give a whole number of at least 1")
        for name, choices in CHOICES.items():
            if getattr(self, name) not in choices:
                raise DataError(f"{name} is {getattr(self, name)!r}: choose one of {', '.join(map(str, choices))}")

    def write(self, path: Path) -> None:
        """Write config.json."""
        path.write_text(json.dumps(asdict(self), indent=2) + "\n", encoding="utf-8")

    @classmethod
    def read(cls, path: Path) -> Config:
        """Read config.json. Raises DataError when it is missing or damaged."""
        try:
            values = earlier.config(json.loads(path.read_text(encoding="utf-8")))
            unknown = values.keys() - {field.name for field in fields(cls)}
            if unknown:
                raise ValueError(f"unknown setting {sorted(unknown)[0]!r}")
            return cls(**{**values, "classes": tuple(values.get("classes", ()))})
        except (OSError, ValueError, TypeError, AttributeError) as error:
            raise DataError(f"{path} cannot be read ({error}): give the folder of a run, or train again") from error


PRESETS: dict[str, dict[str, Any]] = {
    "paper": {},  # Tables 1 and 2
    # At the paper's rate fc_1, with its 9,216 inputs, jumps about; images of one majority class forgive that, three
    # equal classes of phantoms do not: some seeds never learnt them.
    "phantom": {"epochs": 8, "batch_size": 32, "learning_rate": 0.001, "drop_period": 6},
    # Chosen on validation patients, but for the size: a quarter of the pixels takes a quarter of the time.
    "pooled": {
        "network": "pooled",
        "size": 112,
        "epochs": 30,
        "optimizer": "adam",
        "learning_rate": 0.002,
        "schedule": "cosine",
        "balanced": True,
        "augment": True,
    },
    # A step takes ten times as long as the paper's network's, so there are fewer epochs.
    "alexnet": {"network": "alexnet", "channels": 3, "size": 227, "epochs": 6, "drop_period": 2},
}


def default_preset(data: str) -> str:
    """The preset for images in the folder `data`, or for phantoms where that is empty."""
    return "paper" if data else "phantom"


def preset(name: str, **changes: Any) -> Config:
    """The Config of a preset with some settings changed.

    >>> preset("paper", epochs=2).epochs
    2
    """
    if name not in PRESETS:
        raise DataError(f"preset is {name!r}: choose one of {', '.join(PRESETS)}")
    return Config(**{**PRESETS[name], "preset": name, **changes})
