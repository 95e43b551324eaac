"""Convolution: a 3×3 case by hand, "same" padding against loops, and what the arguments may be."""

import numpy as np
import pytest

import tinycnn as tc


def build(layer: tc.Layer, shape: tuple[int, int, int]) -> tc.Layer:
    layer.build(shape, np.float64, np.random.default_rng(0))
    return layer


@pytest.fixture(params=["reference", "cpu"], autouse=True)
def kernel_set(request):
    with tc.kernels.use(request.param):
        yield


def test_by_hand():
    layer = build(tc.Conv2D(1, 2), (1, 3, 3))
    layer.parameters["weight"][...] = [[[[1, 2], [3, 4]]]]
    layer.parameters["bias"][...] = 10
    y = layer.forward(np.arange(1.0, 10).reshape(1, 1, 3, 3))
    # 1·1 + 2·2 + 3·4 + 4·5 + 10, and so on: a correlation, the filter is not flipped
    np.testing.assert_array_equal(y, [[[[47, 57], [77, 87]]]])
    dx = layer.backward(np.array([[[[1.0, 0], [0, -1]]]]))
    np.testing.assert_array_equal(dx, [[[[1, 2, 0], [3, 3, -2], [0, -3, -4]]]])
    np.testing.assert_array_equal(layer.gradients["weight"], [[[[1 - 5, 2 - 6], [4 - 8, 5 - 9]]]])
    assert layer.gradients["bias"] == 0


def naive_same(x, weight, bias, stride, dilation):
    """⌈H/s⌉ × ⌈W/s⌉ windows, centred, with the odd missing pixel at the bottom and right."""
    (n, _, h, w), (o, _, kh, kw) = x.shape, weight.shape
    oh, ow = -(-h // stride), -(-w // stride)
    top = max(0, (oh - 1) * stride + (kh - 1) * dilation + 1 - h) // 2
    left = max(0, (ow - 1) * stride + (kw - 1) * dilation + 1 - w) // 2
    y = np.zeros((n, o, oh, ow)) + bias[:, None, None]
    for i, j, a, b in np.ndindex(oh, ow, kh, kw):
        row, column = i * stride - top + a * dilation, j * stride - left + b * dilation
        if 0 <= row < h and 0 <= column < w:
            y[:, :, i, j] += x[:, :, row, column] @ weight[:, :, a, b].T
    return y


@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("dilation", [1, 2])
@pytest.mark.parametrize("kernel", [1, 2, 3, (4, 5)])
@pytest.mark.parametrize("size", [(7, 8), (9, 5)])
def test_same_padding(size, kernel, dilation, stride):
    layer = build(tc.Conv2D(3, kernel, stride=stride, dilation=dilation, padding="same"), (2, *size))
    x = np.random.default_rng(1).normal(size=(2, 2, *size))
    y = layer.forward(x)
    assert layer.output_shape((2, *size)) == y.shape[1:] == (3, -(-size[0] // stride), -(-size[1] // stride))
    expected = naive_same(x, layer.parameters["weight"], layer.parameters["bias"], stride, dilation)
    np.testing.assert_allclose(y, expected, atol=1e-12)


def test_four_sides_are_top_bottom_left_right():
    layer = build(tc.Conv2D(1, 1, padding=(1, 2, 3, 4), bias=False, initializer="narrow_normal"), (1, 2, 2))
    layer.parameters["weight"][...] = 1
    y = layer.forward(np.ones((1, 1, 2, 2)))
    assert y.shape == (1, 1, 5, 9)
    assert y[0, 0, 1:3, 3:5].all() and y.sum() == 4


def test_groups_see_their_own_channels():
    layer = build(tc.Conv2D(4, 1, groups=2, bias=False), (4, 1, 1))
    layer.parameters["weight"][...] = np.array([[1, 2], [3, 4], [5, 6], [7, 8]]).reshape(4, 2, 1, 1)
    y = layer.forward(np.array([1.0, 10, 100, 1000]).reshape(1, 4, 1, 1))
    np.testing.assert_array_equal(y.ravel(), [21, 43, 6500, 8700])


def test_without_bias():
    layer = build(tc.Conv2D(2, 3, bias=False), (1, 4, 4))
    assert list(layer.parameters) == ["weight"]
    assert not layer.forward(np.zeros((1, 1, 4, 4))).any()


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: tc.Conv2D(0, 3), "filters is 0"),
        (lambda: tc.Conv2D(3, 3, groups=2), "filters must be a positive multiple of groups"),
        (lambda: tc.Conv2D(3, 0), "kernel is 0"),
        (lambda: tc.Conv2D(3, (3, 3, 3)), "kernel is .*pair"),
        (lambda: tc.Conv2D(3, 2.5), "kernel is 2.5"),
        (lambda: tc.Conv2D(3, 3, stride=0), "stride is 0"),
        (lambda: tc.Conv2D(3, 3, dilation=-1), "dilation is -1"),
        (lambda: tc.Conv2D(3, 3, padding=-1), "padding is -1"),
        (lambda: tc.Conv2D(3, 3, padding=(0, 0, 0, -2)), "padding"),
        (lambda: tc.Conv2D(3, 3, padding="valid"), "padding is 'valid': give \"same\""),
        (lambda: tc.Conv2D(3, 3, initializer="xavier"), "initializer is 'xavier': choose one of glorot_uniform"),
        (lambda: tc.Conv2D(3, 3, l2_factors={"gamma": 1}), "l2_factors has 'gamma'"),
        (lambda: tc.Conv2D(3, 3, lr_factors={"bias": -1}), "lr_factors has 'bias': -1"),
        (
            lambda: tc.Conv2D(4, 3, groups=2).output_shape((3, 8, 8)),
            "groups is 2, which does not divide the 3 channels",
        ),
        (lambda: tc.Conv2D(4, 3, dilation=2).output_shape((3, 4, 9)), "does not fit into 4×9 pixels"),
        (lambda: tc.Conv2D(4, 3).output_shape((12,)), r"needs images of shape \(C, H, W\)"),
    ],
)
def test_arguments(make, words):
    with pytest.raises(ValueError, match=words):
        make()


def test_algorithms_agree_and_im2col_is_the_textbooks(monkeypatch):
    x, dy = np.random.default_rng(0).normal(size=(2, 3, 9, 8)), np.random.default_rng(1).normal(size=(2, 4, 4, 7))
    results = {}
    for algorithm in ("auto", "direct", "im2col"):
        net = tc.Sequential(
            [tc.ImageInput((3, 9, 8)), tc.Conv2D(4, (3, 2), stride=(2, 1), algorithm=algorithm)], dtype=np.float64
        )
        if algorithm == "im2col":  # its columns are really made
            monkeypatch.setattr(
                "tinycnn.kernels.reference.conv.im2col", spy := Spy(tc.kernels.named("reference").im2col)
            )
        results[algorithm] = [net.forward(x, training=True), net.backward(dy), *net.gradients().values()]
    assert spy.calls == 2  # forward and weight gradient
    for algorithm in ("direct", "im2col"):
        for a, b in zip(results["auto"], results[algorithm], strict=True):
            np.testing.assert_allclose(a, b, atol=1e-12)
    with pytest.raises(ValueError, match="algorithm is 'fft': choose one of auto, direct, im2col"):
        tc.Conv2D(4, 3, algorithm="fft")


class Spy:
    def __init__(self, function):
        self.function, self.calls = function, 0

    def __call__(self, *args, **kwargs):
        self.calls += 1
        return self.function(*args, **kwargs)
