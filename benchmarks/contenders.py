"""Who is measured, on which images, and the check that all of them do the same work.

A contender is an object with three methods: `train_step()` does one whole step (forward, backward, update; a float,
the loss before it), `gradients()` gives what that step computed, by PyTorch's names, and `infer()` gives probabilities,
in evaluation mode. Its images are in place before the clock starts. This file imports no framework, so that a process
which measures one of them loads no other.
"""

from __future__ import annotations

import copy
import importlib
import importlib.util
import shutil
import sys
from collections.abc import Iterable, Mapping
from typing import Any, Protocol

import numpy as np

from benchmarks.machine import Settings

FRAMEWORKS = ("tinycnn", "torch", "jax")
LEARNING_RATE, MOMENTUM, WEIGHT_DECAY = 1e-4, 0.9, 1e-4  # a low rate: hundreds of steps on one batch stay tame
CHECKED_IMAGES = 4  # on more, PyTorch itself strays from float64: see `check_training`
TOLERANCE = 1e-3  # of a layer's largest gradient, twenty times what float32 rounding makes of it
TF32_TOLERANCE = 0.1  # factors of 10 bits, and now and then another maximum of a window

# name → (framework, module, class, options)
CONTENDERS: dict[str, tuple[str, str, str, dict[str, bool]]] = {
    "tinycnn": ("tinycnn", "with_tinycnn", "TinyCNN", {}),
    "PyTorch": ("torch", "with_torch", "Torch", {}),
    "PyTorch channels_last": ("torch", "with_torch", "Torch", {"channels_last": True}),
    "PyTorch compiled": ("torch", "with_torch", "Torch", {"compiled": True}),
    "PyTorch compiled channels_last": ("torch", "with_torch", "Torch", {"compiled": True, "channels_last": True}),
    "JAX": ("jax", "with_jax", "Jax", {}),
}
# On a GPU JAX is left out, and there are CUDA graphs, of PyTorch's compiler and of whole train steps.
GPU_CONTENDERS = {name: CONTENDERS[name] for name in CONTENDERS if name != "JAX"} | {
    "PyTorch compiled, reduce-overhead": ("torch", "with_torch", "Torch", {"compiled": True, "reduce_overhead": True}),
    "PyTorch CUDA graph": ("torch", "with_torch", "Torch", {"graph": True}),
    "PyTorch CUDA graph channels_last": ("torch", "with_torch", "Torch", {"graph": True, "channels_last": True}),
}


class Problem:
    """Random images x (batch, channels, size, size) with levels 0 to 255, labels t, and the images' mean image.

    `device` says where contenders are to compute.

    >>> Problem(batch=2, channels=1, size=64).x.shape
    (2, 1, 64, 64)
    """

    def __init__(self, batch: int = 64, channels: int = 1, size: int = 224, *, device: str = "cpu"):
        self.device = device
        rng = np.random.default_rng(0)
        self.batch, self.channels, self.size = batch, channels, size
        self.x = rng.integers(0, 256, (batch, channels, size, size)).astype(np.float32)
        self.t = rng.integers(0, 3, batch)
        self.mean = self.x.mean(axis=0)

    @classmethod
    def of(cls, settings: Settings) -> Problem:
        """What the command line asked for."""
        return cls(*settings.images, device=settings.device)

    def first(self, batch: int) -> Problem:
        """The first images of this problem alone, with the same mean image."""
        part = copy.copy(self)
        part.batch, part.x, part.t = batch, self.x[:batch], self.t[:batch]
        return part


class Contender(Protocol):
    """What can be measured."""

    def train_step(self) -> float: ...

    def gradients(self) -> dict[str, np.ndarray]: ...

    def infer(self) -> np.ndarray: ...


def present(settings: Settings, names: Iterable[str] | None = None) -> list[str]:
    """Those of `names` (all by default) that can run here and are asked for; says what is missing and how to get it."""
    if names is None:
        names = CONTENDERS if settings.device == "cpu" else GPU_CONTENDERS
    asked = [name for name in names if not settings.only or _framework(name) in settings.only]
    missing = {framework for framework in map(_framework, asked) if importlib.util.find_spec(framework) is None}
    for framework in sorted(missing):
        print(f"{framework} is not installed, so it is left out; to add it: pip install '.[bench]'")
    if settings.device == "cuda" and "torch" not in missing and "torch" in map(_framework, asked) and not _torch_gpu():
        print("this PyTorch cannot compute on the GPU, so it is left out")
        missing.add("torch")
    compiled = [name for name in asked if "compiled" in name and _framework(name) not in missing]
    if compiled and (settings.quick or not settings.compile):
        print("torch.compile is left out of this run")
    elif compiled and not any(map(shutil.which, ("c++", "g++", "clang++", "cl"))):
        print("torch.compile needs a C++ compiler, and there is none here, so it is left out")
    else:
        compiled = []
    return [name for name in asked if _framework(name) not in missing and name not in compiled]


def _framework(name: str) -> str:
    return GPU_CONTENDERS.get(name, CONTENDERS.get(name, ("",)))[0]


def _torch_gpu() -> bool:
    import torch

    return torch.cuda.is_available()


def prepare_gpu(settings: Settings) -> None:
    """The same precision for every library, and the fastest of cuDNN's algorithms."""
    from tinycnn import backend

    backend.set_precision("tf32" if settings.tf32 else "float32")
    if present(settings, ("PyTorch",)):
        import torch

        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = settings.tf32
        torch.backends.cudnn.benchmark = True


def make(name: str, problem: Problem, state: Mapping[str, np.ndarray] | None = None, dropout: bool = True) -> Contender:
    """A fresh contender, with the weights of `state` if given, and with dropout's rates at 0 if not wanted."""
    _, module, kind, options = (CONTENDERS | GPU_CONTENDERS)[name]
    return getattr(importlib.import_module(f"benchmarks.{module}"), kind)(problem, state, dropout, **options)


def forget_compiled() -> None:
    """Let torch.compile start anew, so that what is compiled next is not made for several shapes or dropout rates."""
    if "torch" in sys.modules:
        sys.modules["torch"].compiler.reset()


# --- The same work ---


def tolerance(settings: Settings) -> float:
    """What differences are allowed with the matrix products asked for."""
    return TF32_TOLERANCE if settings.tf32 else TOLERANCE


class DisagreementError(Exception):
    """Two contenders computed different things, so their times cannot be compared."""


def check_training(contenders: Mapping[str, Contender], tolerance: float = TOLERANCE) -> dict[str, Any]:
    """Make a step of each, from equal weights and without dropout; all losses and gradients must agree.

    The gradients are those that `train_step` leaves, the function that will be timed. Differences are measured against
    the largest gradient of the same layer: that of a bias before batch norm is 0, and what is computed is rounding.
    A few images are better than many here. In channels_last memory PyTorch's batch norm sums in float32: on 64 images
    its variances are wrong by a thousandth, which turns over some maxima and ReLUs, and changes gradients by up to 2 %.

    Raises:
        DisagreementError: naming the contender, the gradient and the difference.
    """
    steps = {name: (contender.train_step(), contender.gradients()) for name, contender in contenders.items()}
    (first, (loss, gradients)), *others = steps.items()
    result: dict[str, Any] = {"reference": first, "loss": loss, "tolerance": tolerance, "differences": {}}
    for name, (other_loss, other_gradients) in others:
        differences = _differences(gradients, other_gradients)
        differences["loss"] = abs(other_loss - loss) / abs(loss)
        worst = max(differences, key=lambda key: np.nan_to_num(differences[key], nan=np.inf))
        if not differences[worst] <= tolerance:
            raise DisagreementError(
                f"{first} and {name} differ by {differences[worst]:.2g} in {worst}, of "
                f"{tolerance:g} allowed: they do not do the same work, so nothing was timed"
            )
        result["differences"][name] = {"largest": differences[worst], "in": worst, "loss": differences["loss"]}
    return result


def _differences(a: Mapping[str, np.ndarray], b: Mapping[str, np.ndarray]) -> dict[str, float]:
    """The largest difference of each array, relative to the largest number among its layer's."""
    if a.keys() != b.keys():
        raise DisagreementError(f"gradients are missing: {sorted(a.keys() ^ b.keys())}")
    largest: dict[str, float] = {}
    for name, array in a.items():
        layer = name.rpartition(".")[0]
        largest[layer] = max(largest.get(layer, 0.0), float(np.abs(array).max()))
    return {name: float(np.abs(a[name] - b[name]).max()) / largest[name.rpartition(".")[0]] for name in a}


def check_inference(contenders: Mapping[str, Contender], tolerance: float = TOLERANCE) -> dict[str, Any]:
    """All contenders' probabilities must agree; raises DisagreementError where they do not."""
    outputs = {name: contender.infer() for name, contender in contenders.items()}
    (first, p), *others = outputs.items()
    differences = {name: float(np.abs(p - q).max()) for name, q in others}
    for name, difference in differences.items():
        if not difference <= tolerance:
            raise DisagreementError(
                f"{first} and {name} differ by {difference:.2g} in a probability, of "
                f"{tolerance:g} allowed: they do not do the same work, so nothing was timed"
            )
    return {"reference": first, "tolerance": tolerance, "differences": differences}
