"""The same network in PyTorch, with the same weights: outputs, gradients and training must agree."""

from collections import OrderedDict

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tinycnn as tc
from covid.models.paper import paper_network

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel")
KERNELS = pytest.mark.parametrize("kernel_set", ["reference", "cpu"])


@pytest.fixture(autouse=True, scope="module")
def one_torch_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)  # more would spin beside ours
    yield
    torch.set_num_threads(before)


def twin(net: tc.Sequential):
    """A PyTorch model of the same layers and names that ends in scores; its weights are loaded into `net`."""
    torch.manual_seed(4)
    modules = OrderedDict()
    for layer, (channels, *_) in zip(net.layers[1:], net.shapes, strict=False):
        match layer:
            case tc.Conv2D(padding=padding):
                if padding != "same":
                    top, bottom, left, right = padding
                    modules[f"{layer.name}_pad"] = torch.nn.ZeroPad2d((left, right, top, bottom))
                modules[layer.name] = torch.nn.Conv2d(
                    channels,
                    layer.filters,
                    layer.kernel,
                    layer.stride,
                    "same" if padding == "same" else 0,
                    layer.dilation,
                    layer.groups,
                    layer.bias,
                )
            case tc.BatchNorm2D():
                module = torch.nn.BatchNorm2d(channels, layer.eps, layer.momentum)
                torch.nn.init.uniform_(module.weight, 0.5, 2)
                torch.nn.init.normal_(module.bias)
                modules[layer.name] = module
            case tc.ReLU():
                modules[layer.name] = torch.nn.ReLU()
            case tc.MaxPool2D():
                modules[layer.name] = torch.nn.MaxPool2d(layer.pool, layer.stride, layer.padding)
            case tc.AveragePool2D():
                modules[layer.name] = torch.nn.AvgPool2d(layer.pool, layer.stride, layer.padding)
            case tc.GlobalAveragePool2D():
                modules[layer.name] = torch.nn.AdaptiveAvgPool2d(1)
            case tc.FullyConnected():
                modules[f"{layer.name}_rows"] = torch.nn.Flatten()
                modules[layer.name] = torch.nn.Linear(
                    net.parameters()[f"{layer.name}.weight"].shape[1], layer.outputs, layer.bias
                )
            case tc.Dropout():
                layer.rate = 0.0  # the two draw different masks
    model = torch.nn.Sequential(modules).to(torch.from_numpy(np.zeros(0, net.dtype)).dtype)
    net.load_state_dict(model.state_dict(), strict=False)
    return model


def batch(net: tc.Sequential, n: int, seed: int = 1) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, *net.input_shape)).astype(net.dtype), rng.integers(0, net.classes, n)


def assert_close(ours: dict, theirs: dict, tolerance: float) -> None:
    """Every array of ours within `tolerance` of PyTorch's, relative to its largest number and a tenth of that of all.

    The tenth is for gradients that are mathematically zero, a bias's before batch norm, and hold nothing but rounding.
    """
    assert ours.keys() == theirs.keys()
    theirs = {name: array.detach().numpy() for name, array in theirs.items()}
    floor = 0.1 * max(np.abs(array).max() for array in theirs.values())
    for name, array in theirs.items():
        error, scale = np.abs(ours[name] - array).max(), np.abs(array).max() + floor
        assert error <= tolerance * scale, f"{name}: {error:.1e} at a scale of {scale:.1e}"


def compare(net: tc.Sequential, tolerance: float, *, n: int = 4, training: bool = True, class_weights=None) -> None:
    """Probabilities, loss, all gradients and running statistics after one forward and backward pass."""
    model = twin(net).train(training)
    x, t = batch(net, n)
    images = torch.from_numpy(x).requires_grad_()
    scores = model(images)
    loss = torch.nn.functional.cross_entropy(
        scores, torch.from_numpy(t), None if class_weights is None else torch.tensor(class_weights, dtype=scores.dtype)
    )
    loss.backward()
    p = net.forward(x, training)
    assert net.loss(p, t) == pytest.approx(loss.item(), rel=tolerance)
    dx = net.backward(t)
    assert_close({"p": p}, {"p": scores.softmax(1)}, tolerance)
    assert_close({"input": dx}, {"input": images.grad}, tolerance)
    assert_close(net.gradients(), {name: p.grad for name, p in model.named_parameters()}, tolerance)
    running = {name: b for name, b in model.named_buffers() if "running" in name}
    if running:
        assert_close({name: net.state_dict()[name] for name in running}, running, tolerance)


@pytest.mark.parametrize(("kernel_set", "size"), [("reference", 80), ("cpu", 224)])
@pytest.mark.parametrize("training", [True, False], ids=["training", "evaluation"])
@pytest.mark.parametrize("options", [{}, {"channels": 3, "padding": "same", "classes": 4}], ids=["paper", "rgb same"])
def test_the_papers_network(options, training, kernel_set, size):
    with tc.kernels.use(kernel_set):
        compare(paper_network(size=size, **options), 1e-4, training=training)


@KERNELS
def test_the_papers_network_in_float64(kernel_set):
    with tc.kernels.use(kernel_set):
        compare(paper_network(size=96, dtype=np.float64), 1e-10)


@pytest.mark.parametrize("fuse", [True, False])
def test_class_weights(fuse):
    layers = [
        tc.ImageInput((2, 5, 5)),
        tc.Conv2D(3, 3, name="conv"),
        tc.FullyConnected(4, name="fc"),
        tc.Softmax(),
        tc.ClassificationOutput([0.2, 3, 1, 0]),
    ]
    net = tc.Sequential(layers, dtype=np.float64, fuse=fuse)
    compare(net, 1e-10, n=9, class_weights=[0.2, 3, 1, 0])


def train(net: tc.Sequential, optimizer: tc.Optimizer, torch_optimizer, tolerance: float, decay: float) -> None:
    """Five steps on changing batches; weight decay on everything but the biases of convolutions and dense layers."""
    model = twin(net)
    net.layers[0].fitted = True  # the twin subtracts no mean either
    free = [p for name, p in model.named_parameters() if name.endswith("bias") and "norm" not in name]
    rest = [p for name, p in model.named_parameters() if not any(p is other for other in free)]
    assert len(free) > 1
    theirs = torch_optimizer([{"params": free, "weight_decay": 0}, {"params": rest, "weight_decay": decay}])
    for step in range(5):
        x, t = batch(net, 6, seed=step)
        theirs.zero_grad()
        loss = torch.nn.functional.cross_entropy(model(torch.from_numpy(x)), torch.from_numpy(t))
        loss.backward()
        theirs.step()
        assert net.train_step(x, t, optimizer) == pytest.approx(loss.item(), rel=tolerance)
    expected = {name: value for name, value in model.state_dict().items() if "num_batches" not in name}
    ours = net.state_dict()
    assert_close({name: ours[name] for name in expected}, expected, tolerance)


@KERNELS
@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float32, 1e-3), (np.float64, 1e-9)])
def test_five_steps_of_sgdm(kernel_set, dtype, tolerance):
    with tc.kernels.use(kernel_set):
        train(
            paper_network(size=64, dtype=dtype),
            tc.SGDM(0.05, momentum=0.9, weight_decay=0.02),
            lambda groups: torch.optim.SGD(groups, lr=0.05, momentum=0.9),
            tolerance,
            decay=0.02,
        )


@KERNELS
def test_five_steps_of_adam(kernel_set):
    # no bias before batch norm: its gradient is nothing but rounding, which Adam would blow up to whole steps
    layers = [
        tc.ImageInput((1, 9, 9)),
        tc.Conv2D(4, 3, bias=False, name="conv_1"),
        tc.BatchNorm2D(name="norm"),
        tc.ReLU(),
        tc.Conv2D(4, 3, name="conv_2"),
        tc.FullyConnected(3, name="fc"),
        tc.Softmax(),
        tc.ClassificationOutput(),
    ]
    with tc.kernels.use(kernel_set):
        train(
            tc.Sequential(layers, dtype=np.float64),
            tc.Adam(0.01, 0.8, 0.99, eps=1e-7, weight_decay=0.02),
            lambda groups: torch.optim.Adam(groups, lr=0.01, betas=(0.8, 0.99), eps=1e-7),
            1e-9,
            decay=0.02,
        )


pair = st.tuples(st.integers(1, 3), st.integers(1, 3))


@st.composite
def convolutions(draw, channels: int) -> tc.Conv2D:
    groups = draw(st.sampled_from([g for g in (1, 2, 3) if channels % g == 0]))
    same = draw(st.booleans())
    return tc.Conv2D(
        groups * draw(st.integers(1, 3)),
        draw(pair),
        stride=1 if same else draw(pair),
        dilation=draw(pair),
        padding="same" if same else draw(st.tuples(*[st.integers(0, 3)] * 4)),
        groups=groups,
        bias=draw(st.booleans()),
    )


@st.composite
def networks(draw) -> tc.Sequential:
    layers: list[tc.Layer] = []
    shape = (draw(st.integers(1, 4)), draw(st.integers(5, 13)), draw(st.integers(5, 13)))
    source, channels = tc.ImageInput(shape), shape[0]
    for i in range(draw(st.integers(1, 2))):
        conv = draw(convolutions(channels))
        conv.name, channels = f"conv_{i}", conv.filters
        layers.append(conv)
        if draw(st.booleans()):
            layers.append(tc.BatchNorm2D(eps=1e-2, momentum=draw(st.sampled_from([0.1, 0.5])), name=f"norm_{i}"))
        if draw(st.booleans()):
            layers.append(tc.ReLU())
        window = draw(pair)
        padding = (draw(st.integers(0, window[0] // 2)), draw(st.integers(0, window[1] // 2)))
        pool = draw(st.sampled_from([tc.MaxPool2D, tc.AveragePool2D, None]))
        if pool:
            layers.append(pool(window, stride=draw(pair), padding=padding))
    if draw(st.booleans()):
        layers.append(tc.GlobalAveragePool2D())
    layers += [tc.FullyConnected(3, bias=draw(st.booleans()), name="fc"), tc.Softmax(), tc.ClassificationOutput()]
    try:
        return tc.Sequential([source, *layers], dtype=np.float64, fuse=draw(st.booleans()))
    except ValueError as error:
        assert "does not fit into" in str(error)  # the drawn windows are larger than what is left of the image
        return draw(networks())


@KERNELS
@settings(max_examples=25, deadline=None)
@given(data=st.data(), training=st.booleans(), n=st.integers(2, 4))
def test_any_network(data, kernel_set, training, n):
    with tc.kernels.use(kernel_set):
        compare(data.draw(networks()), 1e-9, training=training, n=n)
