"""Training on the GPU: the CPU's numbers, the same bits every time, and replays that equal steps.

Without a GPU the same is done on a small scale by make-believe: the kernels on an emulator, CuPy played by a stand-in.
The tests marked `gpu` need a device, and run the paper's whole network.
"""

import numpy as np
import pytest

import tinycnn as tc
from covid import paper_network
from tests import fake_cuda
from tests.emulation import emulate
from tinycnn import backend

RNG = np.random.default_rng(31)
OPTIMIZERS = [lambda: tc.SGDM(1e-3, weight_decay=1e-3), lambda: tc.Adam(1e-3, weight_decay=1e-3)]
needs_emulator = pytest.mark.skipif(emulate.COMPILER is None, reason="the emulator needs g++")


@pytest.fixture
def emulator(monkeypatch):
    """Kernels run on the emulator when the make-believe device gets to them."""
    cupy = fake_cuda.install(monkeypatch, eager=False)
    fake_cuda.emulate_kernels(monkeypatch)
    return cupy


# Twenty outputs are cuBLAS's matter, so that a recording is cut around them.
def small(seed: int = 0, dropout: float = 0.5, **options) -> tc.Sequential:
    return tc.Sequential(
        [
            tc.ImageInput((1, 10, 10), normalization="zerocenter", name="input"),
            tc.Conv2D(3, 3, name="conv"),
            tc.BatchNorm2D(name="norm"),
            tc.ReLU(),
            tc.MaxPool2D(2),
            tc.Dropout(dropout),
            tc.FullyConnected(20, name="wide"),
            tc.FullyConnected(3, name="fc"),
            tc.Softmax(),
            tc.ClassificationOutput(class_weights=[1, 2, 3]),
        ],
        seed=seed,
        **options,
    )


SMALL_X, SMALL_T = RNG.integers(0, 256, (22, 1, 10, 10), dtype=np.uint8), RNG.integers(0, 3, 22)


@needs_emulator
@pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=["SGDM", "Adam"])
def test_emulated_steps_are_the_cpus(emulator, optimizer):
    cpu, gpu = small(dropout=0), small(dropout=0).to("cuda")
    optimizers = optimizer(), optimizer()
    x, t = SMALL_X[:5], SMALL_T[:5]
    cpu.layers[0].fitted = gpu.layers[0].fitted = True  # with mean 0
    for step in range(5):
        expected = cpu.train_step(x, t, optimizers[0])
        loss = gpu.train_step(*map(emulator.asarray, (x, t)), optimizers[1], checked=True)
        assert loss == pytest.approx(expected, rel=1e-5)
        assert (gpu.recorder.obstacle == "") == (step >= 3)  # the first step makes the optimizer's memory
    assert_close(gpu, cpu, 1e-5)
    assert_close(optimizers[1].state, optimizers[0].state, 1e-5)


@needs_emulator
def test_emulated_replays_equal_steps(emulator, monkeypatch, tmp_path):
    options = {"schedule": tc.PiecewiseSchedule(0.5, 1), "batch_size": 5, "drop_last": True}
    recorded, plain = (tc.Trainer(small().to("cuda"), tc.Adam(1e-3), **options) for _ in range(2))
    plain.net.recorder.enabled = False
    for trainer in (recorded, plain):
        trainer.fit((SMALL_X, SMALL_T), epochs=2)
    assert recorded.net.recorder.obstacle == ""
    assert [row["loss"] for row in recorded.history] == [row["loss"] for row in plain.history]
    assert_close(recorded.net, plain.net, 0)
    recorded.save_checkpoint(tmp_path / "checkpoint.safetensors")
    resumed = tc.Trainer(small(seed=9).to("cuda"), tc.Adam(1e-3), **options)
    resumed.resume(tmp_path / "checkpoint.safetensors")
    for trainer in (recorded, resumed):
        trainer.fit((SMALL_X, SMALL_T), epochs=3)
    assert resumed.net.recorder.obstacle == ""
    assert_close(resumed.net, recorded.net, 0)


def arrays_of(holder) -> dict[str, np.ndarray]:
    arrays = holder.state_dict() if isinstance(holder, tc.Sequential) else holder
    return {name: backend.to_device(array, "cpu") for name, array in arrays.items()}


def assert_close(a, b, tolerance: float) -> None:
    """‖a − b‖ ≤ tolerance · ‖b‖ for every array: rounding that turns over a single maximum moves single numbers far."""
    a, b = arrays_of(a), arrays_of(b)
    assert a.keys() == b.keys()
    for name in a:
        assert np.linalg.norm(a[name] - b[name]) <= tolerance * np.linalg.norm(b[name]), name


# --- On a device ---

IMAGES, LABELS = RNG.integers(0, 256, (24, 1, 224, 224), dtype=np.uint8), RNG.integers(0, 3, 24)


@pytest.fixture
def cupy():
    if not backend.has_gpu():
        pytest.skip("no GPU")
    yield backend.cupy()
    backend.set_precision("float32")


def paper(dropout: bool = False, **options) -> tc.Sequential:
    net = paper_network(**options)
    net.layers[0].fit(IMAGES)
    for layer in net.layers:
        if isinstance(layer, tc.Dropout) and not dropout:
            layer.rate = 0.0  # the GPU draws other masks than the CPU
    return net


def trainer(net: tc.Sequential, **options) -> tc.Trainer:
    schedule = tc.PiecewiseSchedule(0.5, 1)
    return tc.Trainer(net, tc.SGDM(1e-3, weight_decay=1e-4), schedule, batch_size=6, **options)


@pytest.mark.gpu
@pytest.mark.parametrize(("dtype", "gradients", "weights"), [(np.float64, 1e-10, 1e-8), (np.float32, 5e-2, 5e-2)])
def test_paper_network_computes_as_on_the_cpu(cupy, dtype, gradients, weights):
    cpu, gpu = paper(dtype=dtype), paper(dtype=dtype).to("cuda")
    x, t = IMAGES[:6], LABELS[:6]
    there = cupy.asarray(x), cupy.asarray(t)
    p, q = cpu.forward(x, training=True), gpu.forward(there[0], training=True)
    np.testing.assert_allclose(q.get(), p, rtol=gradients, atol=gradients)
    assert_close({"dx": gpu.backward(there[1])}, {"dx": cpu.backward(t)}, gradients)
    without_norm = {
        name: array for name, array in cpu.gradients().items() if not name.startswith("conv") or name.endswith("weight")
    }  # what is left of a bias before batch norm is rounding
    assert_close({name: gpu.gradients()[name] for name in without_norm}, without_norm, gradients)
    optimizers = tc.SGDM(1e-4), tc.SGDM(1e-4)
    for _ in range(20):
        cpu.train_step(x, t, optimizers[0])
        gpu.train_step(*there, optimizers[1])
    assert gpu.recorder.obstacle == ""
    assert_close(gpu, cpu, weights)
    assert_close({"p": gpu.predict(there[0])}, {"p": cpu.predict(x)}, weights)


@pytest.mark.gpu
@pytest.mark.parametrize("recorded", [True, False])
def test_same_seed_same_bits(cupy, recorded):
    runs = [trainer(paper(dropout=True).to("cuda"), batch_norm="population") for _ in range(2)]
    if not recorded:  # the other run is; so this holds replays and steps equal too
        runs[1].net.recorder.enabled = False
    for run in runs:
        run.fit((IMAGES, LABELS), (IMAGES[:7], LABELS[:7]), epochs=3)
    assert runs[0].net.recorder.obstacle == ""
    assert [(row["loss"], row["accuracy"], row["validation_loss"]) for row in runs[0].history] == [
        (row["loss"], row["accuracy"], row["validation_loss"]) for row in runs[1].history
    ]
    assert_close(runs[0].net, runs[1].net, 0)


@pytest.mark.gpu
def test_resumed_training_gives_the_same_bits(cupy, tmp_path):
    whole, first, second = (trainer(paper(dropout=True, seed=seed).to("cuda")) for seed in (0, 0, 7))
    whole.fit((IMAGES, LABELS), epochs=3)
    first.fit((IMAGES, LABELS), epochs=1)
    first.save_checkpoint(tmp_path / "last.safetensors")
    second.resume(tmp_path / "last.safetensors")
    second.fit((IMAGES, LABELS), epochs=3)
    assert_close(second.net, whole.net, 0)


@pytest.mark.gpu
@pytest.mark.parametrize(("here", "there"), [("cpu", "cuda"), ("cuda", "cpu")])
def test_what_one_side_saves_the_other_loads(cupy, tmp_path, here, there):
    net = paper().to(here)
    trainer(net).fit((IMAGES, LABELS), epochs=1)
    net.save(tmp_path / "net.safetensors")
    loaded = tc.load(tmp_path / "net.safetensors", there)
    assert (net.device, loaded.device) == (here, there)
    assert_close(loaded, net, 0)
    x = {side: backend.to_device(IMAGES[:5], side) for side in ("cpu", "cuda")}
    assert_close({"p": loaded.predict(x[there])}, {"p": net.predict(x[here])}, 1e-3)


@pytest.mark.gpu
def test_running_out_of_memory(cupy):
    net, pool = paper().to("cuda"), cupy.get_default_memory_pool()
    x, t = cupy.asarray(np.tile(IMAGES, (8, 1, 1, 1))), cupy.asarray(np.tile(LABELS, 8))
    pool.free_all_blocks()
    pool.set_limit(size=2**28)
    try:
        with pytest.raises(MemoryError, match="no room for 192 images at a time: Out of memory .* in layer 'conv_1"):
            net.train_step(x, t, tc.SGDM())
    finally:
        pool.set_limit(size=0)
    assert net.train_step(x, t, tc.SGDM()) > 0


@pytest.mark.gpu
def test_tf32_is_coarser_and_off_at_first(cupy):
    if float(cupy.cuda.Device().compute_capability) < 80:
        pytest.skip("this GPU has no TF32")
    a = RNG.standard_normal((512, 512), dtype=np.float32)
    exact, errors = a.astype(np.float64) @ a, []
    for precision in (None, "tf32", "float32"):
        if precision:
            backend.set_precision(precision)
        errors.append(np.abs((cupy.asarray(a) @ cupy.asarray(a)).get() - exact).max())
    assert errors[0] == errors[2] < 1e-4 < errors[1] < 0.5
