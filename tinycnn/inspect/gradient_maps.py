"""Maps from the gradient of a class's score by the pixels: saliency, SmoothGrad and integrated gradients."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from tinycnn.backend import get_array_module
from tinycnn.inspect.choices import one_hot
from tinycnn.inspect.values import gradients, logits
from tinycnn.layers.base import Array
from tinycnn.network import Sequential


def saliency(net: Sequential, x: Array, target: Any) -> Array:
    """M[n,i,j] = max_c |∂S[n, target] / ∂x[n,c,i,j]|: how fast the class's score changes with a pixel.

    Args:
        x: images (N, C, H, W).
        target: a class, or one class an image (N,).

    Returns:
        M (N, H, W), ≥ 0, in units of score a unit of pixel.

    Source: Simonyan, Vedaldi & Zisserman, "Deep inside convolutional networks" (2013).

    >>> import tinycnn as tc
    >>> net = tc.Sequential([tc.ImageInput((1, 2, 2)), tc.FullyConnected(2, name="fc"), tc.Softmax()])
    >>> map_ = saliency(net, np.zeros((1, 1, 2, 2)), target=0)
    >>> np.array_equal(map_.ravel(), abs(net["fc"].parameters["weight"][0]))
    True
    """
    dx = gradients(net, x, None, target)
    return abs(dx).max(axis=1)


def smoothgrad(
    net: Sequential, x: Array, target: Any, *, samples: int = 25, noise: float = 0.15, seed: int = 0
) -> Array:
    """M = 1/n · Σ_k ∂S(x + ε_k)/∂x, ε_k ~ N(0, σ²): the gradient averaged over noisy copies of the image.

    Args:
        x: images (N, C, H, W).
        target: a class, or one class an image (N,).
        samples: n, how many copies.
        noise: σ as a share of each image's own range, max x − min x.
        seed: of the noise.

    Returns:
        M (N, C, H, W), with signs; `abs(M).max(axis=1)` is a map to look at.

    Source: Smilkov et al., "SmoothGrad: removing noise by adding noise" (2017).

    >>> import tinycnn as tc
    >>> net = tc.Sequential([tc.ImageInput((1, 2, 2)), tc.FullyConnected(2, name="fc"), tc.Softmax()])
    >>> map_ = smoothgrad(net, np.ones((1, 1, 2, 2)), target=0)
    >>> np.allclose(map_.ravel(), net["fc"].parameters["weight"][0])  # noise changes nothing where S is linear
    True
    """
    if samples < 1 or noise < 0:
        raise ValueError(f"samples is {samples} and noise {noise}: give samples of at least 1 and noise ≥ 0")
    x = net.checked_images(x)
    xp, rng = get_array_module(x), np.random.default_rng(seed)
    axes = tuple(range(1, x.ndim))
    sigma = noise * (x.max(axis=axes, keepdims=True) - x.min(axis=axes, keepdims=True))
    total = xp.zeros_like(x)
    for _ in range(samples):
        epsilon = xp.asarray(rng.standard_normal(x.shape), x.dtype)
        total += gradients(net, x + sigma * epsilon, None, target)
    return total / samples


class IntegratedGradients(NamedTuple):
    """Attributions (N, C, H, W), and how far they are from complete: Σ attributions − (S(x) − S(baseline)), (N,)."""

    attributions: Array
    change: Array  # S(x) − S(baseline), what they should add up to
    error: Array


def integrated_gradients(
    net: Sequential, x: Array, target: Any, *, baseline: Any = 0.0, steps: int = 50
) -> IntegratedGradients:
    """A = (x − x′) · ∫₀¹ ∂S(x′ + α·(x − x′))/∂x dα: the change of the score from the baseline x′, shared by the pixels.

    The integral is a sum over the middles of equal steps. Completeness, Σ A = S(x) − S(x′), holds as steps grow; the
    `error` says how well it holds here.

    Args:
        x: images (N, C, H, W).
        target: a class, or one class an image (N,).
        baseline: x′, a number or an array that broadcasts to x; 0 is a black image. The map depends on it: a pixel that
            equals the baseline gets nothing.
        steps: how many gradients are averaged.

    Returns:
        (attributions (N, C, H, W), change (N,), error (N,)), in units of score.

    Source: Sundararajan, Taly & Yan, "Axiomatic attribution for deep networks" (2017).

    >>> import tinycnn as tc
    >>> net = tc.Sequential([tc.ImageInput((1, 2, 2)), tc.FullyConnected(2, name="fc"), tc.Softmax()])
    >>> result = integrated_gradients(net, np.full((1, 1, 2, 2), 3.0), target=0, steps=1)
    >>> np.allclose(result.attributions.ravel(), 3 * net["fc"].parameters["weight"][0])
    True
    >>> bool(abs(result.error[0]) < 1e-5)
    True
    """
    if steps < 1:
        raise ValueError(f"steps is {steps}: give a whole number of at least 1")
    x = net.checked_images(x)
    xp = get_array_module(x)
    start = xp.broadcast_to(xp.asarray(baseline, x.dtype), x.shape)
    total = xp.zeros_like(x)
    for step in range(steps):
        alpha = (step + 0.5) / steps
        total += gradients(net, start + x.dtype.type(alpha) * (x - start), None, target)
    attributions = (x - start) * total / steps
    scores, before = logits(net, x), logits(net, start)
    choice = one_hot(scores, target)
    change = ((scores - before) * choice).reshape(len(x), -1).sum(axis=1)
    error = attributions.reshape(len(x), -1).sum(axis=1) - change
    return IntegratedGradients(attributions, change, error)
