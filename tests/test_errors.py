"""What a person is told who gets something wrong: the right kind of error, naming the thing and the remedy."""

import sys

import numpy as np
import pytest

import tinycnn as tc

X, T = np.zeros((4, 3, 6, 5), np.float32), np.array([0, 1, 2, 1])
NAMES = ["dog", "cat", "fox", "cat"]


def make() -> tc.Sequential:
    return tc.Sequential(
        [
            tc.ImageInput((3, 6, 5), name="input"),
            tc.Conv2D(2, 3, name="conv"),
            tc.BatchNorm2D(name="norm"),
            tc.FullyConnected(3, name="fc"),
            tc.Softmax(),
            tc.ClassificationOutput(),
        ]
    )


def chain(*layers: tc.Layer, shape=(1, 8, 8)) -> tc.Sequential:
    return tc.Sequential([tc.ImageInput(shape, name="images"), *layers])


def forwarded() -> tc.Sequential:
    net = make()
    net.forward(X, training=True)
    return net


def images_with(value: float, image: int, n: int = 100) -> np.ndarray:
    x = np.zeros((n, 3, 6, 5))
    x[image, 1, 2, 3] = value
    return x


TAKES = r"but the network takes images \(N, 3, 6, 5\): channels come before height and width"


@pytest.mark.parametrize(
    "call",
    [lambda net, x: net.forward(x), lambda net, x: net.predict(x), lambda net, x: net.train_step(x, T, tc.SGDM())],
    ids=["forward", "predict", "train_step"],
)
@pytest.mark.parametrize(
    ("x", "words"),
    [
        (np.zeros((4, 6, 5)), r"x has shape \(4, 6, 5\), " + TAKES),  # the channel axis forgotten
        (np.zeros((4, 6, 5, 3)), r"x has shape \(4, 6, 5, 3\), " + TAKES),  # channels last
        (np.zeros((3, 6, 5)), r"x has shape \(3, 6, 5\), " + TAKES),  # one image without its batch axis
        (np.zeros((4, 1, 6, 5)), TAKES),
        (images_with(np.nan, 2), "NaN or infinite pixels, first in image 2: clean the data"),
        (images_with(np.inf, 97), "first in image 97"),
        (images_with(1e300, 3), "first in image 3"),  # too large for float32
    ],
)
@pytest.mark.filterwarnings("ignore:.*(overflow|invalid value):RuntimeWarning")
def test_wrong_images(call, x, words):
    with pytest.raises(ValueError, match=words):
        call(make(), x)


def test_large_finite_numbers_are_no_error():
    net = chain(tc.Flatten(), shape=(1, 8, 8))
    with np.errstate(over="ignore"):  # their sum overflows, they do not
        assert net.forward(np.full((2, 1, 8, 8), 3e38, np.float32)).max() == np.float32(3e38)


def test_no_images():
    with pytest.raises(ValueError, match="x holds no images: give at least one"):
        make().forward(X[:0])
    with pytest.raises(ValueError, match="batch_size is 0"):
        make().predict(X, batch_size=0)


@pytest.mark.parametrize(
    "call",
    [
        lambda net, t: net.loss(net.forward(X), t),
        lambda net, t: net.backward(t),
        lambda net, t: net.train_step(X, t, tc.SGDM()),
    ],
    ids=["loss", "backward", "train_step"],
)
@pytest.mark.parametrize(
    ("t", "error", "words"),
    [
        (np.array([0, 1, 3, 2]), ValueError, r"label t\[2\] is 3, but the network has 3 classes: labels must be 0 … 2"),
        (np.array([0, -1, 0, 0]), ValueError, r"label t\[1\] is -1"),
        (
            np.array([1, 2, 3, 2]),
            ValueError,
            r"label t\[2\] is 3, .* labels must be 0 … 2 \(t − 1, if yours begin at 1\)$",
        ),
        (np.array([0.0, 1, 2, 1]), TypeError, r"dtype float64: give whole numbers 0 … 2, such as t.astype\(int\)$"),
        (
            np.array([0.0, 1, 0.37, 1]),
            TypeError,
            r"hold 0.37 at t\[2\], .*: round or bin them, or.* in RegressionOutput$",
        ),
        (np.array([np.nan, 1, 2, 1]), TypeError, r"labels t hold nan at t\[0\], but classes are whole numbers 0 … 2"),
        (
            np.array([True, False, True, True]),
            TypeError,
            r"dtype bool: give whole numbers 0 … 2, such as t.astype\(int\)",
        ),
        (NAMES, TypeError, r"labels t are names, such as 'dog': number the classes, names, t = numpy.unique\(t, "),
        (np.array(NAMES, object), TypeError, "labels t are names, such as 'dog'"),
        ([0, 1, None, 2], TypeError, "labels t holds Python objects, such as 0"),
        (np.array([0, 1, 2]), ValueError, r"labels t have shape \(3,\), but there are 4 images: give shape \(4,\)"),
        (np.eye(3, dtype=int)[T], ValueError, r"shape \(4, 3\), a row an image as in one-hot .*t.argmax\(axis=1\)$"),
        (np.eye(3)[T], ValueError, r"shape \(4, 3\), a row an image as in one-hot .*t.argmax\(axis=1\)$"),
    ],
)
def test_wrong_labels_change_nothing(call, t, error, words):
    net = forwarded()
    before = net.state_dict()
    with pytest.raises(error, match=words):
        call(net, t)
    assert all(np.array_equal(array, before[name]) for name, array in net.state_dict().items())


def test_the_remedies_for_labels_work():
    assert np.unique(NAMES, return_inverse=True)[1].tolist() == [1, 0, 2, 0]
    for t in (np.unique(NAMES, return_inverse=True)[1], np.eye(3)[T].argmax(axis=1), T.astype(float).astype(int)):
        assert forwarded().train_step(X, t, tc.SGDM()) == pytest.approx(np.log(3))


@pytest.mark.parametrize("t", [T.tolist(), T.astype(np.uint8), T.astype(np.int64)])
def test_right_labels_of_any_integer_type(t):
    assert forwarded().train_step(X, t, tc.SGDM()) == pytest.approx(np.log(3))


@pytest.mark.parametrize(
    "use",
    [lambda optimizer: make().train_step(X, T, optimizer), lambda optimizer: tc.Trainer(make(), optimizer)],
    ids=["train_step", "Trainer"],
)
@pytest.mark.parametrize(
    ("optimizer", "words"),
    [
        ("adam", r"^optimizer is 'adam': give an Optimizer, such as tc.SGDM\(lr=0.01\) or tc.Adam\(\)$"),
        (tc.SGDM, r"^optimizer is the class SGDM: make an object of it with brackets, SGDM\(…\)$"),
        (0.01, "^optimizer is 0.01: give an Optimizer"),
        (None, "^optimizer is None: give an Optimizer"),
        (tc.ReLU(), "^optimizer is a ReLU: give an Optimizer"),
    ],
)
def test_what_is_no_optimizer(use, optimizer, words):
    with pytest.raises(TypeError, match=words):
        use(optimizer)


@pytest.mark.parametrize("net", [make, lambda: (net := forwarded()).clear_cache() or net], ids=["new", "forgotten"])
def test_backward_before_forward(net):
    with pytest.raises(RuntimeError, match=r"nothing to go back through: call net.forward\(x, training=True\) first"):
        net().backward(T)


def test_backward_after_train_step():
    net = make()
    net.train_step(X, T, tc.SGDM())
    with pytest.raises(RuntimeError, match=r"call net\.forward"):
        net.backward(T)


relu = tc.ReLU()


@pytest.mark.parametrize(
    ("build", "words"),
    [
        (
            lambda: tc.Sequential([]),
            r"list of layers is empty: a network begins with ImageInput\(\(channels, height, width\)\)",
        ),
        (lambda: chain(tc.ReLU(), tc.ImageInput((1, 8, 8))), "'imageinput_1' .*only be the first layer"),
        (
            lambda: chain(tc.Conv2D(4, 9, name="big")),
            r"layer 'big' \(Conv2D\) does not fit after 'images', which puts out \(1, 8, 8\): a 9×9 kernel .*8×8",
        ),
        (
            lambda: chain(tc.MaxPool2D(5), tc.MaxPool2D(2)),
            r"'maxpool2d_2' .*after 'maxpool2d_1', which puts out \(1, 1, 1\)",
        ),
        (lambda: chain(tc.Conv2D(4, 3, groups=2)), "groups is 2, which does not divide the 1 channels"),
        (lambda: chain(tc.FullyConnected(3), tc.Conv2D(4, 3)), r"needs images of shape \(C, H, W\), but gets .*\(3,\)"),
        (lambda: chain(tc.Flatten(), tc.BatchNorm2D()), r"'batchnorm2d_1' .*needs images"),
        (lambda: chain(tc.Softmax()), "put a FullyConnected or Flatten layer before it"),
        (lambda: chain(tc.FullyConnected(3), tc.ClassificationOutput()), "put Softmax before it"),
        (lambda: chain(tc.FullyConnected(3), tc.Softmax(), tc.ClassificationOutput([1, 2])), "2 numbers for 3 classes"),
        (lambda: chain(relu, relu), "appears twice in the list: make a new layer for each place"),
        (
            lambda: chain(tc.Conv2D(2, 1, name="a"), tc.Conv2D(2, 1, name="a")),
            "several layers are called 'a': give each",
        ),
        (lambda: tc.Sequential([tc.ImageInput((1, 2, 2))], dtype=np.int32), "dtype is int32: choose np.float32 or"),
        (lambda: make().astype(np.float16), "dtype is float16: choose np.float32 or"),
    ],
    ids=range(14),
)
def test_networks_that_do_not_fit_together(build, words):
    with pytest.raises(ValueError, match=words):
        build()


def test_layers_without_weights_may_share_a_name():
    assert len(chain(tc.Dropout(0.5, name="dropout"), tc.ReLU(), tc.Dropout(0.3, name="dropout")).layers) == 4


@pytest.mark.parametrize(
    "call",
    [
        lambda net: net.loss(np.ones((1, 64)) / 64, np.array([0])),
        lambda net: net.train_step(np.ones((1, 1, 8, 8)), np.array([0]), tc.SGDM()),
    ],
)
def test_no_output_layer_no_loss(call):
    with pytest.raises(
        ValueError,
        match="does not end in an output layer such as ClassificationOutput, so it has no loss: add that layer",
    ):
        call(chain(tc.Flatten()))


def test_nothing_to_learn():
    net = chain(tc.Flatten(), tc.Softmax(), tc.ClassificationOutput())
    with pytest.raises(ValueError, match="nothing to learn: add a layer such as FullyConnected"):
        net.train_step(np.ones((1, 1, 8, 8)), np.array([0]), tc.SGDM())


def test_upstream_gradient_of_a_wrong_shape():
    net = chain(tc.FullyConnected(3))
    net.forward(np.ones((2, 1, 8, 8)))
    with pytest.raises(ValueError, match=r"dloss/dy has shape \(2, 4\), but the network's output is \(2, 3\)"):
        net.backward(np.ones((2, 4)))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"fc.bias": None}, r"missing \['fc.bias'\], unexpected none; with strict=False"),
        ({"fc_1.bias": np.ones(3)}, r"unexpected \['fc_1.bias'\]"),
        (
            {"conv.weight": np.ones((3, 3, 3, 2))},
            r"conv.weight has shape \(3, 3, 3, 2\) in the state, but \(2, 3, 3, 3\)",
        ),
    ],
)
def test_a_state_that_does_not_belong(change, words):
    state = {name: array for name, array in {**make().state_dict(), **change}.items() if array is not None}
    with pytest.raises(ValueError, match=words):
        make().load_state_dict(state)


def test_a_gpu_without_cupy_has_a_remedy_for_python_and_for_the_command_line(monkeypatch):
    monkeypatch.setitem(sys.modules, "cupy", None)
    with pytest.raises(
        RuntimeError, match='stay on the CPU: device "cpu" in Python, --device cpu on the command line$'
    ):
        make().to("cuda")
