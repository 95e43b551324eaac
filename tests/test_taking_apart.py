"""What people do in the first hour: subclass a layer, take a network apart, put the parts together again."""

import copy

import numpy as np
import pytest

import tinycnn as tc

RNG = np.random.default_rng(11)
X = RNG.normal(size=(6, 1, 12, 12)).astype(np.float32)
T = np.array([0, 1, 2, 1, 0, 2])


class LeakyReLU(tc.ReLU):
    """A subclass that computes something else than the layer it is made from."""

    def forward(self, x, training=False):
        self.cache = x
        return np.where(x > 0, x, 0.1 * x).astype(x.dtype)

    def backward(self, dy):
        return np.where(self.cache > 0, dy, 0.1 * dy).astype(dy.dtype)


class MinPool2D(tc.MaxPool2D):
    def forward(self, x, training=False):
        return -super().forward(-x, training)

    # the gradient of −max(−x) is that of the pixel that was taken, as before


class Smoothed(tc.ClassificationOutput):
    """Half of every label's weight is spread over all classes."""

    def loss(self, p, t):
        return -0.5 * np.log(p[np.arange(len(t)), t]).mean() - 0.5 * np.log(p).mean()

    def backward(self, t):
        p = self.cache
        dp = -0.5 / (p * p.size)
        dp[np.arange(len(t)), t] -= 0.5 / (len(t) * p[np.arange(len(t)), t])
        return dp.astype(p.dtype)


class HalfGradient(tc.Conv2D):
    def backward(self, dy):
        dx = super().backward(dy)
        self.gradients["weight"] = 0.5 * self.gradients["weight"]
        return dx


def make(relu=tc.ReLU, pool=tc.MaxPool2D, output=tc.ClassificationOutput, conv=tc.Conv2D, **options) -> tc.Sequential:
    layers = [
        tc.ImageInput((1, 12, 12), name="input"),
        conv(4, 3, name="conv_1"),
        tc.BatchNorm2D(name="norm_1"),
        relu(name="relu_1"),
        pool(2, name="pool_1"),
        tc.Dropout(0.3, name="dropout"),
        tc.FullyConnected(3, name="fc"),
        tc.Softmax(name="softmax"),
        output(name="output"),
    ]
    return tc.Sequential(layers, seed=3, **options)


@pytest.mark.parametrize(
    "kinds",
    [{"relu": LeakyReLU}, {"pool": MinPool2D}, {"output": Smoothed}, {"conv": HalfGradient}],
    ids=lambda kinds: next(iter(kinds.values())).__name__,
)
def test_a_subclassed_layer_is_used_everywhere(kinds, tmp_path):
    """train_step, predict and loss compute what forward and backward do, layer by layer, and files keep the class."""
    net, by_hand, builtin = make(**kinds), make(**kinds), make()
    assert not np.allclose(net.predict(X), builtin.predict(X)) or kinds.keys() & {"output", "conv"}
    np.testing.assert_allclose(net.predict(X), net.forward(X), rtol=1e-5)
    loss = net.train_step(X, T, tc.SGDM(0.1))
    p = X
    for layer in by_hand:
        p = layer.forward(p, training=True)
    assert loss == pytest.approx(float(by_hand[-1].loss(p, T)), rel=1e-5)
    dy = T
    for layer in reversed(by_hand.layers):
        dy = layer.backward(dy)
    gradients = net.gradients()
    for name, gradient in by_hand.gradients().items():
        np.testing.assert_allclose(gradients[name], gradient, rtol=1e-4, atol=1e-6, err_msg=name)
    net.save(tmp_path / "net.safetensors")
    with pytest.raises(ValueError, match="class of your own, .*: pass it in custom_layers"):
        tc.load(tmp_path / "net.safetensors")
    again = tc.load(tmp_path / "net.safetensors", custom_layers=kinds.values())
    np.testing.assert_array_equal(again.predict(X), net.predict(X))
    assert [type(layer) for layer in again] == [type(layer) for layer in net]


def test_a_class_of_ones_own_with_a_built_in_name_is_not_taken_for_the_built_in(tmp_path):
    class ReLU(tc.ReLU):
        def forward(self, x, training=False):
            return -super().forward(x, training)

    tc.Sequential([tc.ImageInput((1, 2, 2)), ReLU()]).save(tmp_path / "net.safetensors")
    with pytest.raises(ValueError, match="class of your own, 'ReLU'"):
        tc.load(tmp_path / "net.safetensors")
    assert tc.load(tmp_path / "net.safetensors", custom_layers=[ReLU]).predict(np.ones((1, 1, 2, 2))).min() == -1


def test_a_network_of_a_subclass_computes_what_it_says(tmp_path):
    class Doubled(tc.Sequential):
        """Sees every image twice as bright."""

        def forward(self, x, training=False):
            return super().forward(2 * x, training)

        def backward(self, t):
            return 2 * super().backward(t)

    plain = make()
    net = Doubled(make().layers, seed=3)
    np.testing.assert_allclose(net.predict(X), plain.predict(2 * X), rtol=1e-6)
    assert net.train_step(X, T, tc.SGDM()) == pytest.approx(plain.train_step(2 * X, T, tc.SGDM()), rel=1e-5)
    for name, array in net.parameters().items():
        np.testing.assert_allclose(array, plain.parameters()[name], rtol=1e-4, atol=1e-6)
    net.save(tmp_path / "net.safetensors")
    with pytest.raises(ValueError, match="class of your own, 'Doubled'"):
        tc.load(tmp_path / "net.safetensors")
    again = tc.load(tmp_path / "net.safetensors", custom_layers=[Doubled])
    np.testing.assert_allclose(again.predict(X), net.predict(X))


def test_layers_keep_their_weights_in_another_network():
    net = make()
    for _ in range(3):
        net.train_step(X, T, tc.SGDM(0.1))
    p, state = net.predict(X), net.state_dict()
    features = tc.Sequential(net.layers[:5])
    np.testing.assert_array_equal(net.predict(X), p)
    assert features["conv_1"] is net["conv_1"]
    expected = X
    for layer in net.layers[:5]:
        expected = layer.forward(expected)
    np.testing.assert_allclose(features.predict(X), expected, rtol=1e-5, atol=1e-6)
    head = tc.Sequential([*net.layers[:5], tc.FullyConnected(2, name="new"), tc.Softmax(), tc.ClassificationOutput()])
    head.train_step(X, T % 2, tc.SGDM(0.1))
    assert not np.array_equal(net.state_dict()["conv_1.weight"], state["conv_1.weight"])  # they are shared, not copied


def test_indexing_slicing_length_iteration():
    net = make()
    assert len(net) == 9 and list(net) == net.layers and net[1] is net["conv_1"] is net.layers[1] and net[-1] is net[8]
    part = net[:5]
    assert type(part) is tc.Sequential and list(part) == net.layers[:5] and part.shapes == net.shapes[:5]
    middle = net[1:5]
    np.testing.assert_allclose(middle.forward(X), part.forward(X), rtol=1e-6)
    assert middle.input_shape == (1, 12, 12)
    with pytest.raises(KeyError, match="no layer is called 'conv_2'; there are 'input', 'conv_1'"):
        net["conv_2"]
    with pytest.raises(IndexError, match=r"net\[5:2\] holds no layers"):
        net[5:2]
    twice = tc.Sequential([tc.ImageInput((1, 2, 2)), tc.Dropout(0.5, name="d"), tc.Dropout(0.5, name="d")])
    with pytest.raises(KeyError, match="several layers are called 'd': use a number"):
        twice["d"]
    with pytest.raises(ValueError, match="'output' .*does not fit after 'pool_1'"):
        net[::4]


def test_a_shared_layer_that_would_get_another_shape_is_refused():
    net = make()
    for layers in ([tc.ImageInput((1, 14, 14)), *net.layers[1:]], [tc.ImageInput((3, 12, 12)), net["conv_1"]]):
        with pytest.raises(
            ValueError, match=r"layer 'conv_1' belongs to a network that gives it .*\(1, 12, 12\); here"
        ):
            tc.Sequential(layers)
    with pytest.raises(
        ValueError, match=r"layer 'conv_1' holds float32 .* would be float64: build it with dtype=np.fl"
    ):
        tc.Sequential(net.layers, dtype=np.float64)


def test_layers_of_a_network_that_failed_are_free():
    layers = [tc.Conv2D(2, 3, name="a"), tc.Conv2D(2, 9, name="b")]
    with pytest.raises(ValueError, match="'b'"):
        tc.Sequential([tc.ImageInput((1, 8, 8)), *layers])
    assert tc.Sequential([tc.ImageInput((3, 16, 16)), *layers]).shapes[-1] == (2, 6, 6)
    blocks = [tc.Residual([tc.Conv2D(2, 3, padding="same")], name="r"), tc.Conv2D(1, 1, name="x"), tc.ReLU()]
    with pytest.raises(ValueError, match="several layers are called 'x'"):
        tc.Sequential([tc.ImageInput((2, 8, 8)), *blocks, tc.Conv2D(1, 1, name="x")])
    assert tc.Sequential([tc.ImageInput((2, 9, 9)), *blocks]).shapes[-1] == (1, 9, 9)


def test_a_part_without_an_input_layer_trains_on_features():
    net = make()
    features, head = net[:5], net[5:]
    history = tc.Trainer(head, tc.SGDM(0.1), batch_size=3, progress=False).fit((features.predict(X), T), epochs=8)
    assert history[-1]["loss"] < history[0]["loss"] and "conv_1.weight" not in head.parameters()
    words = r"the samples have shape \(6, 1, 12, 12\), but the network takes data \(N, 4, 5, 5\)"
    with pytest.raises(ValueError, match=words):
        tc.Trainer(head, tc.SGDM()).fit((X, T))


def test_dropout_masks_of_shared_layers_come_from_one_generator():
    net = make()
    part = tc.Sequential([*net.layers[:6], tc.Dropout(0.5), tc.FullyConnected(2)], seed=8)
    assert part.rng is net.rng and {id(layer.rng) for layer in part if layer.rng} == {id(net.rng)}
    alone = copy.deepcopy(part)
    np.testing.assert_array_equal(alone.forward(X, training=True), part.forward(X, training=True))
    assert alone.rng is not part.rng and alone["dropout"].rng is alone.rng


def test_backward_through_a_layer_that_another_network_used_since():
    net = make()
    features = net[:4]
    net.forward(X, training=True)
    features.forward(X[:2])
    with pytest.raises(
        RuntimeError, match="'conv_1' has been used since .* by another network that shares it: call net"
    ):
        net.backward(T)
    net.forward(X, training=True)
    assert net.backward(T).shape == X.shape


def test_backward_through_a_layer_inside_a_block_that_another_network_used_since():
    inside = tc.Conv2D(1, 3, padding="same", name="inside")
    net = tc.Sequential([tc.ImageInput((1, 12, 12)), tc.Residual([inside], name="block")])
    net.forward(X, training=True)
    tc.Sequential([tc.ImageInput((1, 12, 12)), inside]).forward(X[:2])
    with pytest.raises(RuntimeError, match="'inside' has been used since"):
        net.backward(X)


def test_layers_changed_after_building_are_noticed():
    net = make()
    net.layers[3] = tc.LeakyReLU(name="leaky")
    for call in (lambda: net.forward(X), lambda: net.predict(X), lambda: net.train_step(X, T, tc.SGDM())):
        with pytest.raises(
            RuntimeError, match=r"net.layers has been changed .* tc.Sequential\(net.layers\), which keeps"
        ):
            call()
    weight = net["conv_1"].parameters["weight"]
    assert tc.Sequential(net.layers)["conv_1"].parameters["weight"] is weight


def test_loading_a_state_says_what_did_not_match():
    net = make()
    state = net.state_dict()
    assert net.load_state_dict(state) == ([], [])
    part = {"conv_1.weight": state["conv_1.weight"], "norm_1.num_batches_tracked": 3, "stranger": np.ones(2)}
    match = net.load_state_dict(part, strict=False)
    assert match.unexpected == ["stranger"] and "fc.bias" in match.missing and "conv_1.weight" not in match.missing
    with pytest.raises(
        ValueError, match=r"none of the state's names .* it has '0.bias', '0.weight', the network 'conv_1"
    ):
        net.load_state_dict({"0.weight": np.ones((4, 1, 3, 3)), "0.bias": np.ones(4)}, strict=False)
    with pytest.raises(ValueError, match=r"tc\.from_torch\(module, input_shape=\(C, H, W\)\)"):
        net.load_state_dict({"0.weight": np.ones((4, 1, 3, 3))}, strict=False)


@pytest.mark.parametrize(
    ("layers", "words"),
    [
        ([tc.ImageInput((1, 4, 4)), tc.ReLU], r"layer 1 is the class ReLU: write ReLU\(\), with brackets"),
        ([tc.ImageInput((1, 4, 4)), np.tanh], r"layer 1 is <ufunc 'tanh'>, which is no layer: give objects such as"),
        ([tc.ImageInput((1, 4, 4)), "relu"], "layer 1 is 'relu', which is no layer"),
    ],
)
def test_what_is_no_layer_is_refused_by_name(layers, words):
    with pytest.raises(TypeError, match=words):
        tc.Sequential(layers)
