"""The machine's two ceilings, arithmetic and memory, and the share of them that a train step reaches.

The step's arithmetic and its least possible traffic follow from the layers' shapes alone, so the shares compare an
implementation with the machine, not with another implementation.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

import tinycnn as tc
from benchmarks import contenders, machine
from benchmarks.contenders import Problem
from benchmarks.machine import Settings
from tinycnn import backend
from tinycnn.runtime import threads

Shape = tuple[int, ...]
FLOAT = 4  # bytes


def run(settings: Settings) -> dict[str, Any]:
    """Measure the ceilings and a train step of tinycnn, and print the shares."""
    rounds = settings.rounds_or(15)
    gemm, copy = gemm_ceiling(settings, rounds), copy_ceiling(settings, rounds)
    step: Any = contenders.make("tinycnn", Problem.of(settings))
    flops, traffic = step_flops(step.net, settings.batch), step_bytes(step.net, settings.batch)
    seconds = machine.take_turns({"tinycnn": step.train_step}, rounds, settings.seconds_or(0.5))["tinycnn"]
    limits = {"arithmetic": flops / gemm["best"], "memory": traffic / copy["best"]}
    shares = {name: limit / seconds["median"] for name, limit in limits.items()}
    rows = [[f"matrix product, {name}", f"{value / 1e9:,.0f} GFLOP/s"] for name, value in gemm["each"].items()]
    rows.append(["copying memory, bytes read and written", f"{copy['best'] / 1e9:,.1f} GB/s"])
    print(machine.table(["the fastest of several", "measured"], rows))
    print(
        f"\nA train step, {settings.describe_images()}, is {flops / 1e9:.2f} GFLOP and moves at least "
        f"{traffic / 1e9:.2f} GB:\n"
        f"{1000 * limits['arithmetic']:.1f} ms at one ceiling, {1000 * limits['memory']:.1f} ms at the other.\n"
        f"tinycnn takes {machine.milliseconds(seconds)[0]} ms: {shares['arithmetic']:.0%} of the arithmetic ceiling, "
        f"{shares['memory']:.0%} of the memory ceiling."
    )
    return {
        "gemm_flops_per_second": gemm,
        "copy_bytes_per_second": copy,
        "step_flops": flops,
        "step_bytes": traffic,
        "seconds": seconds,
        "shares": shares,
    }


# --- The ceilings ---


def gemm_ceiling(settings: Settings, rounds: int) -> dict[str, Any]:
    """The fastest product of two square float32 matrices, FLOP/s: NumPy's (CuPy's) and, if installed, PyTorch's."""
    on_cpu = settings.device == "cpu"
    n = 256 if settings.quick else 2048 if on_cpu else 8192
    a = backend.to_device(np.ones((n, n), np.float32), settings.device)
    products: dict[str, Callable[[], object]] = {"NumPy" if on_cpu else "CuPy": lambda: a @ a}
    if contenders.present(settings, ("PyTorch",)):
        import torch

        matrix = torch.ones((n, n), device=settings.device)
        products["PyTorch"] = lambda: matrix @ matrix
    each = {name: 2 * n**3 / _fastest(machine.finished(product, settings.device), rounds)
            for name, product in products.items()}  # fmt: skip
    return {"each": each, "best": max(each.values())}


def copy_ceiling(settings: Settings, rounds: int) -> dict[str, Any]:
    """The fastest copy of an array much larger than the caches: bytes read and written per second.

    On the CPU all threads take part.
    """
    if settings.device == "cuda":
        a = backend.cupy().ones(2**28, np.float32)
        b = a.copy()
        copy = machine.finished(lambda: backend.cupy().copyto(b, a), settings.device)
        return {"best": 2 * a.nbytes / _fastest(copy, rounds)}
    source = np.ones(2**20 if settings.quick else 2**26, np.float32)
    target = np.zeros_like(source)
    pieces = 8 * threads.get_num_threads()
    parts = list(zip(np.array_split(source, pieces), np.array_split(target, pieces), strict=True))

    def copy_part(i: int) -> None:
        np.copyto(parts[i][1], parts[i][0])

    return {"best": 2 * source.nbytes / _fastest(lambda: threads.parallel_for(copy_part, pieces), rounds)}


def _fastest(function: Callable[[], object], rounds: int) -> float:
    function()
    times = []
    for _ in range(max(5, rounds)):
        start = time.perf_counter()
        function()
        times.append(time.perf_counter() - start)
    return min(times)


# --- The work ---


def layer_flops(layer: tc.Layer, input_shape: Shape, output_shape: Shape) -> int:
    """Multiplications and additions of one image's forward pass; each gradient, of weights or input, costs as many.

    >>> layer_flops(tc.Conv2D(8, 3), (1, 224, 224), (8, 222, 222))
    7096896
    """
    if isinstance(layer, tc.Conv2D):
        return 2 * math.prod(output_shape) * (input_shape[0] // layer.groups) * math.prod(layer.kernel)
    if isinstance(layer, tc.FullyConnected):
        return 2 * math.prod(input_shape) * math.prod(output_shape)
    return 0


def layers_flops(layers: Sequence[tc.Layer], shapes: Sequence[Shape], backward: bool, input_gradient: bool) -> int:
    """FLOP for one image; shapes[i] and shapes[i + 1] are what goes into and comes out of layers[i].

    Backward adds weight and input gradients, the first learning layer's input gradient only with `input_gradient`.
    """
    costs = [layer_flops(layer, *shapes[i : i + 2]) for i, layer in enumerate(layers)]
    if not backward:
        return sum(costs)
    first = next((cost for cost in costs if cost), 0)
    return 3 * sum(costs) - (0 if input_gradient else first)


def step_flops(net: tc.Sequential, batch: int) -> int:
    """FLOP of one train step: convolutions and fully connected layers, without the first layer's input gradient."""
    return batch * layers_flops(net.layers, [net.input_shape, *net.shapes], backward=True, input_gradient=False)


def step_bytes(net: tc.Sequential, batch: int) -> int:
    """The least a train step moves between memory and cores, for blocks of convolution, batch norm, ReLU and max pool.

    With nothing kept but each block's input x, its convolution's output y, its pooled output p and where each maximum
    was (one byte): forward reads x and writes y, whose statistics must be complete before it reads y again and writes p
    and the places; backward reads dp and p for batch norm's two sums, then dp, the places, y and x, and writes dx.
    What is small beside that (weights, statistics, the layers after the last pool) is left out.
    """
    shapes = [net.input_shape, *net.shapes]
    total = 0
    for i, layer in enumerate(net.layers):
        if not isinstance(layer, tc.Conv2D):
            continue
        x, y, p = (math.prod(shapes[j]) for j in (i, i + 1, i + 4))
        first = total == 0
        total += 2 * x + (0 if first else x) + 3 * y + 4 * p
        total += p // 2  # the places, one byte each: written once and read once
    return total * FLOAT * batch
