"""Threads for the kernels: every piece once, errors surface, and nothing hangs."""

import gc
import itertools
import os
import threading
import time
import weakref
from collections import Counter
from functools import partial

import pytest

import tinycnn as tc
from tinycnn.runtime.threads import parallel_for, parallel_ranges, together


@pytest.fixture(params=[1, 2, 5], autouse=True)
def threads(request):
    before = tc.get_num_threads()
    tc.set_num_threads(request.param)
    yield request.param
    tc.set_num_threads(before)


@pytest.mark.parametrize("pieces", [0, 1, 2, 7, 500])
def test_every_piece_once(pieces):
    done = []
    parallel_for(done.append, pieces)
    assert sorted(done) == list(range(pieces))


@pytest.mark.parametrize(("count", "pieces"), [(0, 3), (1, 3), (7, 3), (100, 7)])
def test_ranges_cover_everything_once(count, pieces):
    ranges = []
    parallel_ranges(lambda first, last: ranges.append((first, last)), count, pieces)
    assert [i for first, last in sorted(ranges) for i in range(first, last)] == list(range(count))


def test_work_is_shared(threads):
    together = threading.Barrier(threads, timeout=10)
    names = set()

    def work(_: int) -> None:
        names.add(threading.get_ident())
        together.wait()  # passes only if all threads are at work at once

    parallel_for(work, threads)
    assert len(names) == threads


@pytest.mark.parametrize("bad", [0, 6, 99])
def test_errors_surface_and_the_pool_goes_on(bad):
    def work(piece: int) -> None:
        if piece == bad:
            raise LookupError(f"piece {piece}")

    with pytest.raises(LookupError, match=f"piece {bad}"):
        parallel_for(work, 100)
    done = []
    parallel_for(done.append, 9)
    assert len(done) == 9


def test_after_an_error_no_piece_is_under_way_and_none_is_begun(threads):
    under_way, begun, all_begun = [], [], threading.Barrier(threads, timeout=10)

    def work(piece: int) -> None:
        begun.append(piece)
        under_way.append(piece)
        if piece < threads:
            all_begun.wait()
        if piece == 0:
            raise LookupError
        time.sleep(0.05)
        under_way.remove(piece)

    with pytest.raises(LookupError):
        parallel_for(work, 500)
    assert under_way == [0] and len(begun) <= 2 * threads
    time.sleep(0.06)
    assert len(begun) <= 2 * threads


def test_nothing_is_kept_after_a_call(threads):
    """What a call's work refers to, large arrays for instance, goes with the call, without a garbage collection."""

    class Array:
        pass

    def call(error: bool) -> weakref.ref[Array]:
        array = Array()

        def work(piece: int) -> None:
            if error and array and piece == 19:
                raise LookupError

        try:
            parallel_for(work, 20)
        except LookupError:
            pass
        together(lambda: work(0))
        return weakref.ref(array)

    gc.disable()
    try:
        for error in (False, True):
            gone = call(error)
            end = time.monotonic() + 10
            while gone() is not None and time.monotonic() < end:  # a thread that comes late looks at the call once more
                time.sleep(0.001)
            assert gone() is None
    finally:
        gc.enable()


def test_together_everybody_comes(threads):
    meeting, names = threading.Barrier(threads, timeout=10), set()

    def work() -> None:
        names.add(threading.get_ident())
        meeting.wait()  # passes only if all threads are at work at once

    for _ in range(3):
        names.clear()
        together(work)
        assert len(names) == threads


def test_together_waits_for_nobody(threads):
    """The other threads are busy for long: this one does the work, and they need not look at it any more."""
    release, busy, calls = threading.Event(), threading.Semaphore(0), []

    def occupy() -> None:
        if threading.get_ident() == here:
            assert all(busy.acquire(timeout=10) for _ in range(threads - 1))
        else:
            busy.release()
            release.wait(10)

    here = threading.get_ident()
    together(occupy)
    begin = time.monotonic()
    together(lambda: calls.append(threading.get_ident()))
    assert time.monotonic() - begin < 5 and calls == [here]
    release.set()
    parallel_for(lambda _: None, 20)
    assert calls == [here]


def test_together_within_a_piece_is_alone():
    calls = itertools.count()
    parallel_for(lambda _: together(lambda: next(calls)), 7)
    assert next(calls) == 7


def test_together_raises_what_its_own_call_raised():
    def work() -> None:
        raise LookupError("from here")

    with pytest.raises(LookupError, match="from here"):
        together(work)
    parallel_for(lambda _: None, 5)


def test_nested_calls():
    done = Counter()
    parallel_for(lambda i: parallel_for(lambda j: parallel_for(lambda k: done.update([(i, j, k)]), 3), 4), 6)
    assert len(done) == 72 and set(done.values()) == {1}


def fill(done: list[int], number: int, piece: int) -> None:
    done[piece] += piece * number


def test_from_many_threads_at_once():
    results = {}

    def call(number: int) -> None:
        for _ in range(30):
            done = [0] * 20
            parallel_for(partial(fill, done, number), 20)
            results.setdefault(number, []).append(done)

    callers = [threading.Thread(target=call, args=(number,)) for number in range(1, 9)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join(30)
    assert all(results[n] == [[piece * n for piece in range(20)]] * 30 for n in range(1, 9))


def test_changing_the_number_while_at_work():
    done = []

    def work(piece: int) -> None:
        tc.set_num_threads(1 + piece % 3)
        done.append(piece)

    parallel_for(work, 50)
    assert sorted(done) == list(range(50))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_in_a_forked_child(threads):
    together = threading.Barrier(threads, timeout=10)
    parallel_for(lambda _: together.wait(), threads)  # now the pool has its threads, and the child has none of them
    child = os.fork()
    if child == 0:
        threading.Timer(20, os._exit, [1]).start()
        done = []
        parallel_for(lambda piece: (together.wait(), done.append(piece)), threads)  # by threads of its own
        os._exit(0 if sorted(done) == list(range(threads)) else 2)
    assert os.waitpid(child, 0)[1] == 0


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_in_a_child_forked_while_others_are_at_work(threads):
    working, release = threading.Semaphore(0), threading.Event()
    caller = threading.Thread(target=parallel_for, args=(lambda _: (working.release(), release.wait(20)), threads))
    caller.start()
    assert all(working.acquire(timeout=10) for _ in range(threads))
    child = os.fork()
    if child == 0:
        threading.Timer(20, os._exit, [1]).start()
        done = []
        parallel_for(done.append, 9)
        os._exit(0 if sorted(done) == list(range(9)) else 2)
    assert os.waitpid(child, 0)[1] == 0
    release.set()
    caller.join(20)
    assert not caller.is_alive()


@pytest.mark.parametrize("n", [0, -1, 1.5, "2", None])
def test_number_of_threads_is_checked(n, threads):
    with pytest.raises(ValueError, match="give a whole number of at least 1"):
        tc.set_num_threads(n)
    assert tc.get_num_threads() == threads
