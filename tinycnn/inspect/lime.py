"""LIME: a linear model of what the network makes of an image's superpixels."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from tinycnn import backend
from tinycnn.inspect.choices import one_hot
from tinycnn.inspect.scores import scorer
from tinycnn.layers.base import Array
from tinycnn.network import Sequential


class Lime(NamedTuple):
    """The linear model: a weight a superpixel, drawn into a map (H, W), and how well it describes the network."""

    map: np.ndarray  # (H, W): each pixel has its superpixel's weight
    weights: np.ndarray  # (D,)
    segments: np.ndarray  # (H, W): the superpixel's number, 0 … D − 1
    intercept: float
    r2: float  # share of the scores' variance that the model explains, with the samples' weights; at most 1


def lime(
    net: Sequential,
    image: Array,
    target: int,
    *,
    segments: int | np.ndarray = 50,
    samples: int = 1000,
    kernel_width: float = 0.25,
    alpha: float = 1.0,
    fill: float | None = None,
    seed: int = 0,
    batch_size: int = 64,
) -> Lime:
    """The weights β of min_β,b Σ_k π_k·(S(z_k) − b − β·z_k)² + α·|β|², z_k ∈ {0, 1}^D saying which superpixels stay.

    π_k = exp(−d_k² / width²), with d_k = 1 − cos(z_k, 1): images with much left count more. S is the class's score.

    Args:
        image: one image (C, H, W).
        target: a class.
        segments: about how many superpixels (scikit-image's SLIC), or an array (H, W) of their numbers.
        samples: how many z are drawn, each entry 0 or 1 with equal chance; the first keeps everything.
        kernel_width: the width of π.
        alpha: α, the ridge penalty.
        fill: what is put in place of a superpixel; by default its mean colour.
        seed: of the samples.
        batch_size: how many images are computed at once.

    Source: Ribeiro, Singh & Guestrin, "Why should I trust you?" (2016), which takes probabilities for S.

    >>> import tinycnn as tc
    >>> net = tc.Sequential([tc.ImageInput((1, 2, 2)), tc.FullyConnected(2, name="fc"), tc.Softmax()])
    >>> result = lime(net, np.ones((1, 2, 2)), 0, segments=np.arange(4).reshape(2, 2), fill=0.0, alpha=1e-9)
    >>> np.allclose(result.weights, net["fc"].parameters["weight"][0], atol=1e-4), round(result.r2, 4)
    (True, 1.0)
    """
    if np.ndim(image) != 3:
        raise ValueError(f"image has shape {np.shape(image)}: give one image (C, H, W), such as x[0]")
    if samples < 2:
        raise ValueError(f"samples is {samples}: give a whole number of at least 2")
    image = net.checked_images(image[None])[0]
    xp, pixels = backend.get_array_module(image), backend.to_device(image, "cpu")
    numbers = _superpixels(pixels, segments) if isinstance(segments, (int, np.integer)) else np.asarray(segments)
    if numbers.shape != pixels.shape[1:]:
        raise ValueError(f"segments have shape {numbers.shape}, but the image has {pixels.shape[1:]} pixels")
    numbers = np.unique(numbers, return_inverse=True)[1].reshape(numbers.shape)
    count = int(numbers.max()) + 1
    z = np.random.default_rng(seed).integers(0, 2, (samples, count)).astype(float)
    z[0] = 1
    cover = _means(pixels, numbers, count) if fill is None else np.full_like(pixels, fill)
    network, scores = scorer(net), []
    for first in range(0, samples, batch_size):
        keep = z[first : first + batch_size][:, numbers][:, None] > 0
        batch = network.predict(xp.asarray(np.where(keep, pixels, cover)), batch_size)
        scores.append(backend.to_device((batch * one_hot(batch, target)).reshape(len(batch), -1).sum(axis=1), "cpu"))
    distance = 1 - np.sqrt(z.mean(axis=1))  # cos(z, 1) = Σz / (√Σz·√D)
    importance = np.exp(-((distance / kernel_width) ** 2))
    weights, intercept, r2 = _ridge(z, np.concatenate(scores).astype(float), importance, alpha)
    return Lime(weights[numbers], weights, numbers, intercept, r2)


def _superpixels(pixels: np.ndarray, count: int) -> np.ndarray:
    """SLIC's superpixels, following colours as far as that leaves at least half as many as were asked for."""
    from skimage.segmentation import slic

    low, high = pixels.min(), pixels.max()
    scaled = np.moveaxis((pixels - low) / ((high - low) or 1), 0, -1)
    is_rgb = len(pixels) == 3
    for compactness in (0.1, 1, 10, 100, 1000):  # in stripes and noise, superpixels by colour alone fall to pieces
        numbers = slic(scaled, count, compactness=compactness, channel_axis=-1, convert2lab=is_rgb, start_label=0)
        if numbers.max() + 1 >= count / 2:
            break
    return numbers


def _means(pixels: np.ndarray, numbers: np.ndarray, count: int) -> np.ndarray:
    """Each pixel's superpixel's mean colour: (C, H, W)."""
    sizes = np.bincount(numbers.ravel(), minlength=count)
    means = np.array([np.bincount(numbers.ravel(), channel.ravel(), count) / sizes for channel in pixels])
    return means[:, numbers].astype(pixels.dtype)


def _ridge(z: np.ndarray, y: np.ndarray, importance: np.ndarray, alpha: float) -> tuple[np.ndarray, float, float]:
    """β, b and R² of the weighted ridge regression; b is not penalized."""
    share = importance / importance.sum()
    mean_z, mean_y = share @ z, share @ y
    centred, rest = z - mean_z, y - mean_y
    gram = (centred * importance[:, None]).T @ centred + alpha * np.eye(z.shape[1])
    beta = np.linalg.solve(gram, (centred * importance[:, None]).T @ rest)
    variance: Any = share @ rest**2
    r2 = 1 - share @ (rest - centred @ beta) ** 2 / variance if variance > 0 else 1.0
    return beta, float(mean_y - mean_z @ beta), float(r2)
