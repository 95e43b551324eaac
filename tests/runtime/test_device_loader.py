"""Batches on their way to the GPU: whole and in order, whatever runs late there."""

import numpy as np
import pytest

import tinycnn as tc
from tests import fake_cuda
from tinycnn.runtime.device_loader import DeviceLoader

RNG = np.random.default_rng(5)
X = RNG.integers(0, 256, (23, 1, 4, 4), dtype=np.uint8)
T = RNG.integers(0, 3, 23)


def batches(x=X) -> tc.Batches:
    return tc.Batches(tc.Dataset(x, T), 3, drop_last=False)


def test_on_the_cpu_batches_are_what_they_were():
    loader = DeviceLoader("cpu")
    assert not loader.checked
    for (x, t, labels), (expected_x, expected_t) in zip(loader.epoch(batches(), 1), batches().epoch(1), strict=True):
        np.testing.assert_array_equal(x, expected_x)
        np.testing.assert_array_equal(t, expected_t)
        assert labels is t and x.dtype == np.float32


@pytest.mark.parametrize("copying_runs_ahead", [False, True])
@pytest.mark.parametrize("computing_runs_ahead", [False, True])
def test_each_step_computes_with_its_own_batch(monkeypatch, copying_runs_ahead, computing_runs_ahead):
    cupy = fake_cuda.install(monkeypatch, eager=copying_runs_ahead)
    stream = cupy.streams[0] = fake_cuda.Stream(eager=computing_runs_ahead)
    loader, seen, expected = DeviceLoader("cuda"), [], []
    for epoch in (1, 2):
        for x, t, labels in loader.epoch(batches(), epoch):
            assert isinstance(x, fake_cuda.Array) and x.dtype == np.uint8  # it travels as it was stored
            stream.put(lambda x=x, t=t: seen.append((np.array(x), np.array(t))))  # the step, whenever it may run
            expected.append(labels)
    stream.synchronize()
    for (x, t), labels, (expected_x, expected_t) in zip(
        seen, expected, [*batches().epoch(1), *batches().epoch(2)], strict=True
    ):
        np.testing.assert_array_equal(x, expected_x)
        np.testing.assert_array_equal(t, expected_t)
        np.testing.assert_array_equal(labels, expected_t)


def test_an_epoch_that_was_broken_off_leaves_nothing_behind(monkeypatch):
    cupy = fake_cuda.install(monkeypatch)
    cupy.streams[0] = fake_cuda.Stream(eager=False)
    loader = DeviceLoader("cuda")
    for _ in loader.epoch(batches(), 1):
        break
    for (x, _, _), (expected, _) in zip(loader.epoch(batches(), 2), batches().epoch(2), strict=True):
        cupy.streams[0].synchronize()
        np.testing.assert_array_equal(x, expected)


def test_memory_in_which_something_still_computes_is_not_written_to(monkeypatch):
    cupy = fake_cuda.install(monkeypatch)
    stream = cupy.streams[0] = fake_cuda.Stream(eager=False)
    memory, seen = cupy.zeros(4096, np.uint8), []
    stream.put(lambda: seen.append(np.array(memory)))  # Python has let go of the memory before this has run
    monkeypatch.setattr(cupy, "empty", lambda *_: memory)
    next(DeviceLoader("cuda").epoch(batches(), 1))
    stream.synchronize()
    assert not seen[0].any() and memory.any()


def test_pixels_are_checked_before_they_travel(monkeypatch):
    fake_cuda.install(monkeypatch)
    x = X.astype(np.float32)
    x[9] = np.inf
    loader = DeviceLoader("cuda")
    assert loader.checked
    with pytest.raises(ValueError, match="x holds NaN or infinite pixels, first in image"):
        list(loader.epoch(batches(x), 1))
