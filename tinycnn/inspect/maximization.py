"""Activation maximization: an image that a unit likes."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from tinycnn.backend import get_array_module, to_device
from tinycnn.inspect.choices import find
from tinycnn.inspect.images import blur as blurred
from tinycnn.inspect.tape import Tape
from tinycnn.layers.base import Array, Shape
from tinycnn.network import Sequential


class Maximized(NamedTuple):
    """The image (C, H, W), and the unit's activation before each step and at the end."""

    image: Array
    activations: list[float]


def maximize(
    net: Sequential,
    layer: int | str,
    unit: int | tuple[int, int, int],
    *,
    steps: int = 128,
    step_size: float = 0.02,
    jitter: int = 4,
    blur: float = 0.5,
    blur_every: int = 4,
    pixels: tuple[float, float] = (0.0, 255.0),
    start: Array | None = None,
    seed: int = 0,
) -> Maximized:
    """Gradient ascent on the pixels: x ← clip(x + η·g / √mean(g²)), g = ∂a(shifted x)/∂x, a the unit's activation.

    Each step looks at the image shifted at random, which no single pixel can exploit, and every few steps the image is
    blurred, which keeps high frequencies down. The same seed gives the same image.

    Args:
        layer: by number or name; for a class give the layer before Softmax.
        unit: a channel, whose mean is maximized, or one unit (c, i, j); of a layer that puts out a vector, a number.
        steps: of ascent.
        step_size: η as a share of the range of pixels.
        jitter: the largest shift, in pixels, up or down and left or right; the image wraps around.
        blur: σ of the blur in pixels; 0 for none.
        blur_every: blur after every so many steps.
        pixels: the smallest and the largest value of a pixel.
        start: an image (C, H, W); by default grey with a little noise.
        seed: of noise and shifts.

    Raises:
        RuntimeError: when the unit does not react to the start, as behind a ReLU that is off everywhere.

    Sources: Erhan et al., "Visualizing higher-layer features of a deep network" (2009); Yosinski et al.,
    "Understanding neural networks through deep visualization" (2015), for the blur; Mordvintsev, Olah & Tyka,
    "Inceptionism" (2015), for the shifts.

    >>> import tinycnn as tc
    >>> net = tc.Sequential([tc.ImageInput((1, 2, 2)), tc.FullyConnected(2, name="fc")])
    >>> result = maximize(net, "fc", 1, steps=64, step_size=0.1, jitter=0, blur=0)
    >>> np.array_equal(result.image.ravel() == 255, net["fc"].parameters["weight"][1] > 0)  # white where that helps
    True
    """
    low, high = pixels
    found = find(net, layer)
    if not low < high or steps < 1 or jitter < 0 or blur_every < 1:
        raise ValueError(
            f"pixels is {pixels!r}, steps {steps}, jitter {jitter} and blur_every {blur_every}: give pixels with "
            "low < high, steps and blur_every of at least 1, and jitter ≥ 0"
        )
    rng, axes = np.random.default_rng(seed), tuple(range(-len(net.input_shape[1:]), 0))
    x = (low + high) / 2 + 0.05 * (high - low) * rng.standard_normal(net.input_shape)
    x = to_device(x, net.device) if start is None else start
    x = net.checked_images(x[None])
    dy = get_array_module(x).asarray(_ascent(unit, found.output_shape(found.input_shape), layer), x.dtype)
    tape, values = Tape(net, scores=False), []
    tape.seed(found, dy)
    for step in range(steps):
        shift = tuple(int(s) for s in rng.integers(-jitter, jitter + 1, len(axes)))
        output = tape.forward(get_array_module(x).roll(x, shift, axes))
        values.append(float((tape.output(found) * dy).sum()))
        g = get_array_module(x).roll(tape.backward(output * 0), tuple(-s for s in shift), axes)
        size = float((g**2).mean()) ** 0.5
        if size == 0 and step == 0:
            raise RuntimeError(
                f"unit {unit} of layer {layer!r} does not react to any pixel of the start: give another start or seed, "
                "or the layer before its ReLU"
            )
        x = (x + step_size * (high - low) * g / (size or 1)).clip(low, high)
        if blur > 0 and (step + 1) % blur_every == 0:
            x = blurred(x, blur)
    tape.forward(x)
    return Maximized(x[0], [*values, float((tape.output(found) * dy).sum())])


def _ascent(unit: int | tuple[int, int, int], shape: Shape, layer: int | str) -> np.ndarray:
    """The gradient of a, the unit's activation or its channel's mean, by the layer's output: (1, …)."""
    index = unit if isinstance(unit, tuple) else (unit,)
    if len(index) not in (1, len(shape)) or any(not 0 <= at < size for at, size in zip(index, shape, strict=False)):
        raise IndexError(f"layer {layer!r} puts out {shape}, so it has no unit {unit}")
    dy = np.zeros((1, *shape))
    dy[(0, *index)] = 1 / dy[(0, *index)].size
    return dy
