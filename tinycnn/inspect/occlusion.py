"""Occlusion: what covering a part of the image does to the score."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tinycnn.backend import get_array_module
from tinycnn.inspect.choices import one_hot
from tinycnn.inspect.scores import scorer
from tinycnn.layers.base import Array, pair
from tinycnn.network import Sequential


def occlusion(
    net: Sequential,
    x: Array,
    target: Any,
    *,
    window: int | tuple[int, int] = 16,
    stride: int | tuple[int, int] | None = None,
    fill: Any = 0.0,
    batch_size: int = 64,
) -> Array:
    """M[n,i,j] = mean over the windows w that cover pixel (i, j) of S[n, target] − S[n, target | w covered].

    Args:
        x: images (N, C, H, W).
        target: a class, or one class an image (N,).
        window: height and width of what covers, as one number or a pair.
        stride: from window to window; half a window by default. The last ones end at the image's edge.
        fill: what covers: a number, or an array that broadcasts to x, such as a mean image.
        batch_size: how many covered images are computed at once.

    Returns:
        M (N, H, W), in units of score: positive where covering lowers it.

    Raises:
        ValueError: for a stride longer than the window, which would leave pixels uncovered, or a window larger than
            the image.

    Source: Zeiler & Fergus, "Visualizing and understanding convolutional networks" (2014), section 4.2.

    >>> import numpy as np, tinycnn as tc
    >>> net = tc.Sequential([tc.ImageInput((1, 2, 2)), tc.FullyConnected(2, name="fc"), tc.Softmax()])
    >>> map_ = occlusion(net, np.ones((1, 1, 2, 2)), target=0, window=1)
    >>> np.allclose(map_.ravel(), net["fc"].parameters["weight"][0], atol=1e-6)
    True
    """
    x = net.checked_images(x)
    xp, size, tall_wide = get_array_module(x), x.shape[2:], pair(window, "window")
    step = tuple(-(-side // 2) for side in tall_wide) if stride is None else pair(stride, "stride")
    for window_side, stride_side, side in zip(tall_wide, step, size, strict=True):
        if stride_side > window_side:
            raise ValueError(f"stride is {stride!r} and window {window!r}: pixels in between would never be covered")
        if window_side > side:
            raise ValueError(
                f"window is {window!r}, but the images have {size[0]}×{size[1]} pixels: give a smaller one"
            )
    corners = [(i, j) for i in _starts(size[0], tall_wide[0], step[0]) for j in _starts(size[1], tall_wide[1], step[1])]
    cover = xp.broadcast_to(xp.asarray(fill, x.dtype), x.shape)
    network = scorer(net)
    scores = network.predict(x, batch_size)
    choice = one_hot(scores, target)
    maps, counts = xp.zeros((len(x), *size), x.dtype), xp.zeros(size, x.dtype)
    for first in range(0, len(corners), batch_size):
        chunk = corners[first : first + batch_size]
        drops = [_drops(network, x[n], cover[n], chunk, tall_wide, scores[n], choice[n]) for n in range(len(x))]
        for k, (i, j) in enumerate(chunk):
            area = slice(i, i + tall_wide[0]), slice(j, j + tall_wide[1])
            counts[area] += 1
            for n in range(len(x)):
                maps[(n, *area)] += drops[n][k]
    return maps / counts


def _drops(
    network: Sequential,
    image: Array,
    cover: Array,
    corners: Sequence[tuple[int, int]],
    window: tuple[int, int],
    scores: Array,
    choice: Array,
) -> Array:
    """How much the image's score drops for a window at each corner."""
    covered = get_array_module(image).repeat(image[None], len(corners), axis=0)
    for k, (i, j) in enumerate(corners):
        area = slice(i, i + window[0]), slice(j, j + window[1])
        covered[(k, slice(None), *area)] = cover[(slice(None), *area)]
    return ((scores - network.predict(covered, len(corners))) * choice).reshape(len(corners), -1).sum(axis=1)


def _starts(size: int, window: int, stride: int) -> list[int]:
    """Where windows begin so that they cover everything, the last one ending at the edge."""
    return sorted({*range(0, size - window + 1, stride), size - window})
