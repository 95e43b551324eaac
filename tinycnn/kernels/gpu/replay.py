"""Work recorded once as CUDA graphs and launched again as a whole, without Python between its kernels.

A recording takes down addresses and numbers as they were. So what changes from one replay to the next must lie in
device memory: `device_scalar` and `device_values` put it there, and every replay reads it anew. CuPy refuses cuBLAS
inside a graph; `matmul` cuts the recording in two around it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from contextvars import ContextVar
from types import ModuleType
from typing import Any

import numpy as np

from tinycnn import backend

Number = float | np.number[Any]
Array = Any  # cupy.ndarray, or numpy.ndarray where no GPU is in play

VALUE_BYTES = 16384  # room for all numbers that one recording reads anew
_recording: ContextVar[Recording | None] = ContextVar("recording", default=None)


def device_scalar(read: Callable[[], Number], dtype: Any, like: Array | None = None) -> Array:
    """An array (1,) on the device with the number that read() gives: now, and anew before every replay.

    `like` is an array of the kind to make: CuPy's by default, NumPy's where there is no GPU.
    """
    return device_values(lambda: (read(),), dtype, like)


def device_values(read: Callable[[], Sequence[Number]], dtype: Any, like: Array | None = None) -> Array:
    """An array (n,) on the device with the n numbers that read() gives: now, and anew before every replay.

    n must stay what it is. Raises RuntimeError when a recording has more than VALUE_BYTES of them.
    """
    recording = _recording.get()
    if recording is not None:
        return recording.values(read, np.dtype(dtype))
    return _array_module(like).asarray(np.array(read(), dtype))


def matmul(a: Array, b: Array) -> Array:
    """a @ b for matrices or stacks of them, by cuBLAS; fit for a recording, unlike the operator."""
    recording = _recording.get()
    if recording is None:
        return a @ b
    stack = np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
    xp = backend.get_array_module(a, b)
    y = xp.empty((*stack, a.shape[-2], b.shape[-1]), a.dtype)
    recording.interrupt(lambda: xp._core.matmul(a, b, y))  # the operator's own; xp.matmul copies what it broadcasts
    return y


def _array_module(like: Array | None) -> ModuleType:
    if like is not None:
        return backend.get_array_module(like)
    return backend.cupy() if backend.has_gpu() else np


class Recording:
    """What `function` launched, to be launched again by calling this object.

    The recording's arrays live in a memory pool of its own: nothing else may use the memory that a replay writes to,
    so it stays taken until the recording is let go of. `function` must not wait for the device or copy from the host,
    and must have run a few times already, so that all kernels are compiled and loaded.

    Args:
        function: launches the work; what it returns is what every replay returns, the same arrays with new contents.
        xp: the cupy module.

    Raises:
        Exception: whatever CUDA, CuPy or `function` raise where recording is not possible; nothing has run then.
    """

    def __init__(self, function: Callable[[], Any], xp: ModuleType):
        self._stream = xp.cuda.Stream(non_blocking=True)
        blocks: list[Any] = []  # a pool that runs short gives back what is not in use now, but replays will write there

        def allocate(nbytes: int) -> Any:
            blocks.append(xp.cuda.Memory(nbytes))
            return xp.cuda.MemoryPointer(blocks[-1], 0)

        self._pool = xp.cuda.MemoryPool(allocate)
        self._device = xp.empty(VALUE_BYTES, np.uint8)
        self._host = np.frombuffer(xp.cuda.alloc_pinned_memory(VALUE_BYTES), np.uint8, VALUE_BYTES)
        self._copied = xp.cuda.Event(disable_timing=True)
        self._reads: list[tuple[Callable[[], Sequence[Number]], np.ndarray]] = []
        self._taken = 0  # bytes of the values so far
        self._pieces: list[Callable[[], object]] = []  # graphs, and what runs between them
        self._is_new = True
        token = _recording.set(self)
        try:
            with self._stream, xp.cuda.using_allocator(self._pool.malloc):
                self._stream.begin_capture()
                try:
                    self.result = function()
                except BaseException:
                    with contextlib.suppress(Exception):  # an error may have ended it
                        self._stream.end_capture()
                    raise
                self._pieces.append(self._stream.end_capture().launch)
        finally:
            _recording.reset(token)

    def __call__(self) -> Any:
        """Launch everything on the current stream; returns the recorded function's result."""
        if not self._is_new:  # the first time, the values are those read while recording
            self._copied.synchronize()
            for read, place in self._reads:
                place[...] = read()
        self._is_new = False
        self._device.set(self._host)
        self._copied.record()
        for piece in self._pieces:
            piece()
        return self.result

    def values(self, read: Callable[[], Sequence[Number]], dtype: np.dtype[Any]) -> Array:
        """The place of some numbers in the one block that is copied to the device before each replay."""
        numbers = np.array(read(), dtype)
        start = -(-self._taken // 16) * 16
        end = start + numbers.nbytes
        if end > VALUE_BYTES:
            raise RuntimeError(f"a recording has room for {VALUE_BYTES:,} bytes of changing numbers, and needs more")
        self._taken = end
        place = self._host[start:end].view(dtype)
        place[...] = numbers
        self._reads.append((read, place))
        return self._device[start:end].view(dtype)

    def interrupt(self, call: Callable[[], object]) -> None:
        """Let every replay make `call` at this point, between two graphs. It is not made now."""
        self._pieces.append(self._stream.end_capture().launch)
        self._pieces.append(call)
        self._stream.begin_capture()
