import io
import os
import re
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import pytest

from tinycnn.training.progress import Progress, process_map

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
    with Progress(8, "reading films", unit="film") as bar:
        bar.update(1, note="loss 0.31")
        bar.update(1)
    text = stream.getvalue()
    assert text.count("\n") == 1 and text.endswith("\n")
    last = text.rstrip().split("\r")[-1]
    assert "reading films [#####...............]  25% 2/8 film" in last
    assert "0:00, 0:00 left  loss 0.31" in last


def test_remaining_time_is_extrapolated(monkeypatch):
    now = 100.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    monkeypatch.setattr(sys, "stderr", stream := Terminal())
    with Progress(4, "training") as bar:
        now += 5400
        bar.update()
    assert "1:30:00, 4:30:00 left" in stream.getvalue()


def test_redraws_at_most_ten_times_a_second(monkeypatch):
    now = 0.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    monkeypatch.setattr(sys, "stderr", stream := Terminal())
    with Progress(1000, "x") as bar:
        for _ in range(1000):
            now += 0.001
            bar.update()
    assert 9 <= stream.getvalue().count("\r") <= 12
    assert "1000/1000" in stream.getvalue().split("\r")[-1]  # the last state is always shown


def test_a_line_never_wraps(monkeypatch):
    monkeypatch.setenv("COLUMNS", "40")
    monkeypatch.setattr(sys, "stderr", stream := Terminal())
    with Progress(3, "a description " * 5) as bar:
        bar.update(note="n" * 100)
    assert {len(line) for line in re.split("[\r\n]", stream.getvalue()) if line} == {39}


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
    assert "0/0" in stream.getvalue()
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
    assert run.returncode == 1 and '__name__ == "__main__"' in run.stderr.splitlines()[-1]
