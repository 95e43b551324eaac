"""Rewrites runs of layers into one layer that computes the same, faster or more exactly.

A rule looks at the layers from some position on and returns a fused layer with the number of layers it replaces. The
fused layer keeps the originals in `parts`: they own the parameters and receive the gradients.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from tinycnn import kernels
from tinycnn.layers import ClassificationOutput, Layer, Softmax
from tinycnn.layers.base import Array

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

    log p[n,k] = x[n,k] − log Σ_j exp(x[n,j]), and dloss/dx = (p − onehot(t)) · w[t] / Σ w[t]: x (N, K) → p (N, K).
    """

    def __init__(self, softmax: Softmax, output: ClassificationOutput):
        super().__init__(f"{softmax.name} + {output.name}")
        self.parts = (softmax, output)

    def forward(self, x: Array, training: bool = False) -> Array:
        softmax, output = self.parts
        p = output.forward(softmax.forward(x, training), training)
        self.kept = p, kernels.for_array(x).log_softmax_forward(x)
        return p

    def loss(self, p: Array, t: Array) -> Array:
        """The mean cross-entropy of p with labels t; exact when p is what `forward` returned last."""
        output = self.parts[1]
        if self.kept is None or p is not self.kept[0]:
            return output.loss(p, t)
        return kernels.for_array(p).cross_entropy_forward(self.kept[1], t, output.weights(p))

    def backward(self, t: Array) -> Array:
        p = self.kept[0]
        return kernels.for_array(p).cross_entropy_backward(p, t, self.parts[1].weights(p))


def softmax_cross_entropy(layers: Sequence[Layer]) -> tuple[Layer, int] | None:
    """The rule Softmax → ClassificationOutput."""
    match layers[:2]:
        case [Softmax() as softmax, ClassificationOutput() as output]:
            return SoftmaxCrossEntropy(softmax, output), 2
    return None
