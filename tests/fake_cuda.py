"""Plays CuPy's part on NumPy arrays, as lazily as a GPU may: queued work runs when someone waits for it, or not before.

What code forgets to wait for is therefore not done yet when it is read, and a stream that nothing holds back may run
ahead of all others. Only what the tests need is here.
"""

import contextlib
import sys
import threading
from collections import deque
from types import ModuleType, SimpleNamespace

import numpy as np

from tests.emulation import emulate
from tinycnn.kernels.gpu import launch

_lock = threading.RLock()  # batches are sent by a thread of their own


class Array(np.ndarray):
    """An array on the make-believe device: what is done to it is queued, unless it is a queued call that does it."""

    def __setitem__(self, key, value):
        _put(lambda: np.ndarray.__setitem__(self, key, value))

    def __array_ufunc__(self, ufunc, method, *inputs, out=None, **options):
        plain = [np.asarray(value) if isinstance(value, Array) else value for value in inputs]
        function = getattr(ufunc, method)
        y = np.asarray(function(*plain, **options)).view(Array) if out is None else out[0]  # now, for its shape
        _put(lambda: function(*plain, out=np.asarray(y), **options))
        return y

    def __bool__(self):
        return bool(self.get())

    def astype(self, dtype, copy=True):
        return self if self.dtype == dtype and not copy else _copied(self, dtype)

    def __matmul__(self, other):
        y = cupy.empty((*self.shape[:-1], other.shape[-1]), self.dtype)
        cupy._core.matmul(self, other, y)
        return y

    def copy(self):
        return _copied(self, self.dtype)

    def set(self, host, stream=None):
        _put(lambda: np.ndarray.__setitem__(self, ..., host), stream)

    def get(self):
        cupy.cuda.get_current_stream().synchronize()
        return np.array(self)

    def __float__(self):
        return float(self.get())


def _copied(x, dtype):
    y = cupy.empty(x.shape, dtype)
    y[...] = x
    return y


def _contiguous(x, dtype=None):
    x = x.astype(dtype or x.dtype, copy=False)
    return x if x.flags.c_contiguous else x.copy()


def _put(call, stream=None):
    stream = stream or cupy.cuda.get_current_stream()
    if stream.running:
        call()
    else:
        stream.put(call)


Array.__module__ = "cupy"


class Stream:
    """A queue of calls. An eager one makes them as soon as it may; any other when it is waited for."""

    def __init__(self, non_blocking=False, eager=None):
        self.eager = cupy.eager if eager is None else eager
        self.queue, self.capturing, self.running = deque(), None, False

    def put(self, call):
        with _lock:
            if self.capturing is not None:
                self.capturing.append(call)
                return
            self.queue.append(call)
            if self.eager and not self.running:
                self.synchronize()

    def synchronize(self):
        if self.capturing is not None:
            raise RuntimeError("the current stream is capturing")
        with _lock:
            while self.queue:
                self.make_next_call()

    def make_next_call(self):
        call, self.running = self.queue.popleft(), True
        try:
            call()
        finally:
            self.running = False

    def wait_event(self, event):
        mark = event.mark  # as it was last recorded before this call
        self.put(lambda: mark.happen())

    def begin_capture(self):
        self.capturing = []

    def end_capture(self):
        calls, self.capturing = self.capturing, None
        return Graph(calls)

    def __enter__(self):
        cupy.streams.append(self)

    def __exit__(self, *error):
        cupy.streams.pop()


class Graph:
    def __init__(self, calls):
        self.calls = calls

    def launch(self):
        for call in self.calls:
            cupy.cuda.get_current_stream().put(call)


class Mark:
    """One place in a stream."""

    def __init__(self, stream=None):
        self.stream, self.passed = stream, stream is None

    def happen(self):
        with _lock:
            while not self.passed:
                self.stream.make_next_call()


class Event:
    def __init__(self, **options):
        self.mark = Mark()

    def record(self, stream=None):
        stream = stream or cupy.cuda.get_current_stream()
        self.mark = mark = Mark(stream)
        stream.put(lambda: setattr(mark, "passed", True))

    def synchronize(self):
        self.mark.happen()


class MemoryPool:
    def __init__(self, allocator=None):
        pass

    def malloc(self, size):
        raise AssertionError("NumPy allocates here")

    def free_all_blocks(self):
        pass

    def free_bytes(self):
        return 0


cupy = ModuleType("cupy")


def _array(function):
    return lambda *arguments, **options: function(*arguments, **options).view(Array)


def install(monkeypatch, eager=True):
    """Let this module be `cupy`, with a fresh default stream; `eager` is what streams are unless they say."""
    cupy.eager = eager
    cupy.__getattr__ = lambda name: getattr(np, name)
    for name in ("empty", "empty_like", "zeros", "zeros_like", "ones", "full", "asarray", "concatenate"):
        setattr(cupy, name, _array(getattr(np, name)))
    cupy.ascontiguousarray = _contiguous
    cupy.ndarray, cupy.__version__ = Array, "fake"
    cupy.cuda = ModuleType("cupy.cuda")
    cupy.cuda.Stream, cupy.cuda.Event, cupy.cuda.MemoryPool = Stream, Event, MemoryPool
    cupy.cuda.using_allocator = lambda malloc: contextlib.nullcontext()
    cupy.cuda.alloc_pinned_memory = bytearray
    cupy.cuda.get_current_stream = lambda: cupy.streams[-1]
    cupy.cuda.runtime = ModuleType("cupy.cuda.runtime")
    cupy.cuda.Device = lambda: SimpleNamespace(attributes={"MultiProcessorCount": 132})
    cupy.cuda.runtime.CUDARuntimeError = RuntimeError
    cupy.cuda.runtime.getDeviceCount = lambda: 1
    cupy.cuda.runtime.getDeviceProperties = lambda number: {"name": b"Make-believe 100"}
    cupy.cuda.runtime.memGetInfo = lambda: (2**30, 2**34)
    cupy.cuda.nvrtc, cupy.cuda.cublas = ModuleType("cupy.cuda.nvrtc"), ModuleType("cupy.cuda.cublas")
    cupy.cuda.nvrtc.getVersion = lambda: (12, 9)
    cupy.cuda.get_cublas_handle = lambda: "handle"
    cupy.math_modes = {"handle": 0}
    cupy.cuda.cublas.setMathMode = cupy.math_modes.__setitem__
    cupy.get_default_memory_pool = MemoryPool
    cupy._core = ModuleType("cupy._core")
    cupy._core.matmul = lambda a, b, out: _put(lambda: np.matmul(np.asarray(a), np.asarray(b), out=out))
    cupy._core._routines_linalg = ModuleType("cupy._core._routines_linalg")
    cupy._core._routines_linalg.COMPUTE_TYPE_DEFAULT, cupy._core._routines_linalg.COMPUTE_TYPE_TF32 = 1, 7
    compute_types = {np.float32: 1}
    cupy._core.get_compute_type, cupy._core.set_compute_type = compute_types.get, compute_types.__setitem__
    cupy.streams = [Stream()]
    monkeypatch.setitem(sys.modules, "cupy", cupy)
    return cupy


def emulate_kernels(monkeypatch):
    """Let tinycnn's own kernels be queued like all other work, and run in the emulator when their turn comes."""
    monkeypatch.setattr(launch, "runner", lambda *call: _put(lambda: emulate.run(*call)))
