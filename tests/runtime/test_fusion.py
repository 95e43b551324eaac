"""The fast plan computes what the layers compute: outputs, gradients, statistics and updates."""

import numpy as np
import pytest

import tinycnn as tc
from tinycnn.runtime import fusion

RNG = np.random.default_rng(17)
CONVOLUTIONS = {
    "plain": lambda: tc.Conv2D(5, 3, name="conv"),
    "odd size": lambda: tc.Conv2D(3, 2, name="conv"),
    "same": lambda: tc.Conv2D(9, 3, padding="same", name="conv"),
    "stride and sides": lambda: tc.Conv2D(4, 3, stride=2, padding=(0, 3, 1, 2), name="conv"),
    "groups and dilation": lambda: tc.Conv2D(6, 2, groups=3, dilation=2, name="conv"),
    "no bias": lambda: tc.Conv2D(17, 3, bias=False, name="conv"),
}


@pytest.fixture(params=["reference", "cpu"], autouse=True)
def kernel_set(request):
    with tc.kernels.use(request.param):
        yield


def make(conv: str, fuse: bool, dtype=np.float64, twice: bool = True) -> tc.Sequential:
    """A block or two, with scales of batch norm that are negative, zero and positive."""
    second = [tc.Conv2D(4, 3, name="conv_2"), tc.BatchNorm2D(eps=1e-2, name="norm_2"), tc.ReLU(), tc.MaxPool2D(2)]
    net = tc.Sequential(
        [
            tc.ImageInput((3, 19, 17), normalization="zerocenter", name="input"),
            CONVOLUTIONS[conv](),
            tc.BatchNorm2D(momentum=0.3, name="norm"),
            tc.ReLU(),
            tc.MaxPool2D(2, stride=2),
            *(second if twice else []),
            tc.FullyConnected(3, name="fc"),
            tc.Softmax(),
            tc.ClassificationOutput(),
        ],
        dtype=dtype,
        fuse=fuse,
    )
    rng = np.random.default_rng(2)
    state = {name: array + rng.normal(size=array.shape) for name, array in net.state_dict().items()}
    state["norm.weight"][:3] = -1.5, 0, 2
    state = {name: np.abs(array) + 0.1 if name.endswith("running_var") else array for name, array in state.items()}
    net.load_state_dict(state)
    return net


def images(n: int, dtype=np.float64) -> np.ndarray:
    return RNG.normal(size=(n, 3, 19, 17)).astype(dtype)


def assert_equal(a: dict, b: dict, tolerance: float) -> None:
    assert a.keys() == b.keys()
    largest = max(np.abs(array).max() for array in b.values())
    for name in a:
        np.testing.assert_allclose(a[name], b[name], rtol=tolerance, atol=tolerance * largest, err_msg=name)


def test_which_runs_are_fused():
    fast = make("plain", fuse=True).plan
    assert [type(layer).__name__ for layer in fast] == [
        "ImageInput",
        "ConvBlock",
        "ConvBlock",
        "FullyConnected",
        "SoftmaxCrossEntropy",
    ]
    assert [type(layer).__name__ for layer in make("plain", fuse=True).inference_plan] == [
        "ImageInput",
        "ConvBlocks",
        "FullyConnected",
        "SoftmaxCrossEntropy",
    ]
    plain, single = make("plain", fuse=False), make("plain", fuse=True, twice=False)
    assert plain.plan == plain.inference_plan == plain.layers
    assert single.inference_plan == single.plan
    for pool in (tc.MaxPool2D(3), tc.MaxPool2D(2, stride=1), tc.MaxPool2D(2, padding=1), tc.AveragePool2D(2)):
        assert fusion.conv_block([tc.Conv2D(2, 3), tc.BatchNorm2D(), tc.ReLU(), pool]) is None


@pytest.mark.parametrize("n", [1, 7])
@pytest.mark.parametrize("conv", CONVOLUTIONS)
def test_a_training_step_equals_its_layers(conv, n):
    x, t = images(n), RNG.integers(0, 3, n)
    fused, layers = make(conv, fuse=True), make(conv, fuse=False)
    p = layers.forward(x, training=True)
    expected = layers.loss(p, t)
    layers.backward(t)
    optimizer = tc.SGDM(0.1, weight_decay=0.01)
    loss, fused_p = fused.train_step(x, t, tc.SGDM(0.1, weight_decay=0.01), return_output=True)
    assert loss == pytest.approx(expected, rel=1e-9)
    np.testing.assert_allclose(fused_p, p, rtol=1e-8)
    assert_equal(fused.gradients(), layers.gradients(), 1e-9)
    optimizer.step(layers)
    assert_equal(fused.state_dict(), layers.state_dict(), 1e-9)
    assert all(layer.cache is None for layer in fused.plan + fused.layers)


@pytest.mark.parametrize("conv", CONVOLUTIONS)
def test_the_gradient_of_the_images_equals_that_of_the_layers(conv):
    """The second of two blocks hands its gradient to the first; here a block does so to the images."""
    x, fused, layers = images(3), make(conv, True, twice=False), make(conv, False, twice=False)
    block, parts = fused.plan[1], layers.layers[1:5]
    y = expected = x
    y = block.forward(y, training=True)
    for part in parts:
        expected = part.forward(expected, training=True)
    np.testing.assert_allclose(y, expected, atol=1e-10)
    dy = RNG.normal(size=y.shape)
    copy, dx = dy.copy(), block.backward(dy)
    for part in reversed(parts):
        dy = part.backward(dy)
    np.testing.assert_allclose(dx, dy, atol=1e-10)
    np.testing.assert_array_equal(block.backward(copy), dx)  # a second time: nothing kept has changed


@pytest.mark.parametrize("twice", [True, False])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("conv", CONVOLUTIONS)
def test_prediction_equals_the_layers(conv, dtype, twice):
    fused, layers = make(conv, True, dtype, twice), make(conv, False, dtype, twice)
    x, tolerance = images(9, dtype), 1e-4 if dtype == np.float32 else 1e-10
    np.testing.assert_allclose(fused.predict(x, 4), layers.forward(x), rtol=tolerance, atol=tolerance)
    np.testing.assert_array_equal(fused.predict(x, 4)[:4], fused.predict(x[:4]))
    assert_equal(fused.state_dict(), layers.state_dict(), 0)


def test_float32_and_the_same_bits_for_any_number_of_threads():
    x, t, before = images(20, np.float32), RNG.integers(0, 3, 20), tc.get_num_threads()
    results = []
    try:
        for threads in (1, 2, 3):
            tc.set_num_threads(threads)
            net = make("plain", fuse=True, dtype=np.float32)
            for _ in range(3):
                net.train_step(x, t, tc.SGDM(0.01))
            results.append({**net.state_dict(), "p": net.predict(x)})
    finally:
        tc.set_num_threads(before)
    for other in results[1:]:
        assert_equal(results[0], other, 0)
