"""The network as a whole: building, naming, the three ways to compute, and what is kept between them."""

import numpy as np
import pytest

import tinycnn as tc

RNG = np.random.default_rng(7)
X = RNG.normal(size=(7, 2, 9, 9)).astype(np.float32)
T = RNG.integers(0, 3, size=7)


@pytest.fixture(params=["reference", "cpu"], autouse=True)
def kernel_set(request):
    with tc.kernels.use(request.param):
        yield


def make(seed: int = 0, **options) -> tc.Sequential:
    return tc.Sequential(
        [
            tc.ImageInput((2, 9, 9), normalization="zerocenter", name="input"),
            tc.Conv2D(4, 3, name="conv_1"),
            tc.BatchNorm2D(name="norm"),
            tc.ReLU(),
            tc.MaxPool2D(2, stride=1),
            tc.Conv2D(5, 3, stride=2, name="conv_2"),
            tc.AveragePool2D(2, stride=1),
            tc.Dropout(0.4),
            tc.FullyConnected(3, name="fc"),
            tc.Softmax(),
            tc.ClassificationOutput(),
        ],
        seed=seed,
        **options,
    )


def same(a: dict, b: dict) -> bool:
    return a.keys() == b.keys() and all(np.array_equal(a[name], b[name]) for name in a)


def test_names_and_shapes():
    net = make()
    assert [layer.name for layer in net.layers] == [
        "input",
        "conv_1",
        "norm",
        "relu_1",
        "maxpool2d_1",
        "conv_2",
        "averagepool2d_1",
        "dropout_1",
        "fc",
        "softmax_1",
        "classificationoutput_1",
    ]
    assert net.shapes == [
        (2, 9, 9),
        (4, 7, 7),
        (4, 7, 7),
        (4, 7, 7),
        (4, 6, 6),
        (5, 2, 2),
        (5, 1, 1),
        (5, 1, 1),
        (3,),
        (3,),
        (3,),
    ]
    assert (net.input_shape, net.classes, net.device) == ((2, 9, 9), 3, "cpu")


def test_automatic_names_avoid_given_ones():
    net = tc.Sequential([tc.ImageInput((1, 4, 4)), tc.ReLU(name="relu_1"), tc.ReLU(), tc.ReLU()])
    assert [layer.name for layer in net.layers] == ["imageinput_1", "relu_1", "relu_2", "relu_3"]


def test_output_is_a_probability_and_has_the_networks_dtype():
    for dtype in (np.float32, np.float64):
        p = make(dtype=dtype).forward(X)
        assert p.dtype == dtype and p.shape == (7, 3)
        np.testing.assert_allclose(p.sum(axis=1), 1, rtol=1e-6)


def test_integer_images_and_lists_are_taken():
    net, pixels = make(), RNG.integers(0, 255, X.shape, dtype=np.uint8)
    np.testing.assert_array_equal(net.forward(pixels), net.forward(pixels.astype(np.float32)))
    np.testing.assert_array_equal(net.forward(pixels.tolist()), net.forward(pixels))


@pytest.mark.parametrize("batch_size", [1, 2, 3, 7, 100])
def test_predict_is_forward_batch_by_batch(batch_size):
    net = make()
    expected = np.concatenate([net.forward(X[i : i + batch_size]) for i in range(0, 7, batch_size)])
    np.testing.assert_array_equal(net.predict(X, batch_size), expected)
    np.testing.assert_allclose(expected, net.forward(X), rtol=1e-5)


def test_predict_keeps_nothing_and_ends_the_way_back():
    net = make()
    net.forward(X, training=True)
    net.predict(X)
    assert all(layer.cache is None for layer in net.layers)
    with pytest.raises(RuntimeError, match=r"call net\.forward"):
        net.backward(T)


def test_predict_lets_go_of_a_layer_before_the_next():
    kept = []

    class Watcher(tc.Layer):
        def forward(self, x, training=False):
            kept.extend(layer.cache for layer in net.layers[:2])
            return x

    net = tc.Sequential([tc.ImageInput((2, 9, 9)), tc.Conv2D(1, 3), Watcher(), tc.FullyConnected(2)])
    net.predict(X)
    assert kept == [None, None]


def test_predict_of_no_images():
    p = make().predict(np.zeros((0, 2, 9, 9)))
    assert p.shape == (0, 3) and p.dtype == np.float32


@pytest.mark.parametrize("fuse", [True, False])
@pytest.mark.parametrize("optimizer", [tc.SGDM(0.1, weight_decay=0.01), tc.Adam(0.1)], ids=lambda o: type(o).__name__)
def test_train_step_is_forward_backward_step_to_the_bit(fuse, optimizer):
    fast, slow = make(fuse=fuse), make(fuse=fuse)
    for net in (fast, slow):
        net.layers[0].fit(X)
    fast_optimizer, slow_optimizer = (type(optimizer)(0.1, weight_decay=0.01) for _ in range(2))
    for _ in range(3):
        loss, p = fast.train_step(X, T, fast_optimizer, return_output=True)
        expected = slow.forward(X, training=True)
        assert loss == slow.loss(expected, T)
        np.testing.assert_array_equal(p, expected)
        slow.backward(T)
        slow_optimizer.step(slow)
        assert same(fast.gradients(), slow.gradients())
    assert same(fast.state_dict(), slow.state_dict())
    assert all(layer.cache is None for layer in fast.layers)
    assert fast.train_step(X, T, fast_optimizer) == slow.train_step(X, T, slow_optimizer)


def snapshot(kept):
    if isinstance(kept, tuple):
        return tuple(snapshot(value) for value in kept)
    return kept.copy() if isinstance(kept, np.ndarray) else kept


@pytest.mark.parametrize("training", [True, False])
def test_backward_twice_gives_the_same_and_changes_nothing(training):
    net = make()
    net.forward(X, training)
    before = [snapshot(layer.cache) for layer in net.layers]
    labels = T.copy()
    dx, gradients = net.backward(T).copy(), {name: g.copy() for name, g in net.gradients().items()}
    np.testing.assert_array_equal(net.backward(T), dx)
    assert same(net.gradients(), gradients) and np.array_equal(T, labels)
    np.testing.assert_equal([snapshot(layer.cache) for layer in net.layers], before)


def test_layers_do_not_change_dy():
    net = make()
    net.forward(X, training=True)
    dy = RNG.normal(size=(7, 3)).astype(np.float32)
    for layer in reversed(net.layers[:-2]):
        copy = dy.copy()
        dx = layer.backward(dy)
        np.testing.assert_array_equal(dy, copy, err_msg=str(layer.name))
        dy = dx


def test_forward_does_not_change_the_images_and_evaluation_draws_no_masks():
    net, x = make(), X.copy()
    net.forward(x, training=True)
    state = net.rng.bit_generator.state
    np.testing.assert_array_equal(net.forward(x), net.forward(x))
    assert np.array_equal(x, X) and net.rng.bit_generator.state == state
    assert not np.array_equal(net.forward(x, training=True), net.forward(x, training=True))


def test_upstream_gradient_of_a_network_without_loss():
    net = tc.Sequential([tc.ImageInput((1, 2, 2)), tc.FullyConnected(2, name="fc")])
    net.load_state_dict({"fc.weight": [[1, 2, 3, 4], [5, 6, 7, 8]], "fc.bias": [0, 1]})
    np.testing.assert_array_equal(net.forward(np.ones((1, 1, 2, 2))), [[10, 27]])
    dx = net.backward(np.array([[1.0, -1.0]]))
    np.testing.assert_array_equal(dx, [[[[-4, -4], [-4, -4]]]])
    assert dx.dtype == net.gradients()["fc.weight"].dtype == np.float32  # whatever the type of dloss/dy


def test_state_dict_holds_copies_and_crosses_over():
    net, other = make(seed=1), make(seed=2)
    net.layers[0].fit(X)
    net.train_step(X, T, tc.SGDM(0.1))
    state = net.state_dict()
    other.load_state_dict(state)
    np.testing.assert_array_equal(other.predict(X), net.predict(X))
    state["fc.weight"][:] = 0
    assert net.parameters()["fc.weight"].any() and other.parameters()["fc.weight"].any()


def test_a_refused_state_changes_nothing():
    net = make()
    before = net.state_dict()
    with pytest.raises(ValueError, match=r"conv_2.weight has shape \(1,\)"):
        net.load_state_dict({"conv_1.bias": np.ones(4), "conv_2.weight": np.ones(1)}, strict=False)
    assert same(net.state_dict(), before)
    net.load_state_dict({"conv_1.bias": np.ones(4), "stranger": np.ones(1)}, strict=False)
    assert net.parameters()["conv_1.bias"].all()


def test_dtype_conversion_keeps_the_numbers():
    net = make()
    p = net.predict(X)
    assert net.astype(np.float64).predict(X).dtype == np.float64
    np.testing.assert_allclose(net.predict(X), p, rtol=1e-4)
    assert net.parameters()["fc.weight"].dtype == np.float64


def test_seed_decides_weights_and_masks():
    a, b, c = make(seed=3), make(seed=3), make(seed=4)
    np.testing.assert_array_equal(a.forward(X, training=True), b.forward(X, training=True))
    assert not np.array_equal(a.parameters()["fc.weight"], c.parameters()["fc.weight"])


def test_repr_shows_how_to_build_it_again():
    net = make()
    names = {name: getattr(tc, name) for name in tc.__all__}
    again = eval(repr(net), names)
    assert repr(again) == repr(net) and same(again.state_dict(), net.state_dict())


def test_summary_totals():
    lines = str(make().summary()).splitlines()
    assert lines[2].split() == ["conv_1", "Conv2D", "(4,", "7,", "7)", "76", "784", "B"]
    assert lines[-1].split()[:2] == ["total", str(76 + 8 + 185 + 18)]
