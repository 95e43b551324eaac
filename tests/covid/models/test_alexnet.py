"""AlexNet: names, shapes and counts by hand, and weights from files of other makers against PyTorch on their images."""

import sys
from collections import OrderedDict

import numpy as np
import pytest

import tinycnn as tc
from covid.errors import DataError
from covid.models.alexnet import alexnet, load_weights, read_weights, variant_of

LAYERS = {
    "caffe": """
data    (3, 227, 227)           0
conv1   (96, 55, 55)       34,944
relu1   (96, 55, 55)            0
norm1   (96, 55, 55)            0
pool1   (96, 27, 27)            0
conv2   (256, 27, 27)     307,456
relu2   (256, 27, 27)           0
norm2   (256, 27, 27)           0
pool2   (256, 13, 13)           0
conv3   (384, 13, 13)     885,120
relu3   (384, 13, 13)           0
conv4   (384, 13, 13)     663,936
relu4   (384, 13, 13)           0
conv5   (256, 13, 13)     442,624
relu5   (256, 13, 13)           0
pool5   (256, 6, 6)             0
fc6     (4096,)        37,752,832
relu6   (4096,)                 0
drop6   (4096,)                 0
fc7     (4096,)        16,781,312
relu7   (4096,)                 0
drop7   (4096,)                 0
fc8     (5,)               20,485
prob    (5,)                    0
output  (5,)                    0
""",
    "torchvision": """
data    (3, 227, 227)           0
conv1   (64, 56, 56)       23,296
relu1   (64, 56, 56)            0
pool1   (64, 27, 27)            0
conv2   (192, 27, 27)     307,392
relu2   (192, 27, 27)           0
pool2   (192, 13, 13)           0
conv3   (384, 13, 13)     663,936
relu3   (384, 13, 13)           0
conv4   (256, 13, 13)     884,992
relu4   (256, 13, 13)           0
conv5   (256, 13, 13)     590,080
relu5   (256, 13, 13)           0
pool5   (256, 6, 6)             0
drop6   (256, 6, 6)             0
fc6     (4096,)        37,752,832
relu6   (4096,)                 0
drop7   (4096,)                 0
fc7     (4096,)        16,781,312
relu7   (4096,)                 0
fc8     (5,)               20,485
prob    (5,)                    0
output  (5,)                    0
""",
}
LEARNED = ("conv1", "conv2", "conv3", "conv4", "conv5", "fc6", "fc7", "fc8")


@pytest.fixture(scope="module")
def nets():
    """A network of each variant for five classes and images of 99×99 pixels; the tests give them other weights."""
    return {variant: alexnet(classes=5, size=99, variant=variant) for variant in LAYERS}


@pytest.fixture(scope="module")
def theirs():
    """PyTorch's model of each variant for the same, its parameters named as in torchvision, with random weights."""
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    nn, before = torch.nn, torch.get_num_threads()
    torch.set_num_threads(1)  # more would spin beside ours
    features = {
        "caffe": [
            nn.Conv2d(3, 96, 11, 4),
            nn.ReLU(),
            nn.LocalResponseNorm(5),
            nn.MaxPool2d(3, 2),
            nn.Conv2d(96, 256, 5, padding=2, groups=2),
            nn.ReLU(),
            nn.LocalResponseNorm(5),
            nn.MaxPool2d(3, 2),
            nn.Conv2d(256, 384, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(384, 384, 3, padding=1, groups=2),
            nn.ReLU(),
            nn.Conv2d(384, 256, 3, padding=1, groups=2),
            nn.ReLU(),
            nn.MaxPool2d(3, 2),
        ],
        "torchvision": [
            nn.Conv2d(3, 64, 11, 4, padding=2),
            nn.ReLU(),
            nn.MaxPool2d(3, 2),
            nn.Conv2d(64, 192, 5, padding=2),
            nn.ReLU(),
            nn.MaxPool2d(3, 2),
            nn.Conv2d(192, 384, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(384, 256, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(256, 256, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(3, 2),
        ],
    }
    classifier = {
        variant: [
            nn.Dropout(),
            nn.Linear(1024, 4096),
            nn.ReLU(),
            nn.Dropout(),
            nn.Linear(4096, 4096),
            nn.ReLU(),
            nn.Linear(4096, 5),
        ]
        for variant in features
    }
    yield {
        variant: nn.Sequential(
            OrderedDict(
                features=nn.Sequential(*features[variant]),
                flatten=nn.Flatten(),
                classifier=nn.Sequential(*classifier[variant]),
            )
        ).eval()
        for variant in features
    }
    torch.set_num_threads(before)


@pytest.mark.parametrize(("variant", "published"), [("caffe", 60_965_224), ("torchvision", 61_100_840)])
def test_layers(variant, published):
    net = alexnet(classes=5, variant=variant)
    rows = str(net.summary()).splitlines()[1:-1]
    for row, line in zip(rows, LAYERS[variant].strip().splitlines(), strict=True):
        name, _, tail = line.partition("(")
        shape, count = tail.rsplit(")", 1)
        assert row.startswith(name.strip() + " ") and f" ({shape}) " in row
        assert row.split(")")[1].split()[0] == count.strip()
    learnables_for_1000_classes = sum(array.size for array in net.parameters().values()) + 995 * 4097
    assert learnables_for_1000_classes == published


def test_settings(nets):
    caffe = {layer.name: layer for layer in nets["caffe"].layers}
    assert [caffe[f"conv{i}"].groups for i in range(1, 6)] == [1, 2, 1, 2, 2]
    assert {
        (norm.size, norm.alpha, norm.beta, norm.k)
        for norm in nets["caffe"].layers
        if isinstance(norm, tc.CrossChannelNorm)
    } == {(5, 1e-4, 0.75, 1.0)}
    assert [layer.rate for net in nets.values() for layer in net.layers if isinstance(layer, tc.Dropout)] == [0.5] * 4


def test_it_learns_from_fresh_weights():
    x = np.random.default_rng(0).uniform(0, 160, (16, 1, 67, 67)).astype(np.float32)
    t = np.arange(16) % 2
    x[t == 1, :, 20:50, 20:50] += 95
    net, optimizer = alexnet(channels=1, classes=2, size=67), tc.SGDM(0.02)
    net.layers[0].fit(x)
    losses = [net.train_step(x, t, optimizer) for _ in range(20)]
    assert max(losses) < 0.75 and losses[-1] < 0.6  # wider weights than the original's diverge here


def images_for(variant, pixels):
    """What the makers of such weights feed them, for RGB pixels 0 … 255."""
    if variant == "caffe":
        return pixels[:, ::-1] - np.float32([104.00698793, 116.66876762, 122.67891434]).reshape(3, 1, 1)
    mean, std = (np.float32(a).reshape(3, 1, 1) for a in ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]))
    return (pixels / 255 - mean) / std


def assert_equals(net, model, variant):
    """Probabilities, loss and gradients on two RGB images."""
    import torch

    rng = np.random.default_rng(1)
    pixels, t = rng.integers(0, 256, (2, 3, 99, 99)).astype(np.float32), np.array([3, 1])
    scores = model(torch.from_numpy(images_for(variant, pixels).copy()))
    model.zero_grad()
    loss = torch.nn.functional.cross_entropy(scores, torch.from_numpy(t))
    loss.backward()
    p = net.forward(pixels)
    np.testing.assert_allclose(p, scores.detach().softmax(1), rtol=1e-4)
    assert net.loss(p, t) == pytest.approx(loss.item(), rel=1e-4)
    net.backward(t)
    expected = [parameter.grad.numpy() for parameter in model.parameters()]
    std = 255 * np.float32([0.229, 0.224, 0.225]).reshape(3, 1, 1)  # the chain rule, through what conv1 took in
    expected[0] = expected[0][:, ::-1] if variant == "caffe" else expected[0] * std
    for (name, gradient), other in zip(net.gradients().items(), expected, strict=True):
        np.testing.assert_allclose(gradient, other, atol=1e-4 * np.abs(other).max(), err_msg=name)


def test_caffe_layout_from_a_pytorch_file(tmp_path, nets, theirs):
    import torch

    path = tmp_path / "alexnet.pth"
    state = {f"module.{name}": tensor for name, tensor in theirs["caffe"].state_dict().items()}
    torch.save({"epoch": 9, "state_dict": state}, path)
    tensors = read_weights(path)
    path.unlink()
    assert variant_of(tensors) == "caffe"
    told = load_weights(nets["caffe"], tensors)
    assert told == "All layers start from the weights given, of AlexNet's caffe variant."
    assert nets["caffe"].layers[0].fitted
    assert_equals(nets["caffe"], theirs["caffe"], "caffe")


def test_torchvision_layout_from_a_safetensors_file(tmp_path, nets, theirs):
    path = tmp_path / "alexnet.safetensors"
    state = theirs["torchvision"].state_dict()
    tc.storage.save_file({name: state[name].numpy() for name in sorted(state)}, path)  # biases first: names must do
    tensors = read_weights(path)
    path.unlink()
    assert variant_of(tensors) == "torchvision"
    load_weights(nets["torchvision"], tensors)
    assert_equals(nets["torchvision"], theirs["torchvision"], "torchvision")


def write_onnx(path, arrays):
    """A graph that uses pairs of weight and bias in order, with names that say nothing, stored in reverse."""
    from onnx import TensorProto, helper, numpy_helper, save

    stored, nodes, value = [], [], "images"
    for k, (weight, bias) in enumerate(zip(arrays[::2], arrays[1::2], strict=True)):
        names = [str(90 - 2 * k), str(91 - 2 * k)]
        if weight.ndim == 4:
            nodes.append(helper.make_node("Conv", [value, *names], [f"y{k}"]))
        elif k == 5:
            nodes.append(helper.make_node("Gemm", [value, *names], [f"y{k}"], transB=1))
        elif k == 6:
            weight = weight.T
            nodes.append(helper.make_node("Gemm", [value, *names], [f"y{k}"]))
        else:
            weight = weight.T
            nodes.append(helper.make_node("MatMul", [value, names[0]], ["product"]))
            nodes.append(helper.make_node("Add", ["product", names[1]], [f"y{k}"]))
        stored += [
            numpy_helper.from_array(np.ascontiguousarray(weight), names[0]),
            numpy_helper.from_array(bias, names[1]),
        ]
        value = f"y{k}"
    graph = helper.make_graph(
        nodes,
        "alexnet",
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, None)],
        [helper.make_tensor_value_info(value, TensorProto.FLOAT, None)],
        stored[::-1],
    )
    save(helper.make_model(graph), path)


def test_caffe_layout_from_an_onnx_file(tmp_path, nets, theirs):
    pytest.importorskip("onnx")
    path = tmp_path / "alexnet.onnx"
    arrays = [tensor.numpy() for tensor in theirs["caffe"].state_dict().values()]
    write_onnx(path, arrays)
    tensors = read_weights(path)
    path.unlink()
    load_weights(nets["caffe"], tensors)
    parameters = nets["caffe"].parameters()
    np.testing.assert_array_equal(parameters["conv1.weight"], arrays[0][:, ::-1])
    for name, array in zip(list(parameters)[1:], arrays[1:], strict=True):
        np.testing.assert_array_equal(parameters[name], array, err_msg=name)


def stand_ins(net, classes=5, **changes):
    """Arrays of the right shapes that take no memory, each filled with a number of its own."""
    shapes = {name: array.shape for name, array in net.parameters().items()}
    shapes.update({"fc8.weight": (classes, 4096), "fc8.bias": (classes,)}, **changes)
    return {name: np.broadcast_to(np.float32(k + 1), shape) for k, (name, shape) in enumerate(shapes.items()) if shape}


def test_another_number_of_classes_starts_fresh(nets):
    net = nets["caffe"]
    before = net.parameters()["fc8.weight"].copy()
    told = load_weights(net, stand_ins(net, classes=1000))
    assert told == (
        "conv1 to fc7 start from the weights given, of AlexNet's caffe variant; fc8 starts fresh, since "
        "the weights do not tell 5 classes."
    )
    np.testing.assert_array_equal(net.parameters()["fc8.weight"], before)
    for k, name in enumerate(f"{layer}.{kind}" for layer in LEARNED[:-1] for kind in ("weight", "bias")):
        assert (net.parameters()[name] == k + 1).all(), name
    np.testing.assert_allclose(net.state_dict()["data.mean"][:, 5, 7], [122.679, 116.669, 104.007], rtol=1e-5)


def test_its_own_weights_are_taken_as_they_are(nets):
    net = nets["caffe"]
    own = {
        **stand_ins(net),
        "conv1.weight": np.random.default_rng(2).normal(size=(96, 3, 11, 11)).astype(np.float32),
        "data.mean": np.full((3, 99, 99), 7, np.float32),
    }
    load_weights(net, own)
    np.testing.assert_array_equal(net.parameters()["conv1.weight"], own["conv1.weight"])
    assert (net.state_dict()["data.mean"] == 7).all() and net.layers[0].fitted


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"conv3.weight": None}, r"no array \(384, 256, 3, 3\) with a bias for conv3: give a whole AlexNet"),
        ({"conv4.bias": None}, r"no array .* for conv4"),
        ({"fc6.weight": (4096, 256)}, r"no array \(4096, 1024\) with a bias for fc6"),
        ({"conv1.weight": (64, 3, 11, 11)}, "of AlexNet's torchvision variant, .* variant='torchvision'"),
        ({"conv1.weight": (8, 3, 3, 3)}, "no AlexNet's: they have no filters of 11×11"),
        ({"data.mean": (3, 98, 98)}, r"data.mean has shape \(3, 98, 98\)"),
    ],
)
def test_weights_that_do_not_fit(nets, changes, words):
    net = nets["caffe"]
    before = net.parameters()["conv2.bias"].copy()
    with pytest.raises(DataError, match=words):
        load_weights(net, stand_ins(net, **changes))
    np.testing.assert_array_equal(net.parameters()["conv2.bias"], before)


@pytest.mark.parametrize("suffix", ["safetensors", "pth", "pt", "onnx"])
def test_damaged_files(tmp_path, suffix):
    pytest.importorskip({"safetensors": "numpy", "onnx": "onnx"}.get(suffix, "torch"))
    path = tmp_path / f"weights.{suffix}"
    path.write_bytes(b"\x99 no weights at all" * 9)
    with pytest.raises(DataError, match=f"weights.{suffix} holds no weights that can be read"):
        read_weights(path)


def test_a_pytorch_file_that_would_run_code_is_refused(tmp_path):
    torch = pytest.importorskip("torch")
    torch.save(torch.nn.Linear(2, 2), tmp_path / "model.pt")  # a whole module, not its state_dict
    with pytest.raises(DataError, match="model.pt holds no weights that can be read"):
        read_weights(tmp_path / "model.pt")


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("missing.pth", "no file .*missing.pth"),
        ("weights.h5", "suffix '.h5': give weights as .safetensors, .pth, .pt, .onnx"),
    ],
)
def test_no_such_file(tmp_path, name, words):
    with pytest.raises(DataError, match=words):
        read_weights(tmp_path / name)


@pytest.mark.parametrize(("suffix", "package"), [("pth", "torch"), ("onnx", "onnx")])
def test_a_missing_package_is_named(tmp_path, monkeypatch, suffix, package):
    monkeypatch.setitem(sys.modules, package, None)  # what import does where it is not installed
    path = tmp_path / f"weights.{suffix}"
    path.write_bytes(b"")
    with pytest.raises(DataError, match=f"needs the {package} package: pip install {package}"):
        read_weights(path)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"variant": "vgg"}, "variant is 'vgg': choose one of caffe, torchvision"),
        ({"size": 40}, "layer 'pool5' .* does not fit"),
    ],
)
def test_errors(options, words):
    with pytest.raises(ValueError, match=words):
        alexnet(**options)
