"""What only the GPU's kernels have: their random numbers, their order of work, updates of many arrays, compilation."""

import subprocess
import sys

import numpy as np
import pytest

import tinycnn as tc
from tests.emulation import compile, emulate
from tinycnn import backend
from tinycnn.kernels import gpu, reference
from tinycnn.kernels.gpu import columns, direct, launch

pytestmark = pytest.mark.parametrize("kernels", [pytest.param("gpu", marks=pytest.mark.gpu)], indirect=True)


def philox(counter, key):
    """Philox4x32-10 in whole numbers: four random words."""
    (a, b, c, d), (k, m) = counter, key
    for _ in range(10):
        first, second = 0xD2511F53 * a, 0xCD9E8D57 * c
        a, b, c, d = (second >> 32) ^ b ^ k, second % 2**32, (first >> 32) ^ d ^ m, first % 2**32
        k, m = (k + 0x9E3779B9) % 2**32, (m + 0xBB67AE85) % 2**32
    return a, b, c, d


def test_dropout_draws_philox_of_the_seed(kernels):
    published = {  # Random123's known answers
        ((0,) * 4, (0,) * 2): (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8),
        ((0xFFFFFFFF,) * 4, (0xFFFFFFFF,) * 2): (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD),
        ((0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344), (0xA4093822, 0x299F31D0)): (
            0xD16CFE09,
            0x94FDCCEB,
            0x5001E420,
            0x24126EA1,
        ),
    }
    for arguments, words in published.items():
        assert philox(*arguments) == words
    x, rate, seed = np.ones(4003, np.float32), 0.3, int(np.random.default_rng(5).integers(2**63))
    words = np.array([philox((group, 0, 0, 0), (seed % 2**32, seed >> 32)) for group in range(1001)]).reshape(-1)[:4003]
    _, mask = kernels.dropout_forward(x, rate, np.random.default_rng(5))
    np.testing.assert_array_equal(mask, np.where(words < rate * 2**32, 0, np.float32(1 / 0.7)))


def everything(kernels, dtype):
    """Results of each kernel that adds up what several threads or blocks have found."""
    rng = np.random.default_rng(0)
    x, weight, bias, gamma, beta = (
        rng.standard_normal(shape).astype(dtype) for shape in ((3, 3, 21, 40), (5, 3, 3, 3), (5,), (5,), (5,))
    )
    geometry = ((1, 1), (0, 0, 0, 0), (1, 1), 1)
    y, cache = kernels.conv_block_forward(x, weight, bias, gamma, beta, 1e-3, *geometry)
    results = [y, *cache[1:6], *kernels.conv_block_backward(y, cache, weight, gamma, beta, 1e-3, *geometry)]
    results += [
        kernels.conv2d_backward_bias(x),
        *kernels.batch_norm_statistics(x),
        *kernels.batch_norm_backward(x, x, bias[:3], gamma[:3] ** 2, beta[:3], 1e-3),
    ]
    flat, rows, t = x.reshape(9, -1), rng.standard_normal((4, 840)).astype(dtype), rng.integers(0, 4, 9)
    scores = kernels.fully_connected_forward(flat, rows, None)
    p, log_p = kernels.softmax_forward(scores), kernels.log_softmax_forward(scores)
    return [
        *results,
        p,
        log_p,
        *kernels.fully_connected_backward(p, flat, rows),
        kernels.cross_entropy_forward(log_p, t),
        kernels.cross_entropy_backward(p, t),
        kernels.softmax_backward(scores, p),
    ]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_same_bits_every_time_and_whatever_thread_is_first(kernels, dtype, monkeypatch):
    expected = everything(kernels, dtype)
    monkeypatch.setattr(emulate, "backwards", True)
    for a, b in zip(expected, everything(kernels, dtype), strict=True):
        np.testing.assert_array_equal(a, b)


def test_columns_within_a_small_workspace(kernels, monkeypatch):
    monkeypatch.setattr(columns, "WORKSPACE_BYTES", 5000)
    rng = np.random.default_rng(0)
    x, weight = rng.standard_normal((5, 4, 9, 8)), rng.standard_normal((6, 2, 3, 3))
    arguments = (2, 1), (1, 0, 0, 2), (1, 2), 2
    y = kernels.conv2d_forward(x, weight, None, *arguments)
    np.testing.assert_allclose(y, reference.conv2d_forward(x, weight, None, *arguments), rtol=1e-11, atol=1e-12)
    np.testing.assert_allclose(
        kernels.conv2d_backward_input(y, weight, x.shape, *arguments),
        reference.conv2d_backward_input(y, weight, x.shape, *arguments),
        rtol=1e-11,
        atol=1e-11,
    )
    np.testing.assert_allclose(
        kernels.conv2d_backward_weight(y, x, (3, 3), *arguments),
        reference.conv2d_backward_weight(y, x, (3, 3), *arguments),
        rtol=1e-11,
        atol=1e-11,
    )


@pytest.mark.skipif(backend.has_gpu(), reason="the layer hands over its arrays, which are NumPy's here")
def test_the_layers_im2col_is_that_of_columns(kernels, monkeypatch):
    monkeypatch.setattr(direct, "serves", None)  # called, it would be an error
    layer, rng = tc.Conv2D(4, 3, algorithm="im2col"), np.random.default_rng(0)
    layer.build((2, 7, 6), np.float64, rng)
    x, dy = rng.standard_normal((3, 2, 7, 6)), rng.standard_normal((3, 4, 5, 4))
    results = []
    for name in ("reference", "gpu"):
        with tc.kernels.use(name):
            results.append([layer.forward(x), layer.backward(dy), *layer.gradients.values()])
    for expected, got in zip(*results, strict=True):
        np.testing.assert_allclose(got, expected, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("backwards", [False, True])
def test_weight_gradient_by_blocks_that_see_several_tiles(kernels, backwards, monkeypatch):
    monkeypatch.setattr(direct, "multiprocessors", lambda: 1)
    monkeypatch.setattr(emulate, "backwards", backwards)
    rng = np.random.default_rng(0)
    x, dy = rng.standard_normal((5, 2, 9, 80)), rng.standard_normal((5, 3, 7, 78))
    expected = reference.conv2d_backward_weight(dy, x, (3, 3))
    np.testing.assert_allclose(kernels.conv2d_backward_weight(dy, x, (3, 3)), expected, rtol=1e-11, atol=1e-11)


def test_arrays_that_cannot_be_updated_in_place(kernels):
    weight = np.zeros((4, 4))
    for strange in (np.zeros((2, 4)), weight.astype(np.float32)):
        with pytest.raises((ValueError, TypeError), match="velocities"):
            kernels.sgdm_update_all([weight], [weight], [strange], lambda: [0.1], 0.9, [0.0])
    with pytest.raises(ValueError, match="not contiguous"):
        kernels.sgdm_update_all([weight], [weight], [np.asfortranarray(weight)], lambda: [0.1], 0.9, [0.0])


def small_network(dtype):
    return tc.Sequential(
        [
            tc.ImageInput((1, 26, 22), normalization="zerocenter"),
            tc.Conv2D(4, 3, name="conv_1"),
            tc.BatchNorm2D(name="norm_1"),
            tc.ReLU(),
            tc.MaxPool2D(2, stride=2),
            tc.Conv2D(6, 3, name="conv_2"),
            tc.BatchNorm2D(name="norm_2"),
            tc.ReLU(),
            tc.MaxPool2D(2, stride=2),
            tc.Dropout(0.0),
            tc.FullyConnected(3, name="fc"),
            tc.Softmax(),
            tc.ClassificationOutput(),
        ],
        seed=1,
        dtype=dtype,
    )


@pytest.mark.skipif(backend.has_gpu(), reason="on a GPU tests/test_gpu.py compares the paper's network")
@pytest.mark.parametrize("optimizer", [tc.SGDM, tc.Adam])
def test_training_steps_equal_the_cpu(kernels, optimizer):
    x, t = np.random.default_rng(0).standard_normal((5, 1, 26, 22)), np.array([0, 1, 2, 1, 0])
    losses, states = {}, {}
    for name in ("cpu", "gpu"):
        net, changes = small_network(np.float64), optimizer(0.01, weight_decay=1e-3)
        net.layers[0].fit(x)
        with tc.kernels.use(name):
            losses[name] = [net.train_step(x, t, changes) for _ in range(3)] + [float(net.predict(x).sum())]
        states[name] = net.state_dict()
    np.testing.assert_allclose(losses["gpu"], losses["cpu"], rtol=1e-9)
    for name, array in states["cpu"].items():
        np.testing.assert_allclose(states["gpu"][name], array, rtol=1e-7, atol=1e-10, err_msg=name)


def test_importing_needs_no_cupy(kernels):
    code = "import sys; sys.modules['cupy'] = None; import tinycnn.kernels.gpu as g; print(len(g.__all__))"
    output = subprocess.check_output([sys.executable, "-c", code], text=True)
    assert int(output) == len(gpu.__all__)


def test_every_program_compiles_for_ampere_and_hopper(kernels, monkeypatch):
    compiled = compile.compiler()
    if compiled is None:
        pytest.skip("no NVRTC (nvidia-cuda-nvrtc-cu12) and no nvcc to compile with")
    programs = set()  # what is to be compiled; nothing is computed
    monkeypatch.setattr(launch, "runner", lambda source, kernel, options, *_: programs.add((source, options)))
    everything(gpu, np.float64)
    for channels, filters, size in ((1, 8, 224), (16, 32, 54)):  # two of the paper's blocks
        x, weight = np.empty((1, channels, size, size), np.float32), np.empty((filters, channels, 3, 3), np.float32)
        of_filter, geometry = np.empty(filters, np.float32), ((1, 1), (0, 0, 0, 0), (1, 1), 1)
        y, cache = gpu.conv_block_forward(x, weight, of_filter, of_filter, of_filter, 1e-5, *geometry)
        gpu.conv_block_backward(y, cache, weight, of_filter, of_filter, 1e-5, *geometry)
        gpu.conv_blocks_inference(x, [(weight, *[of_filter] * 5, 1e-5, *geometry)])
    for source in launch.FOLDER.glob("*.cu"):
        if "__global__" in source.read_text() and source.stem not in {name for name, _ in programs}:
            programs.add((source.stem, ("-Dreal=float", "-DINDEX=byte", "-DMOST=64")))
    for source, options in sorted(programs):
        for architecture in ("sm_80", "sm_90") if "-Dreal=float" in options else ("sm_90",):
            complaints = compiled(source, options, architecture)
            assert not complaints, f"{source}.cu with {' '.join(options)} for {architecture}: {complaints}"
