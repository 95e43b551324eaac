"""Rewrites runs of layers into one layer that computes the same, faster or more exactly.

A rule looks at the layers from some position on and returns a fused layer with the number of layers it replaces. The
fused layer keeps the originals in `parts`: they own the parameters and receive the gradients. Rules apply to the
built-in layers alone, never to subclasses of them, which may compute something else.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from tinycnn import kernels
from tinycnn.layers import BatchNorm2D, ClassificationOutput, Conv2D, Layer, MaxPool2D, ReLU, Residual, Softmax
from tinycnn.layers.base import Array, Shape

Rule = Callable[[Sequence[Layer]], "tuple[Layer, int] | None"]


def fuse(layers: Sequence[Layer], rules: Sequence[Rule]) -> list[Layer]:
    """`layers` with each run that a rule matches replaced by its fused layer; the rest are the same objects.

    Inside residual blocks, too.
    """
    fused: list[Layer] = []
    position = 0
    while position < len(layers):
        matches = (rule(layers[position:]) for rule in rules)
        layer, length = next((match for match in matches if match), (_fused_inside(layers[position], rules), 1))
        fused.append(layer)
        position += length
    return fused


class Fused(Layer):
    """What fused layers have in common: they speak for their parts, in order."""

    def __init__(self, parts: Sequence[Layer]):
        super().__init__(" + ".join(str(part.name) for part in parts))
        self.parts = tuple(parts)

    def learns(self) -> bool:
        return any(part.learns() for part in self.parts)

    def clear_cache(self) -> None:
        self.cache = None
        for part in self.parts:
            part.cache = None

    def output_shape(self, input_shape: Shape) -> Shape:
        for part in self.parts:
            input_shape = part.output_shape(input_shape)
        return input_shape


class SoftmaxCrossEntropy(Fused):
    """Softmax and ClassificationOutput as one: the loss comes from the scores, so no probability is ever too small.

    log p[n,k] = x[n,k] − log Σ_j exp(x[n,j]), and dloss/dx = (p − onehot(t)) · w[t] / Σ w[t], or with label
    smoothing what `kernels.reference.cross_entropy_backward` says: x (N, K) → p (N, K).
    """

    def __init__(self, softmax: Softmax, output: ClassificationOutput):
        super().__init__([softmax, output])
        self.softmax, self.output = softmax, output

    def forward(self, x: Array, training: bool = False) -> Array:
        p = self.output.forward(self.softmax.forward(x, training), training)
        self.cache = p, x
        return p

    def loss(self, p: Array, t: Array) -> Array:
        """The mean cross-entropy of p with labels t; exact when p is what `forward` returned last."""
        if self.cache is None or p is not self.cache[0]:
            return self.output.loss(p, t)
        k = kernels.for_array(p)
        return k.cross_entropy_forward(k.log_softmax_forward(self.cache[1]), t, *self._options(p))

    def backward(self, t: Array) -> Array:
        p = self.cache[0]
        return kernels.for_array(p).cross_entropy_backward(p, t, *self._options(p))

    def _options(self, p: Array) -> tuple[Array | None, float]:
        return self.output.weights(p), self.output.label_smoothing


def softmax_cross_entropy(layers: Sequence[Layer]) -> tuple[Layer, int] | None:
    """The rule Softmax → ClassificationOutput."""
    match layers[:2]:
        case [Softmax() as softmax, ClassificationOutput() as output] if _are(layers, Softmax, ClassificationOutput):
            return SoftmaxCrossEntropy(softmax, output), 2
    return None


class ConvBlock(Fused):
    """Conv2D, BatchNorm2D, ReLU and MaxPool2D as one: x (N, C, H, W) → y (N, O, PH, PW), in fewer passes over memory.

    In evaluation batch norm becomes part of the convolution's weights; in training the kernels work on some images at a
    time, while these are in cache.
    """

    def __init__(self, conv: Conv2D, norm: BatchNorm2D, relu: ReLU, pool: MaxPool2D):
        super().__init__([conv, norm, relu, pool])
        self.conv, self.norm = conv, norm

    def forward(self, x: Array, training: bool = False) -> Array:
        self.cache = None
        k = kernels.for_array(x)
        if not training:
            return k.conv_blocks_inference(x, [self.for_inference(x.shape[2:])])
        y, self.cache = k.conv_block_forward(x, *self._weights(), self.norm.eps, *self.conv.geometry(x.shape[2:]))
        self.norm.track(self.cache.mean, self.cache.variance, self.cache.values)
        return y

    def for_inference(self, size: tuple[int, int]) -> tuple[Any, ...]:
        """What the kernel `conv_blocks_inference` asks for each block, for images of `size` (H, W)."""
        statistics = self.norm.state["running_mean"], self.norm.state["running_var"]
        return *self._weights(), *statistics, self.norm.eps, *self.conv.geometry(size)

    def _weights(self) -> tuple[Array, Array | None, Array, Array]:
        conv, norm = self.conv.parameters, self.norm.parameters
        return conv["weight"], conv.get("bias"), norm["weight"], norm["bias"]

    def backward(self, dy: Array) -> Array:
        return self._backward(dy, input_gradient=True)

    def backward_parameters(self, dy: Array) -> None:
        self._backward(dy, input_gradient=False)

    def _backward(self, dy: Array, input_gradient: bool) -> Array | None:
        conv, norm = self.conv, self.norm
        dx, conv.gradients["weight"], norm.gradients["weight"], norm.gradients["bias"] = kernels.for_array(
            dy
        ).conv_block_backward(
            dy,
            self.cache,
            conv.parameters["weight"],
            norm.parameters["weight"],
            norm.parameters["bias"],
            norm.eps,
            *conv.geometry(self.cache.x.shape[2:]),
            input_gradient=input_gradient,
        )
        if conv.bias:  # batch norm subtracts the mean, and with it whatever the bias adds
            conv.gradients["bias"] = conv.parameters["bias"] * 0
        return dx


def conv_block(layers: Sequence[Layer]) -> tuple[Layer, int] | None:
    """The rule Conv2D → BatchNorm2D → ReLU → MaxPool2D of 2 × 2 windows side by side."""
    match layers[:4]:
        case [Conv2D() as conv, BatchNorm2D() as norm, ReLU() as relu, MaxPool2D() as pool]:
            windows_fit = pool.pool == pool.stride == (2, 2) and pool.padding == (0, 0)
            if windows_fit and conv.algorithm != "im2col" and _are(layers, Conv2D, BatchNorm2D, ReLU, MaxPool2D):
                return ConvBlock(conv, norm, relu, pool), 4
    return None


class ConvBlocks(Fused):
    """Several ConvBlocks in a row, in evaluation, as one: x (N, C, H, W) → y (N, O, PH, PW), on threads woken once."""

    def __init__(self, blocks: Sequence[ConvBlock]):
        super().__init__(blocks)
        self.blocks = tuple(blocks)

    def forward(self, x: Array, training: bool = False) -> Array:
        shape, blocks = x.shape[1:], []
        for block in self.blocks:
            blocks.append(block.for_inference(shape[1:]))
            shape = block.output_shape(shape)
        return kernels.for_array(x).conv_blocks_inference(x, blocks)


def conv_blocks(layers: Sequence[Layer]) -> tuple[Layer, int] | None:
    """The rule ConvBlock → ConvBlock → …; its layer serves evaluation alone."""
    others = (i for i, layer in enumerate(layers) if not isinstance(layer, ConvBlock))
    blocks: Any = layers[: next(others, len(layers))]
    return (ConvBlocks(blocks), len(blocks)) if len(blocks) > 1 else None


class FusedResidual(Fused):
    """A residual block whose two rows of layers are fused."""

    def __init__(self, block: Residual, rows: Residual):
        super().__init__([block])
        self.block, self.rows = block, rows

    def forward(self, x: Array, training: bool = False) -> Array:
        return self.rows.forward(x, training)

    def backward(self, dy: Array) -> Array:
        return self.rows.backward(dy)

    def clear_cache(self) -> None:
        super().clear_cache()
        self.rows.clear_cache()


def _fused_inside(layer: Layer, rules: Sequence[Rule]) -> Layer:
    """A residual block with its rows fused; any other layer as it is."""
    if type(layer) is Residual:
        block = rows = layer
    elif isinstance(layer, FusedResidual):
        block, rows = layer.block, layer.rows
    else:
        return layer
    main, shortcut = (fuse(unrolled(row or []), rules) for row in (rows.layers, rows.shortcut))
    return FusedResidual(block, Residual(main, shortcut))


def unrolled(layers: Sequence[Layer]) -> list[Layer]:
    """`layers` with the layers of plain nested networks in place of these, so that runs across their ends are found."""
    return [inner for layer in layers for inner in layer.unrolled()]


def _are(layers: Sequence[Layer], *types: type[Layer]) -> bool:
    return tuple(map(type, layers[: len(types)])) == types
