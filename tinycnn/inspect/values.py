"""What went through a layer: its activations, its filters, and how the score hangs on what it put out."""

from __future__ import annotations

from typing import Any

from tinycnn.inspect.choices import find, one_hot
from tinycnn.inspect.scores import scorer
from tinycnn.inspect.tape import Tape
from tinycnn.layers import Conv2D, FullyConnected, OutputLayer, Softmax
from tinycnn.layers.base import Array
from tinycnn.network import Sequential


def activations(net: Sequential, x: Array, layer: int | str, *, training: bool = False) -> Array:
    """What `layer` puts out for images x (N, C, H, W): (N, …), a copy.

    The network stays as it was: no caches, running statistics or dropout masks are touched.

    Args:
        layer: its number in `net.layers` or its name, "block_1.conv_1" for a layer inside a block.
        training: with the batch's own statistics in batch norm, and with dropout.

    Raises:
        IndexError, KeyError: when there is no such layer.

    >>> import numpy as np, tinycnn as tc
    >>> net = tc.Sequential([tc.ImageInput((1, 2, 2), name="input"), tc.ReLU(name="relu")])
    >>> activations(net, np.array([[[[-1.0, 2.0], [3.0, -4.0]]]]), "relu").ravel().tolist()
    [0.0, 2.0, 3.0, 0.0]
    """
    wanted = find(net, layer)
    tape = Tape(net, training=training, scores=False)
    tape.forward(net.checked_images(x))
    return tape.output(wanted).copy()


def logits(net: Sequential, x: Array, batch_size: int = 64) -> Array:
    """The scores (N, K) of images x (N, C, H, W): what the last Softmax is given, or else the network's output.

    >>> import numpy as np, tinycnn as tc
    >>> net = tc.Sequential([tc.ImageInput((1, 2, 2)), tc.FullyConnected(3), tc.Softmax()])
    >>> x = np.ones((1, 1, 2, 2))
    >>> scores = logits(net, x)
    >>> np.allclose(np.exp(scores) / np.exp(scores).sum(), net.predict(x))
    True
    """
    return scorer(net).predict(net.checked_images(x), batch_size)


def gradients(net: Sequential, x: Array, layer: int | str | None, target: Any, *, training: bool = False) -> Array:
    """∂ Σ_n S[n, target] / ∂y: how the class's score S, before Softmax, hangs on what `layer` put out; shaped like it.

    In evaluation mode images do not touch each other, so that row n is the gradient of image n's own score.

    Args:
        layer: by number or name; None for the images x themselves.
        target: a class, or one class an image (N,); for a network that puts out (C, H, W) an index (c, i, j).
        training: with the batch's own statistics in batch norm, and with dropout.

    Raises:
        IndexError, KeyError: when there is no such layer.
        ValueError: for a target that the network does not have, or a layer that comes after the scores.

    Source: Simonyan, Vedaldi & Zisserman, "Deep inside convolutional networks" (2013), section 3.

    >>> import numpy as np, tinycnn as tc
    >>> net = tc.Sequential([tc.ImageInput((1, 2, 2)), tc.FullyConnected(3, name="fc"), tc.Softmax()])
    >>> dx = gradients(net, np.zeros((1, 1, 2, 2)), None, target=2)
    >>> np.array_equal(dx.ravel(), net["fc"].parameters["weight"][2])  # S is linear, whatever Softmax does
    True
    """
    wanted = None if layer is None else find(net, layer)
    if isinstance(wanted, OutputLayer) or (isinstance(wanted, Softmax) and _is_last(net, wanted)):
        raise ValueError(f"layer {layer!r} comes after the scores, which do not hang on it: give an earlier one")
    tape = Tape(net, training=training)
    scores = tape.forward(net.checked_images(x))
    dx = tape.backward(one_hot(scores, target))
    return (dx if wanted is None else tape.gradient(wanted)).copy()


def filters(net: Sequential, layer: int | str) -> Array:
    """A copy of the layer's weights as small images: (O, C/groups, KH, KW) of Conv2D.

    FullyConnected's rows are shaped like what the layer is given, (outputs, C, H, W) after an image.

    Raises:
        ValueError: for a layer without filters.

    >>> import tinycnn as tc
    >>> net = tc.Sequential([tc.ImageInput((1, 6, 6)), tc.Conv2D(2, 3, name="conv"), tc.FullyConnected(4, name="fc")])
    >>> filters(net, "conv").shape, filters(net, "fc").shape
    ((2, 1, 3, 3), (4, 2, 4, 4))
    """
    found = find(net, layer)
    if isinstance(found, Conv2D):
        return found.parameters["weight"].copy()
    if isinstance(found, FullyConnected):
        return found.parameters["weight"].reshape(-1, *found.input_shape).copy()
    raise ValueError(f"layer {layer!r} is a {type(found).__name__}, which has no filters: give a Conv2D")


def _is_last(net: Sequential, softmax: Softmax) -> bool:
    return [layer for _, layer in net.simple_layers() if not isinstance(layer, OutputLayer)][-1] is softmax
