"""Maps from a layer's activations: Grad-CAM and class-selective relevance maps."""

from __future__ import annotations

from typing import Any

from tinycnn.backend import get_array_module
from tinycnn.inspect.choices import find, one_hot
from tinycnn.inspect.images import resize
from tinycnn.inspect.tape import Tape
from tinycnn.layers import Layer
from tinycnn.layers.base import Array, Shape
from tinycnn.network import Sequential


def grad_cam(net: Sequential, x: Array, layer: int | str, target: Any, *, upsample: bool = True) -> Array:
    """M[n,i,j] = max(0, Σ_k α[n,k]·A[n,k,i,j]), α[n,k] = mean_ij ∂S[n, target]/∂A[n,k,i,j], A the layer's activations.

    Args:
        x: images (N, C, H, W).
        layer: by number or name, usually the last that puts out images.
        target: a class, or one class an image (N,).
        upsample: stretch the map to the image's size, bilinearly; where convolutions are not padded, its edges then
            stand for what lies a little further in.

    Returns:
        M (N, H, W) or, with upsample=False, the layer's own (N, OH, OW); ≥ 0.

    Raises:
        ValueError: for a layer that puts out no images.

    Source: Selvaraju et al., "Grad-CAM: visual explanations from deep networks via gradient-based localization" (2017).

    >>> import numpy as np, tinycnn as tc
    >>> net = tc.Sequential([tc.ImageInput((1, 6, 6)), tc.Conv2D(2, 3, name="conv"), tc.FullyConnected(3)])
    >>> grad_cam(net, np.ones((1, 1, 6, 6)), "conv", target=1).shape
    (1, 6, 6)
    """
    found, _ = _images_of(net, layer)
    tape = Tape(net)
    scores = tape.forward(net.checked_images(x))
    tape.backward(one_hot(scores, target))
    alpha = tape.gradient(found).mean(axis=(2, 3), keepdims=True)
    maps = get_array_module(scores).maximum((alpha * tape.output(found)).sum(axis=1), 0)
    return resize(maps, net.input_shape[1:]) if upsample else maps  # type: ignore[arg-type]


def relevance_map(net: Sequential, x: Array, layer: int | str, *, upsample: bool = True, batch_size: int = 64) -> Array:
    """R[n,i,j] = Σ_k (S[n,k] − S[n,k | A[n,·,i,j] = 0])²: what taking one place out of a layer does to all scores.

    The place's activations of all channels are set to 0, and the layers behind are computed anew. No class is chosen: a
    place that speaks for one class and against the others counts with both.

    Args:
        x: images (N, C, H, W).
        layer: by number or name, usually the last that puts out images; it costs a pass a place.
        upsample: stretch the map to the image's size, bilinearly.
        batch_size: how many places are computed at once.

    Returns:
        R (N, H, W) or, with upsample=False, the layer's own (N, OH, OW); ≥ 0, in units of score squared.

    Raises:
        ValueError: for a layer that puts out no images.

    Source: Kim, Rajaraman & Antani, "Visual interpretation of convolutional neural network predictions in classifying
    medical image modalities" (2019), where global pooling and one linear layer follow; this is the same for any layers.

    >>> import numpy as np, tinycnn as tc
    >>> net = tc.Sequential([tc.ImageInput((1, 2, 2), name="input"), tc.FullyConnected(3, name="fc")])
    >>> x = np.array([[[[1.0, 2.0], [0.0, 4.0]]]])
    >>> map_ = relevance_map(net, x, "input")
    >>> np.allclose(map_.ravel(), (net["fc"].parameters["weight"] ** 2).sum(axis=0) * x.ravel() ** 2)
    True
    """
    found, (_, oh, ow) = _images_of(net, layer)
    x = net.checked_images(x)
    xp, tape = get_array_module(x), Tape(net)
    start = next(i for i, top in enumerate(net.layers) if found is top or found in _inside(top))
    scores = tape.forward(x)
    before = x if start == 0 else tape.output(net.layers[start - 1])
    maps = xp.empty((len(x), oh * ow), scores.dtype)
    for first in range(0, oh * ow, batch_size):
        places = xp.arange(first, min(first + batch_size, oh * ow))
        tape.edit(found, lambda y, places=places: _without(y, places))  # type: ignore[misc]
        for n in range(len(x)):
            repeated = xp.repeat(before[n : n + 1], len(places), axis=0)
            changes = scores[n] - tape.forward(repeated, start)
            maps[n, places] = (changes**2).reshape(len(places), -1).sum(axis=1)
    maps = maps.reshape(len(x), oh, ow)
    return resize(maps, net.input_shape[1:]) if upsample else maps  # type: ignore[arg-type]


def _images_of(net: Sequential, layer: int | str) -> tuple[Layer, Shape]:
    found = find(net, layer)
    shape = found.output_shape(found.input_shape)
    if len(shape) != 3 or len(net.input_shape) != 3:
        raise ValueError(f"layer {layer!r} puts out data of shape {shape}: give one that puts out images (C, H, W)")
    return found, shape


def _inside(layer: Layer) -> list[Layer]:
    return [inner for _, inner in layer.named_layers()] if hasattr(layer, "named_layers") else []


def _without(y: Array, places: Array) -> Array:
    """y (B, C, OH, OW) with the place number places[b] of image b, counted row by row, set to 0 in all channels."""
    y = y.copy()
    y.reshape(*y.shape[:2], -1)[get_array_module(y).arange(len(y)), :, places] = 0
    return y
