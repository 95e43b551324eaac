"""The paper's network with tinycnn."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

import tinycnn as tc
from benchmarks.contenders import LEARNING_RATE, MOMENTUM, WEIGHT_DECAY, Problem
from covid.models.paper import paper_network
from tinycnn import backend


class TinyCNN:
    """The paper's network, as `covid train` uses it."""

    def __init__(self, problem: Problem, state: Mapping[str, np.ndarray] | None = None, dropout: bool = True):
        self.x, self.t = (backend.to_device(array, problem.device) for array in (problem.x, problem.t))
        self.batch, self.on_gpu = problem.batch, problem.device == "cuda"
        self.net = paper_network(problem.channels, size=problem.size)
        self.net.load_state_dict({"input.mean": problem.mean, **(state or {})}, strict=False)
        self.optimizer = tc.SGDM(LEARNING_RATE, MOMENTUM, WEIGHT_DECAY)
        for layer in self.net.layers:
            if isinstance(layer, tc.Dropout) and not dropout:
                layer.rate = 0.0
        self.net.to(problem.device)

    def train_step(self) -> float:
        return self.net.train_step(self.x, self.t, self.optimizer, checked=self.on_gpu)  # as the Trainer calls it

    def gradients(self) -> dict[str, np.ndarray]:
        return {name: backend.to_device(array, "cpu") for name, array in self.net.gradients().items()}

    def infer(self) -> np.ndarray:
        return backend.to_device(self.net.predict(self.x, self.batch), "cpu")


def starting_state(problem: Problem) -> dict[str, np.ndarray]:
    """Weights for all contenders to start from, drawn so that every parameter matters and every layer has work to do.

    Biases and batch norm's scales would be 0 and 1 in a fresh network, and a mistake in them could not be seen. The
    running statistics are the batch's own.
    """
    net = paper_network(problem.channels, size=problem.size)
    net.load_state_dict({"input.mean": problem.mean}, strict=False)
    rng = np.random.default_rng(1)
    for name, array in net.parameters().items():
        if array.ndim == 1:
            scale = name.endswith("weight")
            array[...] = rng.uniform(0.5, 1.5, array.shape) if scale else rng.normal(0, 0.1, array.shape)
    for layer in net.layers:
        if isinstance(layer, tc.BatchNorm2D):
            layer.momentum = 1.0
    net.forward(problem.x, training=True)
    return net.state_dict()
