"""An interrupt before each single bytecode of what threads share: nothing stays locked, lost or under way."""

import time

import numpy as np
import pytest

import tinycnn as tc
from tests.reliability.interruption import interrupted_everywhere, meet, threads_in, wait_until
from tinycnn.runtime import memory, threads
from tinycnn.runtime.threads import parallel_for, parallel_ranges, together
from tinycnn.training import prefetch as prefetching
from tinycnn.training.prefetch import prefetch

THREADS = 3


def helpers() -> int:
    return threads_in(threads._Pool._serve)


@pytest.fixture
def pool():
    before = tc.get_num_threads()
    tc.set_num_threads(1)
    assert wait_until(lambda: helpers() == 0)
    tc.set_num_threads(THREADS)
    yield
    tc.set_num_threads(before)


class Pieces:
    """Which pieces are under way."""

    def __init__(self) -> None:
        self.under_way: list[int] = []

    def work(self, piece: int = 0) -> None:
        self.under_way.append(piece)
        time.sleep(0.0005)
        self.under_way.remove(piece)

    def share(self, first: int, last: int) -> None:
        for piece in range(first, last):
            self.work(piece)


@pytest.mark.parametrize("pool_is", ["started", "not started", "replaced"])
@pytest.mark.parametrize("call", ["for", "ranges", "together"])
def test_shared_work(pool, call, pool_is):
    pieces = Pieces()

    def share() -> None:
        if pool_is == "replaced":
            tc.set_num_threads(THREADS)
        {
            "for": lambda: parallel_for(pieces.work, 4),
            "ranges": lambda: parallel_ranges(pieces.share, 8, 4),
            "together": lambda: together(lambda: pieces.work(-1)),
        }[call]()

    if pool_is == "started":
        assert meet(parallel_for, THREADS) == THREADS
    for _ in interrupted_everywhere(share, threads):
        if call != "together":  # there, work that has ended on this thread may go on on others, with nothing to do
            assert pieces.under_way == []
        assert not threads.is_serial()
    assert wait_until(lambda: not pieces.under_way)
    assert meet(parallel_for, THREADS) == THREADS
    assert wait_until(lambda: helpers() == THREADS - 1)


def test_memory():
    memory.release()
    held: list[np.ndarray] = []

    def use() -> None:
        array = memory.empty((memory.SMALLEST,), np.uint8)
        array[:] = len(held)
        held.append(array)
        memory.empty((2 * memory.SMALLEST,), np.uint8)

    for moment in interrupted_everywhere(use, memory):
        assert all((array == i).all() for i, array in enumerate(held))
        if moment % 7 == 0:
            held.clear()
        if moment % 11 == 0:
            memory.release()
    held.clear()
    memory.release()
    assert memory.release() == 0


def test_prefetched_items():
    items: list[int] = []

    def use() -> None:
        items.clear()
        for item in prefetch(lambda i: i * i, 4):
            items.append(item)

    for _ in interrupted_everywhere(use, prefetching):
        assert items == [0, 1, 4, 9][: len(items)]
    assert items == [0, 1, 4, 9]
    assert wait_until(lambda: threads_in(prefetching._make_all) == 0)
