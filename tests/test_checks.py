"""What users hand over: arrays of any library are taken alike by every call, and what is no array is told why."""

import sys
import time
from types import ModuleType

import numpy as np
import pytest

import tinycnn as tc
from tinycnn import backend
from tinycnn.checks import as_array, as_labels, checked_gradients, checked_pixels, warn_unfitted

X = np.random.default_rng(5).integers(0, 256, (6, 1, 4, 4)).astype(np.float32)
T = np.array([0, 1, 2, 0, 1, 2])


class Foreign:
    """An array of another library, which shares one protocol with NumPy."""

    def __init__(self, array: np.ndarray, protocol: str):
        self._array = array
        if protocol == "dlpack":
            self.__dlpack__, self.__dlpack_device__ = array.__dlpack__, array.__dlpack_device__


class WithArray(Foreign):
    def __array__(self, dtype=None, copy=None):
        return self._array


class WithDlpack(Foreign):
    def __dlpack__(self, **options):
        return self._array.__dlpack__(**options)

    def __dlpack_device__(self):
        return self._array.__dlpack_device__()


def tensor(array: np.ndarray):
    return pytest.importorskip("torch").tensor(array)


def learning_tensor(array: np.ndarray):
    return tensor(array).requires_grad_(array.dtype.kind == "f")


def series(array: np.ndarray):
    pandas = pytest.importorskip("pandas")
    return pandas.Series(array if array.ndim == 1 else list(array))  # for images, a column of arrays


def memory_map(array: np.ndarray, tmp_path):
    np.save(tmp_path / "array.npy", array)
    return np.load(tmp_path / "array.npy", mmap_mode="r")


def read_only(array: np.ndarray):
    array = array.copy()
    array.flags.writeable = False
    return array


KINDS = {
    "list": lambda array: array.tolist(),
    "list of arrays": list,
    "tuple of tensors": lambda array: tuple(tensor(array)),
    "torch": tensor,
    "torch, requiring a gradient": learning_tensor,
    "pandas": series,
    "object array of arrays": lambda array: np.fromiter(array, object) if array.ndim > 1 else array,
    "__array__": lambda array: WithArray(array, "array"),
    "__dlpack__": lambda array: WithDlpack(array, "array"),
    "read-only": read_only,
}


def make() -> tc.Sequential:
    return tc.Sequential(
        [
            tc.ImageInput((1, 4, 4)),
            tc.Conv2D(2, 3, name="conv"),
            tc.BatchNorm2D(name="norm"),
            tc.FullyConnected(3, name="fc"),
            tc.Softmax(),
            tc.ClassificationOutput(),
        ]
    )


def loss_and_gradient(convert, x, t):
    net = make()
    p = net.forward(x, training=True)
    return round(net.loss(convert(p), t), 5), net.backward(t)  # a list of float32 numbers is float64


CALLS = {
    "fit": lambda convert, x, t: tc.Trainer(make(), tc.SGDM(), batch_size=4).fit((x, t), (x, t), epochs=1).to_dict(),
    "train_step": lambda convert, x, t: make().train_step(x, t, tc.SGDM()),
    "loss and backward": loss_and_gradient,
    "predict": lambda convert, x, t: make().predict(x),
    "evaluate": lambda convert, x, t: tc.evaluate(make(), (x, t)),
    "Dataset": lambda convert, x, t: next(tc.Batches(tc.Dataset(x, t)).epoch(1)),
    "gradcheck": lambda convert, x, t: tc.gradcheck(make(), x, t, samples=2),
}


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("kind", KINDS)
def test_every_call_takes_arrays_of_any_library(kind, call):
    convert = KINDS[kind]
    got, expected = CALLS[call](convert, convert(X), convert(T)), CALLS[call](lambda p: p, X, T)
    if call == "fit":
        got.pop("seconds"), expected.pop("seconds")
    np.testing.assert_equal(got, expected)


def test_memory_mapped_images_stay_on_disk(tmp_path):
    x = as_array(memory_map(X, tmp_path))
    assert type(x) is np.ndarray and x.base is not None and not x.flags.owndata


@pytest.mark.parametrize("dtype", [np.uint8, np.float32, np.float64, bool])
def test_arrays_go_through_untouched(dtype):
    x = np.zeros((2, 3), dtype)
    assert as_array(x) is x
    shared = as_array(WithArray(x, "array"))
    assert np.shares_memory(shared, x)


def test_a_tensor_is_read_without_copying():
    t = tensor(X)
    assert as_array(t).ctypes.data == t.data_ptr()


def test_an_array_passes_the_door_in_microseconds():
    started = time.perf_counter()
    for _ in range(10_000):
        as_array(X)
    assert time.perf_counter() - started < 0.2  # 20 µs each, on the slowest machine; 0.2 usually


def test_a_column_of_a_table_is_a_row_of_labels():
    pandas = pytest.importorskip("pandas")
    table = pandas.DataFrame({"label": T, "age": 60.5})
    for labels in (table["label"], table[["label"]], table["label"].astype("Int64")):
        np.testing.assert_array_equal(as_labels(labels), T)
    assert make().train_step(X, table["label"], tc.SGDM()) == make().train_step(X, T, tc.SGDM())


class OnGpu:
    """A tensor on a GPU, as DLPack tells it."""

    def __dlpack_device__(self):
        return 2, 0

    def __array__(self, dtype=None, copy=None):
        raise TypeError("can't convert cuda:0 device type tensor to numpy.")


def test_a_tensor_on_a_gpu_goes_to_cupy_through_dlpack(monkeypatch):
    class OnDevice(np.ndarray):
        pass

    OnDevice.__module__ = "cupy"
    cupy, there = ModuleType("cupy"), np.zeros(3).view(OnDevice)
    cupy.from_dlpack = lambda x: there if isinstance(x, OnGpu) else None
    monkeypatch.setattr(backend, "cupy", lambda: cupy)
    monkeypatch.setitem(sys.modules, "cupy", cupy)
    assert as_array(OnGpu()) is there and as_array(there) is there


def test_a_tensor_on_a_gpu_without_cupy(monkeypatch):
    monkeypatch.setitem(sys.modules, "cupy", None)
    with pytest.raises(TypeError, match=r"x is an OnGpu that cannot be read .*CuPy.*: call x.cpu\(\) first$"):
        as_array(OnGpu())


def bfloat16():
    torch = pytest.importorskip("torch")
    return torch.zeros(3, dtype=torch.bfloat16)


@pytest.mark.parametrize(
    ("make_x", "error", "words"),
    [
        (
            lambda: [np.zeros((1, 4, 4)), np.zeros((1, 4, 5))],
            ValueError,
            r"x\[1\] has shape \(1, 4, 5\), but x\[0\] has",
        ),
        (lambda: [[1, 2], [3]], ValueError, "x is a list whose items differ in shape: bring all to one"),
        (lambda: [1, np.zeros(2)], ValueError, "x is a list whose items differ in shape"),
        (lambda: np.array([None, 1], object), TypeError, r"x holds Python objects, such as None \(NoneType\): give"),
        (lambda: ["a.png", "b.png"], TypeError, "x holds text, such as 'a.png': give numbers"),
        (lambda: "image.png", TypeError, "x holds text, such as 'image.png'"),
        (lambda: np.array([1 + 2j]), TypeError, r"x holds complex numbers: give real ones, such as abs\(x\) or x.real"),
        (lambda: np.array(["2020-01-01"], "M8[D]"), TypeError, r"x has dtype datetime64\[D\]: convert it to numbers"),
        (lambda: None, TypeError, "x is None: give an array of numbers"),
        (lambda: {"x": 1}, TypeError, "x is a dict: give an array of numbers"),
        (lambda: (image for image in X), TypeError, "x is a generator: give an array of numbers"),
        (lambda: np.ma.masked_less(X, 9), ValueError, r"masked values: give each one a number with x.filled\(value\)"),
        (bfloat16, TypeError, "x is a Tensor that cannot be read as an array .*: give a NumPy array"),
    ],
)
def test_what_is_no_array_of_numbers(make_x, error, words):
    with pytest.raises(error, match=words):
        as_array(make_x())
    with pytest.raises(error, match=words):
        make().predict(make_x())


@pytest.mark.parametrize("shape", [(5, 3), (5, 2, 3, 3)])
def test_pixels_of_any_shape_are_checked(shape):
    x = np.zeros(shape, np.float32)
    assert checked_pixels(x) is x
    x[3].flat[-1] = np.nan
    with pytest.raises(ValueError, match="first in image 10: clean the data"):
        checked_pixels(x, number=7)


def test_an_unfitted_input_layer_is_warned_of_once():
    net = tc.Sequential(
        [
            tc.ImageInput((1, 4, 4), normalization="zscore", name="images"),
            tc.FullyConnected(3),
            tc.Softmax(),
            tc.ClassificationOutput(),
        ]
    )
    with pytest.warns(UserWarning, match=r"layer 'images' .*never measured.*call net.layers\[0\].fit\(x\)") as record:
        net.train_step(X, T, tc.SGDM())
    assert record[0].filename == __file__
    net.train_step(X, T, tc.SGDM())  # a second warning would be an error here
    net.layers[0].fit(X)
    warn_unfitted(net.layers[0])


def test_fit_measures_the_input_and_warns_of_nothing():
    net = tc.Sequential(
        [tc.ImageInput((1, 4, 4), "zscore"), tc.FullyConnected(3), tc.Softmax(), tc.ClassificationOutput()]
    )
    tc.Trainer(net, tc.SGDM()).fit((X, T), epochs=1)
    assert net.layers[0].fitted


class Scale(tc.Layer):
    """y = w·x, with a backward that can forget or spoil its gradient."""

    def __init__(self, gradient, name=None):
        super().__init__(name)
        self.gradient = gradient

    def build(self, input_shape, dtype, rng):
        self.parameters["weight"] = np.ones((), dtype)

    def forward(self, x, training=False):
        self.cache = x
        return x * self.parameters["weight"]

    def backward(self, dy):
        if self.gradient is not None:
            self.gradients["weight"] = np.zeros(self.gradient, dy.dtype)
        return dy * self.parameters["weight"]


def with_scale(gradient) -> tc.Sequential:
    layers = [tc.ImageInput((1, 4, 4)), Scale(gradient, "scale"), tc.FullyConnected(3), tc.Softmax()]
    return tc.Sequential([*layers, tc.ClassificationOutput()])


def test_a_forgotten_gradient_names_the_parameter_and_what_backward_must_fill():
    with pytest.raises(
        RuntimeError,
        match=r'^scale.weight has no gradient: its layer\'s backward must fill self.gradients\["weight"\]$',
    ):
        with_scale(None).train_step(X, T, tc.SGDM())
    with_scale(()).train_step(X, T, tc.SGDM())


def test_a_gradient_of_another_shape_than_its_parameter():
    with pytest.raises(
        ValueError, match=r"gradient of scale.weight has shape \(2,\), but the parameter \(\): its layer"
    ):
        with_scale((2,)).train_step(X, T, tc.SGDM())


def test_no_gradients_before_a_backward_pass():
    with pytest.raises(RuntimeError, match=r"conv.weight has no gradient: call net.forward\(x, training=True\), net.b"):
        checked_gradients(make())
