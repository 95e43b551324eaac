"""Are the gradients right? Compare them with what the loss really does when the numbers are changed a little.

Backpropagation claims that along any line θ + s·v the loss L starts with the slope ⟨∂L/∂θ, v⟩. Two slopes can be
measured there,

    right = (L(θ + h·v) − L(θ)) / h        left = (L(θ) − L(θ − h·v)) / h

and their mean, the central difference, should equal the claim, but for h²·L‴/6 and for round-off ε·|L| / h: h must be
neither large nor tiny. Their difference tells whether there is a slope at all. Where L is smooth it is h·L″ + O(h³) and
vanishes with h; at a kink of ReLU or max pooling it stays. From two steps H > h follows what is left of it at step 0,

    jump(0) = (H·jump(h) − h·jump(H)) / (H − h),    jump = right − left

which is 0 where L is smooth, whatever L″ is. A kink beside θ disturbs only the steps that reach it, so smaller ones are
tried; round-off disturbs jump(0) more than the mean, so that a jump of 0 vouches for both. A line without such a pair
of steps has no slope to compare with: it is left out, and counted.

Sources: CS231n, "Gradient checks"; PyTorch's note "Gradcheck mechanics" for the random direction.
"""

from __future__ import annotations

import copy
import math
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from tinycnn import backend
from tinycnn.checks import as_array
from tinycnn.gradient_report import TOLERANCE, GradientReport
from tinycnn.layers import OutputLayer
from tinycnn.layers.base import Array
from tinycnn.optimizers import Optimizer

if TYPE_CHECKING:
    from tinycnn.network import Sequential

STEPS = np.geomspace(1e-4, 1e-7, 7).tolist()
NEARBY = 0.1  # how far from a kink a direction is tried again, in units of each array's root mean square
ATTEMPTS = 3  # how often


def gradcheck(
    net: Sequential,
    x: Array,
    t: Array,
    *,
    training: bool = True,
    path: str = "backward",
    samples: int = 20,
    seed: int = 0,
) -> GradientReport:
    """Compare each parameter's gradient, and the images' under "input", with differences of the loss L.

    Of each array some entries are moved one at a time, and then all together along a random direction v of length 1,
    so that one wrong entry among thousands is seen. An array's error is the largest |numerical − analytical slope|,
    relative to its gradient's largest entry, or to the root mean square for a direction. Entries at a kink are left out
    and counted. A direction that meets a kink, as one over all pixels of a flat background does, is tried nearby, from
    arrays moved by a tenth of their size. All in float64 on a copy of the network, with the same dropout masks.

    L is the network's loss; without an output layer it is Σ y·t, and a random t sees more than an all-ones one.

    Args:
        net: any network.
        x: images (N, C, H, W).
        t: what the output layer takes, such as labels (N,); without an output layer dloss/dy, shaped like the output.
        training: check training mode (batch statistics, dropout) or evaluation mode.
        path: "backward" for the gradients of net.backward, "train_step" for those that training runs, fused layers
            included, without the images'. Both are compared with the loss of net.forward.
        samples: how many entries of each array are tried.
        seed: which entries and directions.

    Raises:
        ValueError: for another path, train_step in evaluation mode, samples below 1, a loss that is not finite,
            or a t of another shape than the output's, without an output layer.
        RuntimeError: for a parameter whose gradient is missing or has another shape.

    >>> import tinycnn as tc
    >>> net = tc.Sequential([tc.ImageInput((1, 5, 5)), tc.Conv2D(2, 3, name="conv"), tc.ReLU()])
    >>> rng = np.random.default_rng(0)
    >>> report = gradcheck(net, rng.normal(size=(2, 1, 5, 5)), rng.normal(size=(2, 2, 3, 3)))
    >>> list(report), max(report.values()) < 1e-6, report.ok
    (['conv.weight', 'conv.bias', 'input'], True, True)

    Black images and biases of 0 put every ReLU on its kink: no bias has a slope there, but both have one nearby.

    >>> report = gradcheck(net, np.zeros((2, 1, 5, 5)), rng.normal(size=(2, 2, 3, 3)))
    >>> report.entries["conv.bias"], report.kinks["conv.bias"], report.directions["conv.bias"], report.ok
    (2, 2, 'nearby', True)
    """
    if samples < 1:
        raise ValueError(f"samples is {samples}: give a whole number of at least 1")
    subject = _Subject(net, x, t, training, path)
    rng = np.random.default_rng(seed)
    report = GradientReport()
    errors: dict[str, list[float]] = {}
    for name, array in subject.arrays.items():
        entries = rng.choice(array.size, size=min(samples, array.size), replace=False)
        largest = float(np.abs(subject.gradients[name]).max())
        tried = [subject.error(name, _one_hot(array.shape, entry), largest) for entry in entries]
        errors[name] = [error for error in tried if error is not None]
        report.entries[name], report.kinks[name] = len(tried), len(tried) - len(errors[name])

    for place in ("here", *["nearby"] * ATTEMPTS):
        waiting = [name for name in subject.arrays if name not in report.directions]
        if waiting and place == "nearby":
            subject.move(rng)
        for name in waiting:
            v = _random_direction(subject.arrays[name].shape, rng)
            error = subject.error(name, v, _rms(subject.gradients[name]))
            if error is not None:
                report.directions[name] = place
                errors[name].append(error)
    for name in errors:
        report.directions.setdefault(name, "nowhere")
        report[name] = max(errors[name], default=math.inf)
    return report


class _Subject:
    """A float64 copy of a network with images and targets: the loss and its gradients at a point θ that can move."""

    def __init__(self, net: Sequential, x: Array, t: Array, training: bool, path: str):
        if path not in ("backward", "train_step"):
            raise ValueError(f'path is {path!r}: choose "backward" or "train_step"')
        if path == "train_step" and not training:
            raise ValueError('path is "train_step", but training is False: give training=True, or path="backward"')
        self.net = copy.deepcopy(net).to("cpu").astype(np.float64)
        self.x = np.array(backend.to_device(as_array(x), "cpu"), np.float64)
        self.t = backend.to_device(as_array(t), "cpu")
        self.has_loss = isinstance(self.net.layers[-1], OutputLayer)
        if self.t.dtype.kind == "f" or not self.has_loss:
            self.t = self.t.astype(np.float64)
        self.training, self.path = training, path
        self.generator = self.net.rng.bit_generator.state
        self.arrays = {**self.net.parameters(), **({"input": self.x} if path == "backward" else {})}
        self.differentiate()

    def forward(self) -> Array:
        self.net.rng.bit_generator.state = self.generator  # the same dropout masks every time
        return self.net.forward(self.x, self.training)

    def loss(self) -> float:
        y = self.forward()
        return self.net.loss(y, self.t) if self.has_loss else float((y * self.t).sum())

    def differentiate(self) -> None:
        """Find the gradients at this point, and `floor`: relative to less, a slope would drown in L's round-off."""
        y = self.forward()
        if not self.has_loss and self.t.shape != y.shape:
            raise ValueError(
                f"t has shape {self.t.shape}, but this network has no output layer: give dloss/dy, shaped like its "
                f"output {y.shape}"
            )
        loss = self.loss()
        if not math.isfinite(loss):
            raise ValueError(f"the loss is {loss}: gradients can be checked only where it is finite")
        if self.path == "backward":
            dx = self.net.backward(self.t)
            gradients = {**self.net.gradients(), "input": dx}
        else:
            self.net.rng.bit_generator.state = self.generator
            self.net.train_step(self.x, self.t, recorder := _Recorder())
            gradients = recorder.gradients
        for name, array in self.arrays.items():
            if name not in gradients or gradients[name].shape != array.shape:
                found = f"a gradient of shape {gradients[name].shape}" if name in gradients else "no gradient"
                raise RuntimeError(f"{name} has {found}: its layer's backward must fill one of shape {array.shape}")
        self.gradients = {name: np.array(gradients[name]) for name in self.arrays}
        size = max(1.0, abs(loss)) if self.has_loss else float(np.abs(y * self.t).sum())
        self.floor = 1e-3 * max([size, *(float(np.abs(self.gradients[n]).max()) for n in self.net.parameters())])

    def move(self, rng: np.random.Generator) -> None:
        """Go to a random point nearby, which is on no kink, or hardly ever."""
        for array in self.arrays.values():
            array += NEARBY * (_rms(array) or 1.0) * rng.normal(size=array.shape)
        self.differentiate()

    def error(self, name: str, v: Array, scale: float) -> float | None:
        """|numerical − analytical slope along v| / scale, or None where the loss has no slope along v."""
        array, analytical = self.arrays[name], float((self.gradients[name] * v).sum())
        if not math.isfinite(analytical):
            return math.inf
        start, unit = array.copy(), max(1.0, float(np.abs(array).max()))
        scale = max(scale, self.floor) or 1.0

        def loss(s: float) -> float:
            array[...] = start + s * v
            return self.loss()

        def measure(step: float) -> tuple[float, float, float]:
            h = step * unit
            right, left = (loss(h) - here) / h, (here - loss(-h)) / h
            return h, (right + left) / 2, right - left

        here, best = loss(0.0), None
        for (h_1, slope_1, jump_1), (h_2, slope_2, jump_2) in pairwise(map(measure, STEPS)):
            jump_0 = (h_1 * jump_2 - h_2 * jump_1) / (h_1 - h_2)
            if abs(jump_0) / 2 < TOLERANCE * scale:
                error = min(abs(slope_1 - analytical), abs(slope_2 - analytical)) / scale
                best = error if best is None else min(best, error)
                if best < TOLERANCE:
                    break  # no need for smaller steps
        array[...] = start
        return best


class _Recorder(Optimizer):
    """An optimizer that changes nothing, and keeps the gradients that it is handed."""

    def __init__(self) -> None:
        super().__init__(lr=0.0, weight_decay=0.0, max_grad_norm=None)

    def step(self, net: Sequential) -> None:
        self.gradients = {name: gradient.copy() for name, gradient in net.gradients().items()}


def _rms(array: Array) -> float:
    return float(np.sqrt(np.square(array).mean()))


def _one_hot(shape: tuple[int, ...], entry: int) -> Array:
    v = np.zeros(shape)
    v.flat[entry] = 1.0
    return v


def _random_direction(shape: tuple[int, ...], rng: np.random.Generator) -> Array:
    """A random v of length 1 with no entry near 0: each wrong entry counts, and no two cancel."""
    v = rng.uniform(1, 2, shape) * rng.choice([-1.0, 1.0], shape)
    return v / np.sqrt(np.square(v).sum())
