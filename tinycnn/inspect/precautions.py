"""What looks wrong with a network before it is trained: each a sentence that names the layer and a remedy."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import pairwise

from tinycnn.inspect.structure import rows_of, window
from tinycnn.layers import (
    AveragePool2D,
    Conv2D,
    Dropout,
    Flatten,
    FullyConnected,
    GlobalAveragePool2D,
    InputLayer,
    Layer,
    OutputLayer,
    ReLU,
    Residual,
    Softmax,
)
from tinycnn.layers.batch_norm import BatchNorm
from tinycnn.network import Sequential

LINEAR = (Conv2D, FullyConnected)
STILL_LINEAR = (AveragePool2D, BatchNorm, Dropout, Flatten, GlobalAveragePool2D)  # in evaluation


def precautions(net: Sequential) -> list[str]:
    """Sentences on the network's input, its end, its names, and layers that waste what they compute.

    >>> import tinycnn as tc
    >>> net = tc.Sequential([tc.ImageInput((1, 4, 4), normalization="zerocenter", name="input"), tc.FullyConnected(9),
    ...                      tc.ReLU(), tc.FullyConnected(1), tc.Softmax(name="softmax"), tc.ClassificationOutput()])
    >>> for warning in precautions(net): print(warning)
    input 'input' has not been measured yet: Trainer.fit does it, or net.layers[0].fit(images)
    'softmax' gets a single score, which it turns into 1 whatever it is: give a FullyConnected of two classes or more
    """
    rows = list(_rows(net.layers))
    return [
        *_of_input(net),
        *_of_windows(net),
        *_of_linear_layers(rows),
        *_of_biases(rows),
        *_of_end(net),
        *_of_names(net),
    ]


def _rows(layers: Sequence[Layer]) -> Iterator[list[Layer]]:
    """The rows of layers that data passes one after the other, plain nested networks rolled out."""
    row: list[Layer] = []
    for layer in layers:
        inner = [list(_rows(r)) for r in rows_of(layer)]
        if inner and not isinstance(layer, Residual):
            row += inner[0][0]
            yield from inner[0][1:]
        else:
            row.append(layer)
            yield from (r for part in inner for r in part)
    yield row


def _of_input(net: Sequential) -> Iterator[str]:
    first = net.layers[0]
    if isinstance(first, InputLayer) and not first.fitted:
        yield f"input {first.name!r} has not been measured yet: Trainer.fit does it, or net.layers[0].fit(images)"
    elif getattr(first, "normalization", None) == "none":
        yield (
            f"input {first.name!r} passes pixels on as they come: "
            'normalization="zerocenter" subtracts the training images\' mean'
        )


def _of_windows(net: Sequential) -> Iterator[str]:
    for name, layer in net.simple_layers():
        if (found := window(layer)) is None:
            continue
        (kh, kw), _, _, (dh, dw) = found
        (h, w), extent = layer.input_shape[1:], ((kh - 1) * dh + 1, (kw - 1) * dw + 1)
        if extent[0] > h or extent[1] > w:
            yield (
                f"{name!r} slides a window of {extent[0]}×{extent[1]} over an image of only {h}×{w}, the rest being "
                "padding: the layers before shrink the image too early"
            )


def _of_linear_layers(rows: Sequence[Sequence[Layer]]) -> Iterator[str]:
    for row in rows:
        telling = [layer for layer in row if not isinstance(layer, STILL_LINEAR)]
        for before, after in pairwise(telling):
            if isinstance(before, LINEAR) and isinstance(after, LINEAR):
                yield (
                    f"there is no activation between {before.name!r} and {after.name!r}, so that together they are "
                    "one linear map: put a ReLU between them, unless a bottleneck is meant"
                )
            if isinstance(before, ReLU) and isinstance(after, Softmax):
                yield f"{before.name!r} cuts off the negative scores of {after.name!r}: leave it out"


def _of_biases(rows: Sequence[Sequence[Layer]]) -> Iterator[str]:
    idle = [a for row in rows for a, b in pairwise(row) if isinstance(b, BatchNorm) and getattr(a, "bias", False)]
    if idle:
        names, size = ", ".join(repr(layer.name) for layer in idle), sum(a.parameters["bias"].size for a in idle)
        yield f"the {size} biases of {names} do nothing, since batch norm subtracts them again: bias=False saves them"


def _of_end(net: Sequential) -> Iterator[str]:
    simple = [layer for _, layer in net.simple_layers()]
    if not isinstance(simple[-1], OutputLayer):
        missing = "" if isinstance(simple[-1], Softmax) else "Softmax() and "
        other = " or, for numbers, RegressionOutput()" if missing else ""
        yield (
            "the network ends without an output layer, so it has no loss to train with: "
            f"add {missing}ClassificationOutput(){other}"
        )
    for layer in simple:
        if isinstance(layer, Softmax) and layer.input_shape == (1,):
            yield (
                f"{layer.name!r} gets a single score, which it turns into 1 whatever it is: "
                "give a FullyConnected of two classes or more"
            )


def _of_names(net: Sequential) -> Iterator[str]:
    for name, count in Counter(name for name, _ in net.named_layers()).items():
        if count > 1:
            yield f"{count} layers are called {name!r}, so that net[{name!r}] finds none: give each its own name"
