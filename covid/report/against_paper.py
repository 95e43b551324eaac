"""Which of the paper's figures a run reaches, and which it cannot be compared with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from covid import paper
from covid.config import Config
from covid.data.manifest import Radiograph
from covid.evaluation.intervals import wilson
from covid.paper import Share

History = Sequence[Mapping[str, Any]]


@dataclass(frozen=True)
class Comparison:
    """One of the paper's figures beside this run's; `why_not` says what forbids the comparison, empty if nothing."""

    where: str  # "Table 3"
    what: str  # "COVID-19 precision"
    paper: Share
    value: float | None
    interval: Sequence[float] | None
    why_not: str = ""

    @property
    def difference(self) -> float | None:
        """This run's figure minus the paper's."""
        return None if self.why_not or self.value is None else self.value - self.paper.value

    @property
    def position(self) -> str:
        """Where the paper's figure lies: "inside", "below" or "above" this run's 95 % interval."""
        if self.why_not or self.interval is None:
            return ""
        low, high = self.interval
        return "below" if self.paper.value < low else "above" if self.paper.value > high else "inside"

    @property
    def verdict(self) -> str:
        """Says "reached" unless the paper's figure lies above this interval; "not comparable" where it is no match."""
        return {"": "not comparable", "above": "not reached"}.get(self.position, "reached")

    def sentence(self) -> str:
        """The verdict in words.

        >>> Comparison("Table 3", "COVID-19 precision", Share("95.7", 22, 23), 0.5, (0.4, 0.6)).sentence()
        'Table 3, COVID-19 precision of 95.7 %: not reached. This run has 50.0 % (40.0 to 60.0), 45.7 points less.'
        """
        name = f"{self.where}, {self.what} of {self.paper.printed} %"
        if not self.position or self.interval is None or self.value is None or self.difference is None:
            return f"{name}: cannot be compared, because {self.why_not or 'this run has no such figure'}."
        ours = f"{100 * self.value:.1f} % ({100 * self.interval[0]:.1f} to {100 * self.interval[1]:.1f})"
        gap = f"{100 * abs(self.difference):.1f} points {'more' if self.difference > 0 else 'less'}"
        return f"{name}: {self.verdict}. This run has {ours}, {gap}."


def comparisons(
    config: Config, images: Sequence[Radiograph], metrics: Mapping[str, Any], history: History
) -> list[Comparison]:
    """Every figure of the paper's Tables 3 to 5 and of its confusion matrix, beside the run's."""
    result = []
    full = no_match(config, images) or _unless(config.split != "pre", "this run repeats only the pre-experiment")
    network = full or _unless(config.network != "alexnet", "this run trained AlexNet")
    for where, figure, shares in (
        ("Table 3", "precision", paper.TABLE_3),
        ("Figure 3", "sensitivity", paper.FIGURE_3_SENSITIVITY),
    ):
        for name, share in shares.items():
            of_class = metrics["per_class"].get(name)
            value, ends = (of_class[figure], of_class["intervals"][figure]) if of_class else (None, None)
            result.append(Comparison(where, f"{name} {figure}", share, value, ends, network))
    held_out = sum(image.split == ("validation" if config.split == "patient" else "test") for image in images)
    measured = validation_accuracies(history)
    pre = no_match(config, images) or _unless(
        config.split == "pre", "the paper's figure is of its pre-experiment, with 123 images of each class"
    )
    for epochs, obstacle in ((paper.TABLE_4_PRE, pre), (paper.TABLE_4_FULL, network)):
        for epoch, share in epochs.items():
            value = measured.get(epoch)
            ends = None if value is None else wilson(round(value * held_out), held_out)
            why_not = obstacle or _unless(value is not None, f"this run was not validated after epoch {epoch}")
            what = f"validation accuracy after epoch {epoch}"
            result.append(Comparison("Table 4", what, share, value, ends, why_not))
    for name, share in paper.TABLE_5.items():
        trained = "alexnet" if config.network == "alexnet" else "paper"
        title = {"alexnet": "AlexNet's accuracy", "paper": "the proposed network's accuracy"}[name]
        why_not = full or _unless(name == trained, f"this run trained {network_name(config)}")
        result.append(Comparison("Table 5", title, share, metrics["accuracy"], metrics["accuracy_interval"], why_not))
    return result


def no_match(config: Config, images: Sequence[Radiograph]) -> str:
    """Why a run can be compared with nothing in the paper; empty if it can."""
    sources = {image.source for image in images if image.split}
    if not config.data:
        return "these images are phantoms"
    if sources != {"Kermany", "Cohen"} or tuple(config.classes) != paper.CLASSES:
        return "these are not images of the paper's two collections"
    return ""


def differences(config: Config) -> list[str]:
    """What a reader must know before comparing a run with the paper, in sentences."""
    found = []
    if config.split == "patient":
        found.append(
            "This run keeps all images of a patient on one side and has a validation set of its own; the paper "
            "divided image by image and validated on its test images, which flatters its figures."
        )
    if config.network != "paper":
        found.append(f"This run trained {network_name(config)}, not the paper's network.")
    if config.preset != "paper":
        found.append(f"It was trained with the settings of preset {config.preset!r}, not with those of Table 2.")
    return found


def network_name(config: Config) -> str:
    """What to call a run's network in a sentence."""
    return {"paper": "the paper's network", "pooled": "the network with global average pooling", "alexnet": "AlexNet"}[
        config.network
    ]


def validation_accuracies(history: History) -> dict[int, float]:
    """Epoch → the last validation accuracy in it."""
    return {
        int(row["epoch"]): row["validation_accuracy"] for row in history if row.get("validation_accuracy") is not None
    }


def _unless(fine: bool, reason: str) -> str:
    return "" if fine else reason
