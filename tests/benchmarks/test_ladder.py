"""The ladder is measured rung by rung, and a rung that computes something else is not measured at all."""

import itertools
import json
import math

import numpy as np
import pytest

from benchmarks import ladder
from benchmarks.__main__ import main
from benchmarks.contenders import DisagreementError
from benchmarks.machine import Settings
from tests import fake_cuda
from tests.emulation import emulate
from tinycnn.kernels.ladder import RUNGS

TINY = Settings(1, batch=1, size=22, quick=True, only=("tinycnn",))


def assert_consistent(record, device):
    for case in record["cases"]:
        wanted = [rung.name for rung in RUNGS if (rung.operation, rung.device) == (case["operation"], device)]
        rungs = case["rungs"]
        assert [rung["rung"] for rung in rungs] == wanted
        for rung in rungs:
            assert rung["seconds"]["median"] > 0 and 0 <= rung["error"] < 1e-5
            assert rung["rate"] == pytest.approx(case["work"] / rung["seconds_for_all"])
            assert rung["times_first"] == pytest.approx(rung["rate"] / rungs[0]["rate"])
            assert rung["scaled"] == (rung["rung"] == "loops" and case["problem"] == "conv_2")
            assert rung["scaled"] or rung["seconds_for_all"] == pytest.approx(rung["seconds"]["median"])
            if case["unit"] == "GFLOP/s":
                assert rung["share"] == pytest.approx(rung["rate"] / record["peaks"]["GFLOP/s"])
        for before, after in itertools.pairwise(rungs):
            assert after["times_before"] == pytest.approx(after["rate"] / before["rate"])


def test_ladder(tmp_path, capfd):
    file = tmp_path / "record.json"
    options = ["--quick", "--batch", "1", "--size", "22", "--only", "tinycnn", "--json", str(file)]
    assert main(["ladder", *options]) == 0
    record, printed = json.loads(file.read_text(encoding="utf-8"))["subjects"]["ladder"], capfd.readouterr().out
    assert_consistent(record, "cpu")
    conv_2, classroom = (case for case in record["cases"] if case["operation"] == "conv2d_forward")
    assert conv_2["work"] == 2 * 16 * 8 * 9 * 8 * 8 and classroom["work"] == 2 * 8 * 9 * 26 * 26
    assert conv_2["rungs"][0]["measured_on"].startswith("1×8×14×14")
    assert "| loops: the definition" in printed and "≈" in printed and "× before" in printed


def test_a_rung_that_computes_something_else_is_refused():
    right = [rung for rung in RUNGS if rung.operation == "conv2d_forward" and rung.device == "cpu"]
    problem = ladder.Problem((1, 2, 6, 6), 3)
    errors = ladder.check("conv2d_forward", right, problem, "loops", TINY)
    assert list(errors) == [rung.name for rung in right] and 0 < max(errors.values()) < 1e-6

    def shifted(*arguments):
        y = right[1].function(*arguments)
        y[0, 0, 0, 0] += 0.01 * np.abs(y).max()
        return y

    wrong = right[2]._replace(function=shifted)
    with pytest.raises(DisagreementError, match="'Numba loops' differs from the loops in float64 by 0.01"):
        ladder.check("conv2d_forward", [right[0], wrong], problem, "loops", TINY)
    short = right[2]._replace(function=lambda *arguments: right[1].function(*arguments)[:, :, 1:])
    with pytest.raises(DisagreementError, match="by inf"):
        ladder.check("conv2d_forward", [short], problem, "loops", TINY)


def test_work_by_hand():
    problem = ladder.Problem((2, 3, 8, 7), 4)  # y is 2 × 4 × 6 × 5, pooled to 3 × 2
    assert problem.work("conv2d_forward") == problem.work("conv2d_backward_weight") == 2 * 27 * 2 * 4 * 6 * 5
    assert problem.work("max_pool2d_forward") == 4 * 240 + 5 * 2 * 4 * 3 * 2
    assert problem.work("batch_norm") == 3 * 4 * 240


@pytest.mark.skipif(emulate.COMPILER is None, reason="the emulator needs g++")
def test_ladder_of_the_gpu(monkeypatch, capsys):
    cupy = fake_cuda.install(monkeypatch)
    cupy.cuda.runtime.deviceSynchronize = lambda: None
    fake_cuda.emulate_kernels(monkeypatch)
    monkeypatch.setattr(ladder.machine, "SETTLE_SECONDS", 0)
    record = ladder.run(Settings(1, batch=1, size=22, quick=True, only=("tinycnn",), device="cuda"))
    assert_consistent(record, "cuda")
    assert list(record["peaks"]) == ["GFLOP/s"] and math.isfinite(record["peaks"]["GFLOP/s"])
    assert "| one thread, one output: " in capsys.readouterr().out
