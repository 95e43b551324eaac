"""PyTorch modules become networks and networks modules: outputs, gradients, options, weights and names are the same."""

import copy
import doctest
import io
import re

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import tinycnn as tc
from covid.models.alexnet import alexnet
from covid.models.paper import paper_network
from covid.models.pooled import pooled_network

torch = pytest.importorskip("torch")
nn = torch.nn
pytestmark = pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel")


@pytest.fixture(autouse=True, scope="module")
def one_torch_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)  # more would spin beside ours
    yield
    torch.set_num_threads(before)


def randomized(module: nn.Module) -> nn.Module:
    """The module with every parameter and running statistic drawn, so that none may be left at its default."""
    generator = torch.Generator().manual_seed(3)
    for name, tensor in module.state_dict().items():
        if name.endswith(("weight", "bias", "running_mean")):
            tensor.copy_(torch.randn(tensor.shape, generator=generator) * 0.5)
        elif name.endswith("running_var"):
            tensor.copy_(torch.rand(tensor.shape, generator=generator) + 0.5)
    return module.eval()


def images(shape: tuple[int, ...], n: int = 3, dtype=np.float32) -> np.ndarray:
    return np.random.default_rng(1).normal(size=(n, *shape)).astype(dtype)


def outputs(module: nn.Module, x: np.ndarray) -> np.ndarray:
    with torch.no_grad():
        return module(torch.from_numpy(x)).numpy()


def assert_close(ours, theirs, tolerance: float, scale: float = 1.0) -> None:
    """Within `tolerance`, relative to the largest number, or to `scale` if that is larger still."""
    theirs = theirs.detach().numpy()
    assert ours.shape == theirs.shape and ours.dtype == theirs.dtype
    error, scale = np.abs(ours - theirs).max(), max(scale, np.abs(theirs).max())
    assert error <= tolerance * scale, f"{error:.1e} at a scale of {scale:.1e}"


def assert_same_computation(net: tc.Sequential, module: nn.Module, shape: tuple[int, ...]) -> None:
    """Outputs in evaluation, and in training outputs, all gradients and running statistics."""
    x = images(shape, dtype=net.dtype)
    tolerance = 2e-6 if net.dtype == np.float32 else 1e-12
    assert_close(net.predict(x), torch.from_numpy(outputs(module.eval(), x)), tolerance)
    net, module = copy.deepcopy(net), copy.deepcopy(module).train()
    tensor = torch.from_numpy(x).requires_grad_()
    theirs, ours = module(tensor), net.forward(x, training=True)
    tolerance *= 20  # batch norm divides by deviations that may be small
    assert_close(ours, theirs, tolerance)
    dy = np.random.default_rng(2).normal(size=ours.shape).astype(net.dtype)
    theirs.backward(torch.from_numpy(dy))
    assert_close(net.backward(dy), tensor.grad, tolerance)
    gradients, named = net.gradients(), dict(module.named_parameters())
    assert gradients.keys() == named.keys()
    largest = max(1.0, *(0.1 * float(p.grad.abs().max()) for p in named.values()))
    for name, parameter in named.items():  # of a bias before batch norm the gradient is 0, and all of it rounding
        assert_close(gradients[name], parameter.grad, tolerance, largest)
    state = net.state_dict()
    for name, buffer in module.named_buffers():
        if "running" in name:
            assert_close(state[name], buffer, tolerance)


def assert_equal_modules(one: nn.Module, other: nn.Module, shape: tuple[int, ...]) -> None:
    """The same names, and weights and outputs to the bit."""
    states = [{k: v for k, v in m.state_dict().items() if "num_batches" not in k} for m in (one, other)]
    assert list(states[0]) == list(states[1])
    for name, tensor in states[0].items():
        assert torch.equal(tensor, states[1][name]) and tensor.dtype == states[1][name].dtype, name
    x = images(shape, dtype=np.float64 if torch.float64 in {t.dtype for t in states[0].values()} else np.float32)
    np.testing.assert_array_equal(outputs(one.eval(), x), outputs(other.eval(), x))


# --- Any module ---

pair = st.tuples(st.integers(1, 3), st.integers(1, 3))


@st.composite
def convolutions(draw, channels: int) -> nn.Conv2d:
    groups = draw(st.sampled_from([g for g in (1, 2, 3) if channels % g == 0]))
    padding = draw(st.sampled_from(["same", "valid", 1, (0, 2), (2, 1)]))
    return nn.Conv2d(
        channels,
        groups * draw(st.integers(1, 3)),
        draw(pair),
        stride=1 if padding == "same" else draw(pair),
        padding=padding,
        dilation=draw(pair),
        groups=groups,
        bias=draw(st.booleans()),
    )


@st.composite
def pools(draw) -> nn.Module:
    window = draw(pair)
    padding = (draw(st.integers(0, window[0] // 2)), draw(st.integers(0, window[1] // 2)))
    if draw(st.booleans()):
        return nn.MaxPool2d(window, draw(st.none() | pair), padding)
    return nn.AvgPool2d(window, draw(st.none() | pair), padding, count_include_pad=padding != (0, 0))


@st.composite
def modules(draw) -> tuple[nn.Sequential, tuple[int, int, int]]:
    """A module of convolutions in a Sequential of their own and dense layers, and the shape of its images."""
    shape = (draw(st.integers(1, 4)), draw(st.integers(5, 11)), draw(st.integers(5, 11)))
    features, channels = [], shape[0]
    for _ in range(draw(st.integers(1, 2))):
        features.append(conv := draw(convolutions(channels)))
        channels = conv.out_channels
        if draw(st.booleans()):
            features.append(nn.BatchNorm2d(channels, eps=draw(st.sampled_from([1e-3, 1e-2])), momentum=0.3))
        features += draw(st.lists(st.sampled_from(ELEMENTWISE), max_size=1))
        if draw(st.booleans()):
            features.append(nn.LocalResponseNorm(draw(st.integers(1, 5)), 0.3, 0.6, 1.5))
        if draw(st.booleans()):
            features.append(draw(pools()))
    if draw(st.booleans()):
        features.append(nn.AdaptiveAvgPool2d(1))
    features = nn.Sequential(*features)
    try:
        flat = features(torch.zeros(2, *shape)).flatten(1).shape[1]
    except RuntimeError:  # a window larger than what is left of the image
        flat = 0
    assume(flat)
    hidden = draw(st.integers(1, 4))
    dense = [nn.Flatten(), nn.Linear(flat, hidden, bias=draw(st.booleans())), nn.Identity()]
    if draw(st.booleans()):
        dense.append(nn.BatchNorm1d(hidden, eps=1e-2, momentum=0.2, affine=True))
    dense += [*draw(st.lists(st.sampled_from(ELEMENTWISE), max_size=1)), nn.Linear(hidden, 3)]
    dense += draw(st.sampled_from([[], [nn.Softmax(dim=1)], [nn.Softmax(dim=-1)]]))
    nested = draw(st.booleans())
    module = nn.Sequential(features, nn.Sequential(*dense)) if nested else nn.Sequential(*features, *dense)
    return randomized(module.to(draw(st.sampled_from([torch.float32, torch.float64])))), shape


ELEMENTWISE = [nn.ReLU(), nn.ReLU(inplace=True), nn.LeakyReLU(0.2), nn.Sigmoid(), nn.Tanh(), nn.Dropout(0.0)]


@settings(max_examples=40, deadline=None)
@given(drawn=modules())
def test_any_module(drawn):
    module, shape = drawn
    before = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    net = tc.from_torch(module, input_shape=shape)
    assert net.dtype.name == str(next(iter(before.values())).dtype).removeprefix("torch.")
    assert_same_computation(net, module, shape)
    assert_equal_modules(module, tc.to_torch(net), shape)
    assert all(torch.equal(tensor, before[name]) for name, tensor in module.state_dict().items())


def test_state_dicts_cross_over_by_name():
    module = nn.Sequential(nn.Sequential(nn.Conv2d(2, 3, 3), nn.BatchNorm2d(3)), nn.Flatten(), nn.Linear(12, 2))
    net = tc.from_torch(module, (2, 4, 4))
    net.load_state_dict(randomized(module).state_dict())
    assert_same_computation(net, module, (2, 4, 4))
    other = tc.to_torch(net)
    module.load_state_dict(other.state_dict())
    assert [name for name, _ in other.named_modules()] == ["", "0", "0.0", "0.1", "1", "2"]


# --- Options, one by one ---


def test_options_arrive():
    module = nn.Sequential(
        nn.Conv2d(4, 6, (3, 2), stride=(2, 1), padding=(1, 0), dilation=(1, 2), groups=2, bias=False),
        nn.BatchNorm2d(6, eps=0.01, momentum=0.3),
        nn.LocalResponseNorm(3, 0.2, 0.6, 2.0),
        nn.MaxPool2d((3, 2), stride=1, padding=(1, 1)),
        nn.AvgPool2d(2, stride=(1, 2), padding=(1, 0)),
        nn.Dropout(0.3),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(6, 5, bias=False),
        nn.Softmax(1),
    )
    net = tc.from_torch(module, (4, 9, 9), seed=5)
    conv, norm, response, largest, average, dropout, pool, _, dense, _ = net.layers[1:]
    assert (conv.filters, conv.kernel, conv.stride, conv.padding) == (6, (3, 2), (2, 1), (1, 1, 0, 0))
    assert (conv.dilation, conv.groups, conv.bias) == ((1, 2), 2, False)
    assert (norm.eps, norm.momentum) == (0.01, 0.3)
    assert (response.size, response.alpha, response.beta, response.k) == (3, 0.2, 0.6, 2.0)
    assert (largest.pool, largest.stride, largest.padding) == ((3, 2), (1, 1), (1, 1))
    assert (average.pool, average.stride, average.padding) == ((2, 2), (1, 2), (1, 0))
    assert dropout.rate == 0.3 and type(pool) is tc.GlobalAveragePool2D
    assert (dense.outputs, dense.bias, net.seed) == (5, False, 5)
    back = tc.to_torch(net)
    assert [type(m) for m in back] == [type(m) for m in module]
    for ours, theirs in zip(back, module, strict=True):
        for option in ("eps", "momentum", "p", "size", "alpha", "beta", "k", "groups", "bias"):
            value = getattr(theirs, option, None)
            if isinstance(value, (int, float)):
                assert getattr(ours, option) == value, option


def test_same_and_uneven_padding():
    module = randomized(nn.Sequential(nn.Conv2d(1, 2, (4, 3), padding="same", dilation=(1, 2)), nn.Flatten()))
    net = tc.from_torch(module, (1, 6, 7))
    assert net.layers[1].padding == "same"
    assert_same_computation(net, module, (1, 6, 7))
    uneven = tc.Sequential([tc.ImageInput((1, 6, 7)), tc.Conv2D(2, 3, stride=2, padding=(0, 1, 2, 3), name="conv")])
    module = tc.to_torch(uneven)
    assert [name for name, _ in module.named_children()] == ["conv_pad", "conv"]
    assert_same_computation(uneven, module, (1, 6, 7))
    assert tc.from_torch(module, (1, 6, 7)).layers[1].padding == (0, 1, 2, 3)
    strided = tc.Sequential([tc.ImageInput((1, 6, 7)), tc.Conv2D(2, 3, stride=2, padding="same", name="conv")])
    assert_same_computation(strided, tc.to_torch(strided), (1, 6, 7))  # PyTorch has "same" for a stride of 1 only


def test_zeros_before_a_padded_convolution_add_up():
    for padding in (1, "same"):
        module = randomized(nn.Sequential(nn.ZeroPad2d((1, 2, 3, 0)), nn.Conv2d(1, 2, 3, padding=padding)))
        net = tc.from_torch(module, (1, 5, 5))
        assert net.layers[1].padding == (4, 1, 2, 3)
        assert_same_computation(net, module, (1, 5, 5))


@pytest.mark.parametrize("size", [(1, 1), (2, 3), (None, 2), 6, (6, 6)])
def test_adaptive_pooling_that_divides(size):
    module = nn.Sequential(nn.AdaptiveAvgPool2d(size))
    net = tc.from_torch(module, (2, 6, 6))
    np.testing.assert_allclose(net.predict(x := images((2, 6, 6))), outputs(module, x), atol=1e-6)


def test_a_module_used_twice_is_two_layers():
    relu = nn.ReLU()
    net = tc.from_torch(nn.Sequential(relu, nn.AvgPool2d(2), relu), (1, 4, 4))
    assert [layer.name for layer in net.layers[1:]] == ["0", "1", "2"]


def test_norm_without_affine_stays_at_one_and_zero():
    module = randomized(nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2, affine=False), nn.Flatten()))
    net = tc.from_torch(nn.Sequential(*module, nn.Linear(8, 2)), (1, 4, 4), output="classification")
    norm = net.layers[2]
    np.testing.assert_array_equal(norm.state["running_mean"], module[1].running_mean)
    net.train_step(images((1, 4, 4)), np.array([0, 1, 0]), tc.SGDM(0.5, weight_decay=0.5))
    np.testing.assert_array_equal(norm.parameters["weight"], [1, 1])
    np.testing.assert_array_equal(norm.parameters["bias"], [0, 0])
    assert not np.array_equal(norm.state["running_mean"], module[1].running_mean)


def test_frozen_weights_stay_frozen():
    module = nn.Sequential(nn.Flatten(), nn.Linear(4, 3), nn.Linear(3, 2))
    module[1].weight.requires_grad_(False)
    net = tc.from_torch(module, (1, 2, 2), output="classification")
    before = net.state_dict()
    net.train_step(images((1, 2, 2)), np.array([0, 1, 0]), tc.SGDM(0.5, weight_decay=0.5))
    changed = [name for name, array in net.state_dict().items() if not np.array_equal(array, before[name])]
    assert changed == ["1.bias", "2.weight", "2.bias"]
    assert [name for name, p in tc.to_torch(net).named_parameters() if not p.requires_grad] == ["1.weight"]


def test_other_factors_are_the_optimizers():
    def chain(**factors):
        return tc.Sequential([tc.ImageInput((1, 2, 2)), tc.FullyConnected(2, name="fc", **factors)])

    with pytest.warns(UserWarning, match="layer 'fc' has factors of its own .* parameter groups"):
        tc.to_torch(chain(lr_factors={"weight": 10}))
    with pytest.warns(UserWarning, match="layer 'fc' has factors of its own"):
        tc.to_torch(chain(l2_factors={"bias": 1}))
    tc.to_torch(chain(lr_factors={"weight": 0, "bias": 1}, l2_factors={"weight": 3}))  # never learns: no warning


# --- The output ---


def test_output_for_training():
    module = randomized(nn.Sequential(nn.Flatten(), nn.Linear(4, 3)))
    x, t = images((1, 2, 2)), np.array([2, 0, 1])
    net = tc.from_torch(module, (1, 2, 2), output="classification")
    expected = nn.functional.cross_entropy(module(torch.from_numpy(x)), torch.from_numpy(t)).item()
    assert net.loss(net.forward(x), t) == pytest.approx(expected, rel=1e-6)
    ended = tc.from_torch(nn.Sequential(*module, nn.Softmax(1)), (1, 2, 2), output="classification")
    assert [type(layer).__name__ for layer in ended.layers[-2:]] == ["Softmax", "ClassificationOutput"]
    np.testing.assert_array_equal(ended.predict(x), net.predict(x))
    assert_close(net.predict(x), nn.Softmax(1)(module(torch.from_numpy(x))), 1e-6)
    numbers = tc.from_torch(module, (1, 2, 2), output="regression")
    assert_close(numbers.predict(x), module(torch.from_numpy(x)), 1e-6)
    targets = images((3,))
    expected = nn.functional.mse_loss(module(torch.from_numpy(x)), torch.from_numpy(targets)).item()
    assert numbers.loss(numbers.forward(x), targets) == pytest.approx(expected, rel=1e-6)
    scores = tc.to_torch(net)[:-1]
    assert torch.equal(scores(torch.from_numpy(x)), module(torch.from_numpy(x)))


# --- Networks ---


def fitted(net: tc.Sequential, std: bool = False) -> tc.Sequential:
    """The network with its mean measured on random images and every number of its state drawn."""
    rng = np.random.default_rng(0)
    net.layers[0].fit(rng.normal(1, 2, size=(5, *net.input_shape)))
    net.load_state_dict(
        {
            name: rng.uniform(0.5, 1.5, array.shape)
            if name.endswith("running_var")
            else rng.normal(size=array.shape) * 0.1
            for name, array in net.state_dict().items()
            if "running" in name
        },
        strict=False,
    )
    return net


def options(net: tc.Sequential) -> list:
    """Everything about the layers but their names, initializers, and the Flatten before a dense layer."""
    left_out = ("name", "initializer", "lr_factors", "l2_factors")
    return [
        (type(layer), {k: v for k, v in layer.config().items() if k not in left_out})
        for layer in net.layers
        if not isinstance(layer, tc.Flatten)
    ]


@pytest.mark.parametrize(
    ("make", "size"),
    [
        (paper_network, 64),
        (pooled_network, 40),
        (lambda **options: alexnet(variant="caffe", **options), 67),
        (lambda **options: alexnet(variant="torchvision", **options), 64),
    ],
    ids=["paper", "pooled", "alexnet", "torchvision's alexnet"],
)
def test_our_networks(make, size):
    net = fitted(make(size=size))
    module = tc.to_torch(net)
    x = images(net.input_shape)
    assert_close(net.predict(x), torch.from_numpy(outputs(module, x)), 1e-6)
    same = tc.from_torch(module, net.input_shape, output="classification")
    assert options(same) == options(net)
    ours, back, theirs = net.state_dict(), same.state_dict(), module.state_dict()
    assert list(ours) == list(back) == [name for name in theirs if "num_batches" not in name]
    for name, array in ours.items():
        np.testing.assert_array_equal(array, back[name])
    np.testing.assert_array_equal(same.predict(x), net.predict(x))
    assert_equal_modules(module, tc.to_torch(same), net.input_shape)


def test_the_papers_gradients():
    net = fitted(paper_network(size=64, dtype=np.float64))
    for layer in net.layers:
        if isinstance(layer, tc.Dropout):
            layer.rate = 0.0  # the two draw different masks
    module = tc.to_torch(net).train()
    x, t = images(net.input_shape, dtype=np.float64), np.array([0, 2, 1])
    loss = nn.functional.cross_entropy(module[:-1](torch.from_numpy(x)), torch.from_numpy(t))
    loss.backward()
    net.forward(x, training=True)
    net.backward(t)
    theirs = {name: parameter.grad for name, parameter in module.named_parameters()}
    assert net.gradients().keys() == theirs.keys()
    largest = 0.1 * max(float(gradient.abs().max()) for gradient in theirs.values())
    for name, gradient in net.gradients().items():
        assert_close(gradient, theirs[name], 1e-10, largest)


@pytest.mark.parametrize("normalization", ["zerocenter", "zscore"])
@pytest.mark.parametrize("mean_of", ["pixel", "channel"])
def test_input_normalization(normalization, mean_of):
    source = tc.ImageInput((2, 3, 4), normalization, mean_of=mean_of, name="input")
    net = fitted(tc.Sequential([source, tc.FullyConnected(2, name="fc")], dtype=np.float64))
    module = tc.to_torch(net)
    x = images((2, 3, 4), dtype=np.float64)
    assert_close(net.predict(x), torch.from_numpy(outputs(module, x)), 1e-12)
    same = tc.from_torch(module, (2, 3, 4))
    assert same.layers[0].config() == source.config() and same.layers[0].fitted
    np.testing.assert_array_equal(same.predict(x), net.predict(x))


@pytest.mark.parametrize("normalization", ["none", "zerocenter", "zscore"])
def test_vectors(normalization):
    source = tc.VectorInput(4, normalization, name="input")
    layers = [tc.FullyConnected(3, name="fc"), tc.BatchNorm1D(0.01, 0.3, name="norm"), tc.LeakyReLU(0.3), tc.Tanh()]
    net = tc.Sequential([source, *layers])
    if normalization != "none":
        fitted(net)
    module = tc.to_torch(net)
    x = images((4,))
    assert_close(net.predict(x), torch.from_numpy(outputs(module, x)), 1e-6)
    same = tc.from_torch(module, (4,))
    assert options(same) == options(net)
    np.testing.assert_array_equal(same.predict(x), net.predict(x))


def test_modules_can_be_pickled():
    net = fitted(tc.Sequential([tc.ImageInput((1, 2, 2), "zscore", name="input"), tc.FullyConnected(2, name="fc")]))
    module, file = tc.to_torch(net), io.BytesIO()
    torch.save(module, file)
    file.seek(0)
    assert_equal_modules(module, torch.load(file, weights_only=False), (1, 2, 2))


def test_names_that_pytorch_cannot_take():
    names = ["forward", "drop", "drop", "a.b", "a.c.d", "a", "a.b", ""]
    net = tc.Sequential([tc.ImageInput((1, 4, 4)), *(tc.Dropout(0.1, name=name) for name in names)])
    module = tc.to_torch(net)
    paths = [name for name, child in module.named_modules() if isinstance(child, nn.Dropout)]
    assert paths == ["forward_", "drop", "drop_2", "a.b", "a.c.d", "a_2", "a_3.b", "layer"]


def test_a_module_of_its_own():
    """Nothing is shared with the network, and PyTorch's generator is left alone."""
    net = fitted(tc.Sequential([tc.ImageInput((1, 2, 2), "zerocenter"), tc.Conv2D(2, 1), tc.BatchNorm2D()]))
    before, random = net.state_dict(), torch.get_rng_state()
    module = tc.to_torch(net)
    assert torch.equal(torch.get_rng_state(), random) and not module.training
    for tensor in module.state_dict().values():
        tensor.zero_()
    assert all(np.array_equal(array, before[name]) for name, array in net.state_dict().items())


@pytest.mark.parametrize("function", [tc.from_torch, tc.to_torch])
def test_the_docstrings_examples(function):
    text = re.sub(r" *# doctest: \+SKIP", "", function.__doc__)
    examples = doctest.DocTestParser().get_doctest(text, {}, function.__name__, None, 0)
    assert examples.examples
    assert doctest.DocTestRunner().run(examples).failed == 0
