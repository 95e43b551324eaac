"""The loss: by hand, with class weights, and with scores so extreme that probabilities underflow."""

import numpy as np
import pytest

import tinycnn as tc


@pytest.fixture(params=["reference", "cpu"], autouse=True)
def kernel_set(request):
    with tc.kernels.use(request.param):
        yield


def scores_net(fuse: bool, class_weights=None, dtype=np.float64, classes: int = 3) -> tc.Sequential:
    """A network whose scores are its images' pixels."""
    return tc.Sequential(
        [tc.ImageInput((classes, 1, 1)), tc.Flatten(), tc.Softmax(), tc.ClassificationOutput(class_weights)],
        fuse=fuse,
        dtype=dtype,
    )


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


@pytest.mark.parametrize("class_weights", [None, [0.5, 2, 1, 0.1]])
def test_fused_and_separate_agree(class_weights):
    rng = np.random.default_rng(0)
    x, t = rng.normal(size=(20, 4, 1, 1)) * 3, rng.integers(0, 4, 20)
    nets = [scores_net(fuse, class_weights, classes=4) for fuse in (True, False)]
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
