"""Items that another thread makes while the last one is being used."""

from __future__ import annotations

import weakref
from _thread import start_new_thread  # Thread.start() holds locks, and may be interrupted
from collections.abc import Callable, Iterator
from queue import SimpleQueue
from typing import Any, Generic, TypeVar

T = TypeVar("T")
AHEAD = 2  # how many items are prepared while one is used


def prefetch(make: Callable[[int], T], count: int, ahead: int = AHEAD) -> Iterator[T]:
    """make(0) … make(count − 1), each computed by another thread up to `ahead` places before it is asked for.

    >>> list(prefetch(lambda i: i * i, 4))
    [0, 1, 4, 9]
    """
    return Prefetch(make, count, ahead)


class Prefetch(Generic[T]):
    """An iterator whose items another thread makes; the thread ends with the last item, or when this object goes.

    A loop that is left by an exception drops its iterator without closing it, and in a destructor Python would lose
    a KeyboardInterrupt. So none of the destructor is Python code: the thread is told by a weakref's compiled callback.
    """

    def __init__(self, make: Callable[[int], T], count: int, ahead: int):
        self._remaining = count
        self._room: SimpleQueue[Any] = SimpleQueue()  # one entry for each item that may be made
        self._made: SimpleQueue[Any] = SimpleQueue()
        self._ended: list[None] = []
        self._wanted: _Wanted | None = _Wanted()
        wanted = weakref.ref(self._wanted, self._room.put)
        for _ in range(ahead):
            self._room.put(None)
        start_new_thread(_make_all, (make, count, wanted, self._room, self._made, self._ended))

    def __iter__(self) -> Iterator[T]:
        return self

    def __next__(self) -> T:
        if self._remaining == 0:
            raise StopIteration
        remaining, self._remaining = self._remaining, 0  # after an error or an interrupt there is nothing more to come
        try:
            self._room.put(None)
            item, error = self._made.get()
            if error is not None:
                raise error
        except BaseException:
            self._wanted = error = None  # the error's traceback refers to this frame
            raise
        self._remaining = remaining - 1
        return item

    def close(self) -> None:
        """End early, and wait until the item under way is made."""
        self._remaining, self._wanted = 0, None
        while not self._ended:
            self._made.get()


class _Wanted:
    """Lives as long as its owner wants further items."""


def _make_all(
    make: Callable[[int], T],
    count: int,
    wanted: weakref.ref[_Wanted],
    room: SimpleQueue[Any],
    made: SimpleQueue[Any],
    ended: list[None],
) -> None:
    for i in range(count):
        room.get()
        if wanted() is None:
            break
        try:
            made.put((make(i), None))
        except BaseException as error:
            made.put((None, error))
            break
    ended.append(None)
    made.put(None)  # wakes who waits for the end
