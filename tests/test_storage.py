"""Networks in files: nothing is lost, nothing can run, and nothing half-written replaces what was there."""

import json
import os
import signal
from pathlib import Path

import numpy as np
import pytest

import covid
import tinycnn as tc
from tinycnn import storage

RNG = np.random.default_rng(41)
X = RNG.normal(size=(3, 4, 9, 8)).astype(np.float32)


def make(**options) -> tc.Sequential:
    """Every layer, and of every argument a value that is not its default."""
    net = tc.Sequential(
        [
            tc.ImageInput((4, 9, 8), normalization="zscore", mean_of="channel", name="input"),
            tc.Conv2D(
                6,
                (3, 2),
                stride=(1, 2),
                padding=(1, 0, 2, 1),
                groups=2,
                bias=False,
                initializer="he_normal",
                lr_factors={"weight": 2},
                l2_factors={"weight": 0.5},
                name="conv_1",
            ),
            tc.BatchNorm2D(eps=1e-3, momentum=0.2, l2_factors={"bias": 0}, name="norm"),
            tc.ReLU(),
            tc.CrossChannelNorm(3, alpha=0.1, beta=0.5, k=2, name="across"),
            tc.MaxPool2D((2, 3), stride=(2, 1), padding=(0, 1)),
            tc.Conv2D(4, 3, padding="same", dilation=2, name="conv_2"),
            tc.AveragePool2D(2, padding=1),
            tc.Dropout(0.25),
            tc.GlobalAveragePool2D(),
            tc.Flatten(),
            tc.FullyConnected(3, lr_factors={"bias": 3}, name="fc"),
            tc.Softmax(),
            tc.ClassificationOutput(class_weights=[1, 2, 0.5]),
        ],
        **options,
    )
    net.layers[0].fit(X)
    net.forward(X, training=True)
    return net


@pytest.fixture
def saved(tmp_path):
    make().save(tmp_path / "net.safetensors")
    return tmp_path / "net.safetensors"


@pytest.mark.parametrize("options", [{"seed": 5}, {"dtype": np.float64, "fuse": False}])
def test_round_trip_is_bit_identical(tmp_path, options):
    net = make(**options)
    net.save(tmp_path / "net.safetensors")
    loaded = tc.load(tmp_path / "net.safetensors")
    assert repr(loaded) == repr(net)
    assert (loaded.seed, loaded.dtype, loaded.fuse) == (net.seed, net.dtype, net.fuse)
    before, after = net.state_dict(), loaded.state_dict()
    assert list(before) == list(after)
    assert all(
        before[name].tobytes() == after[name].tobytes() and before[name].dtype == after[name].dtype for name in before
    )
    assert loaded.predict(X).tobytes() == net.predict(X).tobytes()
    assert loaded.layers[0].fitted


def test_the_safetensors_package_reads_our_files(saved):
    safetensors = pytest.importorskip("safetensors.numpy")
    tensors, state = safetensors.load_file(saved), make().state_dict()
    assert tensors.keys() == state.keys()
    assert all(np.array_equal(tensors[name], state[name]) for name in state)


def test_we_read_the_safetensors_packages_files(tmp_path):
    safetensors = pytest.importorskip("safetensors.numpy")
    arrays = {
        "a": RNG.normal(size=(2, 3)).astype(np.float16),
        "b": np.arange(5),
        "scalar": np.array(2.5),
        "empty": np.zeros((0, 4), np.uint8),
        "flags": np.array([True, False]),
    }
    safetensors.save_file(arrays, tmp_path / "x.safetensors", metadata={"who": "me"})
    tensors, metadata = storage.load_file(tmp_path / "x.safetensors")
    assert metadata == {"who": "me"} and tensors.keys() == arrays.keys()
    for name, array in arrays.items():
        assert tensors[name].dtype == array.dtype
        np.testing.assert_array_equal(tensors[name], array, strict=True)


def test_any_memory_layout_and_dtype(tmp_path):
    arrays = {"turned": np.arange(6.0).reshape(2, 3).T, "strided": np.arange(9)[::2], "big": np.arange(3, dtype=">f4")}
    storage.save_file(arrays, tmp_path / "x")
    tensors, metadata = storage.load_file(tmp_path / "x")
    assert metadata == {}
    for name, array in arrays.items():
        np.testing.assert_array_equal(tensors[name], array)
    with pytest.raises(ValueError, match="bad has dtype complex128"):
        storage.save_file({"bad": np.zeros(1, complex)}, tmp_path / "y")
    assert not (tmp_path / "y").exists()


def test_numbers_start_on_a_multiple_of_eight_bytes(tmp_path):
    for name in ("a", "ab", "abc", "abcdefgh"):
        storage.save_file({name: np.ones(3)}, tmp_path / "x")
        assert int.from_bytes((tmp_path / "x").read_bytes()[:8], "little") % 8 == 0


def test_every_truncation_is_noticed(saved):
    content = saved.read_bytes()
    for length in [*range(0, 20), len(content) // 3, len(content) // 2, len(content) - 1]:
        saved.write_bytes(content[:length])
        with pytest.raises(ValueError, match=r"net.safetensors is not a whole safetensors file"):
            tc.load(saved)


def with_header(header: object) -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + bytes(8)


@pytest.mark.parametrize(
    "content",
    [
        b"not a network",
        bytes(100),
        b"\xff" * 100,
        with_header(b"{broken"),
        with_header(b"\xff\xfe"),
        with_header([1, 2]),
        with_header("text"),
        with_header({"a": 3}),
        with_header({"a": {"dtype": "F32"}}),
        with_header({"a": {"dtype": "F7", "shape": [1], "data_offsets": [0, 4]}}),
        with_header({"a": {"dtype": "F32", "shape": [3], "data_offsets": [0, 4]}}),
        with_header({"a": {"dtype": "F32", "shape": [9], "data_offsets": [0, 36]}}),
        with_header({"a": {"dtype": "F32", "shape": ["1"], "data_offsets": [0, 4]}}),
        with_header({"a": {"dtype": "F32", "shape": [1], "data_offsets": [-4, 0]}}),
    ],
    ids=range(14),
)
def test_garbage_is_one_clear_error(tmp_path, content):
    path = tmp_path / "bad.safetensors"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"bad.safetensors is not a whole safetensors file"):
        tc.load(path)


def test_missing_file_metadata_layers_and_weights(tmp_path, saved):
    with pytest.raises(FileNotFoundError, match=r"nowhere.safetensors"):
        tc.load(tmp_path / "nowhere.safetensors")
    storage.save_file({"a": np.ones(2)}, tmp_path / "plain")
    (tmp_path / "null").write_bytes(with_header({"__metadata__": None}))
    for name in ("plain", "null"):
        with pytest.raises(ValueError, match="holds weights but no tinycnn layers: build the network"):
            tc.load(tmp_path / name)
    tensors, metadata = storage.load_file(saved)
    del tensors["fc.bias"]
    storage.save_file(tensors, tmp_path / "partial", metadata)
    with pytest.raises(ValueError, match=r"missing \['fc.bias'\]"):
        tc.load(tmp_path / "partial")


class Double(tc.Layer):
    def __init__(self, times: int = 2, name: str | None = None):
        super().__init__(name)
        self.times = times

    def forward(self, x, training=False):
        return x * self.times


def test_layers_of_ones_own(tmp_path):
    path = tmp_path / "own.safetensors"
    tc.Sequential([tc.ImageInput((1, 1, 1)), Double(times=3)]).save(path)
    with pytest.raises(ValueError, match=r"uses a class of your own, 'Double': pass it in custom_layers"):
        tc.load(path)
    assert tc.load(path, custom_layers=[Double]).forward(np.ones((1, 1, 1, 1))).item() == 3


def test_a_failing_rename_leaves_the_old_file(saved, monkeypatch):
    content = saved.read_bytes()

    def fail(*_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(OSError, match=r"cannot write .*net.safetensors \([\d,]+ bytes\): Permission denied; choose a"):
        make(seed=9).save(saved)
    assert saved.read_bytes() == content and os.listdir(saved.parent) == [saved.name]


def test_a_full_disk_leaves_the_old_file(saved):
    resource, content = pytest.importorskip("resource"), saved.read_bytes()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))  # writing more fails, as on a full disk
    try:
        with pytest.raises(OSError, match=r"cannot write .*net.safetensors.*; free some space or choose another"):
            make(seed=9).save(saved)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, handler)
    assert saved.read_bytes() == content and os.listdir(saved.parent) == [saved.name]


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(OSError, match=r"No such file or directory; make the folder /.*/none first$"):
        make().save(tmp_path / "none" / "net.safetensors")
    with pytest.raises(OSError, match=r"Is a directory; give the name of a file, not of a folder$"):
        make().save(tmp_path)


def test_no_source_file_uses_pickle():
    sources = [path for package in (tc, covid) for path in Path(package.__file__).parent.rglob("*.py")]
    assert len(sources) > 30
    assert [path.name for path in sources if "pickle" in path.read_text(encoding="utf-8")] == []
