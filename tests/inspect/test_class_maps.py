"""Grad-CAM and class-selective relevance maps: closed forms, naive loops, PyTorch."""

import numpy as np
import pytest

import tinycnn as tc
from tests.inspect.networks import in_torch, nested_network
from tinycnn import inspect
from tinycnn.inspect.images import blur, resize

RNG = np.random.default_rng(0)
X = RNG.normal(3, 2, (2, 3, 12, 12))


def pooled_network():
    """A convolution, global pooling, one linear layer: what class activation maps were first drawn of."""
    layers = [tc.ImageInput((1, 6, 6)), tc.Conv2D(4, 3, name="conv"), tc.ReLU(name="relu"), tc.GlobalAveragePool2D()]
    return tc.Sequential([*layers, tc.FullyConnected(3, name="fc"), tc.Softmax()], dtype=np.float64)


def test_after_global_pooling_grad_cam_is_the_class_activation_map():
    net, x = pooled_network(), RNG.normal(size=(2, 1, 6, 6))
    a, w = inspect.activations(net, x, "relu"), net["fc"].parameters["weight"]
    expected = np.maximum(np.einsum("k,nkij->nij", w[1], a) / 16, 0)  # α = w / (OH·OW)
    np.testing.assert_allclose(inspect.grad_cam(net, x, "relu", 1, upsample=False), expected / 1, atol=1e-15)


@pytest.mark.parametrize("layer", ["conv", "block.relu", "block", "stage.inner"])
def test_grad_cam_is_pytorchs(layer):
    torch = pytest.importorskip("torch")
    net = nested_network()
    outputs = in_torch(net, torch.tensor(X, requires_grad=True))
    (gradient,) = torch.autograd.grad(outputs["fc"][[0, 1], [1, 2]].sum(), outputs[layer])
    maps = torch.relu((gradient.mean(dim=(2, 3), keepdim=True) * outputs[layer]).sum(dim=1)).detach()
    np.testing.assert_allclose(inspect.grad_cam(net, X, layer, [1, 2], upsample=False), maps, atol=1e-14)
    large = torch.nn.functional.interpolate(maps[:, None], (12, 12), mode="bilinear", align_corners=False)[:, 0]
    np.testing.assert_allclose(inspect.grad_cam(net, X, layer, [1, 2]), large, atol=1e-14)


def test_after_global_pooling_the_relevance_map_has_a_closed_form():
    net, x = pooled_network(), RNG.normal(size=(2, 1, 6, 6))
    a, w = inspect.activations(net, x, "relu"), net["fc"].parameters["weight"]
    contributions = np.einsum("ck,nkij->ncij", w, a) / 16  # what one place adds to each class's score
    expected = (contributions**2).sum(axis=1)
    np.testing.assert_allclose(inspect.relevance_map(net, x, "relu", upsample=False), expected, atol=1e-14)


@pytest.mark.parametrize("layer", ["relu", "block.relu", "stage.pool"])
def test_relevance_maps_take_each_place_out_even_inside_blocks(layer):
    torch = pytest.importorskip("torch")
    net = nested_network()
    found = inspect.relevance_map(net, X, layer, upsample=False, batch_size=7)
    here = inspect.activations(net, X, layer)
    outputs = in_torch(net, torch.tensor(X))

    def score_without(n, i, j):
        y = here[n : n + 1].copy()
        y[:, :, i, j] = 0
        y = torch.tensor(y)
        p = {name: torch.from_numpy(value) for name, value in net.state_dict().items()}

        def conv(x, name, padding=1):
            return torch.nn.functional.conv2d(x, p[f"{name}.weight"], p[f"{name}.bias"], padding=padding)

        if layer == "relu":
            main = conv(y, "block.conv")
            shape = (1, -1, 1, 1)
            main = (main - p["block.norm.running_mean"].view(shape)) / (
                p["block.norm.running_var"].view(shape) + 1e-5
            ).sqrt()
            main = torch.relu(main * p["block.norm.weight"].view(shape) + p["block.norm.bias"].view(shape))
            y = main + conv(y, "block.shortcut.conv", 0)
        if layer == "block.relu":
            y = y + outputs["block.shortcut.conv"][n : n + 1]
        if layer != "stage.pool":
            y = torch.nn.functional.max_pool2d(y, 2)
        y = y + conv(y, "stage.inner.conv")
        return torch.nn.functional.linear(y.flatten(1), p["fc.weight"], p["fc.bias"])[0].numpy()

    scores = outputs["fc"].numpy()
    for n, i, j in ((0, 0, 0), (1, 2, 3), (0, 5, 5), (1, 4, 1)):
        np.testing.assert_allclose(found[n, i, j], ((scores[n] - score_without(n, i, j)) ** 2).sum(), atol=1e-13)


def test_a_layer_that_puts_out_no_images_is_refused():
    for draw in (lambda layer: inspect.grad_cam(nested_network(), X, layer, 0),
                 lambda layer: inspect.relevance_map(nested_network(), X, layer)):  # fmt: skip
        with pytest.raises(ValueError, match="'fc' puts out data of shape"):
            draw("fc")


@pytest.mark.parametrize("size", [(7, 9), (3, 4), (2, 13), (1, 1)])
def test_resizing_is_pytorchs(size):
    torch = pytest.importorskip("torch")
    maps = RNG.normal(size=(2, 3, 5, 4))
    expected = torch.nn.functional.interpolate(torch.tensor(maps), size, mode="bilinear", align_corners=False)
    np.testing.assert_allclose(resize(maps, size), expected.numpy(), atol=1e-14)


def test_blurring_is_scipys():
    ndimage = pytest.importorskip("scipy.ndimage")
    image = RNG.normal(size=(2, 9, 8))
    expected = ndimage.gaussian_filter(image, (0, 1.3, 1.3), mode="nearest", truncate=4.7)
    np.testing.assert_allclose(blur(image, 1.3), expected, atol=1e-4)
    np.testing.assert_allclose(blur(np.full((5, 5), 3.0), 2), 3)
    assert blur(image, 0) is image
