"""What a diagnosis consists of."""

from __future__ import annotations

from typing import NamedTuple


class Finding(NamedTuple):
    """One thing that is wrong: what was looked at, the number found, and a sentence with it and a remedy."""

    check: str
    value: float
    sentence: str
