"""KeyboardInterrupt where it hurts: before the n-th bytecode, or by a signal at a random moment."""

import sys
import threading
import time
from collections.abc import Callable, Iterator
from types import FrameType, ModuleType
from typing import Any


def interrupted_everywhere(call: Callable[[], object], *modules: ModuleType) -> Iterator[int]:
    """Run call() again and again, interrupted before its first bytecode in the modules, before its second, and so on.

    After each run it yields how many bytecodes came before the KeyboardInterrupt; it ends when call() ends first.
    """
    files = {module.__file__ for module in modules}
    moment = 0
    while _interrupted(call, files, moment):
        yield moment
        moment += 1


def _interrupted(call: Callable[[], object], files: set[str | None], moment: int) -> bool:
    count = 0

    def trace(frame: FrameType, event: str, _: Any) -> Any:
        nonlocal count
        if frame.f_code.co_filename not in files:
            return None
        frame.f_trace_opcodes, frame.f_trace_lines = True, False
        if event in ("call", "opcode"):
            count += 1
            if count > moment:
                raise KeyboardInterrupt  # and Python stops tracing
        return trace

    before = sys.gettrace()
    try:
        sys.settrace(trace)
        call()
    except KeyboardInterrupt:
        pass
    finally:
        sys.settrace(before)
    assert count > 0, "nothing of these modules was run"
    return count > moment


def threads_in(function: Callable[..., Any]) -> int:
    """How many threads are running this function, those that `threading` does not know among them."""

    def runs(frame: FrameType | None) -> bool:
        return frame is not None and (frame.f_code is function.__code__ or runs(frame.f_back))

    return sum(map(runs, sys._current_frames().values()))


def wait_until(condition: Callable[[], bool], seconds: float = 20) -> bool:
    """Whether the condition holds at last."""
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        time.sleep(0.005)
    return condition()


def meet(share: Callable[[Callable[[int], None], int], None], threads: int) -> int:
    """How many threads come to work at once, when so many should."""
    meeting, names = threading.Barrier(threads), set()

    def work(_: int) -> None:
        meeting.wait(20)
        names.add(threading.get_ident())

    share(work, threads)
    return len(names)
