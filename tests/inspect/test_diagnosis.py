"""Diagnoses: histories and networks with one thing wrong each, and its number."""

import copy
import math

import numpy as np
import pytest

import tinycnn as tc
from tests.inspect.networks import nested_network
from tinycnn import inspect
from tinycnn.inspect.network_checks import update_ratios

RNG = np.random.default_rng(0)
X, T = RNG.normal(3, 2, (6, 3, 12, 12)), np.array([0, 1, 2, 0, 1, 2])


def history(losses, accuracies=None, validation=None, validation_accuracy=None):
    count = len(losses)
    validation, validation_accuracy = validation or {}, validation_accuracy or {}
    return [
        {
            "epoch": 1,
            "iteration": i + 1,
            "learning_rate": 0.01,
            "loss": losses[i],
            "accuracy": (accuracies or [None] * count)[i],
            "validation_loss": validation.get(i + 1),
            "validation_accuracy": validation_accuracy.get(i + 1),
        }
        for i in range(count)
    ]


FALLING = list(np.linspace(1, 0.2, 40))


def found(rows, net=None, *data, **options):
    return [(f.check, f.value) for f in inspect.diagnose(rows, net or nested_network(), *data, **options)]


def test_a_good_training_has_no_findings_and_says_what_was_not_looked_at():
    diagnosis = inspect.diagnose(history(FALLING), nested_network())
    assert diagnosis == [] and diagnosis.checked == ["loss", "weights"]
    assert repr(diagnosis).startswith(
        "Nothing wrong was found in: loss, weights.\nNot looked at: overfitting (validate"
    )


def test_a_loss_that_explodes_stands_still_vanishes_or_is_none():
    exploded = FALLING + [5.0] * 10  # 50 rows: the tenths before the last have means down to that of rows 36–40
    lowest = np.mean(FALLING[35:40])
    assert found(history(exploded)) == [("loss", pytest.approx(5 / lowest))]
    assert found(history([1.0] * 20 + [0.99] * 20)) == [("loss", pytest.approx(0.99))]
    assert found(history([*FALLING, *[1e-6] * 20]))[0] == ("loss", pytest.approx(1e-6))
    ((check, value),) = found(history([1.0, math.nan, math.nan]))
    assert check == "loss" and math.isnan(value)
    assert "from iteration 2 on" in repr(inspect.diagnose(history([1.0, math.inf]), nested_network()))


def test_overfitting_is_told_from_a_training_that_failed_altogether():
    turned = {10: 0.9, 20: 0.5, 30: 0.6, 40: 0.8}
    assert found(history(FALLING, validation=turned)) == [("overfitting", pytest.approx(0.8 / 0.5))]
    assert found(history(FALLING, validation={10: 0.9, 40: 0.5})) == []
    exploding = history(FALLING + [5.0] * 10, validation={**turned, 50: 9.0})
    assert [check for check, _ in found(exploding)] == ["loss"]
    rows = history(FALLING, [0.95] * 40, {10: 0.9, 40: 0.5}, {10: 0.6, 40: 0.7})
    assert found(rows) == [("overfitting", pytest.approx(0.25))]


def test_dead_channels_are_counted_over_all_images():
    net = nested_network()
    net["norm"].parameters["weight"][:3] = 0
    net["norm"].parameters["bias"][:3] = -1, 1, -1e-9  # dead, always on, dead
    diagnosis = inspect.diagnose(history(FALLING), net, X)
    assert ("dead ReLUs", 0.5) in [(f.check, f.value) for f in diagnosis]
    assert "2 of the 4 channels of relu are dead, 0 for all 6 images" in repr(diagnosis)
    alive = inspect.activations(net, X, "relu").max(axis=(0, 2, 3)) > 0
    assert list(alive) == [False, True, False, True]


def test_a_channel_that_one_image_turns_on_is_alive_whatever_the_batch():
    net = tc.Sequential([tc.ImageInput((1, 1, 1)), tc.ReLU(name="relu")])
    x = -np.ones((130, 1, 1, 1))
    assert found(history(FALLING), net, x) == [("dead ReLUs", 1.0)]
    x[70] = 1
    assert found(history(FALLING), net, x) == []


def test_update_ratios_are_those_of_a_real_step():
    net, optimizer = nested_network(dropout=0.3), tc.Adam(lr=0.02)
    net.train_step(X, T, optimizer)
    ratios = update_ratios(net, 0.5, X, T, optimizer)
    twin = copy.deepcopy(net)
    before, state = twin.state_dict(), {name: array.copy() for name, array in optimizer.state.items()}
    twin.train_step(X, T, copy.deepcopy(optimizer))
    for name, ratio in ratios.items():
        step = np.linalg.norm(twin.parameters()[name] - before[name])
        assert ratio == pytest.approx(step / np.linalg.norm(before[name])), name
    assert set(ratios) == {n for n in before if n.endswith("weight") and "norm" not in n}
    assert all(np.array_equal(array, optimizer.state[name]) for name, array in state.items())
    assert all(np.array_equal(before[name], array) for name, array in net.state_dict().items())


def test_without_an_optimizer_the_ratio_is_plain_gradient_descents():
    net = nested_network()
    assert update_ratios(net, 0.5) == {}
    net.forward(X, training=True)
    net.backward(T)
    before = net.state_dict()
    ratios = update_ratios(net, 0.5)
    tc.SGDM(lr=0.5, momentum=0, weight_decay=0).step(net)
    for name, ratio in ratios.items():
        step = np.linalg.norm(net.parameters()[name] - before[name])
        assert ratio == pytest.approx(step / np.linalg.norm(before[name]))


def test_steps_too_small_or_too_large_are_named():
    for lr, words in ((1e-9, "it hardly learns"), (1e3, "lower the learning rate")):
        net = nested_network()
        diagnosis = inspect.diagnose(history(FALLING), net, X, T, optimizer=tc.SGDM(lr=lr, weight_decay=0))
        sentences = [f.sentence for f in diagnosis if f.check == "updates"]
        assert any("conv.weight" in s and words in s for s in sentences)


def test_weights_that_are_no_numbers_and_an_empty_history():
    net = nested_network()
    net["fc"].parameters["weight"][0, :3] = np.nan
    assert ("weights", 3) in found(history(FALLING), net)
    with pytest.raises(ValueError, match="the history is empty"):
        inspect.diagnose([], net)


def test_what_a_trainer_returns_can_be_diagnosed():
    net = nested_network(dtype=np.float32)
    optimizer = tc.SGDM(lr=0.01)
    rows = tc.Trainer(net, optimizer, batch_size=3, progress=False).fit((X, T), validation=(X, T), epochs=3)
    diagnosis = inspect.diagnose(rows, net, X, T, optimizer=optimizer)
    assert diagnosis.unchecked == []
