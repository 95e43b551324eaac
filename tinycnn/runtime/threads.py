"""Threads for the CPU kernels: one pool for the process, sized by `set_num_threads`.

The kernels are compiled functions that release Python's lock, so ordinary threads run them side by side. Work is cut
into pieces by its shape alone, never by the number of threads, so that results are the same bits for any number.
"""

from __future__ import annotations

import itertools
import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait

_lock = threading.Lock()
_pool: ThreadPoolExecutor | None = None
_inside = threading.local()


def _available_cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


_num_threads = _available_cores()


def get_num_threads() -> int:
    """How many threads the CPU kernels use; at first, as many as there are cores to run on."""
    return _num_threads


def set_num_threads(n: int) -> None:
    """Let the CPU kernels use n threads from now on. Results do not depend on n.

    >>> set_num_threads(1); get_num_threads()
    1
    """
    global _num_threads, _pool
    if not isinstance(n, int) or n < 1:
        raise ValueError(f"the number of threads is {n!r}: give a whole number of at least 1")
    with _lock:
        _num_threads = n
        _pool = None  # the next call makes one of the new size; work under way keeps the old one


def _threads() -> ThreadPoolExecutor:
    global _pool
    with _lock:
        if _pool is None:
            _pool = ThreadPoolExecutor(max(1, _num_threads - 1), "tinycnn")  # the caller works, too
        return _pool


def parallel_for(work: Callable[[int], None], pieces: int) -> None:
    """Call work(0) … work(pieces − 1), each once, on up to `get_num_threads()` threads; raises what a piece raised.

    Called again from within a piece, it runs that piece's work one by one: the threads are busy already.
    """
    threads = min(_num_threads, pieces)
    if threads <= 1 or is_serial():
        for piece in range(pieces):
            work(piece)
        return
    pool = _threads()
    queue = itertools.count()  # next() on it is atomic: whoever is free takes the next piece

    def drain() -> None:
        _inside.piece = True
        try:
            while (piece := next(queue)) < pieces:
                work(piece)
        finally:
            _inside.piece = False

    others = [pool.submit(drain) for _ in range(threads - 1)]
    try:
        drain()
    finally:
        others = [other for other in others if not other.cancel()]  # who has not begun by now is not needed
        wait(others)
    for other in others:
        other.result()


def together(work: Callable[[], None]) -> None:
    """Call work() on this thread, and on the others as soon as they are free; returns when this thread's call does.

    For compiled work that takes job after job from a common store, and returns only when all of them are done: then it
    is not necessary to wait until the others have come back, nor even until they have come.
    """
    pool = None if is_serial() else _threads()
    others = [pool.submit(work) for _ in range(_num_threads - 1)] if pool else []
    try:
        work()
    finally:
        for other in others:
            other.cancel()


def parallel_ranges(work: Callable[[int, int], None], count: int, pieces: int) -> None:
    """Call work(first, last) for ranges that cover 0 … count − 1: `pieces` of them, or one where one thread works.

    For work whose every item is computed on its own: then it does not matter where the ranges end.
    """
    if is_serial():
        pieces = 1
    pieces = max(1, min(pieces, count))
    parallel_for(lambda k: work(k * count // pieces, (k + 1) * count // pieces), pieces)


def is_serial() -> bool:
    """Whether `parallel_for` would run everything on this thread: it has no others, or is busy with a piece already."""
    return _num_threads == 1 or getattr(_inside, "piece", False)


def _forget_pool() -> None:
    """In a forked child the parent's threads do not exist."""
    global _pool, _lock
    _pool, _lock = None, threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_pool)
