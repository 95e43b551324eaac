"""The expert room's README draws what the code computes: buffer, offsets, outputs and tile are taken from it."""

import re
from pathlib import Path

import numpy as np
import pytest

from tests import oracles
from tinycnn.kernels.cpu import expert
from tinycnn.kernels.cpu.expert import correlate, simd
from tinycnn.kernels.cpu.expert.plan import forward_plan

FOLDER = Path(expert.__file__).parent
README = (FOLDER / "README.md").read_text(encoding="utf-8")
IMAGE = np.arange(1, 26, dtype=np.float32).reshape(1, 1, 5, 5)
PLAN = forward_plan(IMAGE.shape, (8, 1, 3, 3), (1, 1), (1, 1, 1, 1), (1, 1), 1, 4)


def buffer():
    array = np.full(PLAN.buffer_size, np.nan, np.float32)
    correlate.fill_buffer(array, IMAGE.reshape(-1), 0, 0, 0, PLAN.layout)
    return array


def drawn(rows):
    return "\n".join(" ".join(f"{number:2d}" for number in row) for row in rows)


def test_the_drawn_buffer_is_the_one_that_is_filled():
    row, numbers = PLAN.layout.row, buffer().astype(int)[:43]
    rows = [numbers[start : start + row] for start in range(0, len(numbers), row)]
    for start, line in zip(range(0, 43, row), rows, strict=True):
        text = " ".join(f"{number:2d}" if number else " ." for number in line)
        assert re.search(rf"  {re.escape(text)} +{start}$", README, re.MULTILINE), text
    assert not buffer()[43:].any()


def test_the_drawn_offsets_and_outputs():
    offsets, row = PLAN.offsets.reshape(3, 3), PLAN.layout.row
    assert f"```\n{drawn(offsets)}\n```" in README
    outputs = np.arange(5)[:, None] * row + np.arange(5)
    assert f"```\n{drawn(outputs)}\n```" in README
    window = row + 2 + offsets
    for numbers in (window, buffer().astype(int)[window]):
        sentence = ", ".join(" ".join(map(str, three)) for three in numbers)
        assert sentence in " ".join(README.split())
    weight = np.random.default_rng(0).standard_normal((1, 1, 3, 3))
    expected, _ = oracles.conv2d(IMAGE, weight, None, (1, 1), (1, 1, 1, 1), (1, 1), 1)
    y = sum(w * buffer()[offset + outputs] for w, offset in zip(weight.ravel(), PLAN.offsets, strict=True))
    np.testing.assert_allclose(y, expected[0, 0], rtol=1e-6)


MACHINES = {"AVX-512": {"avx512f": True, "avx2": True}, "AVX2": {"avx2": True}, "NEON": {"neon": True}, "other": {}}


@pytest.mark.parametrize("machine", MACHINES)
def test_the_table_of_register_files(machine, monkeypatch):
    monkeypatch.setattr(simd.llvm, "get_host_cpu_features", lambda: MACHINES[machine])
    vector_bytes, rows = simd._register_file()
    assert f"| {machine} | {vector_bytes} | {rows} | {simd.VECTORS} |" in README
    if machine == "AVX-512":
        lanes = vector_bytes // 4
        assert f"holds {rows} filters × {simd.VECTORS * lanes} positions: {rows * simd.VECTORS} registers of" in README
        assert f"{rows + simd.VECTORS} loads for {rows * simd.VECTORS} multiply-adds of {lanes} numbers" in README


def test_every_file_has_a_line():
    files = {path.name for path in FOLDER.glob("*.py")} - {"__init__.py"}
    assert set(re.findall(r"^\| `(\w+\.py)` \|", README, re.MULTILINE)) == files


def test_intrinsics_and_atomics_stay_in_their_room():
    for path in FOLDER.parent.glob("*.py"):
        text = path.read_text(encoding="utf-8")
        assert "llvmlite" not in text and "simd" not in text and "atomics" not in text, path.name
