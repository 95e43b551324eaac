"""The gradient check itself: right gradients pass, at kinks too, and mistakes of 0.1 % are seen."""

import math

import numpy as np
import pytest

import tinycnn as tc
from covid.models.paper import paper_network
from tinycnn.gradient_report import GradientReport
from tinycnn.layers import Layer, OutputLayer
from tinycnn.runtime.fusion import SoftmaxCrossEntropy

RNG = np.random.default_rng(5)
X, T = RNG.normal(size=(3, 1, 8, 8)), np.array([0, 2, 1])
FLAT = np.where(np.arange(8)[:, None] < 5, 0, X)  # five of eight rows are background: ties in every first window


def digits(n: int = 8) -> tuple[np.ndarray, np.ndarray]:
    """Images (n, 1, 8, 8) with pixels 0 … 1, many exactly 0, and their labels."""
    data = pytest.importorskip("sklearn.datasets").load_digits()
    return data.images[:n, None] / 16, data.target[:n]


def make() -> tc.Sequential:
    return tc.Sequential(
        [
            tc.ImageInput((1, 8, 8), name="input"),
            tc.Conv2D(3, 3, name="conv"),
            tc.BatchNorm2D(name="norm"),
            tc.ReLU(),
            tc.MaxPool2D(2),
            tc.Conv2D(3, 2, name="conv_2"),
            tc.AveragePool2D(2),
            tc.Dropout(0.2),
            tc.FullyConnected(3, name="fc"),
            tc.Softmax(),
            tc.ClassificationOutput(),
        ]
    )


@pytest.mark.parametrize("training", [True, False], ids=["training", "evaluation"])
@pytest.mark.parametrize("kernel_set", ["reference", "cpu"])
def test_the_papers_network(training, kernel_set):
    net = paper_network(size=48, seed=2)
    net.layers[0].fit(RNG.normal(size=(4, 1, 48, 48)))
    with tc.kernels.use(kernel_set):
        net.forward(RNG.normal(size=(3, 1, 48, 48)), training=True)  # moves the running statistics away from 0 and 1
        errors = tc.gradcheck(net, RNG.normal(size=(3, 1, 48, 48)), T, training=training, samples=4)
    assert len(errors) == 21 and max(errors.values()) < 1e-6, errors


@pytest.mark.parametrize("images", [X, FLAT], ids=["random", "flat"])
def test_the_network_that_the_mistakes_below_are_planted_in(images):
    report = tc.gradcheck(make(), images, T)
    assert max(report.values()) < 1e-6 and report.ok
    assert (report.kinks["input"] > 0) == (images is FLAT)


def scaled_dx(backward):
    return lambda self, dy: backward(self, dy) * 1.001


def scaled_gradient(name):
    def plant(backward):
        def wrong(self, dy):
            dx = backward(self, dy)
            self.gradients[name] = self.gradients[name] * 1.001
            return dx

        return wrong

    return plant


def one_wrong_channel(backward):
    def wrong(self, dy):
        dx = backward(self, dy)
        dx[:, 0] *= 0.999
        return dx

    return wrong


@pytest.mark.parametrize("images", [X, FLAT], ids=["random", "flat"])
@pytest.mark.parametrize(
    ("layer", "method", "plant"),
    [
        (tc.Conv2D, "backward", scaled_dx),
        (tc.Conv2D, "backward_parameters", scaled_gradient("weight")),
        (tc.BatchNorm2D, "backward", scaled_dx),
        (tc.BatchNorm2D, "backward", scaled_gradient("weight")),
        (tc.BatchNorm2D, "backward", scaled_gradient("bias")),
        (tc.ReLU, "backward", one_wrong_channel),
        (tc.MaxPool2D, "backward", one_wrong_channel),
        (tc.AveragePool2D, "backward", scaled_dx),
        (tc.Dropout, "backward", scaled_dx),
        (tc.FullyConnected, "backward", scaled_dx),
        (tc.FullyConnected, "backward", scaled_gradient("weight")),
        (tc.FullyConnected, "backward", scaled_gradient("bias")),
        (tc.ImageInput, "backward", scaled_dx),
        (SoftmaxCrossEntropy, "backward", scaled_dx),
    ],
)
def test_a_planted_error_of_a_thousandth_is_seen(monkeypatch, layer, method, plant, images):
    monkeypatch.setattr(layer, method, plant(getattr(layer, method)))
    report = tc.gradcheck(make(), images, T, samples=9)
    assert max(report.values()) > 1e-4 and not report.ok and math.isfinite(max(report.values()))


def test_a_forgotten_term_of_batch_norm_is_seen(monkeypatch):
    """Treating the batch's statistics as constants is the classic mistake, which a sum of outputs would not show."""
    from tinycnn.kernels import reference

    right = reference.batch_norm_backward
    monkeypatch.setattr(reference, "batch_norm_backward", lambda *a, **k: right(*a, **{**k, "batch_statistics": False}))
    with tc.kernels.use("reference"):
        assert max(tc.gradcheck(make(), X, T).values()) > 1e-2


def test_the_network_stays_as_it_was():
    net = make()
    net.train_step(X, T, tc.SGDM())
    before, generator = net.state_dict(), net.rng.bit_generator.state
    images = X.copy()
    tc.gradcheck(net, images, T)
    after = net.state_dict()
    assert all(np.array_equal(before[name], after[name]) for name in before)
    assert net.dtype == np.float32 and net.rng.bit_generator.state == generator and np.array_equal(images, X)


def test_network_without_loss_or_parameters():
    net = tc.Sequential([tc.ImageInput((1, 4, 4)), tc.MaxPool2D(2)])
    errors = tc.gradcheck(net, RNG.normal(size=(2, 1, 4, 4)), RNG.normal(size=(2, 1, 2, 2)).astype(np.float32))
    assert errors.keys() == {"input"} and errors["input"] < 1e-6


def test_a_gradient_of_zero_is_right():
    net = tc.Sequential([tc.ImageInput((1, 2, 2)), tc.FullyConnected(2, initializer="zeros", bias=False, name="fc")])
    assert tc.gradcheck(net, np.ones((1, 1, 2, 2)), np.zeros((1, 2))) == {"fc.weight": 0.0, "input": 0.0}


# --- Kinks ---


def kinked_network() -> tc.Sequential:
    """Convolution, ReLU and max pooling without batch norm: a flat background and biases of 0 sit on every kink."""
    blocks = [
        layer
        for name in ("conv", "conv_2")
        for layer in (tc.Conv2D(8, 3, padding="same", name=name), tc.ReLU(), tc.MaxPool2D(2))
    ]
    end = [tc.FullyConnected(10, name="fc"), tc.Softmax(), tc.ClassificationOutput()]
    return tc.Sequential([tc.ImageInput((1, 8, 8)), *blocks, *end], dtype=np.float64)


def test_digits_with_a_flat_background_pass_and_their_gradients_are_pytorchs():
    torch = pytest.importorskip("torch")
    (x, t), net = digits(), kinked_network()
    relu_and_pool = [torch.nn.ReLU(), torch.nn.MaxPool2d(2)]
    conv, conv_2 = (torch.nn.Conv2d(c, 8, 3, padding="same") for c in (1, 8))
    model = torch.nn.Sequential(
        conv, *relu_and_pool, conv_2, *relu_and_pool, torch.nn.Flatten(), torch.nn.Linear(32, 10)
    )
    model.double()
    with torch.no_grad():
        for theirs, ours in zip(model.parameters(), net.parameters().values(), strict=True):
            theirs.copy_(torch.from_numpy(ours))
    images = torch.from_numpy(x).requires_grad_()
    torch.nn.functional.cross_entropy(model(images), torch.from_numpy(t)).backward()
    net.forward(x, training=True)
    np.testing.assert_allclose(net.backward(t), images.grad.numpy(), atol=1e-14)
    for theirs, ours in zip(model.parameters(), net.gradients().values(), strict=True):
        np.testing.assert_allclose(ours, theirs.grad.numpy(), atol=1e-14)

    report = tc.gradcheck(net, x, t)
    assert report.ok and max(report.values()) < 1e-6, report
    assert report.kinks["conv.bias"] == report.entries["conv.bias"] == 8  # a background pixel is 0, and so is the bias
    assert 0 < report.kinks["input"] < report.entries["input"] == 20
    assert all(report.kinks[name] == 0 for name in ("conv.weight", "conv_2.weight", "fc.weight", "fc.bias"))
    assert report.directions["input"] == report.directions["conv.bias"] == "nearby"
    assert report.directions["conv.weight"] == report.directions["fc.weight"] == "here"


class Abs(Layer):
    """y = |x|; the derivative at 0 is 0, which is as good as any other."""

    def forward(self, x, training=False):
        self.cache = x
        return np.abs(x)

    def backward(self, dy):
        return dy * np.sign(self.cache)


def test_the_kinks_of_an_absolute_value_are_counted():
    x = RNG.uniform(0.5, 1, (1, 1, 4, 5)) * RNG.choice([-1, 1], (1, 1, 4, 5))
    x[0, 0, :2, :3] = 0
    report = tc.gradcheck(tc.Sequential([tc.ImageInput((1, 4, 5)), Abs()]), x, RNG.normal(size=x.shape))
    assert report.ok and report.entries == {"input": 20} and report.kinks == {"input": 6}
    assert report.directions == {"input": "nearby"}


def test_a_kink_close_by_is_no_kink():
    x = np.array([[[[2e-4, -3e-5, 1e-5, -2e-6]]]])
    report = tc.gradcheck(tc.Sequential([tc.ImageInput((1, 1, 4)), Abs()]), x, RNG.normal(size=x.shape))
    assert report.ok and report.kinks == {"input": 0} and report.directions == {"input": "here"}


def test_a_curved_loss_is_no_kink():
    """The two one-sided slopes of a strongly curved function differ at every step size, by h times its curvature."""

    class Curved(Layer):
        def forward(self, x, training=False):
            self.cache = x
            return np.exp(200 * x)

        def backward(self, dy):
            return dy * 200 * np.exp(200 * self.cache)

    x = RNG.normal(scale=0.005, size=(1, 1, 2, 3))
    report = tc.gradcheck(tc.Sequential([tc.ImageInput((1, 2, 3)), Curved()]), x, RNG.normal(size=x.shape))
    assert report.ok and report.kinks == {"input": 0} and report.directions == {"input": "here"}


def test_a_tie_of_max_pooling_is_counted_and_what_is_below_it_is_not():
    x = np.array([[[[1.0, 1.0, 0.0, 0.5], [0.0, 0.5, 0.3, 0.1]]]])  # two windows, the first with a tie
    net = tc.Sequential([tc.ImageInput((1, 2, 4)), tc.MaxPool2D(2)])
    report = tc.gradcheck(net, x, np.array([[[[1.5, -0.5]]]]))
    assert report.ok and report.entries == {"input": 8} and report.kinks == {"input": 2}


def test_a_gradient_that_could_not_be_checked_does_not_pass():
    class Sawtooth(Layer):
        """Up and down every 7e-9, and never in step with a power of ten: no step is small enough to find a slope."""

        def forward(self, x, training=False):
            self.cache = x
            return np.abs(x * 2.7182818e8 % 2 - 1)

        def backward(self, dy):
            return dy * 2.7182818e8 * np.sign(self.cache * 2.7182818e8 % 2 - 1)

    report = tc.gradcheck(
        tc.Sequential([tc.ImageInput((1, 2, 2)), Sawtooth()]), X[:1, :, :2, :2], np.ones((1, 1, 2, 2))
    )
    assert report == {"input": math.inf} and not report.ok and report.unchecked == ["input"]
    assert report.kinks == report.entries == {"input": 4} and report.directions == {"input": "nowhere"}
    assert "not checked, kinks everywhere: input" in str(report)


def test_the_round_off_of_a_sure_networks_tiny_gradients_is_neither_a_mistake_nor_a_kink():
    (x, _), net = digits(), kinked_network()
    net.parameters()["fc.bias"][0] = 25  # a loss of about 1e-10, found from scores whose round-off is 1e-15
    report = tc.gradcheck(net, x, np.zeros(8, int))
    assert report.ok and report.kinks["fc.weight"] == report.kinks["fc.bias"] == 0


# --- Mistakes of other kinds, with a flat background ---


def plant(monkeypatch, layer, change) -> None:
    """After each backward pass of this kind of layer, change(layer, dx) spoils dx or the layer's gradients in place."""

    def wrong(self, dy, right=layer.backward):
        dx = right(self, dy)
        change(self, dx)
        return dx

    monkeypatch.setattr(layer, "backward", wrong)


def check_digits(**options) -> GradientReport:
    return tc.gradcheck(kinked_network(), *digits(), **options)


def test_one_wrong_entry_among_thousands_is_seen_by_the_direction(monkeypatch):
    def change(layer, dx):
        layer.gradients["weight"][7, 2345] += 0.1 * np.abs(layer.gradients["weight"]).max()

    rng = np.random.default_rng(0)
    net = tc.Sequential(
        [tc.ImageInput((1, 50, 50)), tc.FullyConnected(8, name="fc"), tc.Softmax(), tc.ClassificationOutput()]
    )
    images = rng.normal(size=(2, 1, 50, 50))
    assert tc.gradcheck(net, images, T[:2], samples=1).ok
    plant(monkeypatch, tc.FullyConnected, change)
    report = tc.gradcheck(net, images, T[:2], samples=1)
    assert report.worst == "fc.weight" and report["fc.weight"] > 1e-4
    assert report["input"] < 1e-6 and report["fc.bias"] < 1e-6


def test_a_wrong_sign_in_one_channel_is_seen(monkeypatch):
    def change(layer, dx):
        layer.gradients["bias"][3] *= -1

    plant(monkeypatch, tc.Conv2D, change)
    report = check_digits(samples=2)
    assert report["conv_2.bias"] > 1e-2 and report["conv.weight"] < 1e-6


def test_a_wrong_bias_is_seen_where_every_entry_is_at_a_kink(monkeypatch):
    def wrong(self, dy, right=tc.Conv2D.backward_parameters):
        right(self, dy)
        self.gradients["bias"] *= 1.001

    monkeypatch.setattr(tc.Conv2D, "backward_parameters", wrong)
    plant(monkeypatch, tc.Conv2D, lambda layer, dx: None)
    for path in ("backward", "train_step"):
        report = check_digits(path=path)
        assert report.kinks["conv.bias"] == 8 and report["conv.bias"] > 1e-4, report


def test_a_term_that_is_wrong_beside_kinks_only_is_seen(monkeypatch):
    def change(layer, dx):
        dx[(layer.cache > 0) & (layer.cache < 0.03)] *= 1.5

    plant(monkeypatch, tc.ReLU, change)
    assert not check_digits().ok


def test_a_tie_that_is_counted_twice_is_seen(monkeypatch):
    """Parameters move all pixels of a tie together, so that the loss has a slope, and only one share of it is right."""

    def forward(self, x, training=False, right=tc.MaxPool2D.forward):
        y = right(self, x, training)
        self.x, self.y = x, y
        return y

    def backward(self, dy):
        y, dy = (array.repeat(2, axis=2).repeat(2, axis=3) for array in (self.y, dy))
        return (self.x == y) * dy

    monkeypatch.setattr(tc.MaxPool2D, "forward", forward)
    monkeypatch.setattr(tc.MaxPool2D, "backward", backward)
    assert tc.gradcheck(make(), X, T).ok  # no ties, no mistake
    assert not tc.gradcheck(make(), FLAT, T).ok


# --- Whose gradients ---


@pytest.mark.parametrize("kernel_set", ["reference", "cpu"])
def test_the_gradients_that_training_runs(kernel_set):
    with tc.kernels.use(kernel_set):
        report = tc.gradcheck(make(), FLAT, T, path="train_step")
    assert report.ok and list(report) == list(make().parameters())


@pytest.mark.parametrize("wrong", [1, 2, 3], ids=["conv.weight", "norm.weight", "norm.bias"])
def test_a_mistake_of_the_fused_block_is_seen_in_train_step_alone(monkeypatch, wrong):
    right = tc.kernels.cpu.conv_block_backward

    def planted(*arguments, **options):
        results = list(right(*arguments, **options))
        results[wrong] = results[wrong] * 1.001
        return tuple(results)

    monkeypatch.setattr(tc.kernels.cpu, "conv_block_backward", planted)
    with tc.kernels.use("cpu"):
        assert tc.gradcheck(make(), X, T).ok
        report = tc.gradcheck(make(), X, T, path="train_step")
    assert report.worst == ("conv.weight", "norm.weight", "norm.bias")[wrong - 1] and report[report.worst] > 1e-4


class SquaredError(OutputLayer):
    """loss = Σ (y − t)² / 2N."""

    def forward(self, x, training=False):
        self.cache = x
        return x

    def targets(self, t, n, output_shape):
        assert t.shape == (n, *output_shape)
        return t

    def loss(self, y, t):
        return ((y - t) ** 2).sum() / (2 * len(y))

    def backward(self, t):
        return (self.cache - t) / len(t)


@pytest.mark.parametrize("path", ["backward", "train_step"])
def test_an_output_layer_with_targets_that_are_not_labels(monkeypatch, path):
    net = tc.Sequential(
        [
            tc.ImageInput((1, 4, 4)),
            tc.Conv2D(2, 3, name="conv"),
            tc.ReLU(),
            tc.FullyConnected(2, name="fc"),
            SquaredError(),
        ]
    )
    x, t = RNG.normal(size=(3, 1, 4, 4)), RNG.normal(size=(3, 2)).astype(np.float32)
    assert tc.gradcheck(net, x, t, path=path).ok
    monkeypatch.setattr(SquaredError, "backward", lambda self, t: (self.cache - t) / len(t) * 1.001)
    assert max(tc.gradcheck(net, x, t, path=path).values()) > 1e-4


# --- The report and the errors ---


def test_the_report_prints_what_was_left_out():
    report = GradientReport()
    report.update({"conv.weight": 2e-9, "conv.bias": 0.5, "input": math.inf})
    report.entries.update({"conv.weight": 20, "conv.bias": 8, "input": 20})
    report.kinks.update({"conv.weight": 1, "conv.bias": 8, "input": 20})
    report.directions.update({"conv.weight": "here", "conv.bias": "nearby", "input": "nowhere"})
    assert repr(report).splitlines() == [
        "array         error  entries  at kinks  direction",
        "conv.weight   2e-09       20         1  here",
        "conv.bias     5e-01        8         8  nearby",
        "input           inf       20        20  nowhere",
        "wrong: conv.bias",
        "not checked, kinks everywhere: input; try other images",
    ]
    assert report.worst == "input" and not report.ok


def test_the_same_seed_gives_the_same_report():
    first, second = (tc.gradcheck(make(), *digits(3), samples=3, seed=4) for _ in range(2))
    assert first == second and first.kinks == second.kinks


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"path": "forward"}, "path is 'forward': choose"),
        ({"path": "train_step", "training": False}, "training is False: give training=True"),
        ({"samples": 0}, "samples is 0"),
    ],
)
def test_wrong_options(options, message):
    with pytest.raises(ValueError, match=message):
        tc.gradcheck(make(), X, T, **options)


def test_labels_for_a_network_without_a_loss():
    net = tc.Sequential([tc.ImageInput((1, 8, 8)), tc.FullyConnected(4)])
    with pytest.raises(ValueError, match=r"t has shape \(3,\), but this network has no output layer.*\(3, 4\)"):
        tc.gradcheck(net, X, T)


@pytest.mark.parametrize("path", ["backward", "train_step"])
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda layer, dx: layer.gradients.pop("bias"), "fc.bias has no gradient"),
        (lambda layer, dx: layer.gradients.update(bias=np.zeros(1)), r"fc.bias has a gradient of shape \(1,\).*\(3,\)"),
    ],
)
def test_a_forgotten_gradient_is_named(monkeypatch, path, change, message):
    plant(monkeypatch, tc.FullyConnected, change)
    with pytest.raises(RuntimeError, match=message):
        tc.gradcheck(make(), X, T, path=path)


def test_a_gradient_of_nan_is_wrong(monkeypatch):
    plant(monkeypatch, tc.FullyConnected, lambda layer, dx: layer.gradients["bias"].fill(np.nan))
    report = tc.gradcheck(make(), X, T)
    assert report["fc.bias"] == math.inf and "wrong: fc.bias" in str(report)


def test_a_loss_that_is_not_finite_is_refused():
    net = make()
    net.parameters()["fc.bias"][...] = np.nan
    with pytest.raises(ValueError, match="the loss is nan"):
        tc.gradcheck(net, X, T)
