"""A training after the fact: what went wrong, each with the number that says so."""

from __future__ import annotations

from collections.abc import Sequence

from tinycnn.inspect.findings import Finding
from tinycnn.inspect.history_checks import History, loss_findings, overfitting_findings
from tinycnn.inspect.network_checks import relu_findings, update_findings, update_ratios, weight_findings
from tinycnn.layers.base import Array
from tinycnn.network import Sequential
from tinycnn.optimizers import Optimizer


class Diagnosis(list[Finding]):
    """The findings, printed as sentences.

    Attributes:
        checked, unchecked: what was looked at, and what could not be, with what it takes.
    """

    def __init__(self, findings: Sequence[Finding], checked: Sequence[str], unchecked: Sequence[str]):
        super().__init__(findings)
        self.checked, self.unchecked = list(checked), list(unchecked)

    def __repr__(self) -> str:
        lines = [finding.sentence for finding in self] or [f"Nothing wrong was found in: {', '.join(self.checked)}."]
        return "\n".join([*lines, *([f"Not looked at: {', '.join(self.unchecked)}."] if self.unchecked else [])])


def diagnose(
    history: History,
    net: Sequential,
    x: Array | None = None,
    t: Array | None = None,
    *,
    optimizer: Optimizer | None = None,
) -> Diagnosis:
    """Sentences on a loss that explodes, stands still or vanishes, overfitting, dead ReLUs and sizes of updates.

    Losses are averaged over tenths of the history. The ratio of an update to its weights, ‖ΔW‖ / ‖W‖, is measured on a
    copy of network and optimizer where x, t and the optimizer are given; otherwise it is that of plain gradient
    descent, rate·‖∂L/∂W‖ / ‖W‖, from the gradients that the last step left. A ReLU's channel is dead if it is 0 at all
    places of all images.

    Args:
        history: rows with the keys of `tinycnn.training.history.COLUMNS`, as `Trainer.fit` returns.
        net: the network after training.
        x, t: images (N, C, H, W), as many as can be had, and their labels (N,).
        optimizer: what the network was trained with.

    Raises:
        ValueError: for an empty history.

    Source: CS231n, "Babysitting the learning process", for the ratio.

    >>> import tinycnn as tc
    >>> net = tc.Sequential([tc.ImageInput((1, 2, 2)), tc.FullyConnected(2), tc.Softmax(), tc.ClassificationOutput()])
    >>> rows = [{"iteration": i, "learning_rate": 0.1, "loss": loss} for i, loss in enumerate([0.7, 0.4, 9.0], 1)]
    >>> diagnose(rows, net)
    The loss exploded: from 0.4 in iteration 2 to 9, 22.5 times as much; lower the learning rate.
    Not looked at: overfitting (validate while training), dead ReLUs (give images x), updates (give x, t and the
    optimizer).
    """
    if not history:
        raise ValueError("the history is empty: train first, with Trainer.fit")
    is_validated = any(row.get("validation_loss") is not None for row in history)
    ratios = update_ratios(net, history[-1]["learning_rate"], x, t, optimizer)
    checks = [
        ("loss", "", loss_findings(history)),
        ("weights", "", weight_findings(net)),
        ("overfitting", "validate while training", overfitting_findings(history) if is_validated else None),
        ("dead ReLUs", "give images x", None if x is None else relu_findings(net, x)),
        ("updates", "give x, t and the optimizer", update_findings(ratios) if ratios else None),
    ]
    findings = [finding for _, _, found in checks if found is not None for finding in found]
    checked = [name for name, _, found in checks if found is not None]
    unchecked = [f"{name} ({remedy})" for name, remedy, found in checks if found is None]
    return Diagnosis(findings, checked, unchecked)
