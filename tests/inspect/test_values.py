"""Activations, gradients, scores and filters: PyTorch's, and the network is left as it was."""

import threading

import numpy as np
import pytest

import tinycnn as tc
from tests.inspect.networks import in_torch, nested_network
from tinycnn import inspect

X = np.random.default_rng(0).normal(3, 2, (2, 3, 12, 12))


def everything(net):
    """All that a look inside must not change."""
    layers = [layer for _, layer in net.simple_layers()]
    return (
        net.state_dict(),
        [layer.cache for layer in layers],
        [dict(layer.gradients) for layer in layers],
        net.rng.bit_generator.state,
    )


def assert_untouched(before, after):
    for name, array in before[0].items():
        assert np.array_equal(array, after[0][name]), name
    assert all(a is b for a, b in zip(before[1], after[1], strict=True))
    for a, b in zip(before[2], after[2], strict=True):
        assert a.keys() == b.keys() and all(a[name] is b[name] for name in a)
    assert before[3] == after[3]


@pytest.mark.parametrize("training", [False, True])
def test_activations_and_gradients_are_pytorchs_in_every_layer(training):
    torch = pytest.importorskip("torch")
    net, target = nested_network(), [2, 0]
    x = torch.tensor(X, requires_grad=True)
    outputs = in_torch(net, x, training)
    score = outputs["fc"][[0, 1], target].sum()
    for name, y in outputs.items():
        np.testing.assert_allclose(inspect.activations(net, X, name, training=training), y.detach().numpy(), atol=1e-12)
        (expected,) = torch.autograd.grad(score, y, retain_graph=True)
        found = inspect.gradients(net, X, name, target, training=training)
        np.testing.assert_allclose(found, expected.numpy(), atol=1e-12, err_msg=name)
    (expected,) = torch.autograd.grad(score, x)
    np.testing.assert_allclose(inspect.gradients(net, X, None, target, training=training), expected.numpy(), atol=1e-12)
    np.testing.assert_allclose(inspect.logits(net, X, batch_size=1), in_torch(net, x)["fc"].detach().numpy())


def test_layers_by_number_are_those_of_net_layers():
    net = nested_network()
    for number, layer in enumerate(net.layers):
        assert np.array_equal(inspect.activations(net, X, number), inspect.activations(net, X, str(layer.name)))
    np.testing.assert_allclose(inspect.activations(net, X, -1), net.predict(X), rtol=1e-12)


@pytest.mark.parametrize("kept", [False, True])
def test_nothing_is_left_behind(kept):
    net = nested_network(dropout=0.5)
    if kept:  # what a forward and backward pass left must stay, too
        net.forward(X, training=True)
        net.backward([0, 1])
    before = everything(net)
    inspect.activations(net, X, "block.relu", training=True)
    inspect.gradients(net, X, "stage.pool", 1, training=True)
    inspect.logits(net, X)
    inspect.integrated_gradients(net, X, 0, steps=2)
    inspect.grad_cam(net, X, "block", 0)
    inspect.relevance_map(net, X, "stage")
    inspect.maximize(net, "conv", 0, steps=2)
    inspect.sanity_check(lambda net, x: inspect.saliency(net, x, 0), net, X)
    inspect.diagnose([{"iteration": 1, "loss": 1.0, "learning_rate": 0.1}], net, X, [0, 1], optimizer=tc.SGDM(lr=0.1))
    assert_untouched(before, everything(net))
    if kept:
        net.backward([0, 1])


def test_what_is_returned_belongs_to_the_caller():
    net, x = tc.Sequential([tc.ImageInput((1, 2, 2), name="input"), tc.ReLU()]), np.ones((1, 1, 2, 2), np.float32)
    inspect.activations(net, x, "input")[...] = 7
    inspect.filters(nested_network(), "conv")[...] = 7
    assert (x == 1).all()


def test_dropout_draws_what_the_network_would_draw_next():
    net = nested_network(dropout=0.5)
    seen = inspect.activations(net, X, "dropout", training=True)
    assert (seen == 0).mean() > 0.3
    assert np.array_equal(seen, inspect.activations(net, X, "dropout", training=True))
    net.forward(X, training=True)
    assert np.array_equal(seen == 0, net["dropout"].cache == 0)


def test_another_threads_training_is_not_disturbed():
    def trained(look):
        net, t, stop = nested_network(dropout=0.5), np.array([0, 1]), threading.Event()

        def watch():
            while not stop.is_set():
                inspect.gradients(net, X, "block", 0, training=True)

        watcher = threading.Thread(target=watch)
        if look:
            watcher.start()
        for _ in range(20):
            net.forward(X, training=True)
            net.backward(t)
            net.train_step(X, t, tc.SGDM(lr=0.01))
        stop.set()
        if look:
            watcher.join()
        return net.state_dict()

    alone, watched = trained(False), trained(True)
    assert all(np.array_equal(alone[name], watched[name]) for name in alone)


def test_the_score_is_the_logit_however_the_network_ends():
    net, bare = nested_network(), nested_network(ends=False)
    assert np.array_equal(inspect.logits(net, X), bare.predict(X))
    blocks = tc.Sequential([tc.ImageInput((1, 2, 2)), tc.Sequential([tc.FullyConnected(3, name="fc"), tc.Softmax()])])
    x = np.ones((1, 1, 2, 2), np.float32)
    np.testing.assert_allclose(inspect.logits(blocks, x), x.reshape(1, 4) @ blocks[1]["fc"].parameters["weight"].T)


def test_a_number_of_an_image_can_be_the_target():
    net = tc.Sequential([tc.ImageInput((1, 4, 4)), tc.Conv2D(2, 3, name="conv")], dtype=np.float64)
    dx = inspect.gradients(net, np.ones((1, 1, 4, 4)), None, (1, 0, 1))
    expected = np.zeros((4, 4))
    expected[:3, 1:] = net["conv"].parameters["weight"][1, 0]
    assert np.array_equal(dx[0, 0], expected)


@pytest.mark.parametrize("target", [3, -1, 0.5, "a", [0, 1, 2], (0, 0)])
def test_a_target_that_does_not_exist_is_refused(target):
    with pytest.raises(ValueError, match="target is"):
        inspect.gradients(nested_network(), X, None, target)


def test_layers_that_do_not_exist_or_come_too_late_are_refused():
    net = nested_network()
    with pytest.raises(KeyError, match="no layer is called 'nothing'"):
        inspect.activations(net, X, "nothing")
    with pytest.raises(IndexError, match="layers 0 to 9"):
        inspect.activations(net, X, 10)
    with pytest.raises(TypeError, match="give a name or a number"):
        inspect.activations(net, X, net["conv"])
    for late in ("softmax", "output"):
        with pytest.raises(ValueError, match="comes after the scores"):
            inspect.gradients(net, X, late, 0)
    with pytest.raises(ValueError, match="has no filters"):
        inspect.filters(net, "relu")


def test_a_network_that_computes_in_its_own_way_is_refused():
    class Twice(tc.Sequential):
        def forward(self, x, training=False):
            return 2 * super().forward(x, training)

    net = Twice([tc.ImageInput((1, 2, 2)), tc.FullyConnected(2)])
    for look in (inspect.logits, lambda net, x: inspect.activations(net, x, 0)):
        with pytest.raises(TypeError, match="Twice has a forward or backward of its own"):
            look(net, np.ones((1, 1, 2, 2)))
