"""The ladder of kernels: each operation from loops in Python to the kernel that trains, timed rung by rung.

Each rung does the same work and is checked before it is timed: against the loops in float64 where those take a second,
and against array code in float64 (which has passed that check itself) where they would take minutes. The loops are
timed on a small shape, which the table states; their time for the whole is that, scaled by the work.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from benchmarks import machine, roofline
from benchmarks.contenders import DisagreementError
from benchmarks.machine import Settings
from tinycnn import backend
from tinycnn.kernels.ladder import RUNGS, Rung
from tinycnn.windows import output_shape

TOLERANCE = {False: 1e-5, True: 1e-2}  # of the largest number, in float32 and with TF32's products
POOL = (2, 2)
CACHED_BYTES = 48 * 2**20  # arrays smaller than this may stay in cache: a share of the memory's speed means nothing


class Problem:
    """Images x (N, C, H, W), so many filters of 3 × 3, and an output y of them, to be pooled and normalized."""

    def __init__(self, images: tuple[int, int, int, int], filters: int):
        rng = np.random.default_rng(0)
        n, c, h, w = images
        self.x = rng.standard_normal(images, np.float32)
        self.weight = rng.standard_normal((filters, c, 3, 3), np.float32)
        self.gamma, self.beta = rng.standard_normal((2, filters), np.float32)
        self.y = rng.standard_normal((n, filters, *output_shape((h, w), (3, 3), (1, 1), (0, 0, 0, 0))), np.float32)

    def arguments(self, operation: str, dtype: type = np.float32, device: str = "cpu") -> tuple[Any, ...]:
        """What the operation's rungs are called with."""
        geometry = (1, 1), (0, 0, 0, 0), (1, 1), 1
        arguments: tuple[Any, ...] = {
            "conv2d_forward": (self.x, self.weight, self.beta, *geometry),
            "conv2d_backward_input": (self.y, self.weight, self.x.shape, *geometry),
            "conv2d_backward_weight": (self.y, self.x, (3, 3), *geometry),
            "max_pool2d_forward": (self.y, POOL, POOL),
            "batch_norm": (self.y, self.gamma, self.beta, 1e-5),
        }[operation]
        return tuple(
            backend.to_device(value.astype(dtype), device) if isinstance(value, np.ndarray) else value
            for value in arguments
        )

    def work(self, operation: str) -> int:
        """Multiplications and additions of a convolution; of the others, the least of bytes to read and write."""
        if operation.startswith("conv2d"):
            return 2 * self.y.size * self.weight[0].size
        if operation == "batch_norm":
            return 3 * self.y.nbytes  # read for the statistics, read again, written
        pooled = math.prod((*self.y.shape[:2], *output_shape(self.y.shape[2:], POOL, POOL, (0, 0, 0, 0))))
        return self.y.nbytes + pooled * (roofline.FLOAT + 1)  # a maximum, and a byte for its place

    def describe(self, operation: str) -> str:
        """Its size in words, with the operation's work.

        >>> Problem((2, 1, 28, 28), 8).describe("conv2d_forward")
        '2×1×28×28, 8 filters of 3×3, 0.195 MFLOP'
        """
        if operation.startswith("conv2d"):
            return f"{_sizes(self.x)}, {len(self.weight)} filters of 3×3, {_amount(self.work(operation))}FLOP"
        return f"{_sizes(self.y)}, {_amount(self.work(operation))}B"


def problems(settings: Settings) -> dict[str, Problem]:
    """The paper's second convolution, of a batch; and one that a class can wait for, loops included."""
    side = (settings.size - 2) // 2  # what the first block leaves of a image
    classroom = Problem((1 if settings.quick else 8, 1, 28, 28), 8)
    return {"conv_2": Problem((settings.batch, 8, side, side), 16), "classroom": classroom}


def run(settings: Settings) -> dict[str, Any]:
    """Check and time all rungs of the device, operation by operation."""
    rounds = settings.rounds_or(7)
    rungs = [rung for rung in RUNGS if rung.device == settings.device]
    peaks = {"GFLOP/s": roofline.gemm_ceiling(settings, rounds)["best"]}
    if settings.device == "cpu":
        peaks["GB/s"] = roofline.copy_ceiling(settings, rounds)["best"]
    small, cases = Problem((1, 8, 14, 14), 16), problems(settings)
    records = []
    for operation in dict.fromkeys(rung.operation for rung in rungs):
        steps = [rung for rung in rungs if rung.operation == operation]
        check(operation, steps, small, "loops", settings)
        for name, problem in cases.items():
            records.append(_record(operation, steps, name, problem, small, peaks, settings, rounds))
            print(f"{operation}: {problem.describe(operation)}\n\n{_table(records[-1])}\n", flush=True)
    print("\n".join(_notes(peaks, small, rungs)))
    return {"peaks": peaks, "cases": records}


def _notes(peaks: dict[str, float], small: Problem, rungs: Sequence[Rung]) -> list[str]:
    notes = [
        "× before, × first: times as fast as the rung before, and as the first one.",
        f"Of peak: of the fastest matrix product, {peaks['GFLOP/s'] / 1e9:,.0f} GFLOP/s.",
        "Error: the largest difference from the same operation in float64, as a share of the largest number.",
    ]
    if "GB/s" in peaks:
        notes[1] = f"{notes[1][:-1]}, or of copying memory, {peaks['GB/s'] / 1e9:,.1f} GB/s."
    if any(rung.is_interpreted for rung in rungs):
        notes.append(f"≈: timed on {_sizes(small.x)} alone, and scaled by the work.")
    return notes


def check(operation: str, rungs: Sequence[Rung], problem: Problem, oracle: str, settings: Settings) -> dict[str, float]:
    """{rung: its largest error}, measured against what the rung called `oracle` gives in float64.

    Raises:
        DisagreementError: naming the operation, the rung and the error.
    """
    truth = next(r for r in RUNGS if (r.operation, r.name, r.device) == (operation, oracle, "cpu"))
    expected = _arrays(truth.function(*problem.arguments(operation, np.float64)))
    errors, tolerance = {}, TOLERANCE[settings.tf32]
    for rung in rungs:
        got = _arrays(rung.function(*problem.arguments(operation, device=settings.device)))
        error = max(_error(a, b) for a, b in zip(got, expected, strict=True))
        if not error <= tolerance:
            raise DisagreementError(
                f"{operation}: the rung {rung.name!r} differs from the {oracle} in float64 by {error:.2g}, of "
                f"{tolerance:g} allowed: it does not do the same work, so nothing was timed"
            )
        errors[rung.name] = float(error)
    return errors


def _arrays(result: Any) -> list[np.ndarray]:
    return [backend.to_device(array, "cpu") for array in (result if isinstance(result, tuple) else (result,))]


def _error(a: np.ndarray, b: np.ndarray) -> float:
    return np.abs(a.astype(np.float64) - b).max() / (np.abs(b).max() or 1.0) if a.shape == b.shape else math.inf


def _record(
    operation: str,
    rungs: Sequence[Rung],
    name: str,
    problem: Problem,
    small: Problem,
    peaks: dict[str, float],
    settings: Settings,
    rounds: int,
) -> dict[str, Any]:
    """Everything about one operation on one problem, rung by rung."""
    on = {r.name: small if r.is_interpreted and name != "classroom" else problem for r in rungs}
    compiled = [r for r in rungs if on[r.name] is problem]
    errors = check(operation, compiled, problem, "loops" if name == "classroom" else "array code", settings)
    errors |= check(operation, [r for r in rungs if r not in compiled], small, "loops", settings)
    functions = {}
    for rung in rungs:
        arguments = on[rung.name].arguments(operation, device=settings.device)
        call = lambda function=rung.function, arguments=arguments: function(*arguments)  # noqa: E731
        functions[rung.name] = machine.finished(call, settings.device)
    measured = machine.take_turns(functions, rounds, settings.seconds_or(0.1))
    unit = "GFLOP/s" if operation.startswith("conv2d") else "GB/s"
    work, rates = problem.work(operation), []
    record: dict[str, Any] = {"operation": operation, "problem": name, "description": problem.describe(operation),
                              "work": work, "unit": unit, "rungs": []}  # fmt: skip
    for rung in rungs:
        rates.append(on[rung.name].work(operation) / measured[rung.name]["median"])
        in_cache = unit == "GB/s" and work < CACHED_BYTES
        record["rungs"].append({
            "rung": rung.name, "idea": rung.idea, "measured_on": on[rung.name].describe(operation),
            "scaled": on[rung.name] is not problem, "seconds": measured[rung.name], "seconds_for_all": work / rates[-1],
            "rate": rates[-1], "times_before": rates[-1] / rates[-2] if len(rates) > 1 else None,
            "times_first": rates[-1] / rates[0], "share": None if in_cache else rates[-1] / peaks[unit],
            "error": errors[rung.name],
        })  # fmt: skip
    return record


def _table(record: dict[str, Any]) -> str:
    rows = []
    for rung in record["rungs"]:
        share = "in cache" if rung["share"] is None else f"{_digits(100 * rung['share'])} %"
        rows.append([
            f"{rung['rung']}: {rung['idea']}", "≈ " * rung["scaled"] + _digits(1000 * rung["seconds_for_all"]),
            _digits(rung["rate"] / 1e9), _digits(rung["times_before"]), _digits(rung["times_first"]),
            share, f"{rung['error']:.0e}",
        ])  # fmt: skip
    return machine.table(["", "ms", record["unit"], "× before", "× first", "of peak", "error"], rows)


def _sizes(array: np.ndarray) -> str:
    return "×".join(map(str, array.shape))


def _amount(value: float) -> str:
    return f"{value / 1e9:.3g} G" if value >= 1e9 else f"{value / 1e6:.3g} M"


def _digits(value: float | None) -> str:
    """Two digits or more, and no exponent.

    >>> [_digits(value) for value in (None, 0.00312, 2.345, 45.678, 12345.6)]
    ['', '0.0031', '2.3', '46', '12,346']
    """
    if value is None:
        return ""
    return f"{value:,.0f}" if value >= 10 else f"{value:.{max(1, 1 - math.floor(math.log10(value)))}f}"
