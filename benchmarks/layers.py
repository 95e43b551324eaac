"""Single layers and small runs of layers, of many shapes: where tinycnn is fast and where it is not."""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from itertools import islice
from typing import Any

import numpy as np

import tinycnn as tc
from benchmarks import contenders, machine, roofline
from benchmarks.contenders import CHECKED_IMAGES, TF32_TOLERANCE, DisagreementError
from benchmarks.machine import Settings
from benchmarks.roofline import Shape
from tinycnn import backend

SLOW = 2.0  # times PyTorch's time: such cases are marked
TOLERANCE = 0.01  # of an array's norm; rounding may turn over a maximum or a ReLU, which moves a whole gradient
Passes = tuple[Callable[[], Any], Callable[[], dict[str, Any]]]  # forward; forward + backward, with all it computed


class Case:
    """Layers on random images x (batch, C, H, W), with a random gradient dy of what they put out.

    `first` layers, with which a network begins, need no gradient of the images.
    """

    device = "cpu"

    def __init__(self, name: str, batch: int, images: tuple[int, int, int], *layers: tc.Layer, first: bool = False):
        self.name, self.layers, self.first = name, layers, first
        self.net = tc.Sequential([tc.ImageInput(images), *layers])
        rng = np.random.default_rng(0)
        self.x = rng.standard_normal((batch, *images), np.float32)
        self.dy = rng.standard_normal((batch, *self.net.shapes[-1]), np.float32)

    def on(self, device: str) -> Case:
        """This case, to be computed on `device`."""
        self.device = device
        return self

    def flops(self, backward: bool) -> int:
        return len(self.x) * roofline.layers_flops(self.layers, self.net.shapes, backward, not self.first)


def cases(batch: int) -> Iterator[Case]:
    """The paper's four blocks, AlexNet's convolutions, common residual-network shapes, LeNet, a large linear layer.

    `batch` is that of the paper's network, 64; the other batches are scaled alike.
    """
    for o, c, size in ((8, 1, 224), (16, 8, 111), (32, 16, 54), (64, 32, 26)):
        block = tc.Conv2D(o, 3), tc.BatchNorm2D(), tc.ReLU(), tc.MaxPool2D(2)
        yield Case(f"paper {c}→{o} 3×3 {size}², norm, ReLU, pool", batch, (c, size, size), *block, first=c == 1)
    n = max(1, batch // 2)
    yield Case("AlexNet 3→96 11×11 227², stride 4", n, (3, 227, 227), tc.Conv2D(96, 11, stride=4), first=True)
    yield Case("AlexNet 96→256 5×5 27², 2 groups", n, (96, 27, 27), tc.Conv2D(256, 5, padding=2, groups=2))
    yield Case("AlexNet 256→384 3×3 13²", n, (256, 13, 13), tc.Conv2D(384, 3, padding=1))
    yield Case("AlexNet 384→384 3×3 13², 2 groups", n, (384, 13, 13), tc.Conv2D(384, 3, padding=1, groups=2))
    yield Case("AlexNet 384→256 3×3 13², 2 groups", n, (384, 13, 13), tc.Conv2D(256, 3, padding=1, groups=2))
    n = max(1, batch // 4)
    yield Case("256→64 1×1 56²", n, (256, 56, 56), tc.Conv2D(64, 1))
    for c, size in ((128, 28), (256, 14), (512, 7)):
        yield Case(f"{c}→{c} 3×3 {size}²", n, (c, size, size), tc.Conv2D(c, 3, padding=1))
    convolutions = tc.Conv2D(20, 5), tc.MaxPool2D(2), tc.Conv2D(50, 5), tc.MaxPool2D(2)
    classifier = tc.FullyConnected(500), tc.ReLU(), tc.FullyConnected(10)
    yield Case("LeNet 28²", 2 * batch, (1, 28, 28), *convolutions, *classifier, first=True)
    yield Case("fully connected 9216→4096", batch, (9216, 1, 1), tc.FullyConnected(4096))


def run(settings: Settings) -> dict[str, Any]:
    """Check and time every case, forward alone and forward plus backward, in training mode."""
    rounds = settings.rounds_or(7)
    ceiling = roofline.gemm_ceiling(settings, rounds)["best"]
    names = contenders.present(settings, ("tinycnn", "PyTorch", "PyTorch channels_last"))
    some = 13 if settings.quick else 1  # a quick run takes the paper's first block and LeNet
    for case in islice(cases(CHECKED_IMAGES), 0, None, some):
        case.on(settings.device)
        results = {name: {key: _numpy(array) for key, array in sides(case, name)[1]().items()} for name in names}
        check(case.name, results, TF32_TOLERANCE if settings.tf32 else TOLERANCE)
    records = []
    for case in islice(cases(settings.batch), 0, None, some):
        both_sides = {name: sides(case.on(settings.device), name) for name in names}
        for backward in (False, True):
            functions = {name: machine.finished(two[backward], settings.device) for name, two in both_sides.items()}
            seconds = machine.take_turns(functions, rounds, settings.seconds_or(0.1))
            records.append(_record(case, backward, seconds, ceiling))
    headers = ["", "pass", "ms", "GFLOP/s", "of ceiling", "PyTorch ms", "speed-up", ""]
    print(machine.table(headers, [_row(record) for record in records]))
    print(
        f"\nThe ceiling is a matrix product, {ceiling / 1e9:,.0f} GFLOP/s. PyTorch is the faster of NCHW and "
        f"channels_last.\nMore than {SLOW:g} times slower than PyTorch: {sum(record['slow'] for record in records)} "
        f"of {len(records)}."
    )
    return {"gemm_flops_per_second": ceiling, "cases": records}


def _record(case: Case, backward: bool, seconds: dict[str, Any], ceiling: float) -> dict[str, Any]:
    flops, ratio = case.flops(backward), machine.best_ratio(seconds)
    rate = flops / seconds["tinycnn"]["median"] if "tinycnn" in seconds else math.nan
    return {
        "case": case.name, "batch": len(case.x), "pass": "forward + backward" if backward else "forward",
        "flops": flops, "seconds": seconds, "flops_per_second": rate, "share": rate / ceiling,
        "against_best_pytorch": ratio, "slow": ratio is not None and ratio["ratio"] < 1 / SLOW,
    }  # fmt: skip


def _row(record: dict[str, Any]) -> list[object]:
    seconds, ratio = record["seconds"], record["against_best_pytorch"]
    rate = [f"{record['flops_per_second'] / 1e9:.0f}", f"{record['share']:.0%}"]
    rival = [machine.milliseconds(seconds[ratio["best"]])[0], f"{ratio['ratio']:.2f}"] if ratio else ["", ""]
    own = machine.milliseconds(seconds["tinycnn"])[0] if "tinycnn" in seconds else ""
    label = f"{record['case']}, batch {record['batch']}"
    return [label, record["pass"], own, *rate, *rival, "SLOW" if record["slow"] else ""]


def sides(case: Case, name: str) -> Passes:
    """The two passes of one contender, from the case's weights."""
    return _tinycnn(case) if name == "tinycnn" else _torch(case, channels_last="channels_last" in name)


def _tinycnn(case: Case) -> Passes:
    case.net.to(case.device)
    x, last_dy = (backend.to_device(array, case.device) for array in (case.x, case.dy))
    _, first, *others = case.net.plan  # as `train_step` goes through it; the input layer does nothing here

    def forward() -> Any:
        y = x
        for layer in (first, *others):
            y = layer.forward(y, training=True)
        return y

    def both() -> dict[str, Any]:
        results, dy = {"y": forward()}, last_dy
        for layer in reversed(others):
            dy = layer.backward(dy)
        if case.first:
            first.backward_parameters(dy)
        else:
            results["dx"] = first.backward(dy)
        return results | case.net.gradients()

    return forward, both


def _torch(case: Case, channels_last: bool) -> Passes:
    import torch

    layout = torch.channels_last if channels_last else torch.contiguous_format
    modules: dict[str, torch.nn.Module] = {}
    for layer, images in zip(case.layers, case.net.shapes, strict=False):
        modules |= _modules(layer, images)
    network = torch.nn.Sequential(OrderedDict(modules))
    network.to(case.device, memory_format=layout)  # type: ignore[call-overload]
    state = {name: torch.from_numpy(_numpy(array)) for name, array in case.net.state_dict().items()}
    network.load_state_dict({**network.state_dict(), **state})
    x = torch.from_numpy(case.x.copy()).to(case.device, memory_format=layout).requires_grad_(not case.first)
    dy = torch.from_numpy(case.dy.copy()).to(case.device)
    if dy.ndim == 4:
        dy = dy.to(memory_format=layout)

    def forward() -> torch.Tensor:
        return network(x)

    def both() -> dict[str, Any]:
        network.zero_grad()
        x.grad = None
        y = forward()
        y.backward(dy)
        results = {"y": y.detach(), **{name: parameter.grad for name, parameter in network.named_parameters()}}
        return results if x.grad is None else results | {"dx": x.grad}

    return forward, both


def _modules(layer: tc.Layer, images: Shape) -> dict[str, Any]:
    """The PyTorch modules of a layer, under its name."""
    from torch import nn

    name, channels = str(layer.name), images[0]
    match layer:
        case tc.Conv2D():
            padding = int(layer.padding[0])  # the same on all sides in these cases
            return {
                name: nn.Conv2d(channels, layer.filters, layer.kernel, layer.stride, padding, groups=layer.groups)
            }  # fmt: skip
        case tc.BatchNorm2D():
            return {name: nn.BatchNorm2d(channels, layer.eps)}
        case tc.ReLU():
            return {name: nn.ReLU()}
        case tc.MaxPool2D():
            return {name: nn.MaxPool2d(layer.pool, layer.stride)}
        case tc.FullyConnected():
            return {f"flatten_{name}": nn.Flatten(), name: nn.Linear(math.prod(images), layer.outputs)}
    raise ValueError(f"{layer!r} has no PyTorch module here: add one")


def _numpy(array: Any) -> np.ndarray:
    """A NumPy or CuPy array, or a tensor, as a NumPy array."""
    return array.detach().cpu().numpy() if hasattr(array, "detach") else backend.to_device(array, "cpu")


def check(case: str, results: Mapping[str, Mapping[str, Any]], tolerance: float = TOLERANCE) -> None:
    """The contenders' outputs and gradients must agree; a bias is measured against the weights.

    Raises:
        DisagreementError: naming the case, the contender, the array and the difference.
    """
    (first, own), *others = results.items()
    weights = max(np.linalg.norm(a) for name, a in own.items() if name.endswith("weight"))
    for rival, arrays in others:
        if own.keys() != arrays.keys():
            raise DisagreementError(f"{case}: results are missing: {sorted(own.keys() ^ arrays.keys())}")
        for name, a in own.items():
            difference = np.linalg.norm(np.asarray(arrays[name]) - a)
            difference /= weights if name.endswith("bias") else np.linalg.norm(a)
            if not difference <= tolerance:
                raise DisagreementError(
                    f"{case}: {first} and {rival} differ by {difference:.2g} in {name}, of {tolerance:g} allowed: "
                    "they do not do the same work, so nothing was timed"
                )
