"""Convolution in every module of kernels: against a case by hand, loops, PyTorch, and itself as a linear map."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests import oracles

TOLERANCE = {np.float32: {"rtol": 2e-5, "atol": 5e-5}, np.float64: {"rtol": 1e-12, "atol": 1e-12}}


@st.composite
def convolutions(draw, most=9):
    """Arrays and arguments of a convolution: stride, dilation, uneven padding, groups, pixels left over."""
    pair = lambda low, high: (draw(st.integers(low, high)), draw(st.integers(low, high)))  # noqa: E731
    kernel, stride, dilation, groups = pair(1, 4), pair(1, 4), pair(1, 2), draw(st.integers(1, 3))
    padding = (*pair(0, 3), *pair(0, 3))
    n, channels, filters = draw(st.integers(1, 3)), draw(st.integers(1, 2)), draw(st.integers(1, 5))
    h = max(1, (kernel[0] - 1) * dilation[0] + 1 - padding[0] - padding[1]) + draw(st.integers(0, most))
    w = max(1, (kernel[1] - 1) * dilation[1] + 1 - padding[2] - padding[3]) + draw(st.integers(0, most))
    dtype = draw(st.sampled_from([np.float32, np.float64]))
    rng = np.random.default_rng(draw(st.integers(0, 2**31)))
    x = rng.standard_normal((n, groups * channels, h, w)).astype(dtype)
    weight = rng.standard_normal((groups * filters, channels, *kernel)).astype(dtype)
    bias = rng.standard_normal(groups * filters).astype(dtype) if draw(st.booleans()) else None
    output = oracles.sizes(h, w, kernel, stride, padding, dilation)
    dy = rng.standard_normal((n, groups * filters, *output)).astype(dtype)
    return x, weight, bias, dy, (stride, padding, dilation, groups)


def test_by_hand(kernels):
    x = np.arange(1.0, 10).reshape(1, 1, 3, 3)
    weight = np.array([[[[1.0, 2], [3, 4]]]])
    y = kernels.conv2d_forward(x, weight, np.array([10.0]))
    np.testing.assert_array_equal(y, [[[[47, 57], [77, 87]]]])  # 1·1 + 2·2 + 3·4 + 4·5 + 10 …: not flipped
    dy = np.array([[[[1.0, 0], [0, -1]]]])
    dx = kernels.conv2d_backward_input(dy, weight, x.shape)
    np.testing.assert_array_equal(dx, [[[[1, 2, 0], [3, 3, -2], [0, -3, -4]]]])
    np.testing.assert_array_equal(kernels.conv2d_backward_weight(dy, x, (2, 2)), [[[[1 - 5, 2 - 6], [4 - 8, 5 - 9]]]])
    np.testing.assert_array_equal(kernels.conv2d_backward_bias(dy), [0])


def test_stride_padding_and_dilation_by_hand(kernels):
    x = np.arange(1.0, 6).reshape(1, 1, 1, 5)
    weight = np.array([[[[1.0, 10]]]])
    y = kernels.conv2d_forward(x, weight, None, (1, 2), (0, 0, 1, 2), (1, 2))  # 0 1 2 3 4 5 0 0
    np.testing.assert_array_equal(y, [[[[20, 42, 4]]]])


@settings(max_examples=60, deadline=None)
@given(case=convolutions())
def test_equals_loops(kernels, case):
    x, weight, bias, dy, arguments = case
    expected, backward = oracles.conv2d(x, weight, bias, *arguments)
    dx, dweight, dbias = backward(dy)
    close = {**TOLERANCE[x.dtype.type], "err_msg": kernels.__name__}
    y = kernels.conv2d_forward(x, weight, bias, *arguments)
    assert y.dtype == x.dtype
    np.testing.assert_allclose(y, expected, **close)
    np.testing.assert_allclose(kernels.conv2d_backward_input(dy, weight, x.shape, *arguments), dx, **close)
    got = kernels.conv2d_backward_weight(dy, x, weight.shape[2:], *arguments)
    np.testing.assert_allclose(got, dweight, **close)
    np.testing.assert_allclose(kernels.conv2d_backward_bias(dy), dbias, **close)


@settings(max_examples=100, deadline=None)
@given(case=convolutions(most=60))
def test_is_a_linear_map_with_these_adjoints(kernels, case):
    # ⟨conv(x), dy⟩ = ⟨x, dx⟩ = ⟨weight, dweight⟩ for any numbers, at sizes that are too slow for loops.
    x, weight, _, dy, arguments = (a.astype(np.float64) if isinstance(a, np.ndarray) else a for a in case)
    value = (kernels.conv2d_forward(x, weight, None, *arguments) * dy).sum()
    close = pytest.approx(value, rel=1e-9, abs=1e-8)
    assert (x * kernels.conv2d_backward_input(dy, weight, x.shape, *arguments)).sum() == close
    assert (weight * kernels.conv2d_backward_weight(dy, x, weight.shape[2:], *arguments)).sum() == close


@settings(max_examples=60, deadline=None)
@given(case=convolutions(most=30))
def test_im2col_and_col2im_are_adjoint(kernels, case):
    x, weight, _, _, (stride, padding, dilation, _) = case
    x = x.astype(np.float64)
    columns = kernels.im2col(x, weight.shape[2:], stride, padding, dilation)
    c = np.random.default_rng(0).standard_normal(columns.shape)
    image = kernels.col2im(c, x.shape, weight.shape[2:], stride, padding, dilation)
    assert (columns * c).sum() == pytest.approx((x * image).sum(), rel=1e-10, abs=1e-10)


SHAPES = [  # n, channels, size, filters, kernel, stride, padding, groups
    (2, 1, 100, 8, 3, 1, 0, 1),
    (2, 8, 111, 16, 3, 1, 0, 1),
    (5, 16, 54, 32, 3, 1, 0, 1),
    (9, 32, 26, 64, 3, 1, 0, 1),
    (2, 3, 227, 40, 11, 4, 0, 1),
    (2, 32, 27, 64, 5, 1, 2, 2),
    (17, 64, 13, 96, 3, 1, 1, 1),
    (3, 64, 56, 16, 1, 1, 0, 1),
    (20, 96, 7, 80, 3, 1, 1, 1),
    (16, 1, 28, 32, 5, 1, 0, 1),
    (2, 32, 20, 64, 1, 2, 0, 1),
    (2, 24, 20, 24, 3, 1, 1, 24),
    (1, 700, 9, 8, 3, 1, 1, 1),
]


@pytest.mark.parametrize("shape", SHAPES)
def test_equals_torch(kernels, shape):
    torch = pytest.importorskip("torch")
    n, channels, size, filters, k, stride, padding, groups = shape
    rng = np.random.default_rng(0)
    x = rng.standard_normal((n, channels, size, size), np.float32)
    scale = np.float32(1 / np.sqrt(channels // groups * k * k))
    weight = rng.standard_normal((filters, channels // groups, k, k), np.float32) * scale
    bias = rng.standard_normal(filters, np.float32)
    tx, tw, tb = (torch.from_numpy(a).requires_grad_() for a in (x, weight, bias))
    ty = torch.nn.functional.conv2d(tx, tw, tb, stride, padding, 1, groups)
    dy = rng.standard_normal(ty.shape, np.float32)
    ty.backward(torch.from_numpy(dy))
    arguments = ((stride, stride), (padding,) * 4, (1, 1), groups)
    y = kernels.conv2d_forward(x, weight, bias, *arguments)
    np.testing.assert_allclose(y, ty.detach(), rtol=1e-4, atol=1e-4)
    dx = kernels.conv2d_backward_input(dy, weight, x.shape, *arguments)
    np.testing.assert_allclose(dx, tx.grad, rtol=1e-4, atol=1e-4)
    dweight = kernels.conv2d_backward_weight(dy, x, (k, k), *arguments)
    np.testing.assert_allclose(dweight, tw.grad, rtol=1e-4, atol=1e-5 * float(tw.grad.abs().max()))
    np.testing.assert_allclose(kernels.conv2d_backward_bias(dy), tb.grad, rtol=1e-4, atol=1e-2)


def test_arrays_need_not_be_contiguous(kernels):
    rng = np.random.default_rng(0)
    x = rng.standard_normal((9, 8, 4, 2)).transpose(3, 2, 1, 0)
    weight = rng.standard_normal((3, 3, 4, 5)).transpose(3, 2, 1, 0)
    dy = rng.standard_normal((2, 5, 12, 7))[:, :, ::2]
    plain = [np.ascontiguousarray(a) for a in (x, weight, dy)]
    kept = [a.copy() for a in (x, weight, dy)]
    for function in (
        lambda x, w, dy: kernels.conv2d_forward(x, w, None),
        lambda x, w, dy: kernels.conv2d_backward_input(dy, w, x.shape),
        lambda x, w, dy: kernels.conv2d_backward_weight(dy, x, (3, 3)),
        lambda x, w, dy: kernels.conv2d_backward_bias(dy),
    ):
        np.testing.assert_array_equal(function(x, weight, dy), function(*plain))
    for a, b in zip((x, weight, dy), kept, strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_nan_reaches_every_output_that_saw_it_and_no_other(kernels):
    x = np.ones((2, 2, 6, 40), np.float32)
    x[0, 1, 2, 20] = np.nan
    y = kernels.conv2d_forward(x, np.ones((3, 2, 3, 3), np.float32), None)
    expected = np.zeros(y.shape, bool)
    expected[0, :, 0:3, 18:21] = True
    np.testing.assert_array_equal(np.isnan(y), expected)
    dx = kernels.conv2d_backward_input(y, np.ones((3, 2, 3, 3), np.float32), x.shape)
    assert np.isnan(dx[0, :, 0:5, 18:23]).all() and not np.isnan(dx[1]).any() and not np.isnan(dx[0, :, :, :18]).any()
    assert np.isnan(kernels.conv2d_backward_weight(np.ones_like(y), x, (3, 3))[:, 1]).all()
