"""The benchmarks run, write what they measured, and refuse to compare contenders that compute different things.

How fast anything is does not matter here: no test asserts a speed.
"""

import importlib.util
import itertools
import json
import math
import time
from types import SimpleNamespace

import numpy as np
import pytest

import tinycnn as tc
from benchmarks import contenders, data, gpu_check, layers, machine, roofline, train
from benchmarks.__main__ import main
from benchmarks.contenders import DisagreementError, Problem
from benchmarks.machine import Settings
from benchmarks.with_tinycnn import TinyCNN, starting_state
from covid.models.paper import paper_network
from tests import fake_cuda
from tests.emulation import emulate
from tinycnn import backend

INSTALLED = [name for name in contenders.FRAMEWORKS if importlib.util.find_spec(name)]


def run(subject, tmp_path, capfd, *only):
    """(the subject's record, what was printed) of a quick run."""
    file = tmp_path / "record.json"
    assert main([subject, "--quick", "--json", str(file), *(["--only", *only] if only else [])]) == 0
    report = json.loads(file.read_text(encoding="utf-8"))
    assert report["settings"]["quick"] and report["command"].startswith(f"python -m benchmarks {subject}")
    assert report["machine"]["cores"] >= 1 and report["machine"]["versions"]["numpy"] == np.__version__
    assert report["environment"]["OMP_NUM_THREADS"] == str(report["settings"]["threads"])
    return report["subjects"][subject], capfd.readouterr().out


def assert_measured(record):
    """One positive time a round, with median and quartiles."""
    assert len(record["values"]) == 1 and record["median"] == record["values"][0] > 0
    assert record["quartiles"] == [record["median"]] * 2


def test_train(tmp_path, capfd):
    frameworks = [name for name in INSTALLED if name != "jax"]  # which compiles for ten seconds
    record, printed = run("train", tmp_path, capfd, *frameworks)
    expected = [name for name, (framework, *_) in contenders.CONTENDERS.items()
                if framework in frameworks and "compiled" not in name]  # fmt: skip
    assert list(record["seconds"]) == expected
    assert list(record["check"]["differences"]) == expected[1:]
    for name in expected:
        assert_measured(record["seconds"][name])
        assert f"| {name} " in printed
    if "torch" in INSTALLED:
        ratio = record["against_best_pytorch"]
        rivals = [record["seconds"][name]["median"] for name in expected if name.startswith("PyTorch")]
        assert ratio["ratio"] == pytest.approx(min(rivals) / record["seconds"]["tinycnn"]["median"])


def test_infer(tmp_path, capfd):
    record, printed = run("infer", tmp_path, capfd, *(name for name in INSTALLED if name != "torch"))
    assert list(record) == ["batch 4", "batch 1"]
    for part in record.values():
        assert_measured(part["seconds"]["tinycnn"])
    assert "same probabilities" in printed


def test_layers(tmp_path, capfd):
    record, printed = run("layers", tmp_path, capfd)
    assert [case["pass"] for case in record["cases"]] == ["forward", "forward + backward"] * 2
    paper = record["cases"][0]
    assert paper["flops"] == 4 * 2 * 9 * 8 * 222 * 222
    assert paper["flops_per_second"] == pytest.approx(paper["flops"] / paper["seconds"]["tinycnn"]["median"])
    assert record["cases"][1]["flops"] == 2 * paper["flops"]  # no gradient of the images
    assert "LeNet" in printed and "GFLOP/s" in printed


def test_startup(tmp_path, capfd):
    record, printed = run("startup", tmp_path, capfd, "tinycnn")
    assert_measured(record["warm cache"]["tinycnn"])
    assert record["warm cache"]["tinycnn"]["median"] > 0.05  # no Python starts and imports NumPy in less
    assert "warm cache" in printed


def test_memory(tmp_path, capfd):
    record, _ = run("memory", tmp_path, capfd, "tinycnn")
    (one,) = record["runs"]["tinycnn"]
    assert 30e6 < one["peak"] < 3e9  # bytes, of a process with NumPy in it
    if one["end"]:
        assert one["peak"] >= one["end"] and one["peak"] >= one["early"]


def test_data(tmp_path, capfd):
    record, printed = run("data", tmp_path, capfd)
    assert record["images"] == 36 and record["images_per_second"] > 0
    (epoch,) = record["epochs"]
    assert 0 <= epoch["waiting"] < epoch["seconds"] and epoch["images"] == 4 * epoch["batches"] > 0
    assert "images/s" in printed


def test_roofline(tmp_path, capfd):
    record, printed = run("roofline", tmp_path, capfd, "tinycnn")
    shares, median = record["shares"], record["seconds"]["median"]
    assert shares["arithmetic"] == pytest.approx(
        record["step_flops"] / median / record["gemm_flops_per_second"]["best"])  # fmt: skip
    assert shares["memory"] == pytest.approx(record["step_bytes"] / median / record["copy_bytes_per_second"]["best"])
    assert "ceiling" in printed


# --- The same work, or no comparison ---


class Wrong(TinyCNN):
    """tinycnn with one number in one gradient wrong by 1 % of the largest."""

    def gradients(self):
        gradients = {name: array.copy() for name, array in super().gradients().items()}
        gradients["conv_3.weight"].flat[0] += 0.01 * np.abs(gradients["conv_3.weight"]).max()
        return gradients

    def infer(self):
        p = super().infer()
        p[0, 0] += 0.01
        return p


@pytest.fixture
def pair():
    """Two contenders that agree, and one that does not."""
    problem = Problem(2, 1, 64)
    state = starting_state(problem)
    return [kind(problem, state, dropout=False) for kind in (TinyCNN, TinyCNN, Wrong)]


def test_equal_contenders_pass(pair):
    right, same, _ = pair
    assert contenders.check_training({"a": right, "b": same})["differences"]["b"]["largest"] == 0
    assert contenders.check_inference({"a": right, "b": same})["differences"] == {"b": 0}


def test_a_wrong_gradient_is_refused(pair):
    right, _, wrong = pair
    with pytest.raises(DisagreementError, match=r"a and b differ by 0\.01 in conv_3\.weight"):
        contenders.check_training({"a": right, "b": wrong})


def test_a_wrong_loss_is_refused(pair, monkeypatch):
    right, same, _ = pair
    step = same.train_step
    monkeypatch.setattr(same, "train_step", lambda: step() * math.nan)
    with pytest.raises(DisagreementError, match="in loss"):
        contenders.check_training({"a": right, "b": same})


def test_a_wrong_probability_is_refused(pair):
    right, _, wrong = pair
    with pytest.raises(DisagreementError, match=r"0\.01 in a probability"):
        contenders.check_inference({"a": right, "b": wrong})


def test_a_wrong_layer_is_refused():
    results = {"y": np.ones(100), "conv.weight": np.ones(9), "conv.bias": np.zeros(1)}
    layers.check("case", {"a": results, "b": {**results, "conv.bias": np.full(1, 1e-3)}})  # rounding beside the weights
    with pytest.raises(DisagreementError, match=r"case: a and b differ by 0\.02 in y"):
        layers.check("case", {"a": results, "b": {**results, "y": np.full(100, 1.02)}})
    with pytest.raises(DisagreementError, match="missing"):
        layers.check("case", {"a": results, "b": {"y": results["y"]}})


def test_dropout_is_active_in_what_is_timed():
    problem = Problem(2, 1, 64)
    assert [layer.rate for layer in TinyCNN(problem).net.layers if hasattr(layer, "rate")] == [0.5, 0.3]
    with_torch = pytest.importorskip("benchmarks.with_torch", exc_type=ImportError)
    network = with_torch.Torch(problem).network
    assert (network.dropout_1.p, network.dropout_2.p) == (0.5, 0.3)


# --- Clock, work, tables ---


def test_contenders_take_turns():
    calls = []
    measured = machine.take_turns({"a": lambda: calls.append("a"), "b": lambda: calls.append("b")}, 2, seconds=0.001)
    order = "".join(calls)
    turns = [order[0], *(after for before, after in itertools.pairwise(order) if after != before)]
    assert turns == ["a", "b"] * 3  # a warm-up round and two that count
    assert [len(result["values"]) for result in measured.values()] == [2, 2]


def test_quartiles():
    assert machine.summary([5.0, 1.0, 2.0, 4.0, 3.0]) | {"values": 0} == {
        "values": 0, "median": 3.0, "quartiles": [2.0, 4.0]}  # fmt: skip


def test_ratio_is_to_the_best_pytorch():
    medians = {"tinycnn": 2.0, "PyTorch": 9.0, "PyTorch compiled": 6.0, "JAX": 1.0}
    measured = {name: {"median": median} for name, median in medians.items()}
    assert machine.best_ratio(measured) == {"best": "PyTorch compiled", "ratio": 3.0}
    assert machine.best_ratio({"tinycnn": measured["tinycnn"]}) is None


def test_work_of_a_step():
    """Sums by hand for one image: (C, H, W of x), (O, OH, OW of y), (PH, PW of p) of each block, then fc_1 and fc_2."""
    blocks = [((1, 224), (8, 222), 111), ((8, 111), (16, 109), 54), ((16, 54), (32, 52), 26), ((32, 26), (64, 24), 12)]
    forward = [2 * 9 * c * o * size * size for (c, _), (o, size), _ in blocks] + [2 * 9216 * 3, 2 * 3 * 3]
    net = paper_network()
    assert roofline.step_flops(net, 64) == 64 * (3 * sum(forward) - forward[0])
    moved = 0
    for (c, size), (o, out), pooled in blocks:
        x, y, p = c * size**2, o * out**2, o * pooled**2
        forward_pass = x + y + y + p + p / 4  # the places of the maxima are bytes, a quarter of a float
        backward_pass = p + p + p + p / 4 + y + x + (0 if c == 1 else x)
        moved += 4 * (forward_pass + backward_pass)
    assert roofline.step_bytes(net, 64) == pytest.approx(64 * moved)


def test_waiting_is_timed():
    with data.timed_prefetch() as records:
        for _ in data.batches.prefetch(lambda i: time.sleep(0.02), 3, ahead=1):
            pass
    (record,) = records
    assert record["batches"] == 3 and 0.05 < record["waiting"] <= record["seconds"]
    assert "timed" not in data.batches.prefetch.__qualname__  # and put back as it was


def test_what_is_missing_is_said(monkeypatch, capsys):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "jax" else True)
    assert contenders.present(Settings(1, only=("tinycnn", "jax"))) == ["tinycnn"]
    assert capsys.readouterr().out == "jax is not installed, so it is left out; to add it: pip install '.[bench]'\n"


def test_the_check_is_described():
    differences = {"JAX": {"largest": 3e-5, "in": "conv_1.weight", "loss": 2e-7}}
    text = train.describe_check({"loss": 1.25, "differences": differences})
    assert "all 2 contenders" in text and "1.250000 (to 2e-07)" in text and "3e-05" in text


# --- On a GPU ---


@pytest.fixture
def emulated_gpu(monkeypatch):
    """CuPy played by a stand-in, the kernels by an emulator, and a network small enough for it."""
    fake_cuda.install(monkeypatch)
    if emulate.COMPILER is None:
        pytest.skip("the emulator needs g++")
    fake_cuda.emulate_kernels(monkeypatch)
    rng = np.random.default_rng(0)
    x, t = rng.integers(0, 256, (24, 1, 10, 10), dtype=np.uint8), rng.integers(0, 3, 24)
    monkeypatch.setattr(gpu_check, "_images", lambda count=6: (x[:count], t[:count]))
    monkeypatch.setattr(gpu_check, "BATCH", 6)
    monkeypatch.setattr(gpu_check, "_network", lambda dropout=False: tc.Sequential([
        tc.ImageInput((1, 10, 10), name="input"), tc.Conv2D(3, 3, name="conv_1"), tc.BatchNorm2D(name="norm"),
        tc.ReLU(), tc.MaxPool2D(2), tc.Dropout(0.5 if dropout else 0), tc.FullyConnected(3, name="fc"), tc.Softmax(),
        tc.ClassificationOutput()]))  # fmt: skip


def test_gpu_check_measures_distances_and_bits(emulated_gpu):
    result = gpu_check.parity()
    assert 0 < result["forward"] < 1e-5 and result["recorded"] == "yes"
    assert set(result["gradients"]) == {"conv_1.weight", "norm.weight", "norm.bias", "fc.weight", "fc.bias"}
    assert 0 < max([*result["gradients"].values(), *result["state after 20 steps"].values()]) < 1e-4
    assert gpu_check.determinism()["runs"] == 3


def test_gpu_check_reports_a_failed_part_and_goes_on(emulated_gpu, monkeypatch, tmp_path, capsys):
    def broken():
        raise ZeroDivisionError("on purpose")

    monkeypatch.setattr(gpu_check, "PARTS", {"broken": broken, "whole": lambda: {"answer": 42}, "late": broken})
    clock = itertools.chain([0, 1, 1, 1, 2, 2, 2], itertools.repeat(400))
    monkeypatch.setattr(gpu_check, "time", SimpleNamespace(monotonic=lambda: next(clock)))
    assert gpu_check.main(["--out", str(tmp_path / "gpu.json")]) == 1
    parts = json.loads((tmp_path / "gpu.json").read_text(encoding="utf-8"))["parts"]
    assert parts["broken"]["error"] == "ZeroDivisionError: on purpose" and "in broken" in parts["broken"]["traceback"]
    assert parts["whole"] == {"ok": True, "result": {"answer": 42}, "seconds": 0}
    assert parts["late"] == {"ok": True, "left out": "no time was left"}
    assert "1 of 3 parts failed ['broken']" in capsys.readouterr().err


@pytest.mark.skipif(backend.has_gpu(), reason="there is a GPU")
def test_without_a_gpu_one_sentence_says_so(capsys, tmp_path):
    for command in (lambda: main(["train", "--device", "cuda"]), lambda: gpu_check.main([])):
        assert command() == 1
        (line,) = capsys.readouterr().err.splitlines()
        assert "or stay on the CPU" in line


@pytest.mark.parametrize(("arguments", "words"), [
    (["startup", "--device", "cuda"], "startup is about the CPU; with --device cuda there are train, infer"),
    (["train", "--tf32"], "--tf32 is about the GPU: add --device cuda")])  # fmt: skip
def test_options_that_do_not_go_together(arguments, words, capsys):
    with pytest.raises(SystemExit):
        main(arguments)
    assert words in capsys.readouterr().err


def test_contenders_on_the_gpu(monkeypatch, capsys):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: True)
    monkeypatch.setattr(contenders, "_torch_gpu", lambda: True)
    everybody = contenders.present(Settings(1, device="cuda"))
    assert {"tinycnn", "PyTorch", "PyTorch CUDA graph", "PyTorch compiled, reduce-overhead"} < set(everybody)
    assert "JAX" not in everybody
    eager = contenders.present(Settings(1, device="cuda", compile=False))
    assert eager == [name for name in everybody if "compiled" not in name]
    monkeypatch.setattr(contenders, "_torch_gpu", lambda: False)
    assert contenders.present(Settings(1, device="cuda")) == ["tinycnn"]
    assert "this PyTorch cannot compute on the GPU, so it is left out" in capsys.readouterr().out


def test_a_gpu_is_waited_for(monkeypatch):
    cupy = fake_cuda.install(monkeypatch)
    calls = []
    cupy.cuda.runtime.deviceSynchronize = lambda: calls.append("waited")
    assert machine.finished(lambda: calls.append("launched"), "cuda")() is None and calls == ["launched", "waited"]
    function = calls.clear
    assert machine.finished(function, "cpu") is function
