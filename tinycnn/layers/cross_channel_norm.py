"""Cross-channel normalization, also called local response normalization: strong neighbours dampen a channel."""

from __future__ import annotations

from tinycnn import kernels
from tinycnn.layers.base import Array, Layer, Shape, image_shape


class CrossChannelNorm(Layer):
    """y[c] = x[c] / (k + α/size · Σ_j x[j]²)^β at every pixel, where j runs over the `size` channels around c.

    j goes from c − ⌊size/2⌋ to c + ⌊(size−1)/2⌋, for an even size as in PyTorch; channels that do not exist count as
    zeros. x (N, C, H, W) → y of the same shape. The defaults are those of PyTorch's LocalResponseNorm and of Caffe's
    and MATLAB's AlexNet; MATLAB's crossChannelNormalizationLayer by itself has k = 2, as in the 2012 paper, which does
    not divide α by size.

    Args:
        size: how many channels the sum runs over.
        alpha: α, the weight of the sum.
        beta: β, the exponent.
        k: what the sum is added to; it keeps the divisor away from zero.

    Raises:
        ValueError: for a size below 1, k ≤ 0, or negative alpha or beta.

    Source: Krizhevsky, Sutskever & Hinton, "ImageNet classification with deep convolutional neural networks" (2012).

    >>> import numpy as np
    >>> CrossChannelNorm(3, alpha=3.0, beta=0.5).forward(np.array([1.0, 2.0, 2.0, 4.0]).reshape(1, 4, 1, 1)).ravel()
    array([0.40824829, 0.63245553, 0.4       , 0.87287156])
    """

    def __init__(self, size: int = 5, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0, name: str | None = None):
        super().__init__(name)
        if int(size) != size or size < 1:
            raise ValueError(f"size is {size!r}: give a whole number of channels, at least 1")
        if not (alpha >= 0 and beta >= 0 and k > 0):
            raise ValueError(f"alpha is {alpha!r}, beta {beta!r} and k {k!r}: give alpha and beta ≥ 0, and k > 0")
        self.size, self.alpha, self.beta, self.k = int(size), float(alpha), float(beta), float(k)

    def output_shape(self, input_shape: Shape) -> Shape:
        return image_shape(input_shape)

    def forward(self, x: Array, training: bool = False) -> Array:
        self.cache = x
        return kernels.for_array(x).cross_channel_norm_forward(x, self.size, self.alpha, self.beta, self.k)

    def backward(self, dy: Array) -> Array:
        return kernels.for_array(dy).cross_channel_norm_backward(
            dy, self.cache, self.size, self.alpha, self.beta, self.k
        )
