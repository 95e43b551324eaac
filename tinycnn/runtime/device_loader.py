"""Batches where the network is: on the GPU they arrive while the last one is still being computed."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import numpy as np

from tinycnn import backend
from tinycnn.checks import checked_pixels
from tinycnn.layers.base import Array
from tinycnn.training.data import Batches
from tinycnn.training.prefetch import AHEAD

ALIGNMENT = 256  # bytes; where CUDA's own allocations begin


class DeviceLoader:
    """Hands out the batches of an epoch as (x, t, labels): images and labels on `device`, and the labels on the CPU.

    On the way to the GPU a batch goes through pinned memory, which the device reads by itself, and on a stream of its
    own, beside the one that computes. It travels as it was stored (bytes take a quarter of float32's time) and is
    valid until the next batch is asked for.

    Attributes:
        checked: whether the pixels have been looked at, as `Sequential.train_step` would otherwise do.
    """

    def __init__(self, device: str):
        self.checked = device == "cuda"
        self._sender = _Sender(backend.cupy()) if device == "cuda" else None

    def epoch(self, batches: Batches, number: int) -> Iterator[tuple[Array, Array, np.ndarray]]:
        """The batches of epoch `number`."""
        if self._sender is None:
            return ((x, t, t) for x, t in batches.epoch(number))
        return self._sender.epoch(batches, number)


class _Place:
    """Room for one batch: as bytes in pinned memory and on the device, and when each may be written to again."""

    def __init__(self, xp: ModuleType):
        self._xp = xp
        self.sent, self.used = xp.cuda.Event(disable_timing=True), xp.cuda.Event(disable_timing=True)
        self.host, self.device = np.empty(0, np.uint8), xp.empty(0, np.uint8)

    def reserve(self, nbytes: int) -> None:
        if self.host.nbytes < nbytes:
            self.host = np.frombuffer(self._xp.cuda.alloc_pinned_memory(nbytes), np.uint8, nbytes)
            self.device = self._xp.empty(nbytes, np.uint8)
            self.used.record()  # the pool hands out memory that was let go of; its last user may still be computing


class _Sender:
    """Sends batches to the device from the thread that prepares them, each into the next of a few places."""

    def __init__(self, xp: ModuleType):
        self._xp = xp
        self._stream = xp.cuda.Stream(non_blocking=True)
        self._places = itertools.cycle([_Place(xp) for _ in range(AHEAD + 1)])  # on their way, and in use

    def epoch(self, batches: Batches, number: int) -> Iterator[tuple[Array, Array, np.ndarray]]:
        arriving: Any = batches.epoch(number, self._send)
        try:
            for place, x, t, labels in arriving:
                self._xp.cuda.get_current_stream().wait_event(place.sent)
                try:
                    yield x, t, labels
                finally:
                    place.used.record()
        finally:  # of a broken-off epoch too: what is on its way arrives before its memory can be someone else's
            arriving.close()
            self._stream.synchronize()

    def _send(self, x: np.ndarray, t: np.ndarray) -> tuple[_Place, Array, Array, np.ndarray]:
        place = next(self._places)
        middle = -(-x.nbytes // ALIGNMENT) * ALIGNMENT
        size = middle + t.nbytes
        place.sent.synchronize()  # the device has read what was in the pinned memory
        place.reserve(size)
        parts = (slice(0, x.nbytes), x), (slice(middle, size), t)
        for part, array in parts:
            place.host[part].view(array.dtype).reshape(array.shape)[...] = array
        checked_pixels(place.host[parts[0][0]].view(x.dtype).reshape(x.shape))
        self._stream.wait_event(place.used)  # the step that computed with the batch before it in this place is over
        place.device[:size].set(place.host[:size], stream=self._stream)
        place.sent.record(self._stream)
        x_there, t_there = (place.device[part].view(array.dtype).reshape(array.shape) for part, array in parts)
        return place, x_there, t_there, t
