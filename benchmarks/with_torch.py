"""The paper's network with PyTorch, as PyTorch's own tutorials would write it."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from benchmarks.contenders import LEARNING_RATE, MOMENTUM, WEIGHT_DECAY, Problem


class Centre(nn.Module):
    """Subtract the mean image, as the paper's input layer does."""

    mean: torch.Tensor

    def __init__(self, mean: np.ndarray):
        super().__init__()
        self.register_buffer("mean", torch.from_numpy(mean.copy()))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x - self.mean


class PaperNetwork(nn.Module):
    """Table 1 of the paper, up to the scores that softmax makes probabilities of."""

    def __init__(self, problem: Problem, dropout: bool = True):
        super().__init__()
        self.input = Centre(problem.mean)
        channels, size = problem.channels, problem.size
        for i, filters in enumerate((8, 16, 32, 64), start=1):
            self.add_module(f"conv_{i}", nn.Conv2d(channels, filters, 3))
            self.add_module(f"batchnorm_{i}", nn.BatchNorm2d(filters))
            channels, size = filters, (size - 2) // 2
        self.dropout_1, self.dropout_2 = nn.Dropout(0.5 if dropout else 0), nn.Dropout(0.3 if dropout else 0)
        self.fc_1, self.fc_2 = nn.Linear(channels * size * size, 3), nn.Linear(3, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.input(x)
        for i in range(1, 5):
            convolution, norm = getattr(self, f"conv_{i}"), getattr(self, f"batchnorm_{i}")
            x = functional.max_pool2d(functional.relu(norm(convolution(x))), 2)
        x = self.fc_1(torch.flatten(self.dropout_1(x), 1))
        return self.fc_2(self.dropout_2(x))


class Torch:
    """The network in one of PyTorch's configurations.

    Eager or compiled (`reduce_overhead`: with CUDA graphs by the compiler), NCHW or channels_last memory, and step by
    step or, with `graph`, as one CUDA graph of the whole train step.
    """

    def __init__(
        self,
        problem: Problem,
        state: Mapping[str, np.ndarray] | None = None,
        dropout: bool = True,
        compiled: bool = False,
        channels_last: bool = False,
        reduce_overhead: bool = False,
        graph: bool = False,
    ):
        torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", torch.get_num_threads())))
        layout = torch.channels_last if channels_last else torch.contiguous_format
        self.x = torch.from_numpy(problem.x.copy()).to(problem.device, memory_format=layout)
        self.t = torch.from_numpy(problem.t).to(problem.device)
        self.network = PaperNetwork(problem, dropout)
        if state:
            tensors = {name: torch.from_numpy(array.copy()) for name, array in state.items()}
            self.network.load_state_dict({**self.network.state_dict(), **tensors})
        self.network.to(problem.device, memory_format=layout)  # type: ignore[call-overload]
        # One shape for each compiled function, so that the compiler may count on it.
        mode = "reduce-overhead" if reduce_overhead else None
        self.scores = torch.compile(self.network, dynamic=False, mode=mode) if compiled else self.network
        self.reduce_overhead, self.graph = reduce_overhead, graph
        self.recorded: Callable[[], torch.Tensor] | None = None
        decayed: list[nn.Parameter] = []
        others: list[nn.Parameter] = []
        for name, parameter in self.network.named_parameters():
            without = name.endswith("bias") and not name.startswith("batchnorm")
            (others if without else decayed).append(parameter)
        groups: list[dict[str, Any]] = [{"params": decayed, "weight_decay": WEIGHT_DECAY}, {"params": others}]
        self.optimizer = torch.optim.SGD(groups, lr=LEARNING_RATE, momentum=MOMENTUM)

    def train_step(self) -> float:
        self.network.train()
        return self._run(self._step).item()

    def _step(self) -> torch.Tensor:
        self.optimizer.zero_grad()
        loss = functional.cross_entropy(self.scores(self.x), self.t)
        loss.backward()
        self.optimizer.step()
        return loss

    def gradients(self) -> dict[str, np.ndarray]:
        return {
            name: parameter.grad.cpu().numpy().copy()
            for name, parameter in self.network.named_parameters()
            if parameter.grad is not None
        }

    def infer(self) -> np.ndarray:
        self.network.eval()
        with torch.inference_mode():
            return self._run(lambda: functional.softmax(self.scores(self.x), dim=1)).cpu().numpy()

    def _run(self, function: Callable[[], torch.Tensor]) -> torch.Tensor:
        if self.graph:
            self.recorded = self.recorded or self._record(function)
            return self.recorded()
        if self.reduce_overhead:
            torch.compiler.cudagraph_mark_step_begin()
        return function()

    def _record(self, function: Callable[[], torch.Tensor]) -> Callable[[], torch.Tensor]:
        """`function` as one CUDA graph, as PyTorch's manual describes; weights and momentum are as before."""
        state = {name: tensor.clone() for name, tensor in self.network.state_dict().items()}
        beside = torch.cuda.Stream()
        beside.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(beside):
            for _ in range(3):
                function()
        torch.cuda.current_stream().wait_stream(beside)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            result = function()
        self.network.load_state_dict(state)
        for memory in self.optimizer.state.values():
            memory["momentum_buffer"].zero_()

        def replay() -> torch.Tensor:
            graph.replay()
            return result

        return replay
