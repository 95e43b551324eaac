"""Long work shows how far it is: a progress bar, and a parallel map that moves one.

The bar is tqdm's, which also draws in notebooks, in any terminal and beside printed lines. It is optional, since
computing needs it not: without it one plain line says what is under way.
"""

from __future__ import annotations

import multiprocessing
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import Any, TextIO, TypeVar

from tinycnn.runtime.processes import end_with_parent
from tinycnn.runtime.threads import get_num_threads

T = TypeVar("T")
R = TypeVar("R")
_FEW = 32  # up to this many items, starting processes costs more than it saves


class Progress:
    """A progress bar with the time left, on stderr; silent unless that is a terminal or this is a notebook.

    `enabled` overrides that choice.

    >>> with Progress(2, "reading images", unit="image") as bar:
    ...     bar.update(1, note="loss 0.31")
    """

    def __init__(self, total: int, description: str, unit: str = "item", *, enabled: bool | None = None) -> None:
        self._bar: Any = None
        if enabled is None:
            enabled = (sys.stderr is not None and sys.stderr.isatty()) or _in_notebook()
        if enabled:
            tqdm = _tqdm()
            if tqdm is None:
                print(f"{description}: 0/{total} {unit} (install tqdm to see a progress bar)", file=sys.stderr)
            else:
                self._bar = tqdm(total=total, desc=description, unit=f" {unit}", dynamic_ncols=True)

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *exception: object) -> None:
        if self._bar is not None:
            self._bar.close()

    def update(self, n: int = 1, *, note: str = "") -> None:
        """Count n more as done; the note stays on the line until another one replaces it."""
        if self._bar is not None:
            if note:
                self._bar.set_postfix_str(note, refresh=False)
            self._bar.update(n)


def print_line(line: str, stream: TextIO) -> None:
    """Print a line above the progress bar, if there is one."""
    tqdm = sys.modules.get("tqdm")  # not imported, not drawing
    if tqdm is None:
        print(line, file=stream, flush=True)
    else:
        tqdm.tqdm.write(line, file=stream)
        stream.flush()


def _tqdm() -> Any:
    """The class of progress bars that fits where this runs, or None if tqdm is not installed."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # in a notebook without ipywidgets tqdm draws text, and says so
            from tqdm.auto import tqdm
    except ImportError:
        return None
    return tqdm


def _in_notebook() -> bool:
    ipython = sys.modules.get("IPython")
    return ipython is not None and hasattr(ipython.get_ipython(), "kernel")


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
        spawn = multiprocessing.get_context("spawn")
        pool = ProcessPoolExecutor(workers, mp_context=spawn, initializer=end_with_parent)
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
