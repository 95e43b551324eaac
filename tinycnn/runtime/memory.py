"""Memory for large arrays, reused: what one step frees the next step gets, instead of fresh pages from the system.

Touching 100 MB of new memory costs as much time as a convolution over it, and a training step needs the same sizes
every time. `empty` looks like `numpy.empty`; the memory goes back into the pool when the last view of the array is
gone, so no array ever shares memory with another that is still in use, in whatever thread.
"""

from __future__ import annotations

import collections
import math
import os
import threading
import time
from collections.abc import Callable
from typing import Any

import numpy as np

SMALLEST = 2**16  # below this the system's own allocator is as quick
ALIGNMENT = 64  # a cache line, and the widest vector register
IDLE_SECONDS = 10.0  # a block unused for longer is given up when new memory is needed

_lock = threading.Lock()
_free: dict[int, list[tuple[float, np.ndarray]]] = {}  # block size → (when it came back, block)
_returned: collections.deque[np.ndarray] = collections.deque()  # appended to without the lock: see _Lease.__del__


class _Lease:
    """Owns a block while arrays look at it: NumPy keeps it as their `base`."""

    def __init__(self, block: np.ndarray, shape: tuple[int, ...], dtype: np.dtype[Any]):
        self._block = block
        address = block.__array_interface__["data"][0]
        self.__array_interface__ = {
            "version": 3,
            "shape": shape,
            "typestr": dtype.str,
            "data": (address + -address % ALIGNMENT, False),
        }

    def __del__(self, give_back: Callable[[np.ndarray], None] = _returned.append) -> None:
        # The garbage collector may run this anywhere, even while this thread holds the lock: so it must not take it.
        # At exit it may run when this module's names are gone already: so it brings what it calls along.
        give_back(self._block)


def empty(shape: tuple[int, ...], dtype: Any) -> np.ndarray:
    """An array with arbitrary content, like `numpy.empty`, in memory that an earlier array may have used.

    >>> empty((64, 8, 222, 222), np.float32).shape
    (64, 8, 222, 222)
    """
    dtype = np.dtype(dtype)
    nbytes = math.prod(shape) * dtype.itemsize
    if nbytes < SMALLEST:
        return np.empty(shape, dtype)
    size = _block_size(nbytes + ALIGNMENT)
    with _lock:
        _collect()
        block = _free[size].pop()[1] if _free.get(size) else None
        if block is None:
            _give_up(idle_since=time.monotonic() - IDLE_SECONDS)
    return np.asarray(_Lease(np.empty(size, np.uint8) if block is None else block, tuple(shape), dtype))


def release() -> int:
    """Give all memory that no array uses back to the system; returns how many bytes that was."""
    with _lock:
        _collect()
        return _give_up(idle_since=math.inf)


def _block_size(nbytes: int) -> int:
    """nbytes rounded up to one of eight sizes per power of two, so that nearly equal requests share blocks."""
    step = 1 << max(0, nbytes.bit_length() - 4)
    return -(-nbytes // step) * step


def _collect() -> None:
    now = time.monotonic()
    while _returned:
        block = _returned.popleft()
        _free.setdefault(block.nbytes, []).append((now, block))


def _give_up(idle_since: float) -> int:
    total = 0
    for size, blocks in _free.items():
        kept = [entry for entry in blocks if entry[0] > idle_since]
        total += size * (len(blocks) - len(kept))
        blocks[:] = kept
    return total


def _new_lock() -> None:
    """In a forked child nobody would release a lock that another of the parent's threads held."""
    global _lock
    _lock = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_new_lock)
