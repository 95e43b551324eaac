"""Arguments that do not fit together are refused at the door of every kernel module, by a sentence that names them."""

import inspect
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tinycnn.kernels import contracts, cpu, reference

GEOMETRY = {"stride": (1, 1), "padding": (0, 0, 0, 0), "dilation": (1, 1), "groups": 1}


def ones(*shape, dtype=np.float32):
    return np.ones(shape, dtype)


def fitting(kernels):
    """A call of every operation that is as it should be: {name: arguments}."""
    x, weight, dy = ones(2, 2, 6, 7), ones(4, 2, 3, 3), ones(2, 4, 4, 5)
    pooled, labels = {"pool": (2, 2), "stride": (2, 2), "padding": (0, 0, 0, 0)}, np.array([0, 1])
    channel, of_filter = [ones(2) for _ in range(4)], [ones(4) for _ in range(5)]
    statistics = dict(zip(("mean", "variance", "weight", "bias"), channel, strict=True))
    gradient_of = {name: statistics[name] for name in ("mean", "variance", "weight")}
    across = {"size": 3, "alpha": 1.0, "beta": 0.75, "k": 1.0}
    block = {"weight": weight, "gamma": of_filter[0], "beta": of_filter[1], "eps": 1e-3, **GEOMETRY}
    _, cache = kernels.conv_block_forward(x=x, bias=of_filter[2], **block)
    windows = {name: GEOMETRY[name] for name in ("stride", "padding", "dilation")}
    row = ones(2, 3)
    lists = {name: [ones(3), ones(2, 2)] for name in ("weights", "gradients")}
    return {
        "im2col": {"x": x, "kernel": (3, 3), **windows},
        "col2im": {"columns": ones(2, 18, 20), "input_shape": x.shape, "kernel": (3, 3), **windows},
        "conv2d_forward": {"x": x, "weight": weight, "bias": ones(4), **GEOMETRY},
        "conv2d_backward_input": {"dy": dy, "weight": weight, "input_shape": x.shape, **GEOMETRY},
        "conv2d_backward_weight": {"dy": dy, "x": x, "kernel": (3, 3), **GEOMETRY},
        "conv2d_backward_bias": {"dy": dy},
        "conv_block_forward": {"x": x, "bias": of_filter[2], **block},
        "conv_block_backward": {"dy": ones(2, 4, 2, 2), "cache": cache, **block, "input_gradient": True},
        "conv_blocks_inference": {"x": x, "blocks": [(weight, *of_filter, 1e-3, *GEOMETRY.values())]},
        "max_pool2d_forward": {"x": x, **pooled},
        "max_pool2d_backward": {
            "dy": ones(2, 2, 3, 3),
            "argmax": ones(2, 2, 3, 3, dtype=np.uint8),
            "input_shape": x.shape,
            **pooled,
        },
        "average_pool2d_forward": {"x": x, **pooled},
        "average_pool2d_backward": {"dy": ones(2, 2, 3, 3), "input_shape": x.shape, **pooled},
        "batch_norm_statistics": {"x": x},
        "batch_norm_forward": {"x": x, **statistics, "eps": 1e-3},
        "batch_norm_backward": {"dy": x, "x": x, **gradient_of, "eps": 1e-3, "batch_statistics": True},
        "batch_norm_track": {
            "running_mean": ones(2),
            "running_var": ones(2),
            "mean": ones(2),
            "variance": ones(2),
            "momentum": 0.1,
            "unbiased": 1.1,
        },
        "cross_channel_norm_forward": {"x": x, **across},
        "cross_channel_norm_backward": {"dy": x, "x": x, **across},
        "all_finite": {"x": x},
        "image_input_forward": {"x": x, "mean": ones(2, 6, 7), "std": ones(2, 6, 7)},
        "relu_forward": {"x": x},
        "relu_backward": {"dy": x, "y": x},
        "leaky_relu_forward": {"x": x, "slope": 0.1},
        "leaky_relu_backward": {"dy": x, "y": x, "slope": 0.1},
        "sigmoid_forward": {"x": x},
        "sigmoid_backward": {"dy": x, "y": x},
        "tanh_forward": {"x": x},
        "tanh_backward": {"dy": x, "y": x},
        "dropout_forward": {"x": x, "rate": 0.5, "rng": np.random.default_rng(0)},
        "dropout_backward": {"dy": x, "mask": x},
        "fully_connected_forward": {"x": row, "weight": ones(4, 3), "bias": ones(4)},
        "fully_connected_backward": {"dy": ones(2, 4), "x": row, "weight": ones(4, 3)},
        "softmax_forward": {"x": row},
        "softmax_backward": {"dy": row, "y": row},
        "log_softmax_forward": {"x": row},
        "cross_entropy_forward": {"log_p": row, "t": labels, "class_weights": ones(3)},
        "cross_entropy_backward": {"p": row, "t": labels, "class_weights": ones(3), "label_smoothing": 0.1},
        "squared_error_forward": {"y": x, "t": x},
        "squared_error_backward": {"y": row, "t": row},
        "sgdm_update": {
            "weight": ones(3, 2),
            "gradient": ones(3, 2),
            "velocity": ones(3, 2),
            "lr": 0.1,
            "momentum": 0.9,
            "weight_decay": 0.0,
        },
        "adam_update": {
            "weight": ones(3, 2),
            "gradient": ones(3, 2),
            "mean": ones(3, 2),
            "square": ones(3, 2),
            "lr": 0.1,
            "beta1": 0.9,
            "beta2": 0.99,
            "eps": 1e-8,
            "weight_decay": 0.0,
            "step": 1,
        },
        "sgdm_update_all": {
            **lists,
            "velocities": [ones(3), ones(2, 2)],
            "lrs": lambda: [0.1, 0.2],
            "momentum": 0.9,
            "weight_decays": [0.0, 0.1],
        },
        "adam_update_all": {
            **lists,
            "means": [ones(3), ones(2, 2)],
            "squares": [ones(3), ones(2, 2)],
            "lrs": lambda: [0.1, 0.2],
            "beta1": 0.9,
            "beta2": 0.99,
            "eps": 1e-8,
            "weight_decays": [0.0, 0.1],
            "step": lambda: 1,
        },
    }


BAD = {  # {name: [(changes, what the error names)]}
    "im2col": [({"x": ones(2, 6, 7)}, "x has shape"), ({"kernel": (7, 3)}, "window of 7 × 3 does not fit")],
    "col2im": [
        ({"columns": ones(2, 18, 21)}, "columns has shape"),
        ({"input_shape": (2, 2, 6)}, "input_shape is"),
        ({"input_shape": [2, 2, 6, 7]}, "input_shape is .* tuple"),
    ],
    "conv2d_forward": [
        ({"weight": ones(4, 3, 3, 3)}, r"weight has shape \(4, 3, 3, 3\): with groups=1 it fits images of 3 channels"),
        ({"weight": ones(4, 2, 3)}, "weight has shape"),
        ({"weight": ones(0, 2, 3, 3)}, "weight has shape"),
        ({"weight": ones(4, 2, 7, 3)}, "window of 7 × 3 does not fit"),
        ({"weight": ones(4, 2, 3, 3, dtype=np.float64)}, "weight is of float64 and x of float32"),
        ({"x": ones(2, 2, 6, 7, dtype=np.int64)}, "x is of int64"),
        ({"x": ones(2, 2, 6, 7, dtype=">f4")}, "x is of >f4"),
        ({"x": ones(2, 6, 7)}, "x has shape"),
        ({"x": ones(0, 2, 6, 7)}, "x has shape"),
        ({"x": [[1.0]]}, "x is a list"),
        ({"x": None}, "x is a NoneType"),
        ({"bias": ones(3)}, "bias has shape"),
        ({"bias": ones(4, 1)}, "bias has shape"),
        ({"bias": ones(4, dtype=np.float64)}, "bias is of float64"),
        ({"stride": (0, 1)}, "stride is"),
        ({"stride": (1.0, 1.5)}, "stride is"),
        ({"stride": [1, 1]}, "stride is .* tuple"),
        ({"stride": 1}, "stride is .* tuple"),
        ({"dilation": (1, 0)}, "dilation is"),
        ({"dilation": (3, 1)}, "window of 7 × 3 does not fit"),
        ({"padding": (0, -1, 0, 0)}, "padding is"),
        ({"padding": (0, 0)}, "padding is"),
        ({"groups": 0}, "groups is"),
        ({"groups": 2}, "weight has shape"),
        ({"groups": 2, "weight": ones(3, 1, 3, 3), "bias": ones(3)}, "3 filters cannot be divided"),
    ],
    "conv2d_backward_input": [
        ({"dy": ones(2, 4, 4, 4)}, "dy has shape"),
        ({"dy": ones(1, 4, 4, 5)}, "dy has shape"),
        ({"dy": ones(2, 3, 4, 5)}, "dy has shape"),
        ({"dy": ones(2, 4, 4, 5, dtype=np.float64)}, "weight is of float32 and dy of float64"),
        ({"weight": ones(4, 3, 3, 3)}, r"fits images of 3 channels, and input_shape is \(2, 2, 6, 7\)"),
        ({"input_shape": (2, 2, 7, 7)}, "dy has shape"),
        ({"input_shape": (2, 2, 2, 7)}, "does not fit"),
    ],
    "conv2d_backward_weight": [
        ({"dy": ones(2, 4, 4, 4)}, "dy has shape"),
        ({"dy": ones(2, 4, 4)}, "dy has shape"),
        ({"x": ones(3, 2, 6, 7)}, "dy has shape"),
        ({"x": ones(2, 2, 6, 7, dtype=np.float64)}, "x is of float64"),
        ({"kernel": (3,)}, "kernel is"),
        ({"kernel": (2, 3)}, "dy has shape"),
        ({"x": ones(2, 3, 6, 7), "groups": 2}, "3 channels cannot be divided"),
    ],
    "conv2d_backward_bias": [({"dy": ones(2, 4)}, "dy has shape"), ({"dy": "dy"}, "dy is a str")],
    "conv_block_forward": [
        ({"weight": ones(4, 3, 3, 3)}, "weight has shape"),
        ({"weight": ones(4, 2, 6, 3)}, "gives 1 × 5: pooling needs 2 × 2"),
        ({"bias": ones(3)}, "bias has shape"),
        ({"gamma": ones(3)}, "gamma has shape"),
        ({"beta": ones(4, dtype=np.float64)}, "beta is of float64"),
    ],
    "conv_block_backward": [
        ({"dy": ones(2, 4, 4, 5)}, "dy has shape"),
        ({"gamma": ones(5)}, "gamma has shape"),
        ({"weight": ones(5, 2, 3, 3)}, "dy has shape"),
        ({"stride": (2, 2)}, "gives 2 × 3|dy has shape"),
    ],
    "conv_blocks_inference": [
        ({"blocks": []}, "blocks is empty"),
        ({"blocks": [(ones(4, 2, 3, 3),)]}, "a block has 1 members"),
        ({"x": ones(2, 3, 6, 7)}, "weight has shape"),
        ({"x": ones(2, 2, 6, 7, dtype=np.float64)}, "weight is of float32 and x of float64"),
        ({"blocks": [(ones(4, 2, 3, 3), *[ones(4)] * 4, ones(3), 1e-3, *GEOMETRY.values())]}, "variance has shape"),
        ({"blocks": [(ones(4, 2, 3, 3), *[ones(4)] * 5, 1e-3, *GEOMETRY.values())] * 2}, "weight has shape"),
    ],
    "max_pool2d_forward": [
        ({"x": ones(2, 2, 6)}, "x has shape"),
        ({"pool": (0, 2)}, "kernel is"),
        ({"pool": (7, 2)}, "does not fit"),
        ({"padding": (2, 0, 0, 0)}, "padding is"),
        ({"x": ones(2, 2, 6, 7, dtype=np.uint8)}, "x is of uint8"),
    ],
    "max_pool2d_backward": [
        ({"dy": ones(2, 2, 3, 4)}, "dy has shape"),
        ({"argmax": ones(2, 2, 3, 2, dtype=np.uint8)}, "argmax has shape"),
        ({"argmax": ones(2, 2, 3, 3)}, "argmax is of float32"),
        ({"input_shape": (2, 2, 8, 7)}, "dy has shape"),
    ],
    "average_pool2d_forward": [({"stride": (2, -2)}, "stride is"), ({"pool": [2, 2]}, "pool is .* tuple")],
    "average_pool2d_backward": [({"dy": ones(2, 3, 3, 3)}, "dy has shape"), ({"dy": None}, "dy is a NoneType")],
    "batch_norm_statistics": [({"x": ones(2, 2, 3)}, "x has shape"), ({"x": ones(2, 0, 3, 3)}, "x has shape")],
    "batch_norm_forward": [
        ({"mean": ones(3)}, "mean has shape"),
        ({"bias": ones(2, 1, 1)}, "bias has shape"),
        ({"variance": ones(2, dtype=np.float64)}, "variance is of float64"),
    ],
    "batch_norm_backward": [
        ({"dy": ones(2, 2, 7, 6)}, "dy has shape"),
        ({"weight": ones(1)}, "weight has shape"),
        ({"dy": ones(2, 2, 6, 7, dtype=np.float64)}, "x is of float32 and dy of float64"),
    ],
    "batch_norm_track": [
        ({"running_var": ones(3)}, "running_var has shape"),
        ({"mean": ones(2, 1)}, "mean has shape"),
        ({"running_mean": ones(2, dtype=np.float64)}, "running_var is of float32 and running_mean of float64"),
    ],
    "cross_channel_norm_forward": [({"size": 0}, "size is"), ({"x": ones(2, 2)}, "x has shape")],
    "cross_channel_norm_backward": [({"dy": ones(2, 1, 6, 7)}, "dy has shape"), ({"size": 2.5}, "size is")],
    "all_finite": [({"x": np.array(["a"])}, "x is of"), ({"x": [1.0]}, "x is a list")],
    "image_input_forward": [
        ({"mean": ones(2, 6, 6)}, "mean has shape"),
        ({"std": ones(2, 1, 1)}, "std has shape"),
        ({"x": ones(0, 2, 6, 7)}, "x has shape .* give at least one image"),
        ({"x": ones(2, 2, 6, 7, dtype=np.uint8)}, "x is of uint8"),
    ],
    "relu_forward": [({"x": ones(3, dtype=np.int32)}, "x is of int32"), ({"x": 1.0}, "x is a float")],
    "relu_backward": [({"y": ones(2, 2, 6, 8)}, "dy has shape"), ({"y": ones(2, 2, 6, 7, dtype=bool)}, "y is of bool")],
    "leaky_relu_forward": [({"slope": -0.1}, "slope is -0.1"), ({"x": ones(3, dtype=np.int32)}, "x is of int32")],
    "leaky_relu_backward": [({"y": ones(2, 2, 6, 8)}, "dy has shape"), ({"slope": np.nan}, "slope is nan")],
    "sigmoid_forward": [({"x": ones(3, dtype=np.int32)}, "x is of int32")],
    "sigmoid_backward": [({"y": ones(2, 2, 6, 8)}, "dy has shape"), ({"y": [1.0]}, "y is a list")],
    "tanh_forward": [({"x": 1.0}, "x is a float")],
    "tanh_backward": [({"y": ones(2, 2, 6, 7, dtype=np.float64)}, "y is of float64")],
    "dropout_forward": [({"rate": 1.0}, "rate is 1.0"), ({"rate": -0.1}, "rate is -0.1")],
    "dropout_backward": [({"mask": ones(2, 2, 6)}, "dy has shape")],
    "fully_connected_forward": [
        ({"x": ones(2, 4)}, "weight has shape"),
        ({"x": ones(2, 3, 1)}, "x has shape"),
        ({"bias": ones(3)}, "bias has shape"),
        ({"weight": ones(4, 3, dtype=np.float64)}, "weight is of float64"),
    ],
    "fully_connected_backward": [
        ({"dy": ones(2, 3)}, "dy has shape"),
        ({"dy": ones(3, 4)}, "dy has shape"),
        ({"weight": ones(4, 4)}, "weight has shape"),
    ],
    "softmax_forward": [({"x": ones(3)}, "x has shape"), ({"x": ones(2, 0)}, "x has shape")],
    "softmax_backward": [({"dy": ones(2, 4)}, "dy has shape")],
    "log_softmax_forward": [({"x": ones(2, 3, 1)}, "x has shape")],
    "cross_entropy_forward": [
        ({"t": np.array([0, 1, 2])}, "t has shape"),
        ({"t": ones(2)}, "t is of float32"),
        ({"t": np.array([[0], [1]])}, "t has shape"),
        ({"class_weights": ones(2)}, "class_weights has shape"),
        ({"log_p": ones(3)}, "log_p has shape"),
    ],
    "cross_entropy_backward": [
        ({"t": [0, 1]}, "t is a list"),
        ({"p": ones(2, 3, 1)}, "p has shape"),
        ({"label_smoothing": 1.0}, "label_smoothing is 1.0"),
    ],
    "squared_error_forward": [
        ({"t": ones(2)}, "t has shape"),
        ({"t": ones(2, 2, 6, 7, dtype=np.float64)}, "t is of float64"),
    ],
    "squared_error_backward": [({"t": ones(2, 1)}, "t has shape"), ({"y": ones(2, 3, dtype=int)}, "y is of int64")],
    "sgdm_update": [
        ({"velocity": ones(2)}, "velocity has shape"),
        ({"gradient": ones(3, 2, dtype=np.float64)}, "gradient is of float64"),
    ],
    "adam_update": [({"square": ones(3, 1)}, "square has shape"), ({"step": 0}, "step is 0")],
    "sgdm_update_all": [
        ({"velocities": [ones(3), ones(4)]}, "velocities has shape"),
        ({"velocities": [ones(3)]}, "2 weights, 2 gradients, 1 velocities"),
        ({"weights": [ones(3), ones(2, 2, dtype=np.float64)]}, "gradients is of float32 and weights of float64"),
        ({"weight_decays": [0.1]}, "1 weight_decays for 2 weights"),
        ({"lrs": [0.1, 0.2]}, "lrs is .* function"),
        ({"lrs": lambda: [0.1]}, "1 learning rates for 2 weights"),
    ],
    "adam_update_all": [
        ({"means": [ones(3), ones(2)]}, "means has shape"),
        ({"step": 1}, "step is 1: give a function"),
        ({"lrs": lambda: [0.1, 0.2, 0.3]}, "3 learning rates for 2 weights"),
    ],
}


@pytest.mark.parametrize("name", reference.__all__)
def test_what_fits_is_taken(kernels, name):
    getattr(kernels, name)(**fitting(kernels)[name])


@pytest.mark.parametrize(
    ("name", "changes", "sentence"),
    [pytest.param(name, *case, id=f"{name}-{k}") for name, cases in BAD.items() for k, case in enumerate(cases)],
)
def test_what_does_not_fit_is_refused(kernels, name, changes, sentence):
    if kernels.__name__.endswith("gpu") and "x is of >f4" in sentence:
        pytest.skip("no array of a GPU has the other byte order")
    with pytest.raises((ValueError, TypeError), match=sentence) as caught:
        getattr(kernels, name)(**{**fitting(kernels)[name], **changes})
    assert "\n" not in str(caught.value)


def test_every_operation_has_a_rule_of_the_same_arguments():
    assert set(BAD) == set(reference.__all__)
    for name in reference.__all__:
        rule, kernel = (inspect.signature(f).parameters for f in (contracts.RULES[name], getattr(reference, name)))
        assert [(p.name, p.default) for p in rule.values()] == [(p.name, p.default) for p in kernel.values()]


def test_a_call_with_too_few_arguments_names_the_function():
    with pytest.raises(TypeError, match="conv2d_forward: missing a required argument: 'bias'"):
        cpu.conv2d_forward(ones(1, 1, 3, 3), ones(1, 1, 3, 3))


sizes = st.integers(0, 4)
pairs = st.tuples(st.integers(0, 3), st.integers(0, 3))


@st.composite
def shapes(draw, *like):
    """Each shape as given, or with one axis of another size, or an axis more or less."""
    results = []
    for shape in like:
        change = draw(st.sampled_from(["no", "no", "no", "size", "more", "less"]))
        shape = list(shape)
        if change == "size":
            shape[draw(st.integers(0, len(shape) - 1))] = draw(sizes)
        elif change != "no":
            shape = shape[1:] if change == "less" else [*shape, draw(sizes)]
        results.append(tuple(shape))
    return results


def same_outcome(name, *args):
    """The fast kernel computes what the reference does, or both refuse: it has not read outside its arrays."""
    results = []
    for module in (reference, cpu):
        try:
            results.append(getattr(module, name)(*args))
        except (ValueError, TypeError) as error:
            results.append(str(error))
    expected, got = results
    if isinstance(expected, str):
        assert got == expected
        return
    for a, b in zip(*((r if isinstance(r, tuple) else (r,)) for r in (expected, got)), strict=True):
        np.testing.assert_allclose(b, a, rtol=1e-9, atol=1e-9)


@settings(max_examples=150, deadline=None)
@given(
    arrays=shapes((2, 2, 4, 3), (4, 2, 2, 3), (4,), (2, 4, 3, 1)),
    kernel=pairs,
    stride=st.sampled_from([(1, 1), (1, 1), (2, 1), (0, 1)]),
    padding=st.sampled_from([(0, 0, 0, 0), (0, 0, 0, 0), (1, 0, 2, 1), (-1, 0, 0, 0), (0, 0)]),
    dilation=st.sampled_from([(1, 1), (1, 1), (2, 1), (1, 0)]),
    groups=st.sampled_from([1, 1, 1, 2, 0]),
)
def test_convolutions_of_any_shapes_compute_or_refuse(arrays, kernel, stride, padding, dilation, groups):
    rng = np.random.default_rng(0)
    x, weight, bias, dy = (rng.standard_normal(shape) for shape in arrays)
    geometry = stride, padding, dilation, groups
    same_outcome("conv2d_forward", x, weight, bias, *geometry)
    same_outcome("conv2d_backward_input", dy, weight, x.shape, *geometry)
    same_outcome("conv2d_backward_weight", dy, x, kernel, *geometry)
    same_outcome("conv_blocks_inference", x, [(weight, *[abs(bias)] * 5, 1e-3, *geometry)])


@settings(max_examples=100, deadline=None)
@given(
    arrays=shapes((2, 2, 4, 4), (2, 2, 2, 2), (2, 2, 2, 2)), pool=pairs, stride=pairs, padding=st.tuples(*[sizes] * 4)
)
def test_poolings_of_any_shapes_compute_or_refuse(arrays, pool, stride, padding):
    rng = np.random.default_rng(0)
    x, dy, argmax = (rng.standard_normal(shape) for shape in arrays)
    argmax = (abs(argmax) > 1).astype(np.uint8)
    for geometry in ((pool, stride, padding), ((2, 2), (2, 2), (0, 0, 0, 0))):
        same_outcome("max_pool2d_forward", x, *geometry)
        same_outcome("max_pool2d_backward", dy, argmax, x.shape, *geometry)
        same_outcome("average_pool2d_forward", x, *geometry)
        same_outcome("average_pool2d_backward", dy, x.shape, *geometry)


@settings(max_examples=100, deadline=None)
@given(arrays=shapes((3, 4), (2, 4), (2,), (3, 2)), images=shapes((2, 3, 4, 2), (2, 3, 4, 2), (3,), (3,), (3,)))
def test_rows_and_channels_of_any_shapes_compute_or_refuse(arrays, images):
    rng = np.random.default_rng(0)
    x, weight, bias, dy = (rng.standard_normal(shape) for shape in arrays)
    same_outcome("fully_connected_forward", x, weight, bias)
    same_outcome("fully_connected_backward", dy, x, weight)
    x, dy, mean, variance, weight = (rng.random(shape) for shape in images)
    same_outcome("batch_norm_forward", x, mean, variance, weight, weight, 1e-3)
    same_outcome("batch_norm_backward", dy, x, mean, variance, weight, 1e-3)
    same_outcome("cross_channel_norm_backward", dy, x, 3, 0.5, 0.75, 1.0)
    same_outcome("relu_backward", dy, x)
    same_outcome("image_input_forward", x, dy[0] if len(dy) else dy)


def test_a_rule_costs_microseconds():
    arguments = fitting(reference)["conv2d_forward"]
    contracts.RULES["conv2d_forward"](**arguments)
    durations = []
    for _ in range(200):
        start = time.perf_counter()
        contracts.RULES["conv2d_forward"](**arguments)
        durations.append(time.perf_counter() - start)
    assert min(durations) < 20e-6  # a microsecond or two, on a machine with nothing else to do
