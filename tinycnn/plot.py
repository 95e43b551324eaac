"""Pictures on Matplotlib's axes: filters, activations, a training's history, a confusion matrix.

Each function draws on the axes it is given, or on those of a new figure, and returns them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tinycnn import backend
from tinycnn.checks import as_array
from tinycnn.layers.base import Array
from tinycnn.network import Sequential

COLORS = "RdBu_r"  # a diverging scale that the colour-blind can read: blue below 0, red above


def filters(net: Sequential, layer: int | str, axes: Any = None) -> Any:
    """A picture a filter, blue where a weight is below 0, red above; of several channels a picture each, in a row.

    Filters of three channels that see an RGB image are still shown by channel, since weights are no colours.

    Args:
        layer: a Conv2D, by number or name.
        axes: one Matplotlib axes.

    Raises:
        ImportError: without Matplotlib.

    >>> import tinycnn as tc
    >>> net = tc.Sequential([tc.ImageInput((3, 6, 6)), tc.Conv2D(2, 3, name="conv")])
    >>> filters(net, "conv").get_images()[0].get_array().shape  # 2 rows, 3 columns of 3 × 3, lines between
    (7, 11)
    """
    from tinycnn.inspect import filters as filters_of

    weight = backend.to_device(filters_of(net, layer), "cpu")
    if weight.ndim == 2:
        raise ValueError(f"layer {layer!r} is given vectors: its weights are no images; show them with imshow")
    columns = weight.shape[1] if weight.shape[1] > 1 else math.ceil(math.sqrt(len(weight)))
    return _show(_mosaic(weight.reshape(-1, *weight.shape[2:]), columns), f"filters of {layer}", axes, signed=True)


def activations(net: Sequential, x: Array, layer: int | str, axes: Any = None) -> Any:
    """A picture a channel of what `layer` puts out for one image x (C, H, W), with one scale for all.

    Args:
        layer: one that puts out images, by number or name.
        axes: one Matplotlib axes.

    Raises:
        ImportError: without Matplotlib.
        ValueError: for more than one image, or a layer that puts out vectors.

    >>> import tinycnn as tc
    >>> net = tc.Sequential([tc.ImageInput((1, 6, 6)), tc.Conv2D(4, 3, name="conv")])
    >>> activations(net, np.ones((1, 6, 6)), "conv").get_images()[0].get_array().shape  # 2 × 2 maps of 4 × 4
    (9, 9)
    """
    from tinycnn.inspect import activations as activations_of

    x = as_array(x)
    if x.ndim != 3:
        raise ValueError(f"x has shape {tuple(x.shape)}: give one image (C, H, W), such as x[0]")
    y = backend.to_device(activations_of(net, x[None], layer)[0], "cpu")
    if y.ndim != 3:
        raise ValueError(f"layer {layer!r} puts out data of shape {y.shape}: give one that puts out images (C, H, W)")
    columns = math.ceil(math.sqrt(len(y)))
    return _show(_mosaic(y, columns), f"activations of {layer}", axes, signed=bool((y < 0).any()))


def history(history: Sequence[Mapping[str, Any]], axes: Any = None) -> Any:
    """Loss, and accuracy where there is one, over the iterations; validation as dots joined by lines.

    Args:
        history: rows with the keys of `tinycnn.training.history.COLUMNS`, as `Trainer.fit` returns.
        axes: as many Matplotlib axes as there are quantities.

    Raises:
        ImportError: without Matplotlib.
        ValueError: for an empty history.

    >>> rows = [{"iteration": i, "loss": 1 / i, "accuracy": None} for i in (1, 2, 4)]
    >>> [ax.get_ylabel() for ax in history(rows)]
    ['loss']
    """
    if not history:
        raise ValueError("the history is empty: train first, with Trainer.fit")
    quantities = [name for name in ("loss", "accuracy") if any(row.get(name) is not None for row in history)]
    axes = _new_axes(len(quantities)) if axes is None else np.atleast_1d(axes)
    for ax, quantity in zip(axes, quantities, strict=True):
        for column, label, style in ((quantity, "training", "-"), (f"validation_{quantity}", "validation", "o--")):
            points = [(row["iteration"], row[column]) for row in history if row.get(column) is not None]
            if points:
                ax.plot(*zip(*points, strict=True), style, label=label, markersize=4)
        ax.set(xlabel="iteration", ylabel=quantity)
        ax.legend()
    return axes


def confusion(labels: Any, predictions: Any, classes: Sequence[str] | None = None, axes: Any = None) -> Any:
    """The confusion matrix: row t and column p count images of class t taken for p; shares are of the row.

    Args:
        labels: (N,) whole numbers, the true classes.
        predictions: (N,) whole numbers, or probabilities (N, K), of which the largest counts.
        classes: their K names, by default 0 … K − 1.
        axes: one Matplotlib axes.

    Raises:
        ImportError: without Matplotlib.

    >>> [text.get_text() for text in confusion([0, 0, 1], [0, 1, 1], ["a", "b"]).texts]
    ['1\\n50 %', '1\\n50 %', '0\\n0 %', '1\\n100 %']
    """
    t, p = (np.asarray(getattr(array, "get", lambda array=array: array)()) for array in (labels, predictions))
    known = max(p.shape[1] if p.ndim == 2 else 0, len(classes or ()))
    p = p.argmax(axis=1) if p.ndim == 2 else p
    if t.shape != p.shape or t.ndim != 1 or len(t) == 0:
        raise ValueError(f"labels have shape {t.shape} and predictions {p.shape}: give one of each an image")
    size = max(known, int(t.max()) + 1, int(p.max()) + 1)
    names = [str(k) for k in range(size)] if classes is None else list(classes)
    if len(names) != size or min(t.min(), p.min()) < 0:
        raise ValueError(f"there are {size} classes, but {len(names)} names: give a name a class, and labels from 0")
    counts = np.zeros((size, size), int)
    np.add.at(counts, (t, p), 1)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    ax = _new_axes(1)[0] if axes is None else axes
    ax.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for (i, j), share in np.ndenumerate(shares):
        color = "white" if share > 0.5 else "black"
        ax.text(j, i, f"{counts[i, j]}\n{100 * share:.0f} %", ha="center", va="center", color=color)
    ax.set(xlabel="predicted", ylabel="true")
    ax.set_xticks(range(size), names, parse_math=False)
    ax.set_yticks(range(size), names, parse_math=False)
    return ax


def _mosaic(tiles: np.ndarray, columns: int) -> np.ndarray:
    """Tiles (M, h, w) in rows of so many, with one line of NaN between them."""
    rows, (_, h, w) = -(-len(tiles) // columns), tiles.shape
    sheet = np.full((rows * (h + 1) - 1, columns * (w + 1) - 1), np.nan)
    for number, tile in enumerate(tiles):
        top, left = number // columns * (h + 1), number % columns * (w + 1)
        sheet[top : top + h, left : left + w] = tile
    return sheet


def _show(sheet: np.ndarray, title: str, axes: Any, signed: bool) -> Any:
    ax = _new_axes(1)[0] if axes is None else axes
    largest = float(np.nanmax(np.abs(sheet))) or 1.0
    limits = (-largest, largest) if signed else (0.0, largest)
    image = ax.imshow(sheet, cmap=COLORS if signed else "gray", vmin=limits[0], vmax=limits[1])
    ax.figure.colorbar(image, ax=ax)
    ax.set_title(title, parse_math=False)
    ax.set_axis_off()
    return ax


def _new_axes(count: int) -> Any:
    try:
        from matplotlib import pyplot
    except ImportError as error:
        raise ImportError("plotting needs Matplotlib: python -m pip install matplotlib") from error
    return pyplot.subplots(1, count, squeeze=False, layout="constrained", figsize=(5 * count, 4))[1][0]
