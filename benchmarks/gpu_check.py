"""Everything there is to check and to measure on a GPU, in one run: `python -m benchmarks.gpu_check --out gpu.json`.

Each part runs by itself: one that fails is reported with its traceback, and the others go on. The most important come
first; after six minutes no further part begins, and those left out are named. The report is written after every part.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

import tinycnn as tc
from benchmarks import machine
from benchmarks.__main__ import main as benchmark
from covid import paper_network
from tinycnn import backend

BATCH, STEPS = 16, 20
IMAGES, EPOCHS = 5000, 20
BEGIN_WITHIN = 360  # seconds


def main(arguments: Sequence[str] | None = None) -> int:
    """Run all parts; returns 0, or 1 where there is no GPU or a part failed."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu_check", description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("gpu_check.json"), metavar="FILE", help="the report")
    parser.add_argument("--only", nargs="+", default=list(PARTS), choices=list(PARTS), metavar="PART",
                        help=f"of {', '.join(PARTS)}")  # fmt: skip
    options = parser.parse_args(arguments)
    try:
        backend.cupy()
    except RuntimeError as error:
        print(f"gpu_check: {error}", file=sys.stderr)
        return 1
    report: dict[str, Any] = {"machine": machine.describe(), "parts": {}}
    started = time.monotonic()
    for name in options.only:
        in_time = time.monotonic() - started < BEGIN_WITHIN
        report["parts"][name] = _attempt(name, PARTS[name]) if in_time else {"ok": True, "left out": "no time was left"}
        options.out.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    failed = [name for name, part in report["parts"].items() if not part["ok"]]
    print(f"gpu_check: {len(failed)} of {len(report['parts'])} parts failed {failed or ''}; see {options.out}",
          file=sys.stderr)  # fmt: skip
    return 1 if failed else 0


def _attempt(name: str, part: Callable[[], Any]) -> dict[str, Any]:
    print(f"gpu_check: {name} …", file=sys.stderr, flush=True)
    started = time.monotonic()
    try:
        result: dict[str, Any] = {"ok": True, "result": part()}
    except Exception as error:
        result = {"ok": False, "error": f"{type(error).__name__}: {error}", "traceback": traceback.format_exc()}
    result["seconds"] = round(time.monotonic() - started, 1)
    print(f"gpu_check: {name} {'done' if result['ok'] else 'FAILED: ' + result['error'][:500]} "
          f"({result['seconds']} s)", file=sys.stderr, flush=True)  # fmt: skip
    return result


# --- Checks ---


def tests(path: str) -> Callable[[], Any]:
    """A part that runs those tests below `path` that use a GPU where there is one."""

    def part() -> dict[str, Any]:
        command = [sys.executable, "-m", "pytest", "-m", "gpu", "--tb=short", "-W", "default", path]
        ran = subprocess.run(command, cwd=machine.ROOT, env=machine.environment(machine.available_cores()), text=True,
                             stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=150, check=False)  # fmt: skip
        if ran.returncode:
            raise AssertionError(f"pytest ended with status {ran.returncode}:\n{ran.stdout[-8000:]}")
        return {"printed": ran.stdout[-1000:]}

    return part


def _network(dropout: bool = False) -> tc.Sequential:
    net = paper_network()
    for layer in net.layers:
        if isinstance(layer, tc.Dropout) and not dropout:
            layer.rate = 0.0  # the GPU draws other masks than the CPU
    return net


def _images(count: int = BATCH) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    return rng.integers(0, 256, (count, 1, 224, 224), dtype=np.uint8), rng.integers(0, 3, count)


def parity() -> dict[str, Any]:
    """How far the paper's network on the GPU is from the CPU: output, gradients, and weights after some steps."""
    x, t = _images()
    cpu, gpu = _network(), _network().to("cuda")
    there = backend.to_device(x, "cuda"), backend.to_device(t, "cuda")
    result: dict[str, Any] = {"forward": _distance(gpu.forward(there[0], True), cpu.forward(x, True))}
    cpu.backward(t)
    gpu.backward(there[1])
    names = [name for name in cpu.gradients() if not (name.startswith("conv") and name.endswith("bias"))]
    result["gradients"] = {name: _distance(gpu.gradients()[name], cpu.gradients()[name]) for name in names}
    optimizers = tc.SGDM(1e-4, weight_decay=1e-4), tc.SGDM(1e-4, weight_decay=1e-4)
    for _ in range(STEPS):
        losses = cpu.train_step(x, t, optimizers[0]), gpu.train_step(*there, optimizers[1])
    result["last losses"] = losses
    states = gpu.state_dict(), cpu.state_dict()
    result[f"state after {STEPS} steps"] = {name: _distance(states[0][name], states[1][name]) for name in names}
    result["recorded"] = gpu.recorder.obstacle or "yes"
    return result


def _distance(a: Any, b: np.ndarray) -> float:
    """‖a − b‖ / ‖b‖."""
    return float(np.linalg.norm(backend.to_device(a, "cpu") - b) / np.linalg.norm(b))


def determinism() -> dict[str, Any]:
    """Two runs of the same seed, and one that is not replayed: all must end with the same bits."""
    x, t = _images(4 * BATCH)
    states, obstacles = [], []
    for replays in (True, True, False):
        net = _network(dropout=True).to("cuda")
        if not replays:
            net.recorder.enabled = False
        tc.Trainer(net, tc.SGDM(1e-3), batch_size=BATCH).fit((x, t), epochs=4)
        obstacles.append(net.recorder.obstacle)
        states.append({name: backend.to_device(array, "cpu") for name, array in net.state_dict().items()})
    different = {name for other in states[1:] for name in other if not np.array_equal(other[name], states[0][name])}
    if different or obstacles[0]:
        raise AssertionError(f"different bits in {sorted(different)}; replays: {obstacles[0] or 'yes'}")
    return {"runs": 3, "arrays": len(states[0])}


def tf32() -> dict[str, Any]:
    """The relative error of matrix products in either precision, and of the network's output."""
    rng = np.random.default_rng(0)
    a = rng.standard_normal((1024, 1024), dtype=np.float32)
    exact = a.astype(np.float64) @ a
    x, net = _images()[0], _network().to("cuda")
    result: dict[str, Any] = {}
    with _precision():
        for name in backend.PRECISIONS:
            backend.set_precision(name)
            there, images = backend.to_device(a, "cuda"), backend.to_device(x, "cuda")
            result[name] = {
                "product": _distance(there @ there, exact),
                "stack of products": _distance((there.reshape(4, 256, -1) @ there).reshape(a.shape), exact),
                "network": _distance(net.predict(images), _network().predict(x)),
            }
    return result


@contextlib.contextmanager
def _precision() -> Iterator[None]:
    try:
        yield
    finally:
        backend.set_precision("float32")


def out_of_memory() -> dict[str, Any]:
    """The message when a batch does not fit, with little memory allowed; and training with a smaller one after it."""
    net, pool = _network().to("cuda"), backend.cupy().get_default_memory_pool()
    x, t = (backend.to_device(array, "cuda") for array in _images(192))
    pool.free_all_blocks()
    pool.set_limit(size=2**28)
    try:
        net.train_step(x, t, tc.SGDM())
    except MemoryError as error:
        message = str(error)
    else:
        raise AssertionError("192 images fitted into 256 MB")
    finally:
        pool.set_limit(size=0)
    return {"message": message, "loss afterwards": net.train_step(x[:8], t[:8], tc.SGDM(1e-4))}


# --- Measurements ---


def measured(subject: str, *options: str) -> Callable[[], Any]:
    """A part that runs a subject of the benchmarks and keeps its record; if that fails, again without torch.compile."""

    def part() -> Any:
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder, "record.json")
            arguments = [subject, "--device", "cuda", "--json", str(file), *options]
            if benchmark(arguments) and ("--no-compile" in options or benchmark([*arguments, "--no-compile"])):
                raise RuntimeError("the benchmark failed; its message is above")
            return json.loads(file.read_text(encoding="utf-8"))["subjects"][subject]

    return part


def training() -> dict[str, Any]:
    """The time that training by the paper's settings takes on the GPU, validation and final statistics included."""
    x, t = _images(IMAGES)
    x[..., :112, :112] //= (t + 1)[:, None, None, None].astype(np.uint8)  # something to learn
    edge = IMAGES * 9 // 10
    net = _network(dropout=True).to("cuda")
    trainer = tc.Trainer(net, tc.SGDM(1e-3, 0.9, 1e-4), tc.PiecewiseSchedule(0.2, 5), batch_norm="population")
    started = time.monotonic()
    trainer.fit((x[:edge], t[:edge]), (x[edge:], t[edge:]), epochs=EPOCHS)
    seconds = time.monotonic() - started
    return {
        "images": edge, "epochs": EPOCHS, "seconds": seconds, "images_per_second": edge * EPOCHS / seconds,
        "recorded": net.recorder.obstacle or "yes", "last loss": trainer.history[-1]["loss"],
        "validation accuracy": trainer.history[-1]["validation_accuracy"],
        "accuracy": tc.evaluate(net, (x[edge:], t[edge:])).accuracy,
    }  # fmt: skip


PARTS: dict[str, Callable[[], Any]] = {
    "parity": parity,
    "determinism": determinism,
    "tf32": tf32,
    "out of memory": out_of_memory,
    "training": training,
    "tests": tests("tests/test_gpu.py"),
    "train 64": measured("train", "--rounds", "7"),
    "roofline 64": measured("roofline", "--rounds", "7"),
    "infer 64": measured("infer", "--rounds", "7", "--no-compile"),
    "train 512": measured("train", "--batch", "512", "--rounds", "5", "--no-compile"),
    "roofline 512": measured("roofline", "--batch", "512", "--rounds", "5"),
    "train 64 tf32": measured("train", "--tf32", "--rounds", "5", "--no-compile"),
    "infer 512": measured("infer", "--batch", "512", "--rounds", "5", "--no-compile"),
    "layers": measured("layers", "--rounds", "3"),
    "kernel tests": tests("tests/kernels"),
    "train 512 tf32": measured("train", "--batch", "512", "--tf32", "--rounds", "3", "--no-compile"),
    "layers tf32": measured("layers", "--tf32", "--rounds", "3"),
}

if __name__ == "__main__":
    raise SystemExit(main())
