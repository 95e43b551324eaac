"""A program that is interrupted COUNT times at random moments while it trains and predicts; prints what became of it.

For a process of its own: whether that ends, and what it writes to stderr, is part of the test.
"""

import json
import random
import signal
import sys
import threading
from functools import partial

import numpy as np

import tinycnn as tc
from tinycnn.runtime.threads import parallel_for

THREADS = 4
SEED = 7
INTERVALS = (0.0002, 0.02)  # seconds
X = np.random.default_rng(SEED).random((32, 1, 64, 64), np.float32)
T = np.arange(32) % 3

sent = 0


def network() -> tc.Sequential:
    return tc.Sequential(
        [
            tc.ImageInput((1, 64, 64), normalization="none"),
            *(tc.Conv2D(8, 3), tc.BatchNorm2D(), tc.ReLU(), tc.MaxPool2D(2, stride=2)),
            *(tc.Conv2D(16, 3), tc.BatchNorm2D(), tc.ReLU(), tc.MaxPool2D(2, stride=2)),
            *(tc.FullyConnected(3), tc.Softmax(), tc.ClassificationOutput()),
        ],
        seed=SEED,
    )


def results() -> bytes:
    """What a new network computes, to the bit."""
    net = network()
    optimizer = tc.SGDM(0.01)
    losses = [net.train_step(X, T, optimizer) for _ in range(2)]
    return np.float64(losses).tobytes() + net.predict(X).tobytes()


def epoch(net: tc.Sequential, optimizer: tc.SGDM) -> None:
    for x, t in tc.Batches(tc.Dataset(X, T), 16).epoch(1):
        net.train_step(x, t, optimizer)


def interrupt(number: int, frame: object) -> None:
    global sent
    sent += 1
    raise KeyboardInterrupt


def resident_mebibytes() -> float:
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * 4096 / 2**20


def received(count: int) -> int:
    """How many of so many interrupts came out of what they interrupted."""
    moments, caught = random.Random(SEED), 0
    for number in range(count):
        net = network()
        optimizer = tc.SGDM(0.001)
        work = [partial(net.train_step, X, T, optimizer), partial(net.predict, X), partial(epoch, net, optimizer)]
        before = sent
        try:
            signal.setitimer(signal.ITIMER_REAL, moments.uniform(*INTERVALS))
            while sent == before:
                work[number % len(work)]()
        except KeyboardInterrupt:
            caught += 1
    return caught


def meeting() -> int:
    """How many threads come to work at once."""
    barrier, names = threading.Barrier(THREADS), set()

    def work(_: int) -> None:
        barrier.wait(20)
        names.add(threading.get_ident())

    parallel_for(work, THREADS)
    return len(names)


def main(count: int) -> None:
    tc.set_num_threads(THREADS)
    expected = results()
    lost_to_stderr: list[str] = []
    sys.unraisablehook = lambda event: lost_to_stderr.append(str(event.exc_type))
    signal.signal(signal.SIGALRM, interrupt)
    warm_up = received(30)
    memory = resident_mebibytes()
    outcome = {
        "received": warm_up + received(count - 30),
        "sent": sent,
        "swallowed": lost_to_stderr,
        "same bits": results() == expected,
        "threads at work": meeting(),
        "threads alive": len(sys._current_frames()),
        "more mebibytes": resident_mebibytes() - memory,
    }
    print(json.dumps(outcome))


if __name__ == "__main__":
    main(int(sys.argv[1]))
