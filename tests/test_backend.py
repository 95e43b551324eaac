"""Which device an array is on, and what is said where there is no GPU. A stand-in plays CuPy's part."""

import importlib.util
from types import SimpleNamespace

import numpy as np
import pytest

import tinycnn as tc
from tests import fake_cuda
from tinycnn import backend

NO_CUPY = pytest.mark.skipif(importlib.util.find_spec("cupy") is not None, reason="CuPy is installed")


class GpuArray(np.ndarray):
    """Looks as if it were CuPy's."""


GpuArray.__module__ = "cupy._core.core"


def on_gpu(array) -> GpuArray:
    return np.asarray(array).view(GpuArray)


def make() -> tc.Sequential:
    return tc.Sequential(
        [tc.ImageInput((1, 2, 2)), tc.FullyConnected(2, name="fc"), tc.Softmax(), tc.ClassificationOutput()]
    )


X, T = np.ones((3, 1, 2, 2), np.float32), np.array([0, 1, 1])
MIXED = r'different devices: call net.to\("cpu"\) or net.to\("cuda"\), and tinycnn.backend.to_device'


@pytest.mark.parametrize(
    "call",
    [
        lambda net: backend.get_array_module(X, on_gpu(X)),
        lambda net: tc.kernels.for_array(on_gpu(X), X),
        lambda net: net.forward(on_gpu(X)),
        lambda net: net.predict(on_gpu(X)),
        lambda net: net.train_step(on_gpu(X), T, tc.SGDM()),
        lambda net: net.train_step(X, on_gpu(T), tc.SGDM()),
        lambda net: net.loss(net.forward(X), on_gpu(T)),
        lambda net: (net.forward(X), net.backward(on_gpu(T))),
    ],
    ids=range(8),
)
def test_mixed_devices_are_an_error_that_says_what_to_call(call):
    with pytest.raises(TypeError, match=MIXED):
        call(make())


def test_upstream_gradient_on_another_device():
    net = tc.Sequential([tc.ImageInput((1, 2, 2)), tc.FullyConnected(2, name="fc")])
    net.forward(X)
    with pytest.raises(TypeError, match=MIXED):
        net.backward(on_gpu(np.ones((3, 2))))


@pytest.mark.parametrize("stranger", [[1, 2], 3.0, None, "x"])
def test_something_else_than_an_array(stranger):
    with pytest.raises(TypeError, match=f"got {type(stranger).__name__}: convert with numpy.asarray"):
        backend.get_array_module(np.ones(1), stranger)


def test_devices():
    assert backend.get_array_module(np.ones(2), np.float32(1)) is np
    assert backend.device_of(X) == "cpu" and backend.to_device(X, "cpu") is X
    with pytest.raises(ValueError, match="device is 'gpu': choose"):
        backend.to_device(X, "gpu")
    with pytest.raises(ValueError, match="device is 'tpu'"):
        make().to("tpu")


@NO_CUPY
def test_without_cupy():
    assert backend.best_device() == "cpu"
    net = make()
    for call in (lambda: net.to("cuda"), lambda: backend.to_device(X, "cuda"), backend.cupy):
        with pytest.raises(RuntimeError, match=r"the GPU needs CuPy, which is not installed: install CuPy.*or stay on"):
            call()
    assert net.predict(X).shape == (3, 2) and net.device == "cpu"


@pytest.fixture
def cuda(monkeypatch):
    return fake_cuda.install(monkeypatch)


def test_precision(cuda):
    assert backend.get_precision() == "float32"
    for precision, mode in (("tf32", 3), ("float32", 0)):
        backend.set_precision(precision)
        assert backend.get_precision() == precision and cuda.math_modes == {"handle": mode}
    with pytest.raises(ValueError, match="precision is 'half': choose one of float32, tf32"):
        backend.set_precision("half")


def test_precision_is_an_honest_word_where_there_is_no_gpu(monkeypatch):
    monkeypatch.setattr(backend, "cupy", no_gpu)
    assert backend.get_precision() == "float32" and not backend.has_gpu() and backend.best_device() == "cpu"
    with pytest.raises(RuntimeError, match="no GPU here"):
        backend.set_precision("tf32")


def no_gpu():
    raise RuntimeError("no GPU here")


def test_what_is_said_of_a_gpu(cuda, monkeypatch):
    assert tc.describe()["gpu"] == "Make-believe 100 (CuPy fake, float32)"
    assert backend.has_gpu() and backend.best_device() == "cuda"
    monkeypatch.setattr(cuda, "get_default_memory_pool", lambda: SimpleNamespace(free_bytes=lambda: 2**20))
    assert backend.free_memory() == 2**30 + 2**20


def test_a_network_moves_there_and_back(cuda, tmp_path):
    net = make()
    before = net.state_dict()
    assert net.to("cuda") is net and net.device == "cuda" and net.gradients() == {}
    assert all(type(array) is fake_cuda.Array for array in net.parameters().values())
    net.save(tmp_path / "net.safetensors")
    assert net.device == "cuda"  # saving moves nothing
    for device in ("cpu", "cuda"):
        loaded = tc.load(tmp_path / "net.safetensors", device)
        assert loaded.device == device
        for name, array in loaded.to("cpu").state_dict().items():
            np.testing.assert_array_equal(array, before[name])


def test_describe():
    description = tc.describe()
    assert list(description) == ["tinycnn", "python", "numpy", "numba", "cpu", "threads", "gpu", "kernels"]
    assert description["numpy"] == np.__version__ and description["threads"] == str(tc.get_num_threads())
    with tc.kernels.use("reference"):
        assert tc.describe()["kernels"] == "reference"


def test_choosing_kernels():
    assert tc.kernels.active() == "cpu" and tc.kernels.for_array(X).__name__ == "tinycnn.kernels.cpu"
    with tc.kernels.use("reference") as module:
        assert tc.kernels.for_array(X) is module
        with tc.kernels.use("cpu"):
            assert tc.kernels.active() == "cpu"
        assert tc.kernels.active() == "reference"
    assert tc.kernels.active() == "cpu"
    with (
        pytest.raises(ValueError, match="no kernels are called 'fast': choose one of reference, cpu"),
        tc.kernels.use("fast"),
    ):
        pass
