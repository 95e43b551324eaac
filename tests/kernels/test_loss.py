"""Label smoothing and the mean squared error in every module of kernels: by hand, PyTorch, finite differences."""

import numpy as np
import pytest

from tests import oracles
from tests.emulation import emulate

WEIGHTS = [None, [0.2, 3.0, 1.0, 0.0, 0.7]]


def scores_and_labels(dtype=np.float64, n: int = 9):
    rng = np.random.default_rng(4)
    return rng.normal(0, 2, (n, 5)).astype(dtype), rng.integers(0, 5, n)


def test_smoothed_cross_entropy_by_hand(kernels):
    log_p, t = np.log(np.array([[0.5, 0.25, 0.25], [0.1, 0.1, 0.8]])), np.array([1, 2])
    # q of label 1 is (0.1, 0.8, 0.1), of label 2 (0.1, 0.1, 0.8)
    first = 0.1 * np.log(0.5) + 0.8 * np.log(0.25) + 0.1 * np.log(0.25)
    second = 0.1 * np.log(0.1) + 0.1 * np.log(0.1) + 0.8 * np.log(0.8)
    assert kernels.cross_entropy_forward(log_p, t, None, 0.3) == pytest.approx(-(first + second) / 2)
    dlogits = kernels.cross_entropy_backward(np.exp(log_p), t, None, 0.3)
    np.testing.assert_allclose(dlogits, [[0.2, -0.275, 0.075], [0, 0, 0]], atol=1e-15)


@pytest.mark.parametrize(("dtype", "rtol"), [(np.float32, 1e-5), (np.float64, 1e-12)])
@pytest.mark.parametrize("smoothing", [0, 0.1, 0.9])
@pytest.mark.parametrize("class_weights", WEIGHTS)
def test_smoothed_cross_entropy_equals_torch(kernels, class_weights, smoothing, dtype, rtol):
    torch = pytest.importorskip("torch")
    scores, t = scores_and_labels(dtype, n=70)
    w = None if class_weights is None else np.array(class_weights, dtype)
    logits = torch.from_numpy(scores).requires_grad_()
    loss = torch.nn.CrossEntropyLoss(None if w is None else torch.from_numpy(w), label_smoothing=smoothing)
    expected = loss(logits, torch.from_numpy(t))
    expected.backward()
    got = kernels.cross_entropy_forward(kernels.log_softmax_forward(scores), t, w, smoothing)
    assert got == pytest.approx(expected.item(), rel=rtol)
    gradient = kernels.cross_entropy_backward(kernels.softmax_forward(scores), t, w, smoothing)
    np.testing.assert_allclose(gradient, logits.grad, rtol=10 * rtol, atol=rtol)
    assert gradient.dtype == dtype


@pytest.mark.parametrize("class_weights", WEIGHTS)
def test_smoothed_gradient_equals_finite_differences(kernels, class_weights):
    scores, t = scores_and_labels()
    w = None if class_weights is None else np.array(class_weights)

    def loss(x):
        return np.asarray(kernels.cross_entropy_forward(kernels.log_softmax_forward(x), t, w, 0.2))

    got = kernels.cross_entropy_backward(kernels.softmax_forward(scores), t, w, 0.2)
    np.testing.assert_allclose(got, oracles.numerical_gradient(loss, scores, 1.0), rtol=1e-6, atol=1e-9)


def test_without_smoothing_an_impossible_class_costs_nothing(kernels):
    log_p = np.array([[0.0, -np.inf]])
    assert kernels.cross_entropy_forward(log_p, np.array([0])) == 0


def test_squared_error_by_hand(kernels):
    y, t = np.array([[1.0, 2], [3, 4]]), np.array([[1.0, 4], [0, 4]])
    assert kernels.squared_error_forward(y, t) == pytest.approx((4 + 9) / 4)
    np.testing.assert_array_equal(kernels.squared_error_backward(y, t), [[0, -1], [1.5, 0]])


@pytest.mark.parametrize(("dtype", "rtol"), [(np.float32, 1e-6), (np.float64, 1e-13)])
@pytest.mark.parametrize("shape", [(1, 1), (13, 7), (5, 3, 9, 8), (300, 5000)])
def test_squared_error_equals_torch(kernels, shape, dtype, rtol):
    torch = pytest.importorskip("torch")
    y, t = np.random.default_rng(5).normal(3, 2, (2, *shape)).astype(dtype)
    outputs = torch.from_numpy(y.astype(np.float64)).requires_grad_()
    expected = torch.nn.MSELoss()(outputs, torch.from_numpy(t.astype(np.float64)))
    expected.backward()
    loss, dy = kernels.squared_error_forward(y, t), kernels.squared_error_backward(y, t)
    assert loss == pytest.approx(expected.item(), rel=rtol) and loss.shape == ()
    np.testing.assert_allclose(dy, outputs.grad, rtol=10 * rtol, atol=rtol * np.abs(outputs.grad.numpy()).max())
    assert loss.dtype == dy.dtype == dtype


def test_same_bits_whatever_thread_is_first(kernels, monkeypatch):
    y, t = np.random.default_rng(6).standard_normal((2, 70, 900), np.float32)
    scores, labels = scores_and_labels(np.float32, n=300)

    def everything():
        return (
            kernels.squared_error_forward(y, t),
            kernels.cross_entropy_forward(scores, labels, None, 0.1),
            kernels.cross_entropy_backward(scores, labels, scores[0], 0.1),
        )

    first = everything()
    monkeypatch.setattr(emulate, "backwards", True)
    for a, b in zip(first, everything(), strict=True):
        np.testing.assert_array_equal(a, b)
