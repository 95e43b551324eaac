"""Which train steps run as one recording on the GPU, and when a recording no longer holds."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from operator import is_
from typing import TYPE_CHECKING, Any

from tinycnn import backend, kernels
from tinycnn.layers.base import Array

if TYPE_CHECKING:
    from tinycnn.kernels.gpu.replay import Recording
    from tinycnn.network import Sequential
    from tinycnn.optimizers import Optimizer

WARM_UP = 2  # equal steps in a row before the one that is recorded: by then all kernels are compiled and loaded
# Attributes that replays read anew, or that last for a step only, or whose arrays are looked at one by one.
LIVE = ("lr", "lr_scale", "steps", "cache", "parameters", "gradients", "state", "rng")
SETTINGS = (bool, int, float, str, tuple, list, dict)


class Recorder:
    """Makes a network's train steps on the GPU: one by one at first, then by replaying a recording of them.

    Launching a recording saves the Python and the launch of each kernel, which for small networks takes longer than
    the kernels. A recording holds for the arrays and settings that it was made with; with others (another batch size,
    weights moved to another device, a changed dropout rate) steps run one by one again until the same comes thrice in a
    row. New contents of the same arrays, as from `load_state_dict`, and new learning rates need no new recording.

    Attributes:
        enabled: set it to False, and every step runs one by one.
        obstacle: why the last step was not a replay; empty when it was one.
    """

    def __init__(self) -> None:
        self.enabled = True
        self.obstacle = "no step was made on a GPU yet"
        self._recording: Recording | None = None
        self._recorded: _Circumstances | None = None  # what the recording holds for
        self._last: _Circumstances | None = None
        self._equal_steps = 0
        self._failed: _Circumstances | None = None  # where recording was tried in vain
        self._reason = ""

    def step(self, net: Sequential, x: Array, t: Array, optimizer: Optimizer) -> tuple[Array, Array]:
        """What the network's step one by one does and returns."""
        if not self.enabled:
            self.obstacle = "recording is switched off"
            return net._step(x, t, optimizer)
        if self._recorded is not None and self._recorded.hold(net, x, t, optimizer):
            self.obstacle = ""
            optimizer.steps += 1
            return self._replay(net, x, t)
        self.obstacle = self._record(net, x, t, optimizer)
        return net._step(x, t, optimizer) if self.obstacle else self._replay(net, x, t)

    def _record(self, net: Sequential, x: Array, t: Array, optimizer: Optimizer) -> str:
        """Record a step, if it is time to, which then waits to be replayed; the reason if nothing was recorded."""
        from tinycnn.kernels.gpu.replay import Recording

        if reason := _obstacle(net, x, optimizer):
            return reason
        if self._last is not None and self._last.hold(net, x, t, optimizer):
            self._equal_steps += 1
        else:
            self._last, self._equal_steps = _Circumstances(net, x, t, optimizer), 1
        if self._equal_steps <= WARM_UP:
            return "the kernels are warming up"
        if self._failed is not None and self._failed.hold(net, x, t, optimizer):
            return self._reason
        xp = backend.get_array_module(x, t)
        self._recording = self._recorded = None
        xp.get_default_memory_pool().free_all_blocks()  # what the steps so far needed, the recording takes for itself
        inputs = xp.empty_like(x), xp.empty_like(t)
        before = optimizer.steps, net.rng.bit_generator.state
        try:
            self._recording = Recording(lambda: net._step(*inputs, optimizer), xp)
        except Exception as error:
            optimizer.steps, net.rng.bit_generator.state = before
            net.clear_cache()
            self._failed, self._reason = self._last, f"a step could not be recorded: {error or type(error).__name__}"
            return self._reason
        self._recorded, self._inputs = self._last, inputs
        self._gradients = [dict(layer.gradients) for _, layer in net.simple_layers()]
        return ""

    def _replay(self, net: Sequential, x: Array, t: Array) -> tuple[Array, Array]:
        assert self._recording is not None
        for place, array in zip(self._inputs, (x, t), strict=True):
            place[...] = array
        loss, p = self._recording()
        for (_, layer), gradients in zip(net.simple_layers(), self._gradients, strict=True):
            layer.gradients = dict(gradients)
        return loss, p.copy()  # the next replay writes over p

    def __reduce__(self) -> tuple[Any, ...]:
        return Recorder, ()  # a copy of a network has arrays of its own, so it begins without a recording


class _Circumstances:
    """What a recording takes down: the arrays by their addresses, everything else by its value."""

    def __init__(self, net: Sequential, x: Array, t: Array, optimizer: Optimizer):
        self._step = _step_values(net, x, t, optimizer)
        self._arrays = [list(group.values()) for group in _array_groups(net, optimizer)]
        self._settings = [_settings(holder) for holder in (optimizer, *(layer for _, layer in net.simple_layers()))]

    def hold(self, net: Sequential, x: Array, t: Array, optimizer: Optimizer) -> bool:
        """Whether this step would be recorded in the same way. Asked in every step, so it has to be quick."""
        return (
            self._step == _step_values(net, x, t, optimizer)
            and all(values == list(map(attributes.get, names)) for attributes, names, values in self._settings)
            and all(
                len(group) == len(arrays) and all(map(is_, group.values(), arrays))
                for group, arrays in zip(_array_groups(net, optimizer), self._arrays, strict=True)
            )
        )


def _step_values(net: Sequential, x: Array, t: Array, optimizer: Optimizer) -> list[Any]:
    return [optimizer, net.layers, x.shape, x.dtype, t.shape, t.dtype, backend.get_precision(), kernels.for_array(x)]


def _array_groups(net: Sequential, optimizer: Optimizer) -> Iterator[Mapping[str, Array]]:
    yield optimizer.state
    for _, layer in net.simple_layers():
        yield layer.parameters
        yield layer.state


def _settings(holder: Any) -> tuple[dict[str, Any], list[str], list[Any]]:
    """An optimizer's or a layer's attributes, the names of those that are settings, and copies of their values."""
    attributes = vars(holder)
    names = [
        name
        for name, value in attributes.items()
        if name not in LIVE and (value is None or isinstance(value, SETTINGS))
    ]
    return attributes, names, [copy.copy(attributes[name]) for name in names]


def _obstacle(net: Sequential, x: Array, optimizer: Optimizer) -> str:
    """Why steps of this network with this optimizer cannot be recorded; empty when nothing is known against it."""
    if optimizer.max_grad_norm is not None:
        return "clipping gradients takes their norm to the host in every step"
    if kernels.for_array(x) is not kernels.named("gpu"):
        return "the kernels in use are not those for the GPU"
    parts = (optimizer, *(layer for _, layer in net.named_layers()))
    own = next((part for part in parts if not type(part).__module__.startswith("tinycnn.")), None)
    if own is not None:
        return f"{type(own).__name__} is not tinycnn's: its Python may have to run in every step"
    return ""
