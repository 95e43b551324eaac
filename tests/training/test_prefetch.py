"""Prefetching ends when nobody wants any more: closed, dropped, or broken off by an error on either side."""

import sys
import threading
import time

import pytest

from tests.reliability.interruption import threads_in, wait_until
from tinycnn.training.prefetch import _make_all, prefetch


@pytest.fixture(autouse=True)
def no_thread_left():
    yield
    assert wait_until(lambda: threads_in(_make_all) == 0)


def test_items_come_in_order():
    assert list(prefetch(str, 5)) == ["0", "1", "2", "3", "4"]
    assert list(prefetch(str, 5, ahead=0)) == ["0", "1", "2", "3", "4"]
    assert list(prefetch(str, 0)) == []


def test_nobody_asks_for_anything():
    prefetch(str, 5)


def test_a_loop_left_by_an_interrupt():
    with pytest.raises(KeyboardInterrupt):
        for item in prefetch(str, 100):
            if item == "3":
                raise KeyboardInterrupt


def test_a_dropped_iterator_makes_no_more():
    made: list[int] = []
    items = prefetch(made.append, 100)
    next(items)
    del items
    time.sleep(0.05)
    assert len(made) <= 3


def test_no_python_code_runs_when_it_is_dropped():
    """A KeyboardInterrupt in there would be lost."""
    items, ran = prefetch(str, 100), []
    next(items)
    before = sys.getprofile()
    sys.setprofile(lambda frame, event, argument: ran.append(event))
    try:
        del items
    finally:
        sys.setprofile(before)
    assert "call" not in ran


def test_closing_waits_for_the_item_under_way():
    begun, done = threading.Event(), []

    def make(i: int) -> None:
        begun.set()
        time.sleep(0.05)
        done.append(i)

    items = prefetch(make, 100)
    assert begun.wait(10)
    items.close()
    count = len(done)
    assert 1 <= count <= 2
    time.sleep(0.1)
    assert len(done) == count and list(items) == []
    items.close()


def test_after_an_error_there_is_nothing_more():
    items = prefetch([1, 2].__getitem__, 5)
    assert [next(items), next(items)] == [1, 2]
    with pytest.raises(IndexError):
        next(items)
    assert list(items) == []
    items.close()


def test_closing_after_the_last_item():
    items = prefetch(str, 2)
    assert list(items) == ["0", "1"]
    items.close()
