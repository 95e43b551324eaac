"""Reused memory: no two arrays in use ever share it, and what is given back is used again."""

import gc
import os
import subprocess
import sys
import threading

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tinycnn.runtime import memory

LARGE = memory.SMALLEST // 4  # this many float32 numbers come from the pool


@pytest.fixture(autouse=True)
def empty_pool():
    memory.release()
    yield
    memory.release()


def address(array: np.ndarray) -> int:
    return array.__array_interface__["data"][0]


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.one_of(
            st.integers(0, 9).map(lambda i: ("delete", i)),
            st.sampled_from([LARGE, LARGE + 1, LARGE * 2, LARGE * 9 // 8, 10]).map(lambda n: ("new", n)),
            st.integers(0, 9).map(lambda i: ("view", i)),
        ),
        max_size=40,
    )
)
def test_arrays_in_use_never_share_memory(actions):
    live: list[tuple[np.ndarray, int]] = []  # an array, and the number it was filled with
    for number, (action, value) in enumerate(actions):
        if action == "new":
            array = memory.empty((value,), np.float32)
            assert not any(np.shares_memory(array, other) for other, _ in live)
            array[:] = number
            live.append((array, number))
        elif value < len(live):
            array, content = live.pop(value)
            if action == "view":  # the array goes, a view of it stays
                live.append((array[::2], content))
            del array
        assert all((array == content).all() for array, content in live)


@pytest.mark.parametrize("shape", [(LARGE,), (3, LARGE), (64, 2, 17, 31), (0, 5), (), (7,)])
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.uint8, np.int32])
def test_arrays_are_like_numpys(shape, dtype):
    array = memory.empty(shape, dtype)
    assert array.shape == shape and array.dtype == dtype
    assert array.flags.c_contiguous and array.flags.writeable and array.flags.aligned
    if array.nbytes >= memory.SMALLEST:
        assert address(array) % memory.ALIGNMENT == 0
    array[...] = 1
    assert (array == 1).all()


def test_memory_is_used_again_when_the_last_view_is_gone():
    first = memory.empty((LARGE,), np.float32)
    place, view = address(first), first[5:].reshape(-1)[1:]
    del first
    second = memory.empty((LARGE,), np.float32)
    assert address(second) != place
    del view
    assert address(memory.empty((LARGE,), np.float32)) == place
    assert address(memory.empty((LARGE // 2,), np.float64)) == place  # only the number of bytes counts


def test_release_gives_back_what_is_free():
    kept, freed = memory.empty((LARGE,), np.float32), memory.empty((2 * LARGE,), np.float32)
    kept[:] = 7
    del freed
    assert 8 * LARGE <= memory.release() <= 10 * LARGE
    assert memory.release() == 0
    assert (kept == 7).all()


def test_idle_memory_is_given_up(monkeypatch):
    monkeypatch.setattr(memory, "IDLE_SECONDS", -1)  # everything has been idle for longer
    array = memory.empty((LARGE,), np.float32)
    del array
    other = memory.empty((2 * LARGE,), np.float32)  # needs new memory, for which the idle block goes
    assert memory.release() == 0
    assert len(other) == 2 * LARGE


def test_arrays_in_a_cycle_come_back():
    cycle = [memory.empty((LARGE,), np.float32)]
    cycle.append(cycle)
    place = address(cycle[0])
    del cycle
    gc.collect()
    assert address(memory.empty((LARGE,), np.float32)) == place


def test_an_array_may_go_at_any_moment():
    """The garbage collector may find one while this very thread is inside `empty`, between any two lines of it."""
    arrays: list[np.ndarray] = []

    def trace(frame, event, argument):
        arrays.clear()
        return trace

    before = sys.gettrace()
    for _ in range(20):
        arrays.extend(memory.empty((LARGE,), np.float32) for _ in range(2))
        sys.settrace(trace)
        try:
            first, second = memory.empty((LARGE,), np.float32), memory.empty((LARGE,), np.float32)
        finally:
            sys.settrace(before)
        assert not arrays and not np.shares_memory(first, second)


def test_no_python_code_runs_when_an_array_goes():
    """A KeyboardInterrupt in there would be lost."""
    array, ran = memory.empty((LARGE,), np.float32), []
    before = sys.getprofile()
    sys.setprofile(lambda frame, event, argument: ran.append((event, frame.f_code.co_name)))
    try:
        del array
    finally:
        sys.setprofile(before)
    assert [event for event, _ in ran if event == "call"] == []
    assert memory.release() > 0


def test_threads_get_memory_of_their_own():
    wrong = []

    def work(number: int) -> None:
        rng = np.random.default_rng(number)
        held = []
        for _ in range(300):
            array = memory.empty((LARGE + int(rng.integers(3)),), np.float32)
            array[:] = number
            held.append(array)
            if len(held) > 3:
                old = held.pop(int(rng.integers(4)))
                if not (old == number).all():
                    wrong.append(number)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_in_a_child_forked_while_others_take_memory():
    stop = threading.Event()

    def take() -> None:
        while not stop.is_set():
            memory.empty((LARGE,), np.float32)

    others = [threading.Thread(target=take) for _ in range(2)]
    for other in others:
        other.start()
    try:
        for _ in range(10):
            child = os.fork()
            if child == 0:
                threading.Timer(20, os._exit, [1]).start()
                memory.empty((LARGE,), np.float32)
                os._exit(0)
            assert os.waitpid(child, 0)[1] == 0
    finally:
        stop.set()
        for other in others:
            other.join()


def test_exit_is_silent():
    code = "from tinycnn.runtime import memory; a = memory.empty((10**6,), 'float32'); b = [a]; b.append(b)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stderr == b""


def test_arrays_may_outlive_the_modules_names():
    """At exit Python sets a module's names to None, and may let go of some arrays only after that."""
    code = (
        "from tinycnn.runtime import memory; import numpy; a = memory.empty((10**6,), numpy.float32); "
        "vars(memory).update(dict.fromkeys(vars(memory))); del a"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stderr == b""
