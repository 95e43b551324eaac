"""Memory for large arrays, reused: what one step frees the next step gets, instead of fresh pages from the system.

Touching 100 MB of new memory costs as much time as a convolution over it, and a training step needs the same sizes
every time. `empty` looks like `numpy.empty`; the memory goes back into the pool when the last view of the array is
gone, so no array ever shares memory with another that is still in use, in whatever thread.

An array may go anywhere: between two steps of this very module, or in the garbage collector. So there is no lock to
wait for, and no Python code runs when it goes, in which Ctrl-C would be lost: Python can only report, not raise, what
happens in a destructor. Blocks move in single operations of deques, which neither a thread nor an interrupt can split.
"""

from __future__ import annotations

import collections
import math
import time
import weakref
from typing import Any

import numpy as np

SMALLEST = 2**16  # below this the system's own allocator is as quick
ALIGNMENT = 64  # a cache line, and the widest vector register
IDLE_SECONDS = 10.0  # a block unused for longer is given up when new memory is needed


class _Lease:
    """Stands for a block while arrays look at it: NumPy keeps it as their `base`."""

    def __init__(self, block: np.ndarray, shape: tuple[int, ...], dtype: np.dtype[Any]):
        address = block.__array_interface__["data"][0]
        self.__array_interface__ = {
            "version": 3,
            "shape": shape,
            "typestr": dtype.str,
            "data": (address + -address % ALIGNMENT, False),
        }
        self.end = _LeaseEnd(self, _returned.append)  # is appended itself; at exit it needs none of this module's names
        self.end.block = block


class _LeaseEnd(weakref.ref[_Lease]):
    """Owns a lease's block; passed to `_returned.append`, which is compiled, when the lease goes."""

    block: np.ndarray | None = None  # until it has been set: an interrupt may come just before


_free: dict[int, collections.deque[tuple[float, np.ndarray]]] = {}  # block size → (when it came back, block), in order
_returned: collections.deque[_LeaseEnd] = collections.deque()


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
    _collect()
    try:
        block = _free[size].pop()[1]
    except (KeyError, IndexError):
        _give_up(idle_since=time.monotonic() - IDLE_SECONDS)
        block = np.empty(size, np.uint8)
    return np.asarray(_Lease(block, tuple(shape), dtype))


def release() -> int:
    """Give all memory that no array uses back to the system; returns how many bytes that was."""
    _collect()
    return _give_up(idle_since=math.inf)


def _block_size(nbytes: int) -> int:
    """nbytes rounded up to one of eight sizes per power of two, so that nearly equal requests share blocks."""
    step = 1 << max(0, nbytes.bit_length() - 4)
    return -(-nbytes // step) * step


def _collect() -> None:
    """Sort what has come back into `_free`."""
    now = time.monotonic()
    try:
        while True:
            block = _returned.popleft().block
            if block is not None:
                _free.setdefault(block.nbytes, collections.deque()).append((now, block))
    except IndexError:
        return


def _give_up(idle_since: float) -> int:
    """Forget the blocks that have been free since then or longer; returns how many bytes they have."""
    total = 0
    for size, blocks in list(_free.items()):
        try:
            while blocks[0][0] <= idle_since:
                blocks.popleft()  # the oldest, or, where another thread was quicker, the next: a newer block, no harm
                total += size
        except IndexError:
            pass
    return total
