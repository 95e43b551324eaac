"""When train steps on a GPU are replays of a recording, and that these do what the steps would have done.

The GPU is make-believe, and the network's step stands for a real one: it launches work that reads the batch, draws a
number, uses the learning rate, and changes weights in place.
"""

import copy

import numpy as np
import pytest

import tinycnn as tc
from tests import fake_cuda
from tinycnn.kernels.gpu.replay import Recording, device_scalar, device_values, matmul

RNG = np.random.default_rng(3)
WARMING = "the kernels are warming up"


class Net(tc.Sequential):
    """Its step waits for the device where `waits`; `attempts` counts how often Python went through it."""

    waits, attempts = False, 0

    def _step(self, x, t, optimizer):
        self.attempts += 1
        stream, xp = fake_cuda.cupy.cuda.get_current_stream(), fake_cuda.cupy
        weight, n = self.parameters()["fc.weight"], len(x)
        rate = device_values(lambda: [optimizer.lr * optimizer.lr_scale], np.float32)
        noise = device_scalar(lambda: self.rng.integers(2**40), np.int64)
        loss, p, gradient = xp.empty(()), xp.empty((n, 2)), xp.empty(weight.shape)
        rows = xp.empty((n, 4), np.float32)
        rows[...] = x.reshape(n, -1)
        product = matmul(rows, weight.T)
        if self.waits:
            stream.synchronize()

        def kernel():
            p[...] = product
            loss[...] = product.sum() + t.sum()
            gradient[...] = x.mean() + noise % 7
            weight[...] -= rate * gradient

        stream.put(kernel)
        self.layers[1].gradients["weight"] = gradient
        optimizer.steps += 1
        return loss, p


@pytest.fixture(params=[True, False], ids=["at once", "late"])
def cuda(request, monkeypatch):
    cupy = fake_cuda.install(monkeypatch, eager=request.param)
    monkeypatch.setattr(tc.kernels, "for_array", lambda *arrays: tc.kernels.named("gpu"))
    return cupy


def make(kind=Net, *between) -> tc.Sequential:
    layers = [
        tc.ImageInput((1, 2, 2)),
        tc.FullyConnected(2, name="fc"),
        *between,
        tc.Softmax(),
        tc.ClassificationOutput(),
    ]
    net = kind(layers, seed=1)
    return net.to("cuda") if kind is Net else net


def batch(n=4):
    xp = fake_cuda.cupy
    return xp.asarray(RNG.random((n, 1, 2, 2)).astype(np.float32)), xp.asarray(RNG.integers(0, 2, n))


def test_replays_do_what_the_steps_would_have_done(cuda):
    recorded, plain = make(), make()
    optimizers = tc.SGDM(lr=0.5), tc.SGDM(lr=0.5)
    obstacles = []
    for step in range(8):
        x, t = batch()
        for optimizer in optimizers:
            optimizer.lr_scale = 0.5 if step > 4 else 1.0
        loss, p = recorded.train_step(x, t, optimizers[0], return_output=True, checked=True)
        expected_loss, expected_p = plain._step(x, t, optimizers[1])
        assert loss == float(expected_loss) and optimizers[0].steps == step + 1
        np.testing.assert_array_equal(p.get(), expected_p.get())
        for a, b in ((recorded.parameters(), plain.parameters()), (recorded.gradients(), plain.gradients())):
            np.testing.assert_array_equal(a["fc.weight"].get(), b["fc.weight"].get())
        assert recorded.rng.bit_generator.state == plain.rng.bit_generator.state
        obstacles.append(recorded.recorder.obstacle)
    assert obstacles == [WARMING] * 2 + [""] * 6
    assert recorded.attempts == 3  # two warm-up steps and the recording


def test_training_feeds_the_network_and_replays_its_steps(cuda):
    x, t = RNG.integers(0, 9, (22, 1, 2, 2), dtype=np.uint8), RNG.integers(0, 2, 22)
    nets, optimizers = (make(), make()), (tc.SGDM(lr=0.01), tc.SGDM(lr=0.01))
    history = tc.Trainer(nets[0], optimizers[0], batch_size=4, drop_last=False, seed=2).fit((x, t), epochs=3)
    losses, accuracies = [], []
    batches = tc.Batches(tc.Dataset(x, t), 4, drop_last=False, seed=2)
    for epoch in (1, 2, 3):
        for images, labels in batches.epoch(epoch):
            loss, p = nets[1]._step(*map(cuda.asarray, (images, labels)), optimizers[1])
            losses.append(float(loss))
            accuracies.append((p.get().argmax(axis=1) == labels).mean())
    assert [row["loss"] for row in history] == losses and [row["accuracy"] for row in history] == accuracies
    assert len(history) == 18 and nets[0].attempts == 3 + 3  # warm-up and recording, and the three smaller batches


def test_the_output_of_a_replay_is_not_overwritten_by_the_next(cuda):
    net, optimizer = make(), tc.SGDM()
    outputs = [net.train_step(*batch(), optimizer, return_output=True, checked=True)[1] for _ in range(6)]
    assert len({array.get().tobytes() for array in outputs}) == 6


def replaying(net, optimizer) -> bool:
    net.train_step(*batch(), optimizer, checked=True)
    return not net.recorder.obstacle


@pytest.fixture
def ready(cuda):
    """A network and an optimizer whose steps are replays, and the layer of dropout between."""
    dropout = tc.Dropout(0.5)
    net, optimizer = make(Net, dropout), tc.SGDM()
    optimizer.state["velocity/fc.weight"] = fake_cuda.cupy.zeros((2, 4))
    assert [replaying(net, optimizer) for _ in range(3)] == [False, False, True]
    return net, optimizer, dropout


@pytest.mark.parametrize(
    "change",
    [
        lambda net, optimizer, dropout: setattr(dropout, "rate", 0.25),
        lambda net, optimizer, dropout: setattr(optimizer, "weight_decay", 0.1),
        lambda net, optimizer, dropout: net.layers[1].l2_factors.update(bias=2),
        lambda net, optimizer, dropout: setattr(net.layers[-1], "class_weights", [1.0, 2.0]),
        lambda net, optimizer, dropout: optimizer.state.update({"velocity/fc.weight": fake_cuda.cupy.zeros((2, 4))}),
        lambda net, optimizer, dropout: net.to("cpu").to("cuda"),
        lambda net, optimizer, dropout: net.astype(np.float64),
        lambda net, optimizer, dropout: tc.backend.set_precision("tf32"),
    ],
    ids=["dropout", "optimizer", "factor", "class weights", "memory", "device", "dtype", "precision"],
)
def test_a_change_ends_the_replays_and_begins_new_ones(ready, change):
    change(*ready)
    assert [replaying(*ready[:2]) for _ in range(4)] == [False, False, True, True]


def test_new_contents_and_rates_need_no_new_recording(ready):
    net, optimizer, _ = ready
    attempts = net.attempts
    net.load_state_dict({name: array.get() * 2 for name, array in net.state_dict().items()})
    optimizer.lr, optimizer.lr_scale = 0.25, 0.5
    before = net.parameters()["fc.weight"].get()
    assert replaying(net, optimizer) and net.attempts == attempts
    gradient = net.gradients()["fc.weight"].get()
    np.testing.assert_allclose(net.parameters()["fc.weight"].get(), before - 0.125 * gradient, rtol=1e-6)


def test_a_smaller_batch_in_between_keeps_the_recording(ready):
    net, optimizer, _ = ready
    net.train_step(*batch(3), optimizer, checked=True)
    assert net.recorder.obstacle == WARMING
    eager = net.gradients()["fc.weight"]
    assert replaying(net, optimizer)
    assert net.gradients()["fc.weight"] is not eager  # but what the replay computed


def test_a_step_that_waits_is_made_as_ever(cuda):
    net, plain, optimizers = make(), make(), (tc.SGDM(), tc.SGDM())
    net.waits = plain.waits = True
    for step in range(5):
        x, t = batch()
        assert net.train_step(x, t, optimizers[0], checked=True) == float(plain._step(x, t, optimizers[1])[0])
        assert optimizers[0].steps == step + 1
    assert net.recorder.obstacle == "a step could not be recorded: the current stream is capturing"
    assert net.attempts == 6  # one vain attempt, not one a step
    assert net.rng.bit_generator.state == plain.rng.bit_generator.state
    assert cuda.cuda.get_current_stream().capturing is None


class OwnLayer(tc.ReLU):
    pass


class OwnOptimizer(tc.SGDM):
    pass


@pytest.mark.parametrize(
    ("layers", "optimizer", "words"),
    [
        ((), tc.SGDM(max_grad_norm=1), "clipping gradients"),
        ((OwnLayer(),), tc.SGDM(), "OwnLayer is not tinycnn's"),
        ((), OwnOptimizer(), "OwnOptimizer is not tinycnn's"),
    ],
)
def test_what_is_never_recorded(cuda, layers, optimizer, words):
    net = make(Net, *layers)
    assert not any(replaying(net, optimizer) for _ in range(4))
    assert words in net.recorder.obstacle and net.attempts == 4


def test_other_kernels_are_never_recorded(cuda, monkeypatch):
    monkeypatch.setattr(tc.kernels, "for_array", lambda *arrays: tc.kernels.reference)
    net = make()
    assert not any(replaying(net, tc.SGDM()) for _ in range(4))
    assert net.recorder.obstacle == "the kernels in use are not those for the GPU"


def test_a_copied_network_begins_anew(ready):
    assert copy.deepcopy(ready[0].recorder).obstacle == "no step was made on a GPU yet"


def test_a_network_on_the_cpu_knows_of_no_recordings():
    net = make(tc.Sequential)
    net.train_step(np.ones((2, 1, 2, 2)), np.array([0, 1]), tc.SGDM())
    assert net.recorder.obstacle == "no step was made on a GPU yet"


def test_class_weights_are_copied_to_the_device_once(cuda):
    output = tc.ClassificationOutput(class_weights=[1, 2])
    p = cuda.ones((3, 2))
    assert output.weights(p) is output.weights(p) and isinstance(output.weights(p), fake_cuda.Array)
    assert output.weights(np.ones((3, 2))).tolist() == [1, 2]


def test_values_on_the_device(monkeypatch):
    assert device_scalar(lambda: 3, np.int64, like=np.ones(1)).tolist() == [3]
    assert isinstance(device_values(lambda: [1, 2], np.float32, like=np.ones(1)), np.ndarray)
    fake_cuda.install(monkeypatch)
    assert isinstance(device_scalar(lambda: 3, np.int64), fake_cuda.Array)


def test_replays_in_a_row_each_have_their_own_values(monkeypatch):
    cupy = fake_cuda.install(monkeypatch, eager=False)
    numbers, seen = iter(range(10)), []

    def work():
        value = device_scalar(lambda: next(numbers), np.int64)
        cupy.cuda.get_current_stream().put(lambda: seen.append(int(np.asarray(value)[0])))

    recording = Recording(work, cupy)
    for _ in range(4):
        recording()
    cupy.cuda.get_current_stream().synchronize()
    assert seen == [0, 1, 2, 3]


def test_too_many_values(monkeypatch):
    cupy = fake_cuda.install(monkeypatch)
    with pytest.raises(RuntimeError, match="room for 16,384 bytes of changing numbers"):
        Recording(lambda: device_values(lambda: np.zeros(3000), np.float64), cupy)
