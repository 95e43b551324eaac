"""Whatever kills a program that maps over files with several processes, these end, too, and let go of its output."""

import os
import random
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from tests.reliability.interruption import wait_until

ROOT = Path(__file__).parents[2]
PROGRAM = """
import os
import sys
import time

from tinycnn.training.progress import process_map

def work(_):
    time.sleep(0.01)
    return os.getpid()

if __name__ == "__main__":
    for worker in process_map(work, range(100_000), "waiting", workers=2):
        print(worker, flush=True)
        if "fork" in sys.argv and os.fork() == 0:
            time.sleep(100)
            os._exit(0)
        sys.argv.clear()
"""
SECONDS = 10  # they end within two, unless the machine is busy with other things

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="sends POSIX signals and reads /proc")


def start(folder: Path, *arguments: str) -> subprocess.Popen:
    script = folder / "program.py"
    script.write_text(PROGRAM)
    return subprocess.Popen([sys.executable, script, *arguments], env=os.environ | {"PYTHONPATH": str(ROOT)}, text=True,
                            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, start_new_session=True)  # fmt: skip


def kill_group(leader: int) -> None:
    try:
        os.killpg(leader, signal.SIGKILL)
    except ProcessLookupError:
        pass


def is_running(process: int) -> bool:
    try:
        state = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state not in "ZX"


@pytest.mark.parametrize("kill", [signal.SIGTERM, signal.SIGKILL])
@pytest.mark.parametrize("when", ["starting", "working"])
def test_the_output_is_let_go_of(tmp_path, kill, when):
    parent = start(tmp_path)
    ended = threading.Event()
    reader = threading.Thread(target=lambda: (parent.stdout.read(), ended.set()))  # read() ends when no writer is left
    try:
        if when == "working":
            assert parent.stdout.readline()
        time.sleep(random.uniform(0, 1))
        reader.start()
        os.kill(parent.pid, kill)
        assert ended.wait(SECONDS), f"a worker holds the output {SECONDS} seconds after its parent was killed"
    finally:
        kill_group(parent.pid)
        parent.wait(10)
        reader.join(10)
        parent.stdout.close()


def test_a_forked_child_does_not_keep_them(tmp_path):
    """It holds copies of all pipes, so that none of them closes."""
    parent = start(tmp_path, "fork")
    try:
        workers = {int(parent.stdout.readline()) for _ in range(50)}
        assert len(workers) == 2 and all(is_running(worker) for worker in workers)
        os.kill(parent.pid, signal.SIGKILL)
        parent.wait(10)
        assert wait_until(lambda: not any(is_running(worker) for worker in workers), SECONDS)
    finally:
        kill_group(parent.pid)
        parent.wait(10)
        parent.stdout.close()
