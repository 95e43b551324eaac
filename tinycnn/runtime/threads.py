"""Threads for the CPU kernels: one pool for the process, sized by `set_num_threads`.

The kernels are compiled functions that release Python's lock, so ordinary threads run them side by side. Work is cut
into pieces by its shape alone, never by the number of threads, so that results are the same bits for any number.

Ctrl-C raises KeyboardInterrupt in the main thread between any two of its bytecodes, and also while it waits. A lock
that it holds at that moment is never released, and a counter that it was about to change never changed. Hence three
rules, which the executors of the standard library do not follow:

- A caller holds no lock. It shares data with the threads by single operations, which nothing can split: `put` and `get`
  of a SimpleQueue, `append` to a list, `next` of a counter, assigning an attribute.
- A caller decides by what has happened, not by what it has counted itself: it waits while fewer threads have left than
  have come, and it makes no difference to that whether an interrupt came before, during or after a wait.
- What must happen at a call's end stands in two nested `finally`, and may happen twice: an interrupt anywhere, in the
  inner one too, leaves the outer one to do it. (Only two of them, in the few bytecodes around both waits, would let a
  call end too early; and even then nothing is locked, and the pool goes on.)
"""

from __future__ import annotations

import itertools
import os
import threading
from _thread import start_new_thread  # Thread.start() holds locks, and may be interrupted
from collections.abc import Callable
from queue import SimpleQueue

_inside = threading.local()  # .call: whether this thread is busy with a call's work


class _Call:
    """Work that several threads do together. Those that come may take part as long as it is `open`."""

    def __init__(self, work: Callable[[_Call], None]):
        self.work = work  # gets the call as an argument: a closure over it would be a cycle that keeps arrays alive
        self.open = True
        self.awaited = True  # whether who has come must have left before the call ends
        self.came: list[None] = []
        self.left: list[None] = []
        self.leaving: SimpleQueue[None] = SimpleQueue()
        self.errors: list[BaseException] = []

    def help(self) -> None:
        """Take part. First come, then look whether it is open: whoever comes after `end` has closed it does nothing."""
        self.came.append(None)
        try:
            if self.open:
                self.work(self)
        except BaseException as error:
            self.open = False
            self.errors.append(error)
        self.left.append(None)
        self.leaving.put(None)

    def lead(self, pool: _Pool, helpers: int) -> None:
        """Take part on this thread, with the help of so many others; when this returns or raises, all have left."""
        try:
            try:
                _inside.call = True
                pool.ask(self, helpers)
                self.work(self)
            finally:
                self.end()
        finally:
            self.end()

    def end(self) -> None:
        """Let nobody begin any more, and wait for those at work. To be interrupted while it waits does not end that."""
        _inside.call = self.open = False
        interrupt = None
        while self.awaited and len(self.left) < len(self.came):
            try:
                self.leaving.get()  # one is put in after each has left, so while somebody is at work, one will come
            except BaseException as error:
                interrupt = error
        try:
            if interrupt:
                raise interrupt
        finally:
            del interrupt  # it refers to this frame


class _Pool:
    """A number of threads, the caller of `parallel_for` among them; the others are started by the first call."""

    def __init__(self, threads: int):
        self.threads = threads
        self._calls: SimpleQueue[_Call | None] = SimpleQueue()
        self._places = itertools.count(1)
        self._started = 1

    def ask(self, call: _Call, helpers: int) -> None:
        while self._started < self.threads:
            start_new_thread(self._serve, ())
            self._started += 1  # after an interrupt just before this one thread too many is started: see _serve
        for _ in range(helpers):
            self._calls.put(call)

    def dismiss(self) -> None:
        """Let the threads go when they have done what they were asked for."""
        self._calls.put(None)

    def _serve(self) -> None:
        if next(self._places) >= self.threads:
            return
        _inside.call = True
        while (call := self._calls.get()) is not None:
            call.help()
            del call  # and its arrays
        self.dismiss()  # the next one


def _available_cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


_pool = _Pool(_available_cores())


def get_num_threads() -> int:
    """How many threads the CPU kernels use; at first, as many as there are cores to run on."""
    return _pool.threads


def set_num_threads(n: int) -> None:
    """Let the CPU kernels use n threads from now on. Results do not depend on n.

    >>> set_num_threads(1); get_num_threads()
    1
    """
    global _pool
    if not isinstance(n, int) or n < 1:
        raise ValueError(f"the number of threads is {n!r}: give a whole number of at least 1")
    before = _pool
    try:
        _pool = _Pool(n)
    finally:
        if _pool is not before:
            before.dismiss()  # calls under way end with whom they have


def parallel_for(work: Callable[[int], None], pieces: int) -> None:
    """Call work(0) … work(pieces − 1), each once, on up to `get_num_threads()` threads; raises what a piece raised.

    After an error no further piece is begun. Whether it returns or raises, an interrupt too, no piece is under way
    any more. Called again from within a piece, it runs that piece's work one by one: the threads are busy already.
    """
    pool = _pool
    threads = min(pool.threads, pieces)
    if threads <= 1 or is_serial():
        for piece in range(pieces):
            work(piece)
        return
    numbers = itertools.count()  # next() on it is atomic: whoever is free takes the next piece

    def drain(call: _Call) -> None:
        while call.open and (piece := next(numbers)) < pieces:
            work(piece)

    call = _Call(drain)
    call.lead(pool, threads - 1)
    try:
        if call.errors:
            raise call.errors[0]
    finally:
        del call  # its errors refer to this frame


def together(work: Callable[[], None]) -> None:
    """Call work() on this thread, and on the others as soon as they are free; returns when this thread's call does.

    For compiled work that takes job after job from a common store, and returns only when all of them are done: then it
    is not necessary to wait until the others have come back, nor even until they have come. Only if this thread's call
    raises, or is interrupted, the others are waited for.
    """
    pool = _pool
    if is_serial():
        work()
        return

    def once(call: _Call) -> None:
        work()
        call.open = call.awaited = False

    _Call(once).lead(pool, pool.threads - 1)


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
    return _pool.threads == 1 or getattr(_inside, "call", False)


def _new_pool() -> None:
    """In a forked child the parent's threads do not exist."""
    global _pool
    _pool = _Pool(_pool.threads)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_new_pool)
