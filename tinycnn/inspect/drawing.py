"""How a layer looks in a network's diagram: a coloured box with its type, name, shape and parameters, as SVG."""

from __future__ import annotations

import re
from collections.abc import Iterator
from html import escape

from tinycnn.inspect.layout import Box
from tinycnn.inspect.structure import window
from tinycnn.layers import (
    AveragePool2D,
    Block,
    Conv2D,
    CrossChannelNorm,
    FullyConnected,
    GlobalAveragePool2D,
    InputLayer,
    Layer,
    LeakyReLU,
    MaxPool2D,
    OutputLayer,
    ReLU,
    Sigmoid,
    Softmax,
    Tanh,
)
from tinycnn.layers.batch_norm import BatchNorm

COLORS = (  # tint and edge by kind of layer; edges are Okabe and Ito's colours, which the colour-blind can tell apart
    ((Conv2D,), "#dcebf7", "#0072b2"),
    ((FullyConnected,), "#fbe3d6", "#d55e00"),
    ((BatchNorm, CrossChannelNorm), "#f6e3ee", "#b05c91"),
    ((ReLU, LeakyReLU, Sigmoid, Tanh, Softmax), "#fdf1d3", "#b97a00"),
    ((MaxPool2D, AveragePool2D, GlobalAveragePool2D), "#d9f0e8", "#007a5a"),
    ((InputLayer, OutputLayer), "#e6e6e6", "#444444"),
)
SIZES = {"type": (14.0, 0.64), "name": (12.0, 0.6), "detail": (12.0, 0.6)}  # font size, and a letter's share of it
SMALLEST = 9.0


def layer_box(box: Box) -> Iterator[str]:
    """The box, its texts, and a tooltip with all of them uncut."""
    layer = box.layer
    tint, edge = next(((tint, edge) for kinds, tint, edge in COLORS if isinstance(layer, kinds)), ("#fff", "#777"))
    parameters = layer.named_parameters() if isinstance(layer, Block) else layer.parameters.items()
    count = sum(array.size for _, array in parameters)
    sizes = layer.output_shape(layer.input_shape)
    shape = " × ".join(map(str, sizes)) + (" values" if len(sizes) == 1 else "")
    middle = box.x + box.width / 2
    texts = [("type", _kind(layer)), ("name", str(layer.name)), ("detail", shape)]
    texts += [("detail", f"{count:,} parameters")] if count else []
    top = box.y + box.height / 2 - 16.5 * (len(texts) - 1) / 2 + 4.5
    yield f"<g><title>{xml_text(f'{layer.name}: {type(layer).__name__}, {shape}, {count:,} parameters')}</title>"
    yield (
        f'<rect x="{box.x:g}" y="{box.y:g}" width="{box.width:g}" height="{box.height:g}" rx="7" fill="{tint}" '
        f'stroke="{edge}" stroke-width="1.5"/>'
    )
    for number, (kind, text) in enumerate(texts):
        yield _line(kind, text, middle, top + 16.5 * number, box.width - 12)
    yield "</g>"


def _line(kind: str, text: str, x: float, y: float, room: float) -> str:
    """Text centred on x, smaller where it would not fit into `room`, and cut where that is not enough."""
    usual, share = SIZES[kind]
    text = shorten(text, int(room / (share * SMALLEST)))
    size = min(usual, room / (share * max(len(text), 1)))
    style = "" if size == usual else f' style="font-size:{size:.1f}px"'
    return f'<text class="{kind}" x="{x:g}" y="{y:g}"{style}>{xml_text(text)}</text>'


def _kind(layer: Layer) -> str:
    """The layer's type, with its window where it slides one: "Conv2D 3×3"."""
    found = window(layer)
    return type(layer).__name__ + (f" {found[0][0]}×{found[0][1]}" if found else "")


def shorten(text: str, length: int) -> str:
    """At most so many characters of the text, with an ellipsis where it was cut."""
    return text if len(text) <= length else text[: max(length - 1, 1)] + "…"


def xml_text(text: str) -> str:
    """Text as XML has it: markup escaped, and characters that XML forbids replaced."""
    return escape(re.sub("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]", "\ufffd", text))
