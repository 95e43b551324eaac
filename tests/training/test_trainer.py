"""The training loop: same seed, same bits; resumed, same bits; validation, statistics and errors."""

import json
import time

import numpy as np
import pytest

import tinycnn as tc
from tinycnn.training.class_priors import correct_class_priors
from tinycnn.training.history import COLUMNS

RNG = np.random.default_rng(23)
X = RNG.integers(0, 256, (22, 1, 8, 8), dtype=np.uint8)
T = RNG.integers(0, 3, 22)
VALIDATION = (RNG.integers(0, 256, (7, 1, 8, 8), dtype=np.uint8), RNG.integers(0, 3, 7))


def make(seed: int = 0, **options) -> tc.Sequential:
    return tc.Sequential(
        [
            tc.ImageInput((1, 8, 8), normalization="zerocenter", name="input"),
            tc.Conv2D(4, 3, name="conv"),
            tc.BatchNorm2D(name="norm"),
            tc.ReLU(),
            tc.MaxPool2D(2),
            tc.Dropout(0.3),
            tc.FullyConnected(3, name="fc"),
            tc.Softmax(),
            tc.ClassificationOutput(),
        ],
        seed=seed,
        **options,
    )


def trainer(net: tc.Sequential | None = None, optimizer: tc.Optimizer | None = None, **options) -> tc.Trainer:
    options = {"batch_size": 5, "drop_last": True, **options}  # 4 batches an epoch, and 2 images left
    return tc.Trainer(net or make(), optimizer or tc.SGDM(0.01, weight_decay=1e-3), **options)


def same(a: tc.Sequential, b: tc.Sequential) -> bool:
    a, b = a.state_dict(), b.state_dict()
    return a.keys() == b.keys() and all(np.array_equal(a[name], b[name]) for name in a)


def without_seconds(history):
    return [{name: value for name, value in row.items() if name != "seconds"} for row in history]


@pytest.fixture
def threads():
    before = tc.get_num_threads()
    yield tc.set_num_threads
    tc.set_num_threads(before)


def test_same_seed_same_bits_for_any_number_of_threads(threads):
    runs = []
    for n in (1, 2, 2):
        threads(n)
        run = trainer()
        run.fit((X, T), VALIDATION, epochs=2)
        runs.append(run)
    for other in runs[1:]:
        assert same(runs[0].net, other.net)
        assert without_seconds(runs[0].history) == without_seconds(other.history)


@pytest.mark.parametrize("other", [trainer(make(seed=1)), trainer(seed=1)], ids=["network", "order"])
def test_another_seed_differs(other):
    run = trainer()
    for each in (run, other):
        each.fit((X, T), epochs=1)
    assert not same(run.net, other.net)


@pytest.mark.parametrize(
    "optimizer", [lambda: tc.SGDM(0.01, momentum=0.9, weight_decay=1e-3), lambda: tc.Adam(0.01, weight_decay=1e-3)]
)
@pytest.mark.parametrize("batch_norm", ["moving", "population"])
def test_exact_resume(tmp_path, optimizer, batch_norm):
    options = {"batch_norm": batch_norm, "schedule": tc.PiecewiseSchedule(0.5, 1), "validation_every": 3}
    whole = trainer(make(), optimizer(), **options)
    whole.fit((X, T), VALIDATION, epochs=4)
    first = trainer(make(), optimizer(), **options, callbacks=[tc.Checkpoint(tmp_path), Interrupt(after_iteration=10)])
    with pytest.raises(KeyboardInterrupt):  # in the middle of the third epoch
        first.fit((X, T), VALIDATION, epochs=4)
    second = trainer(make(seed=99), optimizer(), **options)
    second.resume(tmp_path / "last.safetensors")
    assert (second.epoch, second.iteration) == (2, 8) and second.history == first.history[:8]
    second.fit((X, T), VALIDATION, epochs=4)
    assert same(second.net, whole.net)
    assert without_seconds(second.history) == without_seconds(whole.history)
    assert second.seconds > second.history[7]["seconds"] and second.optimizer.steps == 16


@pytest.mark.parametrize("balanced", [False, True])
@pytest.mark.parametrize("batch_norm", ["moving", "population"])
def test_training_goes_on_after_a_finished_fit(tmp_path, batch_norm, balanced):
    options = {"batch_norm": batch_norm, "balanced": balanced}
    whole, first, second = trainer(**options), trainer(**options), trainer(make(seed=99), **options)
    whole.fit((X, T), VALIDATION, epochs=3)
    first.fit((X, T), VALIDATION, epochs=1)
    first.save_checkpoint(tmp_path / "checkpoint.safetensors")
    second.resume(tmp_path / "checkpoint.safetensors")
    for part in (first, second):
        part.fit((X, T), VALIDATION, epochs=3)
        assert same(part.net, whole.net) and without_seconds(part.history) == without_seconds(whole.history)


def test_weights_changed_after_a_finished_fit_stay_changed():
    run = trainer(balanced=True)
    run.fit((X, T), epochs=1)
    bias = np.array([7.0, 8.0, 9.0])
    run.net.load_state_dict({**run.net.state_dict(), "fc.bias": bias})
    run._undo_end()
    np.testing.assert_array_equal(run.net.state_dict()["fc.bias"], bias)


def test_a_finished_checkpoint_of_an_earlier_version_cannot_be_lengthened(tmp_path):
    run = trainer(batch_norm="population")
    run.fit((X, T), epochs=1)
    run._end_changed = None  # what such a checkpoint tells
    run.save_checkpoint(tmp_path / "checkpoint.safetensors")
    again = trainer(batch_norm="population")
    again.resume(tmp_path / "checkpoint.safetensors")
    with pytest.warns(UserWarning, match="nothing to do"):
        again.fit((X, T), epochs=1)
    with pytest.raises(ValueError, match="ended after epoch 1 did not keep its batch norm averages"):
        again.fit((X, T), epochs=2)


class Interrupt(tc.Callback):
    def __init__(self, after_iteration: int):
        self.after_iteration = after_iteration

    def on_iteration_end(self, trainer):
        if trainer.iteration == self.after_iteration:
            raise KeyboardInterrupt


class Stop(Interrupt):
    def on_iteration_end(self, trainer):
        trainer.stopping |= trainer.iteration == self.after_iteration


def test_stopping_ends_after_the_iteration():
    run = trainer(callbacks=[Stop(after_iteration=6)])
    assert len(run.fit((X, T), epochs=5)) == 6
    assert len(run.fit((X, T), epochs=3)) == 6 + 4  # goes on with the epoch after


def test_resume_errors(tmp_path):
    make().save(tmp_path / "network.safetensors")
    with pytest.raises(ValueError, match="holds no training state: resume from a checkpoint"):
        trainer().resume(tmp_path / "network.safetensors")
    with pytest.raises(FileNotFoundError):
        trainer().resume(tmp_path / "missing.safetensors")
    run = trainer()
    run.fit((X, T), epochs=1)
    run.save_checkpoint(tmp_path / "last.safetensors")
    stranger = tc.Sequential([tc.ImageInput((1, 8, 8)), tc.FullyConnected(3), tc.Softmax(), tc.ClassificationOutput()])
    with pytest.raises(ValueError, match="does not belong to this network"):
        trainer(stranger).resume(tmp_path / "last.safetensors")
    assert same(tc.load(tmp_path / "last.safetensors"), run.net)


def test_history_and_schedule():
    run = trainer(optimizer=tc.SGDM(0.5), schedule=tc.PiecewiseSchedule(0.2, 1))
    started = time.monotonic()
    history = run.fit((X, T), VALIDATION, epochs=2)
    assert history is run.history and [set(row) for row in history] == [set(COLUMNS)] * 8
    assert [(row["epoch"], row["iteration"]) for row in history] == [(1 + i // 4, 1 + i) for i in range(8)]
    assert [row["learning_rate"] for row in history] == pytest.approx([0.5] * 4 + [0.1] * 4)
    assert [row["validation_loss"] is not None for row in history] == [False, False, False, True] * 2
    seconds = [row["seconds"] for row in history]
    assert seconds == sorted(seconds) and 0 < seconds[-1] <= time.monotonic() - started
    json.dumps(history)


def test_rows_tell_the_loss_and_accuracy_before_the_step():
    run = tc.Trainer(make(), tc.SGDM(0.1), batch_size=22)
    twin = make()
    twin.layers[0].fit(X)
    row = run.fit((X, T), epochs=1)[0]
    order = np.arange(22)
    np.random.default_rng((0, 1)).shuffle(order)
    p = twin.forward(X[order], training=True)
    assert row["loss"] == pytest.approx(-np.log(p[np.arange(22), T[order]]).mean(), rel=1e-5)
    assert row["accuracy"] == (p.argmax(axis=1) == T[order]).mean()


@pytest.mark.parametrize(("drop_last", "steps"), [(True, 4), (False, 5)])
def test_partial_batch(drop_last, steps):
    assert len(trainer(drop_last=drop_last).fit((X, T), epochs=1)) == steps


@pytest.mark.parametrize(("every", "expected"), [(None, [4, 8]), (1, list(range(1, 9))), (3, [3, 6])])
def test_validation_rows(every, expected):
    run = trainer(validation_every=every)
    history = run.fit((X, T), VALIDATION, epochs=2)
    assert [row["iteration"] for row in history if row["validation_accuracy"] is not None] == expected
    if every != 3:
        p = run.net.predict(VALIDATION[0])
        assert history[-1]["validation_accuracy"] == (p.argmax(axis=1) == VALIDATION[1]).mean()
        assert history[-1]["validation_loss"] == pytest.approx(-np.log(p[np.arange(7), VALIDATION[1]]).mean(), rel=1e-5)


def test_validation_does_not_disturb_training():
    a, b = trainer(), trainer(validation_every=1)
    a.fit((X, T), epochs=2)
    b.fit((X, T), VALIDATION, epochs=2)
    assert same(a.net, b.net)


def test_mean_image_is_that_of_the_training_set_only():
    run = trainer()
    run.fit(tc.Dataset(X, T, indices=[1, 3, 5, 8, 13]), (X, T), epochs=1)
    np.testing.assert_allclose(run.net.state_dict()["input.mean"], X[[1, 3, 5, 8, 13]].mean(axis=0), rtol=1e-6)


def test_fine_tuning_keeps_the_mean_image(tmp_path):
    run = trainer()
    run.fit((X, T), epochs=1)
    run.net.save(tmp_path / "net.safetensors")
    mean = run.net.state_dict()["input.mean"]
    loaded = trainer(tc.load(tmp_path / "net.safetensors"))
    loaded.fit((X[:10] // 2, T[:10]), epochs=1)
    np.testing.assert_array_equal(loaded.net.state_dict()["input.mean"], mean)


def test_a_network_saved_before_training_still_gets_its_mean_image(tmp_path):
    make().save(tmp_path / "net.safetensors")
    run = trainer(tc.load(tmp_path / "net.safetensors"))
    run.fit((X, T), epochs=1)
    np.testing.assert_allclose(run.net.state_dict()["input.mean"], X.mean(axis=0), rtol=1e-6)


def test_population_statistics_are_those_of_the_whole_set():
    net = tc.Sequential(
        [tc.ImageInput((2, 3, 3), name="input"), tc.BatchNorm2D(name="norm"), tc.ReLU()], dtype=np.float64
    )
    x = RNG.normal(3, 2, size=(11, 2, 3, 3)) * np.array([1, 5])[:, None, None]
    tc.population_statistics(net, (x, np.zeros(11, int)), batch_size=4)  # batches of 4, 4 and 3
    np.testing.assert_allclose(net.state_dict()["norm.running_mean"], x.mean(axis=(0, 2, 3)), rtol=1e-12)
    np.testing.assert_allclose(net.state_dict()["norm.running_var"], x.var(axis=(0, 2, 3)), rtol=1e-12)
    with pytest.raises(RuntimeError, match=r"call net\.forward"):
        net.backward(x)


def test_population_statistics_of_the_second_norm_by_hand():
    net = tc.Sequential(
        [tc.ImageInput((1, 1, 1)), tc.BatchNorm2D(eps=3, name="first"), tc.Dropout(0.5), tc.BatchNorm2D(name="second")],
        dtype=np.float64,
    )
    net.load_state_dict({**net.state_dict(), "first.weight": [2.0], "first.bias": [1.0]})
    x = np.array([1.0, 3, 10, 16]).reshape(4, 1, 1, 1)
    tc.population_statistics(net, (x, np.zeros(4, int)), batch_size=2)
    state = {name: array.item() for name, array in net.state_dict().items()}
    assert state["first.running_mean"] == 7.5
    assert state["first.running_var"] == pytest.approx((6.5**2 + 4.5**2 + 2.5**2 + 8.5**2) / 4)
    # Each batch of two becomes 1 ± 2·√(v/(v + 3)), where v is its variance. Which two are together is drawn.
    pairings = {"1 3": (1, 9), "1 10": (20.25, 42.25), "1 16": (56.25, 12.25)}  # who is with 1: both batches' variances
    possible = [sum(4 * v / (v + 3) for v in variances) / 2 for variances in pairings.values()]
    assert state["second.running_mean"] == pytest.approx(1)
    assert any(state["second.running_var"] == pytest.approx(variance) for variance in possible)


def test_population_statistics_mix_the_classes_of_sorted_data():
    net = tc.Sequential([tc.ImageInput((1, 1, 1)), tc.BatchNorm2D(name="first"), tc.BatchNorm2D(name="second")])
    x = np.repeat([0.0, 100.0], 8).reshape(16, 1, 1, 1)
    tc.population_statistics(net, (x, np.repeat([0, 1], 8)), batch_size=4)
    assert net.state_dict()["second.running_var"] > 0.5  # a batch of equal images would have none


def test_trainer_sets_population_statistics_at_the_end():
    run = trainer(batch_norm="population")
    run.fit((X, T), VALIDATION, epochs=1)
    net = run.net
    inside = net.layers[1].forward(X.astype(np.float32) - net.state_dict()["input.mean"])
    np.testing.assert_allclose(net.state_dict()["norm.running_mean"], inside.mean(axis=(0, 2, 3)), rtol=1e-3, atol=1e-3)
    np.testing.assert_allclose(net.state_dict()["norm.running_var"], inside.var(axis=(0, 2, 3)), rtol=1e-4)


def test_evaluate():
    net = make()
    net.layers[0].fit(X)
    result = tc.evaluate(net, (X, T), batch_size=6)
    np.testing.assert_allclose(result.probabilities, net.predict(X), rtol=1e-5)
    assert result.accuracy == (net.predict(X).argmax(axis=1) == T).mean()
    assert result.loss == pytest.approx(-np.log(net.predict(X)[np.arange(22), T]).mean(), rel=1e-5)


def test_it_learns():
    t = (X.mean(axis=(1, 2, 3)) > np.median(X.mean(axis=(1, 2, 3)))).astype(int)
    net = make()
    history = tc.Trainer(net, tc.SGDM(0.01), batch_size=11).fit((X, t), epochs=40)
    assert history[-1]["loss"] < 0.5 * history[0]["loss"] and tc.evaluate(net, (X, t)).accuracy > 0.9


def test_a_diverged_loss_is_an_error():
    net = make()
    net.load_state_dict({"fc.bias": np.array([0, np.nan, 0])}, strict=False)
    with pytest.raises(FloatingPointError, match=r"loss is nan at iteration 1: lower the learning rate \(now 0\.3\)"):
        trainer(net, tc.SGDM(0.3)).fit((X, T), epochs=3)


@pytest.mark.parametrize(
    ("data", "validation", "words"),
    [
        ((X[:, :, :7], T), None, r"images have shape \(22, 1, 7, 8\), but the network takes images \(N, 1, 8, 8\)"),
        ((X, np.where(np.arange(22) == 9, 3, T)), None, r"label t\[9\] is 3"),
        ((X, T), (X, T + 1), "the network has 3 classes"),
        ((X[:4], T[:4]), None, "4 images do not fill a batch of 5"),
        ((np.where(np.arange(22)[:, None, None, None] == 7, np.nan, X), T), None, "image 7 holds NaN"),
    ],
)
def test_unfit_data_is_refused_before_the_first_step(data, validation, words):
    run = trainer()
    with pytest.raises(ValueError, match=words):
        run.fit(data, validation, epochs=1)
    assert run.iteration == 0 and same(run.net, make())


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"batch_norm": "average"}, 'choose "moving" or "population"'),
        ({"validation_every": 0}, "validation_every is 0"),
    ],
)
def test_arguments(options, words):
    with pytest.raises(ValueError, match=words):
        trainer(**options)


def test_training_images_are_augmented_and_validation_images_are_not():
    def whiten(x, rng):
        return np.full_like(x, 255)

    run = trainer(make(), augment=whiten)
    run.fit((X, T), VALIDATION, epochs=1)
    plain = tc.evaluate(run.net, VALIDATION)
    assert run.history[-1]["validation_loss"] == pytest.approx(plain.loss)
    white = trainer(make())
    white.fit((X, T), epochs=0)  # the mean image is the training images' own
    np.testing.assert_array_equal(run.net.layers[0].state["mean"], white.net.layers[0].state["mean"])
    white.fit((np.full_like(X, 255), T), epochs=1)
    assert [row["loss"] for row in white.history] == [row["loss"] for row in run.history]


def test_balanced_training_shows_every_class_equally_often():
    seen = []

    class Watch(tc.Callback):
        def on_iteration_end(self, trainer):
            seen.append(trainer.history[-1]["accuracy"])

    class Constant(tc.Sequential):
        """Always answers class 0, so that its accuracy is the share of class 0."""

        def train_step(self, x, t, optimizer, **options):
            return 0.0, np.eye(3)[np.zeros(len(t), int)]

    t = np.array([0] * 2 + [1] * 10 + [2] * 10)
    net = Constant(make().layers)
    tc.Trainer(net, tc.SGDM(), callbacks=[Watch()], batch_size=22, balanced=True).fit((X, t), epochs=3)
    assert seen == pytest.approx([8 / 22] * 3)


def test_frequencies_are_restored_by_bayes_rule():
    net = make()
    net.layers[0].fit(X)
    t = np.array([0] * 2 + [1] * 6 + [2] * 12)
    net.load_state_dict({**net.state_dict(), "fc.weight": net.state_dict()["fc.weight"] / 100})  # no p near 0 or 1
    before = net.predict(X)
    correct_class_priors(net, t)
    weighted = before * np.array([2, 6, 12])
    np.testing.assert_allclose(net.predict(X), weighted / weighted.sum(1, keepdims=True), rtol=1e-4)
    with pytest.raises(ValueError, match="balanced training needs a network that ends in FullyConnected"):
        correct_class_priors(
            tc.Sequential([tc.ImageInput((1, 1, 3)), tc.Flatten(), tc.Softmax(), tc.ClassificationOutput()]), t
        )


def test_a_balanced_training_ends_with_the_frequencies_once(tmp_path):
    run = trainer(balanced=True, callbacks=[tc.Checkpoint(tmp_path, monitor="loss")])
    run.fit((X, T), epochs=2)
    bias = run.net.state_dict()["fc.bias"]
    again = trainer(make(seed=5), balanced=True)
    again.resume(tmp_path / "last.safetensors")
    with pytest.warns(UserWarning, match="nothing to do"):
        again.fit((X, T), epochs=2)
    np.testing.assert_array_equal(again.net.state_dict()["fc.bias"], bias)
    plain = trainer(balanced=True)
    plain._end = lambda data: None
    plain.fit((X, T), epochs=2)
    shift = np.log(3 * np.bincount(T, minlength=3) / len(T))
    np.testing.assert_allclose(bias - plain.net.state_dict()["fc.bias"], shift, rtol=1e-4, atol=1e-5)


def test_evaluation_by_batch_statistics():
    net = make()
    net.layers[0].fit(X)
    net.train_step(X.astype(np.float32), T, tc.SGDM(0.01))
    before = net.state_dict()
    result = tc.evaluate(net, (X, T), batch_size=22, statistics="batch")
    conv, norm = (layer for layer in net.layers if layer.parameters and layer.name != "fc")
    h = conv.forward(X.astype(np.float32) - net.layers[0].state["mean"])
    centred = (h - h.mean((0, 2, 3), keepdims=True)) / np.sqrt(h.var((0, 2, 3), keepdims=True) + norm.eps)
    y = centred * norm.parameters["weight"][:, None, None] + norm.parameters["bias"][:, None, None]
    y = np.maximum(y, 0).reshape(22, 4, 3, 2, 3, 2).max((3, 5))
    scores = y.reshape(22, -1) @ net.parameters()["fc.weight"].T + net.parameters()["fc.bias"]
    p = np.exp(scores) / np.exp(scores).sum(1, keepdims=True)
    np.testing.assert_allclose(result.probabilities, p, rtol=1e-3, atol=1e-5)
    assert same_arrays(before, net.state_dict())  # nothing was learnt from looking
    assert not np.allclose(tc.evaluate(net, (X, T)).probabilities, p, atol=1e-3)


def same_arrays(a, b):
    return all(np.array_equal(a[name], b[name]) for name in a)


# --- Nothing about training is silent ---


def test_by_default_every_image_is_shown():
    seen = []

    class Counting(tc.ClassificationOutput):
        def loss(self, p, t):
            seen.append(len(p))
            return super().loss(p, t)

    net = tc.Sequential([tc.ImageInput((1, 8, 8)), tc.FullyConnected(3), tc.Softmax(), Counting()], fuse=False)
    history = tc.Trainer(net, tc.SGDM(), batch_size=5).fit((X, T), epochs=1)
    assert seen == [5, 5, 5, 5, 2] and len(history) == 5


def test_a_second_fit_with_nothing_to_do_warns_and_says_what_to_do():
    run = trainer()
    run.fit((X, T), epochs=2)
    before = run.net.state_dict()
    with pytest.warns(UserWarning, match=r"fit\(epochs=2\) has nothing to do: 2 epochs are .*give epochs=4$") as record:
        run.fit((X, T), epochs=2)
    assert record[0].filename == __file__ and same_arrays(before, run.net.state_dict()) and run.epoch == 2
    run.fit((X, T), epochs=4)
    assert run.epoch == 4 and len(run.history) == 16


def test_fit_says_in_its_first_line_what_epochs_means():
    first = tc.Trainer.fit.__doc__.splitlines()[0]
    assert "`epochs` epochs are finished in all" in first and "second call" in first


@pytest.mark.parametrize("make_callback", [tc.EarlyStopping, lambda: tc.Checkpoint("unused")])
@pytest.mark.parametrize("monitor", ["validation_loss", "validation_accuracy"])
def test_a_monitor_of_validation_needs_validation_data(tmp_path, make_callback, monitor):
    callback = make_callback()
    callback.monitor, callback.folder, kind = monitor, tmp_path / "run", type(callback).__name__
    run = trainer(callbacks=[callback])
    with pytest.raises(ValueError, match=rf"{kind} follows {monitor}, .*give fit validation=\(x, t\), or {kind} mon"):
        run.fit((X, T), epochs=1)
    assert run.iteration == 0 and same(run.net, make()) and not (tmp_path / "run").exists()
    callback.monitor = "loss"
    assert run.fit((X, T), epochs=1)


def one_value_a_channel(**options) -> tc.Trainer:
    net = tc.Sequential(
        [
            tc.ImageInput((1, 8, 8)),
            tc.Conv2D(4, 8),
            tc.BatchNorm2D(name="norm"),
            tc.FullyConnected(3),
            tc.Softmax(),
            tc.ClassificationOutput(),
        ]
    )
    return tc.Trainer(net, tc.SGDM(), **options)


@pytest.mark.parametrize(
    ("options", "n", "validation"),
    [
        ({"batch_size": 7}, 22, None),
        ({"batch_size": 1}, 22, None),
        ({"batch_size": 7, "drop_last": True, "batch_norm": "population"}, 22, None),
        ({"batch_size": 3, "validation_statistics": "batch"}, 21, VALIDATION),
    ],
)
def test_a_last_batch_of_one_image_is_too_small_for_batch_norm_after_a_single_pixel(options, n, validation):
    run = one_value_a_channel(**options)
    with pytest.raises(ValueError, match="leave a batch of one image, in which batch norm 'norm' has a single value"):
        run.fit((X[:n], T[:n]), validation, epochs=1)
    assert run.iteration == 0


def test_a_last_batch_of_one_image_is_left_out_or_has_many_pixels():
    assert len(one_value_a_channel(batch_size=7, drop_last=True).fit((X, T), epochs=1)) == 3
    assert len(trainer(batch_size=7, drop_last=False).fit((X, T), epochs=1)) == 4


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"schedule": 0.5}, TypeError, r"schedule is 0.5: give a function of \(epoch, epochs\), such as"),
        ({"schedule": 0}, TypeError, "schedule is 0: give a function"),
        ({"schedule": tc.CosineSchedule}, TypeError, r"schedule is the class CosineSchedule: .*CosineSchedule\(…\)$"),
        ({"callbacks": [tc.EarlyStopping]}, TypeError, r"callbacks\[0\] is the class EarlyStopping: .*with brackets"),
        ({"callbacks": tc.EarlyStopping()}, TypeError, "callbacks is an EarlyStopping: give a list, such as"),
        ({"callbacks": tc.EarlyStopping}, TypeError, "callbacks is the class EarlyStopping: give a list"),
        (
            {"callbacks": [print]},
            TypeError,
            r"callbacks\[0\] is a builtin_.*: give an object of a subclass of tc.Callb",
        ),
        ({"validation_every": 2.5}, ValueError, "validation_every is 2.5: give a whole number of iterations"),
    ],
)
def test_what_is_no_schedule_and_no_callback(options, error, words):
    with pytest.raises(error, match=words):
        trainer(**options)


@pytest.mark.parametrize("scale", [None, "1", float("nan"), -1])
def test_a_schedule_that_gives_no_multiplier(scale):
    run = trainer(schedule=lambda epoch, epochs: scale)
    with pytest.raises(ValueError, match="the schedule gives .* for epoch 1: it must give a number ≥ 0"):
        run.fit((X, T), epochs=1)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (((X, T), 0.2), r"^validation is 0.2: give images and labels as one pair \(x, t\), or a Dataset$"),
        (((X, T), X), "^validation is an array of shape .*: give images and labels as one pair"),
        ((X, T), r"^train is an array of shape \(22, 1, 8, 8\): give images and labels as one pair"),
    ],
)
def test_what_is_no_data(arguments, words):
    with pytest.raises(TypeError, match=words):
        trainer().fit(*arguments, epochs=1)


@pytest.mark.parametrize("epochs", [-1, 2.5, "3"])
def test_epochs_that_are_no_number(epochs):
    with pytest.raises(ValueError, match=r"epochs is .*: give a whole number of epochs, at least 0"):
        trainer().fit((X, T), epochs=epochs)


class SquaredError(tc.OutputLayer):
    """L = mean (y − t)²."""

    def forward(self, x, training=False):
        self.cache = x
        return x

    def targets(self, t, n, output_shape):
        return np.asarray(t, np.float32).reshape(n, *output_shape)

    def loss(self, y, t):
        return ((y - t) ** 2).mean()

    def backward(self, t):
        return 2 * (self.cache - t) / t.size


def test_a_regression_has_losses_and_no_accuracy(tmp_path, capsys):
    x = RNG.normal(size=(40, 1, 4, 4)).astype(np.float32)
    t = x.sum(axis=(1, 2, 3))[:, None] * [0.5, -0.25]
    net = tc.Sequential([tc.ImageInput((1, 4, 4)), tc.FullyConnected(2), SquaredError()])
    callbacks = [tc.TrainingTable(), tc.Checkpoint(tmp_path, monitor="validation_loss"), tc.CSVLog(tmp_path / "h.csv")]
    history = tc.Trainer(net, tc.SGDM(0.02), callbacks=callbacks, batch_size=8).fit((x, t), (x, t), epochs=30)
    assert history.last["accuracy"] is history.last["validation_accuracy"] is None
    np.testing.assert_allclose(net.predict(x), t, atol=0.05)
    evaluation = tc.evaluate(net, (x, t))
    assert (
        evaluation.loss == pytest.approx(((net.predict(x) - t) ** 2).mean(), rel=1e-4) and evaluation.accuracy is None
    )
    assert history.best["validation_loss"] == min(row["validation_loss"] or 9 for row in history)
    with pytest.raises(
        ValueError, match='no class labels, so there is no accuracy: give Checkpoint monitor="validation'
    ):
        tc.Trainer(net, tc.SGDM(), callbacks=[tc.Checkpoint(tmp_path)]).fit((x, t), (x, t), epochs=1)


def test_a_network_without_an_output_layer_is_refused_at_once():
    net = tc.Sequential([tc.ImageInput((1, 8, 8)), tc.FullyConnected(3)])
    with pytest.raises(ValueError, match="does not end in an output layer"):
        tc.Trainer(net, tc.SGDM()).fit((X, T), epochs=1)
