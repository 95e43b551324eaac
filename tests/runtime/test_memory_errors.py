"""Running out of GPU memory: which layer, how many bytes, and what would fit. A stand-in plays CuPy's part."""

import gc
import weakref

import numpy as np
import pytest

import tinycnn as tc
from tests import fake_cuda
from tinycnn.runtime import memory_errors

PER_IMAGE = 4 * 2 * (36 + 32 + 32 + 3 + 3 + 3)  # bytes in training: float32, outputs and their gradients


class OutOfMemoryError(MemoryError):
    """As CuPy words it."""


class Greedy(tc.ReLU):
    """Asks for more than there is, with an array in its hands."""

    def forward(self, x, training=False):
        held = np.ones(3)
        self.held = weakref.ref(held)
        raise OutOfMemoryError("Out of memory allocating 4,096 bytes (allocated so far: 1,024 bytes).")


def make() -> tc.Sequential:
    return tc.Sequential(
        [
            tc.ImageInput((1, 6, 6)),
            tc.Conv2D(2, 3, name="conv"),
            Greedy(name="greedy"),
            tc.FullyConnected(3),
            tc.Softmax(),
            tc.ClassificationOutput(),
        ]
    )


@pytest.fixture
def gpu(monkeypatch):
    fake_cuda.install(monkeypatch)
    monkeypatch.setattr(tc.Sequential, "device", "cuda")
    monkeypatch.setattr(tc.backend, "free_memory", lambda: int(10.5 * PER_IMAGE / memory_errors.MARGIN))


def step(net, n):
    net._step(np.ones((n, 1, 6, 6), np.float32), np.zeros(n, int), tc.SGDM())


def test_the_message_names_layer_bytes_and_batch(gpu):
    net = make()
    with pytest.raises(MemoryError) as caught, memory_errors.explained(net, 64, training=True):
        step(net, 4)
    assert str(caught.value) == (
        "the GPU has no room for 64 images at a time: Out of memory allocating 4,096 bytes (allocated so far: 1,024 "
        "bytes) in layer 'greedy'; batches of 10 images would fit"
    )
    gc.collect()
    assert net.layers[2].held() is None and net.layers[1].cache is None  # what the pass held is free again


@pytest.mark.parametrize(
    ("batch", "free", "words"),
    [
        (8, 100 * PER_IMAGE, "batches of 7 images"),  # the estimate was wrong, so at least fewer than what failed
        (8, 0, "not even one image fits: use smaller images"),
        (1, 100 * PER_IMAGE, "not even one image fits"),
    ],
)
def test_advice(gpu, monkeypatch, batch, free, words):
    monkeypatch.setattr(tc.backend, "free_memory", lambda: free)
    with pytest.raises(MemoryError, match=words), memory_errors.explained(make(), batch, training=True):
        step(make(), 1)


def test_outside_of_layers(gpu):
    with (
        pytest.raises(MemoryError, match="in the update of the weights"),
        memory_errors.explained(make(), 8, training=True),
    ):
        raise OutOfMemoryError("Out of memory allocating 8 bytes.")


def test_steps_and_predictions_are_explained(gpu, monkeypatch):
    net, x = make(), np.ones((5, 1, 6, 6), np.float32)
    with pytest.raises(MemoryError, match="no room for 3 images at a time.*layer 'greedy'"):
        net.predict(x, batch_size=3)
    with pytest.raises(MemoryError, match="no room for 5 images at a time.*layer 'greedy'"):
        net.train_step(x, np.zeros(5, int), tc.SGDM())


def test_on_the_cpu_the_error_stays_as_it_is():
    with pytest.raises(OutOfMemoryError), memory_errors.explained(make(), 8, training=True):
        step(make(), 1)


def test_other_errors_pass(gpu):
    with pytest.raises(ZeroDivisionError), memory_errors.explained(make(), 8, training=True):
        1 / 0  # noqa: B018


def test_what_an_image_takes():
    assert memory_errors.bytes_per_image(make(), training=True) == PER_IMAGE
    assert memory_errors.bytes_per_image(make(), training=False) == 4 * (36 + 36)
