"""The smaller layers by hand: input, batch norm, dropout, pooling, flatten, fully connected."""

import numpy as np
import pytest

import tinycnn as tc

RNG = np.random.default_rng(11)


@pytest.fixture(params=["reference", "cpu"], autouse=True)
def kernel_set(request):
    with tc.kernels.use(request.param):
        yield


def build(layer: tc.Layer, *shape: int) -> tc.Layer:
    layer.build(shape, np.float64, np.random.default_rng(0))
    return layer


@pytest.mark.parametrize("normalization", ["none", "zerocenter", "zscore"])
def test_image_input_against_numpy(normalization):
    images = RNG.integers(0, 256, (9, 2, 3, 4), dtype=np.uint8)
    images[:, 0, 0, 0] = 7  # a pixel that never changes
    layer = build(tc.ImageInput((2, 3, 4), normalization), 2, 3, 4)
    assert layer.fitted == (normalization == "none")
    layer.fit(images)
    mean, std = images.mean(axis=0), images.std(axis=0)
    std[0, 0, 0] = 1
    expected = {"none": images, "zerocenter": images - mean, "zscore": (images - mean) / std}[normalization]
    np.testing.assert_allclose(layer.forward(images.astype(float)), expected, atol=1e-12)
    dy = RNG.normal(size=images.shape)
    np.testing.assert_allclose(layer.backward(dy), dy / std if normalization == "zscore" else dy)
    assert layer.fitted


@pytest.mark.parametrize(
    ("images", "words"),
    [
        ([], "no images"),
        (np.ones((3, 1, 1, 2)), r"image 0 has shape \(1, 1, 2\).*\(1, 2, 2\)"),
        ([np.ones((1, 2, 2)), np.full((1, 2, 2), np.nan)], "image 1 .*NaN"),
    ],
)
def test_image_input_cannot_be_fitted_to_that(images, words):
    layer = build(tc.ImageInput((1, 2, 2), "zerocenter"), 1, 2, 2)
    with pytest.raises(ValueError, match=words):
        layer.fit(images)
    assert not layer.fitted and not layer.state["mean"].any()


def test_mean_and_deviation_of_a_whole_channel():
    layer = build(tc.ImageInput((2, 2, 2), "zscore", mean_of="channel"), 2, 2, 2)
    images = np.random.default_rng(3).normal([[[5]], [[90]]], [[[2]], [[30]]], (7, 2, 2, 2))
    layer.fit(images)
    for c in range(2):
        np.testing.assert_allclose(layer.state["mean"][c], images[:, c].mean())
        np.testing.assert_allclose(layer.state["std"][c], images[:, c].std())


def test_batch_norm_training_then_evaluation():
    layer = build(tc.BatchNorm2D(eps=1e-3, momentum=0.25), 2, 2, 2)
    layer.parameters["weight"][...] = 2, 3
    layer.parameters["bias"][...] = 10, 20
    x = RNG.normal(5, 3, size=(4, 2, 2, 2))
    mean, variance = x.mean(axis=(0, 2, 3)), x.var(axis=(0, 2, 3))
    y = layer.forward(x, training=True)
    for c, (scale, offset) in enumerate([(2, 10), (3, 20)]):
        np.testing.assert_allclose(y[:, c], scale * (x[:, c] - mean[c]) / np.sqrt(variance[c] + 1e-3) + offset)
    running_mean, running_var = 0.25 * mean, 0.75 + 0.25 * variance * 16 / 15  # the unbiased variance
    np.testing.assert_allclose(layer.state["running_mean"], running_mean)
    np.testing.assert_allclose(layer.state["running_var"], running_var)
    y = layer.forward(x)
    np.testing.assert_allclose(y[:, 0], 2 * (x[:, 0] - running_mean[0]) / np.sqrt(running_var[0] + 1e-3) + 10)
    np.testing.assert_allclose(layer.state["running_mean"], running_mean)  # evaluation does not move them


def test_batch_norm_of_large_numbers_with_small_spread():
    x = (10_000 + RNG.normal(size=(8, 1, 16, 16))).astype(np.float32)
    layer = tc.BatchNorm2D()
    layer.build((1, 16, 16), np.float32, RNG)
    y = layer.forward(x, training=True)
    exact = (x.astype(float) - x.mean(dtype=float)) / x.std(dtype=float)
    np.testing.assert_allclose(y, exact, atol=2e-3)


def test_dropout():
    layer = build(tc.Dropout(0.3), 100, 100)
    x = RNG.normal(size=(8, 100, 100)) + 5
    y = layer.forward(x, training=True)
    kept = y != 0
    assert kept.mean() == pytest.approx(0.7, abs=0.01)
    np.testing.assert_allclose(y[kept], x[kept] / 0.7, rtol=1e-12)
    dy = RNG.normal(size=x.shape)
    np.testing.assert_allclose(layer.backward(dy), np.where(kept, dy / 0.7, 0), rtol=1e-12)
    assert layer.forward(x) is x and layer.backward(dy) is dy
    assert tc.Dropout(0).forward(x, training=True) is x


def test_max_pool_sends_ties_to_the_first_and_drops_odd_edges():
    layer = tc.MaxPool2D(2)
    x = np.array([[[[1.0, 1, 9], [1, 0, 9], [9, 9, 9]]]])
    np.testing.assert_array_equal(layer.forward(x), [[[[1]]]])
    np.testing.assert_array_equal(layer.backward(np.array([[[[5.0]]]])), [[[[5, 0, 0], [0, 0, 0], [0, 0, 0]]]])


def test_overlapping_max_pool_adds_gradients_and_padding_never_wins():
    layer = tc.MaxPool2D(3, stride=1, padding=1)
    x = np.array([[[[-5.0, -1], [-3, -4]]]])
    assert layer.output_shape((1, 2, 2)) == (1, 2, 2)
    np.testing.assert_array_equal(layer.forward(x), np.full((1, 1, 2, 2), -1))
    np.testing.assert_array_equal(layer.backward(np.array([[[[1.0, 2], [3, 4]]]])), [[[[0, 10], [0, 0]]]])


def test_average_pools():
    x = np.arange(9.0).reshape(1, 1, 3, 3)
    layer = tc.AveragePool2D(2, stride=2, padding=(1, 0))
    np.testing.assert_array_equal(layer.forward(x), [[[[0.25], [(3 + 4 + 6 + 7) / 4]]]])
    np.testing.assert_array_equal(layer.backward(np.array([[[[4.0], [8]]]])), [[[[1, 1, 0], [2, 2, 0], [2, 2, 0]]]])
    layer = tc.GlobalAveragePool2D()
    np.testing.assert_array_equal(layer.forward(x), [[[[4]]]])
    np.testing.assert_allclose(layer.backward(np.array([[[[9.0]]]])), np.ones((1, 1, 3, 3)))


def test_fully_connected_flattens_in_channel_row_column_order():
    layer = build(tc.FullyConnected(2), 2, 1, 2)
    layer.parameters["weight"][...] = [[1, 10, 100, 1000], [0, 0, 0, 1]]
    layer.parameters["bias"][...] = 0.5, 0
    y = layer.forward(np.array([[[[1.0, 2]], [[3, 4]]]]))
    np.testing.assert_array_equal(y, [[4321.5, 4]])
    dx = layer.backward(np.array([[1.0, -1]]))
    np.testing.assert_array_equal(dx, [[[[1, 10]], [[100, 999]]]])
    np.testing.assert_array_equal(layer.gradients["weight"], [[1, 2, 3, 4], [-1, -2, -3, -4]])
    np.testing.assert_array_equal(layer.gradients["bias"], [1, -1])


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: tc.ImageInput((8, 8)), "three positive whole numbers"),
        (lambda: tc.ImageInput((0, 8, 8)), "three positive whole numbers"),
        (lambda: tc.ImageInput((1, 8.5, 8)), "three positive whole numbers"),
        (lambda: tc.ImageInput((13,)), r"whole numbers \(channels, height, width\), or VectorInput\(13\) for vectors"),
        (lambda: tc.ImageInput(13), r"shape is 13: .*VectorInput\(13\)"),
        (lambda: tc.VectorInput(0), "size is 0: give one positive whole number"),
        (lambda: tc.VectorInput(2.5), "size is 2.5: give one"),
        (lambda: tc.VectorInput((1, 8, 8)), r"size is \(1, 8, 8\): .*for images use ImageInput"),
        (lambda: tc.VectorInput(3, "zerocentre"), "choose one of none, zerocenter, zscore"),
        (lambda: tc.ImageInput((1, 8, 8), "zerocentre"), "choose one of none, zerocenter, zscore"),
        (lambda: tc.ImageInput((1, 8, 8), mean_of="image"), "mean_of is 'image': choose"),
        (lambda: tc.BatchNorm2D(eps=0), "eps is 0"),
        (lambda: tc.BatchNorm2D(momentum=2), "momentum is 2"),
        (lambda: tc.BatchNorm2D().output_shape((3,)), r"needs images .*\(3,\): use BatchNorm1D"),
        (lambda: tc.BatchNorm1D().output_shape((3, 1, 1)), r"needs flat data .*\(3, 1, 1\): use BatchNorm2D"),
        (lambda: tc.BatchNorm1D(eps=-1), "eps is -1"),
        (lambda: tc.LeakyReLU(-0.1), "slope is -0.1: give a number of at least 0"),
        (lambda: tc.LeakyReLU(float("nan")), "slope is nan"),
        (lambda: tc.ClassificationOutput(label_smoothing=1), "label_smoothing is 1: give a number from 0 to below 1"),
        (lambda: tc.ClassificationOutput(label_smoothing=-0.1), "label_smoothing is -0.1"),
        (lambda: tc.Dropout(1), "rate is 1"),
        (lambda: tc.Dropout(-0.1), "rate is -0.1"),
        (lambda: tc.MaxPool2D(0), "pool is 0"),
        (lambda: tc.MaxPool2D(2, stride=0), "stride is 0"),
        (lambda: tc.MaxPool2D(2, padding=2), "padding is 2: it must be smaller than the 2×2 window"),
        (lambda: tc.MaxPool2D(3).output_shape((1, 2, 9)), "does not fit into 2×9 pixels"),
        (lambda: tc.FullyConnected(0), "outputs is 0"),
        (lambda: tc.FullyConnected(2, initializer="he"), "initializer is 'he'"),
        (lambda: tc.Softmax().output_shape((3, 2, 2)), "FullyConnected or Flatten"),
        (lambda: tc.ClassificationOutput([1, 2]).output_shape((3,)), "2 numbers for 3 classes"),
        (lambda: tc.ClassificationOutput().output_shape((3, 1, 1)), "one probability a class"),
    ],
)
def test_arguments(make, words):
    with pytest.raises(ValueError, match=words):
        make()
