"""Every rung gives the oracle's numbers, with every option that it takes; what it leaves out, it refuses."""

import ast
import inspect
import textwrap

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests import oracles
from tests.emulation import emulate
from tests.emulation.on_device import OnDevice
from tests.kernels.test_conv import TOLERANCE, convolutions
from tests.kernels.test_pool import poolings
from tinycnn import backend
from tinycnn.kernels import cpu
from tinycnn.kernels.gpu import naive as gpu_naive
from tinycnn.kernels.ladder import RUNGS, loops, strip, tile
from tinycnn.kernels.reference import naive

ONE_GROUP = ("strip", "tile")
OPERATIONS = list(dict.fromkeys(rung.operation for rung in RUNGS))


def rungs(operation, device="cpu"):
    found = [rung for rung in RUNGS if (rung.operation, rung.device) == (operation, device)]
    return pytest.mark.parametrize("rung", found, ids=[rung.name for rung in found])


@pytest.fixture
def on_gpu():
    """What calls a rung with NumPy arrays: on a GPU if there is one, and in the emulator if not."""
    if backend.has_gpu():
        yield lambda rung: OnDevice(inspect.getmodule(rung.function)).__getattr__(rung.function.__name__)
    elif emulate.COMPILER:
        with emulate.emulated():
            yield lambda rung: rung.function
    else:
        pytest.skip("no GPU, and no g++ to emulate one with")


def assert_equals_loops(case, function, one_group=False):
    x, weight, bias, _, (stride, padding, dilation, groups) = case
    if one_group and groups > 1:
        with pytest.raises(ValueError, match=f"groups is {groups}: this rung has one group only"):
            function(x, weight, bias, stride, padding, dilation, groups)
        channels, filters = weight.shape[1], len(weight) // groups  # the first group on its own
        x, weight, bias, groups = x[:, :channels], weight[:filters], None if bias is None else bias[:filters], 1
    kept = [a.copy() for a in (x, weight)]
    expected, _ = oracles.conv2d(x, weight, bias, stride, padding, dilation, groups)
    y = function(x, weight, bias, stride, padding, dilation, groups)
    assert y.dtype == x.dtype
    np.testing.assert_allclose(y, expected, **TOLERANCE[x.dtype.type])
    for before, after in zip(kept, (x, weight), strict=True):
        np.testing.assert_array_equal(before, after)


@rungs("conv2d_forward")
@settings(max_examples=50, deadline=None)
@given(case=convolutions())
def test_convolution(rung, case):
    assert_equals_loops(case, rung.function, rung.name in ONE_GROUP)


@pytest.mark.gpu
@rungs("conv2d_forward", "cuda")
def test_convolution_on_the_gpu(rung, on_gpu):
    @settings(max_examples=40, deadline=None)
    @given(case=convolutions())
    def test(case):
        assert_equals_loops(case, on_gpu(rung))

    test()


@rungs("conv2d_backward_input")
@settings(max_examples=50, deadline=None)
@given(case=convolutions())
def test_input_gradient(rung, case):
    x, weight, bias, dy, arguments = case
    dx, _, _ = oracles.conv2d(x, weight, bias, *arguments)[1](dy)
    got = rung.function(dy, weight, x.shape, *arguments)
    assert got.dtype == x.dtype
    np.testing.assert_allclose(got, dx, **TOLERANCE[x.dtype.type])


@rungs("conv2d_backward_weight")
@settings(max_examples=50, deadline=None)
@given(case=convolutions())
def test_weight_gradient(rung, case):
    x, weight, bias, dy, arguments = case
    _, dweight, _ = oracles.conv2d(x, weight, bias, *arguments)[1](dy)
    got = rung.function(dy, x, weight.shape[2:], *arguments)
    assert got.dtype == x.dtype
    np.testing.assert_allclose(got, dweight, **TOLERANCE[x.dtype.type])


@rungs("max_pool2d_forward")
@settings(max_examples=60, deadline=None)
@given(case=poolings())
def test_max_pooling(rung, case):
    x, _, arguments = case  # with ties, and with NaN
    expected, index = oracles.max_pool2d(x, *arguments)
    y, argmax = rung.function(x, *arguments)
    assert y.dtype == x.dtype
    np.testing.assert_array_equal(y, expected)
    np.testing.assert_array_equal(argmax, index)


@rungs("batch_norm")
@settings(max_examples=40, deadline=None)
@given(
    shape=st.tuples(*(st.integers(1, most) for most in (3, 4, 9, 30))),
    dtype=st.sampled_from([np.float32, np.float64]),
    seed=st.integers(0, 2**31),
)
def test_batch_norm(rung, shape, dtype, seed):
    rng = np.random.default_rng(seed)
    x = (3 * rng.standard_normal(shape) + 1).astype(dtype)
    weight, bias = rng.standard_normal((2, shape[1])).astype(dtype)
    y, mean, variance = rung.function(x, weight, bias, 1e-3)
    close = {"rtol": 1e-4, "atol": 1e-4} if dtype == np.float32 else {"rtol": 1e-11, "atol": 1e-11}
    for c in range(shape[1]):
        values = [float(v) for v in x[:, c].reshape(-1)]
        mu = sum(values) / len(values)
        sigma2 = sum((v - mu) ** 2 for v in values) / len(values)
        np.testing.assert_allclose(mean[c], mu, **close)
        np.testing.assert_allclose(variance[c], sigma2, **close)
        expected = [weight[c] * (v - mu) / (sigma2 + 1e-3) ** 0.5 + bias[c] for v in values]
        np.testing.assert_allclose(y[:, c].reshape(-1), expected, **close)
    assert y.dtype == mean.dtype == variance.dtype == dtype


@pytest.mark.parametrize("module", [strip, tile])
def test_strips_of_several_rows_and_images_wider_than_a_strip(module, monkeypatch):
    rng = np.random.default_rng(0)
    for shape, positions in (((2, 3, 40, 33), 200), ((1, 2, 9, 300), 64), ((3, 5, 12, 11), 10_000)):
        monkeypatch.setattr(strip, "POSITIONS", positions)
        x, weight, bias = rng.standard_normal(shape), rng.standard_normal((6, shape[1], 3, 5)), rng.standard_normal(6)
        for arguments in (((1, 1), (0, 0, 0, 0), (1, 1), 1), ((2, 3), (2, 1, 0, 3), (1, 2), 1)):
            expected, _ = oracles.conv2d(x, weight, bias, *arguments)
            y = module.conv2d_forward(x, weight, bias, *arguments)
            np.testing.assert_allclose(y, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("module", [naive, loops, strip, tile])
def test_an_infinity_reaches_every_output_that_saw_it_and_no_other(module):
    x = np.ones((1, 2, 6, 40), np.float32)
    x[0, 1, 2, 20] = np.inf
    y = module.conv2d_forward(x, np.ones((3, 2, 3, 3), np.float32), None)
    expected = np.full((1, 3, 4, 38), 18, np.float32)
    expected[0, :, 0:3, 18:21] = np.inf
    np.testing.assert_array_equal(y, expected)


@pytest.mark.parametrize("module", [naive, loops, strip, tile, gpu_naive])
def test_what_does_not_fit_is_refused_at_the_door(module):
    x, weight = np.ones((1, 1, 5, 5)), np.ones((2, 3, 3, 3))
    with pytest.raises(ValueError, match="it fits images of 3 channels"):
        module.conv2d_forward(x, weight, None)
    with pytest.raises(TypeError, match="give both the same dtype"):
        module.conv2d_forward(x, weight[:, :1].astype(np.float32), None)


@pytest.mark.parametrize("module", [naive, loops, strip, tile])
def test_arrays_need_not_be_contiguous(module):
    rng = np.random.default_rng(0)
    x, weight = rng.standard_normal((9, 8, 4, 2)).transpose(3, 2, 1, 0), rng.standard_normal((3, 3, 4, 5)).T
    y = module.conv2d_forward(x, weight, None)
    np.testing.assert_array_equal(y, module.conv2d_forward(*map(np.ascontiguousarray, (x, weight)), None))


@pytest.mark.parametrize("rung", RUNGS, ids=lambda rung: f"{rung.operation}-{rung.device}-{rung.name}")
def test_same_arguments_as_in_production(rung):
    production = next(r for r in RUNGS if r.operation == rung.operation and r.name == "production")
    assert list(inspect.signature(rung.function).parameters) == list(inspect.signature(production.function).parameters)


def test_every_operation_goes_from_the_definition_to_production():
    for operation in OPERATIONS:
        names = [rung.name for rung in RUNGS if rung.operation == operation and rung.device == "cpu"]
        assert names[0] == "loops" and names[1] == "array code" and names[-1] == "production"
        assert len(set(names)) == len(names)
    assert next(r for r in RUNGS if (r.operation, r.name) == ("conv2d_forward", "production")).function is (
        cpu.conv2d_forward)  # fmt: skip


@pytest.mark.parametrize("module", [naive, loops, strip, tile])
def test_a_rung_fits_a_screen_and_says_what_it_is(module):
    for node in ast.parse(inspect.getsource(module)).body:
        if isinstance(node, ast.FunctionDef):
            assert node.end_lineno - node.lineno < 50, node.name
            if node.name in module.__all__:
                text = textwrap.dedent(ast.get_docstring(node) or "")
                assert text.startswith("Twin of `reference.naive.") or module is naive, node.name
                assert "What limits it: " in text or module is naive, node.name
