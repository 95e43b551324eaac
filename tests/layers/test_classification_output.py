"""The loss: by hand, with class weights, and with scores so extreme that probabilities underflow."""

import numpy as np
import pytest

import tinycnn as tc


@pytest.fixture(params=["reference", "cpu"], autouse=True)
def kernel_set(request):
    with tc.kernels.use(request.param):
        yield


def scores_net(
    fuse: bool, class_weights=None, dtype=np.float64, classes: int = 3, smoothing: float = 0.0
) -> tc.Sequential:
    """A network whose scores are its images' pixels."""
    output = tc.ClassificationOutput(class_weights, label_smoothing=smoothing)
    return tc.Sequential([tc.ImageInput((classes, 1, 1)), tc.Flatten(), tc.Softmax(), output], fuse=fuse, dtype=dtype)


def pixels(scores) -> np.ndarray:
    return np.asarray(scores, float)[:, :, None, None]


@pytest.mark.parametrize("fuse", [True, False])
def test_by_hand(fuse):
    net, t = scores_net(fuse), np.array([2, 0])
    p = net.forward(pixels(np.log([[1, 2, 5], [6, 1, 1]])), training=True)
    np.testing.assert_allclose(p, [[1 / 8, 2 / 8, 5 / 8], [6 / 8, 1 / 8, 1 / 8]])
    assert net.loss(p, t) == pytest.approx(-(np.log(5 / 8) + np.log(6 / 8)) / 2)
    np.testing.assert_allclose(net.backward(t)[:, :, 0, 0], np.array([[1, 2, -3], [-2, 1, 1]]) / 16, rtol=1e-12)


@pytest.mark.parametrize("fuse", [True, False])
def test_class_weights_by_hand(fuse):
    net, t = scores_net(fuse, [1, 0, 3]), np.array([2, 0, 1])
    p = net.forward(pixels(np.log([[1, 2, 5], [6, 1, 1], [1, 1, 2]])), training=True)
    assert net.loss(p, t) == pytest.approx(-(3 * np.log(5 / 8) + np.log(6 / 8)) / 4)
    np.testing.assert_allclose(
        net.backward(t)[:, :, 0, 0], [[3 / 32, 6 / 32, -9 / 32], [-2 / 32, 1 / 32, 1 / 32], [0, 0, 0]], atol=1e-15
    )


EXTREME = [[1e4, -1e4, 0], [-1e4, 1e4, 0], [1e4, 1e4, -1e4], [0, 0, 0]]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_extreme_scores_are_exact_when_fused(dtype):
    net, t = scores_net(True, dtype=dtype), np.array([0, 0, 2, 1])
    p = net.forward(pixels(EXTREME), training=True)
    # per image 0, 2·10⁴, 2·10⁴ + log 2 and log 3
    assert net.loss(p, t) == pytest.approx((4e4 + np.log(2) + np.log(3)) / 4, rel=1e-6)
    expected = np.array([[0, 0, 0], [-1, 1, 0], [0.5, 0.5, -1], [1 / 3, -2 / 3, 1 / 3]]) / 4
    np.testing.assert_allclose(net.backward(t)[:, :, 0, 0], expected, atol=1e-7)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_extreme_scores_stay_finite_when_not_fused(dtype):
    net, t = scores_net(False, dtype=dtype), np.array([0, 0, 2, 1])
    p = net.forward(pixels(EXTREME), training=True)
    assert net.loss(p, t) == pytest.approx((2 * -np.log(1e-30) + np.log(3)) / 4, rel=1e-6)
    dx = net.backward(t)
    assert np.isfinite(dx).all()
    np.testing.assert_allclose(dx[3, :, 0, 0], np.array([1, -2, 1]) / 12, rtol=1e-6)


@pytest.mark.parametrize("smoothing", [0, 0.2])
@pytest.mark.parametrize("class_weights", [None, [0.5, 2, 1, 0.1]])
def test_fused_and_separate_agree(class_weights, smoothing):
    rng = np.random.default_rng(0)
    x, t = rng.normal(size=(20, 4, 1, 1)) * 3, rng.integers(0, 4, 20)
    nets = [scores_net(fuse, class_weights, classes=4, smoothing=smoothing) for fuse in (True, False)]
    a, b = (net.forward(x, training=True) for net in nets)
    np.testing.assert_array_equal(a, b)
    assert nets[0].loss(a, t) == pytest.approx(nets[1].loss(b, t), rel=1e-13)
    np.testing.assert_allclose(nets[0].backward(t), nets[1].backward(t), atol=1e-15)


def test_loss_of_other_probabilities_than_the_last():
    net, t = scores_net(True), np.array([0, 1])
    net.forward(pixels([[0, 1, 2], [3, 4, 5]]))
    assert net.loss(np.array([[0.5, 0.25, 0.25], [0.1, 0.125, 0.775]]), t) == pytest.approx(2 * np.log(2))


@pytest.mark.parametrize("weights", [[1, -1], [0, 0]])
def test_class_weights_must_be_positive_somewhere(weights):
    with pytest.raises(ValueError, match="class_weights is"):
        tc.ClassificationOutput(weights)


@pytest.mark.parametrize("fuse", [True, False])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("class_weights", [None, [0.5, 2, 0, 0.1]])
def test_label_smoothing_equals_torch(class_weights, dtype, fuse):
    torch = pytest.importorskip("torch")
    rng, rtol = np.random.default_rng(1), 1e-5 if dtype == np.float32 else 1e-12
    x, t = (rng.normal(size=(20, 4)) * 3).astype(dtype), rng.integers(0, 4, 20)
    scores, w = torch.from_numpy(x).requires_grad_(), class_weights and torch.tensor(class_weights, dtype=torch.float64)
    loss = torch.nn.CrossEntropyLoss(None if w is None else w.to(scores.dtype), label_smoothing=0.15)
    expected = loss(scores, torch.from_numpy(t))
    expected.backward()
    net = scores_net(fuse, class_weights, dtype, 4, smoothing=0.15)
    assert net.loss(net.forward(pixels(x), training=True), t) == pytest.approx(expected.item(), rel=rtol)
    np.testing.assert_allclose(net.backward(t)[:, :, 0, 0], scores.grad, rtol=100 * rtol, atol=rtol)


def test_label_smoothing_is_saved(tmp_path):
    net = scores_net(True, [1, 2, 3], smoothing=0.25)
    net.save(tmp_path / "net.safetensors")
    assert tc.load(tmp_path / "net.safetensors").layers[-1].label_smoothing == 0.25
