"""Long work shows how far it is: a progress bar on stderr, and a parallel map that moves one."""

from __future__ import annotations

import multiprocessing
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import TypeVar

from tinycnn.runtime.threads import get_num_threads

T = TypeVar("T")
R = TypeVar("R")
_REDRAW_EVERY = 0.1  # seconds
_FEW = 32  # up to this many items, starting processes costs more than it saves


class Progress:
    """A progress bar with the time left, redrawn in place on stderr; silent when stderr is not a terminal.

    `enabled` overrides that choice.

    >>> with Progress(2, "reading films", unit="film") as bar:
    ...     bar.update(1, note="loss 0.31")
    """

    def __init__(self, total: int, description: str, unit: str = "item", *, enabled: bool | None = None) -> None:
        self.total, self.description, self.unit = total, description, unit
        self.enabled = sys.stderr is not None and sys.stderr.isatty() if enabled is None else enabled
        self.done, self.note = 0, ""
        self._start, self._drawn = time.monotonic(), float("-inf")

    def __enter__(self) -> Progress:
        self.update(0)
        return self

    def __exit__(self, *exception: object) -> None:
        if self.enabled:
            self._draw()
            print(file=sys.stderr, flush=True)

    def update(self, n: int = 1, *, note: str = "") -> None:
        """Count n more as done; the note stays on the line until another one replaces it."""
        self.done, self.note = self.done + n, note or self.note
        if self.enabled and time.monotonic() - self._drawn >= _REDRAW_EVERY:
            self._draw()

    def _draw(self) -> None:
        self._drawn = time.monotonic()
        elapsed, part = self._drawn - self._start, self.done / max(self.total, 1)
        left = _clock(elapsed / part - elapsed) if part else "?"
        bar = "#" * round(20 * min(part, 1))
        counts = f"{part:4.0%} {self.done}/{self.total} {self.unit}"
        line = f"{self.description} [{bar:.<20}] {counts}  {_clock(elapsed)}, {left} left  {self.note}"
        width = shutil.get_terminal_size().columns - 1  # a full line would wrap, and then could not be redrawn
        print("\r" + line[:width].ljust(width), end="", file=sys.stderr, flush=True)


def _clock(seconds: float) -> str:
    minutes, seconds = divmod(round(max(seconds, 0)), 60)
    return f"{minutes // 60}:{minutes % 60:02d}:{seconds:02d}" if minutes >= 60 else f"{minutes}:{seconds:02d}"


def process_map(
    function: Callable[[T], R], items: Sequence[T], description: str, unit: str = "item", *, workers: int | None = None
) -> Iterator[R]:
    """Yield `function(item)` for each item, in order, computed by `workers` processes (one a core) behind a bar.

    Processes start afresh ("spawn"): a fork would copy locks that this program's threads may hold. So `function` must
    be a module's top-level function, and a script must call this under `if __name__ == "__main__":`. With one worker,
    or few items, everything runs in this process. Raises what `function` raises, and RuntimeError if a process dies.
    """
    workers = min(workers or get_num_threads(), 61)  # 61 is the most that Windows can wait for
    with Progress(len(items), description, unit) as bar:
        if workers == 1 or len(items) < _FEW:
            for item in items:
                yield function(item)
                bar.update()
            return
        pool = ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn"))
        try:
            for result in pool.map(function, items, chunksize=max(1, min(16, len(items) // (4 * workers)))):
                yield result
                bar.update()
        except BrokenProcessPool as error:
            raise RuntimeError(
                f'{description}: a worker process died; call this under `if __name__ == "__main__":`, or, if the '
                "machine is out of memory, with workers=1"
            ) from error
        finally:
            pool.shutdown(cancel_futures=True)
