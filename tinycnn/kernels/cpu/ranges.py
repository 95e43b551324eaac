"""How a pass over memory is shared out: ranges of planes or elements, cut by the array's shape alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tinycnn.runtime import threads

# Sums may be reordered, for vectors; NaN and infinity keep their meaning.
OPTIONS: dict[str, Any] = {
    "nogil": True,
    "cache": True,
    "error_model": "numpy",
    "fastmath": {"contract", "reassoc", "nsz", "arcp"},
}
RANGE_BYTES = 256 * 1024  # less is not worth waking a thread for
MOST_RANGES = 32


def over_ranges(kernel: Callable[..., None], count: int, item_bytes: int, *args: Any) -> None:
    """Call kernel(first, last, *args) for ranges that cover 0 … count − 1, where an item is so many bytes of work."""
    pieces = min(MOST_RANGES, count * item_bytes // RANGE_BYTES)
    threads.parallel_ranges(lambda first, last: kernel(first, last, *args), count, pieces)
