"""One train step: forward, backward, update. Eager here; on a GPU a recording of it may be replayed instead."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tinycnn.layers.base import Array, Layer
from tinycnn.runtime import memory_errors

if TYPE_CHECKING:
    from tinycnn.network import Sequential
    from tinycnn.optimizers import Optimizer


def fast(net: Sequential, x: Array, t: Array, optimizer: Optimizer) -> tuple[float, Array]:
    """The loss before the step and the output, by the network's plan; as a CUDA graph where that is possible.

    Raises:
        MemoryError: when the batch does not fit into the GPU's memory.
    """
    with memory_errors.explained(net, len(x), training=True):
        on_cpu = net.device == "cpu"
        loss, p = net._step(x, t, optimizer) if on_cpu else net.recorder.step(net, x, t, optimizer)
        return float(loss), p


def eager(net: Sequential, x: Array, t: Array, optimizer: Optimizer) -> tuple[Array, Array]:
    """The loss before the step and the output, without ever waiting for the device."""
    first = next(i for i, layer in enumerate(net.plan) if layer.learns())
    p, dy = x.astype(net.dtype, copy=False), t
    for layer in net.plan:
        p = layer.forward(p, training=True)
    output = net.plan[-1]
    loss = output.loss(p, t)  # type: ignore[attr-defined]
    for layer in reversed(net.plan[first + 1 :]):
        dy = layer.backward(dy)
        layer.clear_cache()  # its memory can serve the layers that are still to come
    _backward_parameters(net.plan[first], dy)
    net.clear_cache()
    optimizer.step(net)
    return loss, p


def layer_by_layer(net: Sequential, x: Array, t: Array, optimizer: Optimizer) -> tuple[float, Array]:
    """The same by the network's own `forward`, `loss` and `backward`, for those that a subclass has written anew."""
    p = net.forward(x, training=True)
    loss = net.loss(p, t)
    net.backward(t)
    net.clear_cache()
    optimizer.step(net)
    return loss, p


def _backward_parameters(layer: Layer, dy: Array) -> None:
    """The first layer's gradients without dx, unless it has a `backward` that is newer than that shortcut."""
    names = "backward_parameters", "backward"
    newest = next(name for kind in type(layer).__mro__ for name in names if name in vars(kind))
    getattr(layer, newest)(dy)
