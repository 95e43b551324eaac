"""Schedules: what the learning rate is multiplied by in each epoch (counted from 1)."""

from __future__ import annotations

import math
from typing import Protocol


class Schedule(Protocol):
    """Anything callable that gives epoch `epoch` of `epochs` its multiplier of the learning rate."""

    def __call__(self, epoch: int, epochs: int) -> float: ...


class ConstantSchedule:
    """The same learning rate all the way.

    >>> ConstantSchedule()(7, 20)
    1.0
    """

    def __call__(self, epoch: int, epochs: int) -> float:
        return 1.0


class PiecewiseSchedule:
    """The learning rate drops in steps: `drop_factor` to the power ⌊(epoch − 1) / drop_period⌋.

    Args:
        drop_factor: what it is multiplied by at each drop.
        drop_period: epochs between drops.

    >>> schedule = PiecewiseSchedule(drop_factor=0.2, drop_period=5)
    >>> [schedule(epoch, 20) for epoch in (1, 5, 6)]
    [1.0, 1.0, 0.2]
    """

    def __init__(self, drop_factor: float = 0.1, drop_period: int = 10):
        if not drop_factor > 0 or drop_period < 1:
            raise ValueError(
                f"drop_factor is {drop_factor!r} and drop_period {drop_period!r}: give a positive number "
                "and a whole number of epochs"
            )
        self.drop_factor, self.drop_period = drop_factor, drop_period

    def __call__(self, epoch: int, epochs: int) -> float:
        return self.drop_factor ** ((epoch - 1) // self.drop_period)


class CosineSchedule:
    """The learning rate falls along half a cosine: f + (1 − f) · ½(1 + cos(π · (epoch − 1)/epochs)).

    Args:
        final_factor: f, where it would arrive after the last epoch.

    Source: Loshchilov & Hutter, "SGDR" (2017).

    >>> [round(CosineSchedule()(epoch, 4), 3) for epoch in (1, 2, 3, 4)]
    [1.0, 0.854, 0.5, 0.146]
    """

    def __init__(self, final_factor: float = 0.0):
        if not 0 <= final_factor <= 1:
            raise ValueError(f"final_factor is {final_factor!r}: give a number from 0 to 1")
        self.final_factor = final_factor

    def __call__(self, epoch: int, epochs: int) -> float:
        return self.final_factor + (1 - self.final_factor) * 0.5 * (1 + math.cos(math.pi * (epoch - 1) / epochs))
