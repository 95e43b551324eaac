"""Rewrites runs of layers into one layer that computes the same, faster or more exactly.

A rule looks at the layers from some position on and returns a fused layer with the number of layers it replaces. The
fused layer keeps the originals in `parts`: they own the parameters and receive the gradients.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from tinycnn import kernels
from tinycnn.layers import BatchNorm2D, ClassificationOutput, Conv2D, Layer, MaxPool2D, ReLU, Softmax
from tinycnn.layers.base import Array, Shape

Rule = Callable[[Sequence[Layer]], "tuple[Layer, int] | None"]


def fuse(layers: Sequence[Layer], rules: Sequence[Rule]) -> list[Layer]:
    """`layers` with each run that a rule matches replaced by its fused layer; the rest are the same objects."""
    fused: list[Layer] = []
    position = 0
    while position < len(layers):
        matches = (rule(layers[position:]) for rule in rules)
        layer, length = next((match for match in matches if match), (layers[position], 1))
        fused.append(layer)
        position += length
    return fused


class SoftmaxCrossEntropy(Layer):
    """Softmax and ClassificationOutput as one: the loss comes from the scores, so no probability is ever too small.

    log p[n,k] = x[n,k] − log Σ_j exp(x[n,j]), and dloss/dx = (p − onehot(t)) · w[t] / Σ w[t], or with label
    smoothing what `kernels.reference.cross_entropy_backward` says: x (N, K) → p (N, K).
    """

    def __init__(self, softmax: Softmax, output: ClassificationOutput):
        super().__init__(f"{softmax.name} + {output.name}")
        self.parts = (softmax, output)

    def forward(self, x: Array, training: bool = False) -> Array:
        softmax, output = self.parts
        p = output.forward(softmax.forward(x, training), training)
        self.cache = p, kernels.for_array(x).log_softmax_forward(x)
        return p

    def loss(self, p: Array, t: Array) -> Array:
        """The mean cross-entropy of p with labels t; exact when p is what `forward` returned last."""
        output = self.parts[1]
        if self.cache is None or p is not self.cache[0]:
            return output.loss(p, t)
        return kernels.for_array(p).cross_entropy_forward(self.cache[1], t, output.weights(p), output.label_smoothing)

    def backward(self, t: Array) -> Array:
        p, output = self.cache[0], self.parts[1]
        return kernels.for_array(p).cross_entropy_backward(p, t, output.weights(p), output.label_smoothing)


def softmax_cross_entropy(layers: Sequence[Layer]) -> tuple[Layer, int] | None:
    """The rule Softmax → ClassificationOutput."""
    match layers[:2]:
        case [Softmax() as softmax, ClassificationOutput() as output]:
            return SoftmaxCrossEntropy(softmax, output), 2
    return None


class ConvBlock(Layer):
    """Conv2D, BatchNorm2D, ReLU and MaxPool2D as one: x (N, C, H, W) → y (N, O, PH, PW), in fewer passes over memory.

    In evaluation batch norm becomes part of the convolution's weights; in training the kernels work on some images at a
    time, while these are in cache. Kernel modules without a block of their own run the four layers.
    """

    def __init__(self, conv: Conv2D, norm: BatchNorm2D, relu: ReLU, pool: MaxPool2D):
        super().__init__(" + ".join(str(part.name) for part in (conv, norm, relu, pool)))
        self.parts = (conv, norm, relu, pool)

    def learns(self) -> bool:
        return True

    def forward(self, x: Array, training: bool = False) -> Array:
        conv, norm, _, _ = self.parts
        k = kernels.for_array(x)
        self.cache = None
        if not hasattr(k, "conv_block_forward"):
            for part in self.parts:
                x = part.forward(x, training)
            return x
        if not training:
            return k.conv_blocks_inference(x, [self.for_inference(x.shape[2:])])
        y, self.cache = k.conv_block_forward(x, *self._weights(), norm.eps, *conv.geometry(x.shape[2:]))
        norm.track(self.cache.mean, self.cache.variance, self.cache.values)
        return y

    def for_inference(self, size: tuple[int, int]) -> tuple[Any, ...]:
        """What the kernel `conv_blocks_inference` asks for each block, for images of `size` (H, W)."""
        conv, norm, _, _ = self.parts
        statistics = norm.state["running_mean"], norm.state["running_var"]
        return *self._weights(), *statistics, norm.eps, *conv.geometry(size)

    def _weights(self) -> tuple[Array, Array | None, Array, Array]:
        conv, norm, _, _ = self.parts
        return (
            conv.parameters["weight"],
            conv.parameters.get("bias"),
            norm.parameters["weight"],
            norm.parameters["bias"],
        )

    def output_shape(self, input_shape: Shape) -> Shape:
        for part in self.parts:
            input_shape = part.output_shape(input_shape)
        return input_shape

    def backward(self, dy: Array) -> Array:
        return self._backward(dy, input_gradient=True)

    def backward_parameters(self, dy: Array) -> None:
        self._backward(dy, input_gradient=False)

    def _backward(self, dy: Array, input_gradient: bool) -> Array | None:
        conv, norm, _, _ = self.parts
        if self.cache is None:
            for part in reversed(self.parts):
                dy = part.backward(dy)
            return dy
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
            if windows_fit and conv.algorithm != "im2col":
                return ConvBlock(conv, norm, relu, pool), 4
    return None


class ConvBlocks(Layer):
    """Several ConvBlocks in a row, in evaluation, as one: x (N, C, H, W) → y (N, O, PH, PW), on threads woken once."""

    def __init__(self, blocks: Sequence[ConvBlock]):
        super().__init__(" + ".join(str(block.name) for block in blocks))
        self.parts = tuple(blocks)

    def forward(self, x: Array, training: bool = False) -> Array:
        k = kernels.for_array(x)
        if training or not hasattr(k, "conv_blocks_inference"):
            for block in self.parts:
                x = block.forward(x, training)
            return x
        shape, blocks = x.shape[1:], []
        for block in self.parts:
            blocks.append(block.for_inference(shape[1:]))
            shape = block.output_shape(shape)
        return k.conv_blocks_inference(x, blocks)


def conv_blocks(layers: Sequence[Layer]) -> tuple[Layer, int] | None:
    """The rule ConvBlock → ConvBlock → …; its layer has no backward pass."""
    others = (i for i, layer in enumerate(layers) if not isinstance(layer, ConvBlock))
    blocks: Any = layers[: next(others, len(layers))]
    return (ConvBlocks(blocks), len(blocks)) if len(blocks) > 1 else None
