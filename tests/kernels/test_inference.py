"""Blocks in evaluation mode: what the layers compute, for every geometry, the same bits for any number of threads."""

import threading

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tinycnn as tc
from tinycnn.kernels import cpu, reference
from tinycnn.kernels.cpu import conv_blocks_inference
from tinycnn.windows import output_shape

PLAIN = (1, 1), (0, 0, 0, 0), (1, 1), 1


@pytest.fixture(autouse=True)
def threads():
    before = tc.get_num_threads()
    tc.set_num_threads(2)
    yield
    tc.set_num_threads(before)


def make_block(rng, channels, filters, kernel, geometry=PLAIN, dtype=np.float32, bias=True):
    weight = rng.normal(size=(filters, channels // geometry[3], *kernel)).astype(dtype)
    bias, gamma, beta, mean = (rng.normal(size=filters).astype(dtype) if wanted else None for wanted in (bias, 1, 1, 1))
    variance = rng.uniform(0.5, 2, filters).astype(dtype)
    return weight, bias, gamma, beta, mean, variance, 1e-3, *geometry


def layers(x, blocks):
    """The oracle: in float64, operation by operation."""
    x = x.astype(np.float64)
    for weight, bias, gamma, beta, mean, variance, eps, *geometry in blocks:
        bias = None if bias is None else bias.astype(np.float64)
        z = reference.conv2d_forward(x, weight.astype(np.float64), bias, *geometry)
        scale = (gamma / np.sqrt(variance.astype(np.float64) + eps))[:, None, None]
        v = np.maximum(0, (z - mean[:, None, None]) * scale + beta[:, None, None])
        height, width = v.shape[2] // 2 * 2, v.shape[3] // 2 * 2
        x = v[:, :, :height, :width].reshape(*v.shape[:2], height // 2, 2, width // 2, 2).max(axis=(3, 5))
    return x


def assert_equals_layers(x, blocks, kernels=cpu):
    y, expected = kernels.conv_blocks_inference(x, blocks), layers(x, blocks)
    assert y.dtype == x.dtype and y.shape == expected.shape
    tolerance = 1e-10 if x.dtype == np.float64 else 1e-5
    np.testing.assert_allclose(y, expected, rtol=0, atol=tolerance * max(1, np.abs(expected).max()))


@pytest.mark.parametrize("kernels", [reference, cpu])  # a GPU's: some fixed shapes in test_block.py
@settings(max_examples=40, deadline=None)
@given(
    data=st.data(),
    n=st.integers(1, 20),
    count=st.integers(1, 3),
    seed=st.integers(0, 99),
    dtype=st.sampled_from([np.float32, np.float64]),
)
def test_equals_the_layers(kernels, data, n, count, seed, dtype):
    rng, numbers = np.random.default_rng(seed), st.integers(1, 3)
    groups = data.draw(st.sampled_from([1, 1, 2]))
    channels, size = groups * data.draw(numbers), (data.draw(st.integers(9, 40)), data.draw(st.integers(9, 40)))
    x, blocks = rng.normal(size=(n, channels, *size)).astype(dtype), []
    for _ in range(count):
        kernel, stride, dilation = ((data.draw(numbers), data.draw(numbers)) for _ in range(3))
        geometry = stride, tuple(data.draw(st.integers(0, 2)) for _ in range(4)), dilation, groups
        out = output_shape(size, kernel, *geometry[:3])
        if min(out) < 2:
            break
        filters = groups * data.draw(st.sampled_from([1, 5, 8, 17]))
        blocks.append(make_block(rng, channels, filters, kernel, geometry, dtype, data.draw(st.booleans())))
        channels, size = filters, (out[0] // 2, out[1] // 2)
    if blocks:
        assert_equals_layers(x, blocks, kernels)


@pytest.mark.parametrize(
    ("n", "size", "filters"),
    [(1, (224, 224), (8, 16, 32, 64)), (3, (301, 200), (40, 9)), (40, (21, 18), (24, 70)), (2, (700, 12), (3,))],
)
def test_in_strips_and_images_together(n, size, filters):
    rng = np.random.default_rng(n)
    channels = (2, *filters)
    blocks = [make_block(rng, c, o, (3, 3)) for c, o in zip(channels[:-1], filters, strict=True)]
    x = rng.normal(size=(n, 2, *size)).astype(np.float32)
    assert_equals_layers(x, blocks)
    results = []
    for threads in (1, 2, 5):
        tc.set_num_threads(threads)
        results += [conv_blocks_inference(x, blocks) for _ in range(3)]
    assert all((other == results[0]).all() for other in results)
    np.testing.assert_array_equal(conv_blocks_inference(x[:1], blocks), results[0][:1])


def test_the_images_may_lie_anywhere_and_stay_as_they_are():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(12, 30, 3, 2)).astype(np.float32).transpose(3, 2, 1, 0)
    fixed = x.copy()
    fixed.flags.writeable = False
    blocks = [make_block(rng, 3, 4, (3, 3))]
    np.testing.assert_array_equal(conv_blocks_inference(x, blocks), conv_blocks_inference(fixed, blocks))
    np.testing.assert_array_equal(x, fixed)


def test_parameters_changed_in_place_count_at_once():
    rng = np.random.default_rng(0)
    x, blocks = rng.normal(size=(1, 3, 30, 30)).astype(np.float32), [make_block(rng, 3, 4, (3, 3))]
    for parameter in blocks[0][:6]:
        parameter[1] += 0.5
        assert_equals_layers(x, blocks)


def test_several_threads_of_the_caller_at_once():
    rng = np.random.default_rng(0)
    blocks = [make_block(rng, 1, 8, (3, 3)), make_block(rng, 8, 16, (3, 3))]
    images = rng.normal(size=(6, 1, 1, 80, 80)).astype(np.float32)
    expected = [conv_blocks_inference(x, blocks) for x in images]
    wrong = []

    def call(k):
        for _ in range(50):
            if not (conv_blocks_inference(images[k], blocks) == expected[k]).all():
                wrong.append(k)

    callers = [threading.Thread(target=call, args=(k,), daemon=True) for k in range(6)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join(30)
        assert not caller.is_alive()
    assert not wrong
