"""Progress: when a bar is drawn, where lines go beside it, and a parallel map that moves one."""

import io
import os
import subprocess
import sys
import textwrap
import threading
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest

from tinycnn.training.progress import Progress, print_line, process_map

ROOT = Path(__file__).parents[2]


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def square(x):
    return x * x


def whose(_):
    return os.getpid()


def fail_at_40(x):
    if x == 40:
        raise ValueError("item 40")
    return x


def die(_):
    os._exit(3)


def test_a_terminal_sees_one_line_redrawn(monkeypatch):
    monkeypatch.setattr(sys, "stderr", stream := Terminal())
    with Progress(8, "reading images", unit="image") as bar:
        bar.update(1, note="loss 0.31")
        bar.update(1)
    text = stream.getvalue()
    assert text.count("\n") == 1 and text.endswith("\n")
    last = text.rstrip().split("\r")[-1]
    assert last.startswith("reading images:  25%") and "2/8" in last and " image/s, loss 0.31" in last


def test_a_printed_line_stands_above_the_bar(monkeypatch):
    monkeypatch.setattr(sys, "stderr", terminal := Terminal())
    monkeypatch.setattr(sys, "stdout", terminal)
    with Progress(2, "training", unit="batch") as bar:
        bar.update(1)
        print_line("| epoch 1 |", sys.stdout)
    lines = [line.split("\r")[-1] for line in terminal.getvalue().split("\n")]
    assert lines[0] == "| epoch 1 |" and lines[1].startswith("training:  50%")


def test_a_line_is_printed_without_a_bar_and_without_tqdm(monkeypatch):
    stream = io.StringIO()
    print_line("one", stream)
    monkeypatch.delitem(sys.modules, "tqdm", raising=False)
    print_line("two", stream)
    assert stream.getvalue() == "one\ntwo\n"


def test_without_tqdm_one_plain_line_says_what_is_under_way(monkeypatch):
    monkeypatch.setitem(sys.modules, "tqdm.auto", None)  # importing it fails
    monkeypatch.setattr(sys, "stderr", stream := Terminal())
    with Progress(8, "training", unit="batch") as bar:
        for _ in range(8):
            bar.update(1, note="loss 0.31")
    assert stream.getvalue() == "training: 0/8 batch (install tqdm to see a progress bar)\n"


def test_a_notebook_sees_the_bar_though_it_is_no_terminal(monkeypatch):
    notebook = ModuleType("IPython")
    notebook.get_ipython = lambda: SimpleNamespace(kernel=object())
    monkeypatch.setitem(sys.modules, "IPython", notebook)
    monkeypatch.setattr(sys, "stderr", stream := io.StringIO())
    with Progress(2, "training", unit="batch") as bar:
        bar.update(2)
    assert "2/2" in stream.getvalue()
    notebook.get_ipython = lambda: SimpleNamespace()  # IPython's prompt, its output sent to a file
    monkeypatch.setattr(sys, "stderr", stream := io.StringIO())
    with Progress(2, "training"):
        pass
    assert stream.getvalue() == ""


@pytest.mark.parametrize("stream", [io.StringIO(), None], ids=["file", "none"])
def test_silent_without_a_terminal(monkeypatch, stream):
    monkeypatch.setattr(sys, "stderr", stream)
    with Progress(2, "x") as bar:
        bar.update(2)
    assert stream is None or stream.getvalue() == ""


def test_enabled_overrides_the_terminal(monkeypatch):
    monkeypatch.setattr(sys, "stderr", stream := io.StringIO())
    with Progress(0, "nothing to do", enabled=True):
        pass
    assert "nothing to do" in stream.getvalue()
    monkeypatch.setattr(sys, "stderr", stream := Terminal())
    with Progress(1, "x", enabled=False) as bar:
        bar.update()
    assert stream.getvalue() == ""


def test_process_map_keeps_the_order_and_uses_other_processes():
    assert list(process_map(square, range(100), "squares", workers=2)) == [x * x for x in range(100)]
    assert os.getpid() not in set(process_map(whose, range(40), "x", workers=2))
    assert set(process_map(whose, range(40), "x", workers=1)) == {os.getpid()}
    assert set(process_map(whose, range(8), "x", workers=2)) == {os.getpid()}  # too few to be worth it


def test_process_map_works_beside_threads():
    stop = threading.Event()
    threads = [threading.Thread(target=lambda: [None for _ in iter(stop.is_set, True)]) for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        assert list(process_map(square, range(64), "x", workers=2)) == [x * x for x in range(64)]
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def test_process_map_passes_errors_on():
    with pytest.raises(ValueError, match="item 40"):
        list(process_map(fail_at_40, range(100), "x", workers=2))


def test_a_dead_process_is_an_error_not_a_wait():
    with pytest.raises(RuntimeError, match="shrinking: a worker process died"):
        list(process_map(die, range(64), "shrinking", workers=2))


def test_a_script_without_a_guard_is_told_so(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(
        textwrap.dedent("""
        from tinycnn.training.progress import process_map
        print(len(list(process_map(abs, range(64), "x", workers=2))))
    """)
    )
    run = subprocess.run([sys.executable, script], env=os.environ | {"PYTHONPATH": str(ROOT)}, capture_output=True,
                         text=True, timeout=60)  # fmt: skip
    errors = [line for line in run.stderr.splitlines() if line.startswith("RuntimeError: x: a worker process died")]
    assert run.returncode == 1 and errors and '__name__ == "__main__"' in errors[-1]
