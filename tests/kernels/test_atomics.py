"""Numbers that threads change together."""

import threading
import time

import numpy as np
from numba import njit

from tinycnn.kernels.cpu.expert import atomics


@njit(nogil=True)
def add_many(numbers, index, times):
    before = 0
    for _ in range(times):
        before = atomics.fetch_add(numbers, index, 1)
    return before


def test_no_addition_is_lost():
    numbers = np.zeros(4, np.int64)
    assert add_many(numbers, 2, 5) == 4
    threads = [threading.Thread(target=add_many, args=(numbers, 2, 1_000_000)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert numbers.tolist() == [0, 0, 4_000_005, 0]


def test_waiting_ends_when_the_number_is_there_and_not_before():
    numbers, returned = np.zeros(2, np.int64), threading.Event()

    def wait():
        atomics.wait_for(numbers, 1, 3)
        returned.set()

    thread = threading.Thread(target=wait, daemon=True)
    thread.start()
    for _ in range(2):
        add_many(numbers, 1, 1)
    time.sleep(0.05)
    assert not returned.is_set()
    add_many(numbers, 1, 1)
    assert returned.wait(10)
    atomics.wait_for(numbers, 1, 2)  # more than enough: at once
