"""Processes that other processes start, and that must not outlive them."""

from __future__ import annotations

import multiprocessing
import os
import threading

LOOK_EVERY = 1.0  # seconds


def end_with_parent() -> None:
    """Make this process, started by multiprocessing, end within about a second of its parent, however that one ended.

    For the `initializer` of a process pool: when the parent is killed, nobody tells its workers, and each of them
    waits for ever for the next item, as all of them hold both ends of the pipe on which it would come.
    """
    if multiprocessing.parent_process() is not None:
        threading.Thread(target=_watch, daemon=True).start()


def _watch() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    # The parent's pipe closes with its last copy, which a process forked from the parent may hold. On POSIX systems an
    # orphan gets another parent, too; on Windows it does not, but there a process is waited for, not a pipe.
    while parent.is_alive() and os.getppid() == parent.pid:
        parent.join(LOOK_EVERY)
    os._exit(1)  # at once, whatever the main thread is at: there is nobody to report to
