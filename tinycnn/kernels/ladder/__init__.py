"""One operation, rung by rung: from the equation as loops to the kernel that trains, an idea a rung.

`RUNGS` lists them in the order in which to read them. The functions of one operation take the same arguments and give
the same numbers; what a rung leaves out, it refuses. `python -m benchmarks ladder` times them beside each other.

>>> for rung in RUNGS:
...     if rung.operation == "conv2d_forward" and rung.device == "cpu":
...         print(f"{rung.name:12} {rung.function.__module__}")
loops        tinycnn.kernels.reference.naive
array code   tinycnn.kernels.reference.conv
Numba loops  tinycnn.kernels.ladder.loops
strip        tinycnn.kernels.ladder.strip
tile         tinycnn.kernels.ladder.tile
production   tinycnn.kernels.cpu.conv
"""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any, NamedTuple

from tinycnn.kernels import cpu, gpu, reference
from tinycnn.kernels.gpu import columns
from tinycnn.kernels.gpu import naive as gpu_naive
from tinycnn.kernels.ladder import loops, strip, tile
from tinycnn.kernels.reference import naive

__all__ = ["RUNGS", "Rung"]


class Rung(NamedTuple):
    """One way to compute an operation."""

    operation: str
    name: str
    idea: str
    function: Callable[..., Any]
    device: str = "cpu"

    @property
    def is_interpreted(self) -> bool:
        """Whether Python itself goes through the loops: then a whole batch takes minutes."""
        return self.name == "loops"


def _batch_norm(kernels: ModuleType | Any) -> Callable[..., Any]:
    """Batch norm as in training, from the kernels' two halves."""

    def batch_norm(x: Any, weight: Any, bias: Any, eps: float) -> tuple[Any, Any, Any]:
        """y, μ and σ² of x (N, C, H, W), normalized by its own statistics."""
        mean, variance = kernels.batch_norm_statistics(x)
        return kernels.batch_norm_forward(x, mean, variance, weight, bias, eps), mean, variance

    return batch_norm


RUNGS = [
    Rung("conv2d_forward", "loops", "the definition", naive.conv2d_forward),
    Rung("conv2d_forward", "array code", "im2col, then one matrix product", reference.conv2d_forward),
    Rung("conv2d_forward", "Numba loops", "no copies; the innermost loop along a row", loops.conv2d_forward),
    Rung("conv2d_forward", "strip", "padded rows in cache, a tap is a shift of them", strip.conv2d_forward),
    Rung("conv2d_forward", "tile", "four taps of four filters for one trip to the cache", tile.conv2d_forward),
    Rung("conv2d_forward", "production", "a tile of sums in registers through all taps", cpu.conv2d_forward),
    Rung("conv2d_backward_input", "loops", "the definition", naive.conv2d_backward_input),
    Rung("conv2d_backward_input", "array code", "one matrix product, then col2im", reference.conv2d_backward_input),
    Rung("conv2d_backward_input", "Numba loops", "a row of dx gathers from rows of dy", loops.conv2d_backward_input),
    Rung("conv2d_backward_input", "production", "the forward kernel, filters turned", cpu.conv2d_backward_input),
    Rung("conv2d_backward_weight", "loops", "the definition", naive.conv2d_backward_weight),
    Rung("conv2d_backward_weight", "array code", "a matrix product with im2col", reference.conv2d_backward_weight),
    Rung("conv2d_backward_weight", "Numba loops", "dot products of rows", loops.conv2d_backward_weight),
    Rung("conv2d_backward_weight", "production", "dot products of a strip, in tiles", cpu.conv2d_backward_weight),
    Rung("max_pool2d_forward", "loops", "the definition", naive.max_pool2d_forward),
    Rung("max_pool2d_forward", "array code", "a copy of x for each pixel of the window", reference.max_pool2d_forward),
    Rung("max_pool2d_forward", "Numba loops", "no copies; the window in registers", loops.max_pool2d_forward),
    Rung("max_pool2d_forward", "production", "a row of windows at once, without branches", cpu.max_pool2d_forward),
    Rung("batch_norm", "loops", "the definition", _batch_norm(naive)),
    Rung("batch_norm", "array code", "an array for each step of the equation", _batch_norm(reference)),
    Rung("batch_norm", "Numba loops", "no arrays in between", _batch_norm(loops)),
    Rung("batch_norm", "production", "both sums of a plane while it is in cache", _batch_norm(cpu)),
    Rung("conv2d_forward", "one thread, one output", "the definition, a thread each", gpu_naive.conv2d_forward, "cuda"),
    Rung("conv2d_forward", "array code", "im2col, then cuBLAS", columns.conv2d_forward, "cuda"),
    Rung("conv2d_forward", "production", "tiles in shared memory and registers", gpu.conv2d_forward, "cuda"),
]
