"""Batch normalization: each channel, or feature, gets mean 0 and variance 1, then a learned scale and offset."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from tinycnn import kernels
from tinycnn.layers.base import Array, Layer, Shape, checked_factors, image_shape


class BatchNorm(Layer):
    """What BatchNorm2D and BatchNorm1D share: y = γ · (x − μ) / √(σ² + ε) + β, channel by channel.

    In training μ and σ² (biased) are the batch's own; in evaluation they are `running_mean` and `running_var`. These
    move towards each batch's by `momentum` while training; the Trainer can replace them afterwards by the whole
    training set's, as MATLAB did in 2019 (batch_norm="population").

    x (N, C, …) → y of the same shape. Parameters: weight γ (C,), bias β (C,). State: running_mean, running_var (C,).
    Weight decay applies to both parameters, as in MATLAB.

    Args:
        eps: ε, what keeps the root away from zero.
        momentum: how far the running statistics move towards each batch's.
        lr_factors, l2_factors: {"weight": …, "bias": …}, multipliers of the learning rate and of the weight decay.

    Raises:
        ValueError: when ε or momentum is out of range; in training, for a single value a channel, whose deviation from
            its own mean is 0 whatever it is.

    Source: Ioffe & Szegedy, "Batch normalization" (2015). The running variance is the unbiased one, as in PyTorch.
    """

    def __init__(
        self,
        eps: float = 1e-5,
        momentum: float = 0.1,
        lr_factors: Mapping[str, float] | None = None,
        l2_factors: Mapping[str, float] | None = None,
        name: str | None = None,
    ):
        super().__init__(name)
        if not eps > 0:
            raise ValueError(f"eps is {eps!r}: give a positive number")
        if not 0 <= momentum <= 1:
            raise ValueError(f"momentum is {momentum!r}: give a number from 0 to 1")
        self.eps, self.momentum = float(eps), float(momentum)
        self.seen: int | None = None  # see `track`
        self.lr_factors = checked_factors(lr_factors, "lr_factors")
        self.l2_factors = {"weight": 1.0, "bias": 1.0, **checked_factors(l2_factors, "l2_factors")}

    def build(self, input_shape: Shape, dtype: Any, rng: np.random.Generator) -> None:
        c = input_shape[0]
        self.parameters = {"weight": np.ones(c, dtype), "bias": np.zeros(c, dtype)}
        self.state = {"running_mean": np.zeros(c, dtype), "running_var": np.ones(c, dtype)}

    def forward(self, x: Array, training: bool = False) -> Array:
        k = kernels.for_array(x)
        if training:
            count = x.size // x.shape[1]
            if count == 1:
                raise ValueError(
                    f"layer {self.name!r} ({type(self).__name__}) gets a single value a channel in training, which "
                    "minus its own mean is 0: give at least two images a batch (drop_last=True leaves out a last "
                    "batch of one), or call with training=False"
                )
            mean, variance = k.batch_norm_statistics(x)
            self.track(mean, variance, count)
        else:
            mean, variance = self.state["running_mean"], self.state["running_var"]
        self.cache = x, mean, variance, training
        return k.batch_norm_forward(x, mean, variance, self.parameters["weight"], self.parameters["bias"], self.eps)

    def backward(self, dy: Array) -> Array:
        x, mean, variance, training = self.cache
        dx, self.gradients["weight"], self.gradients["bias"] = kernels.for_array(dy).batch_norm_backward(
            dy, x, mean, variance, self.parameters["weight"], self.eps, batch_statistics=training
        )
        return dx

    def track(self, mean: Array, variance: Array, count: int) -> None:
        """Take in the statistics of a batch with `count` values a channel.

        In training the running statistics move towards them. In a pass over a whole dataset, when `seen` counts the
        values so far, they become those of all batches together: with the batch's share s = count / (seen + count),
        μ ← μ + s·(μ_b − μ),  σ² ← σ² + s·(σ_b² − σ²) + s·(1 − s)·(μ_b − μ)².
        """
        running_mean, running_var = self.state["running_mean"], self.state["running_var"]
        if self.seen is None:
            kernels.for_array(mean).batch_norm_track(
                running_mean, running_var, mean, variance, self.momentum, count / (count - 1)
            )
            return
        self.seen += count
        share, distance = count / self.seen, mean - running_mean
        running_mean += share * distance
        running_var += share * (variance - running_var) + share * (1 - share) * distance**2


class BatchNorm2D(BatchNorm):
    """Batch norm of images: x (N, C, H, W) → y of the same shape, each channel over images and pixels.

    y = γ · (x − μ) / √(σ² + ε) + β. Arguments, parameters and state are those of `BatchNorm`.

    >>> layer = BatchNorm2D()
    >>> layer.build((1, 1, 2), np.float64, np.random.default_rng(0))
    >>> layer.forward(np.array([[[[1.0, 3.0]]]]), training=True).round(4)
    array([[[[-1.,  1.]]]])
    """

    def output_shape(self, input_shape: Shape) -> Shape:
        if len(input_shape) == 1:
            raise ValueError(f"needs images of shape (C, H, W), but gets data of shape {input_shape}: use BatchNorm1D")
        return image_shape(input_shape)


class BatchNorm1D(BatchNorm):
    """Batch norm of flat data, as after FullyConnected: x (N, D) → y of the same shape, each feature over the images.

    y = γ · (x − μ) / √(σ² + ε) + β. Arguments, parameters and state are those of `BatchNorm`, with D for C.

    >>> layer = BatchNorm1D()
    >>> layer.build((2,), np.float64, np.random.default_rng(0))
    >>> layer.forward(np.array([[1.0, 5.0], [3.0, 5.0]]), training=True).round(4)
    array([[-1.,  0.],
           [ 1.,  0.]])
    """

    def output_shape(self, input_shape: Shape) -> Shape:
        if len(input_shape) != 1:
            raise ValueError(f"needs flat data of shape (D,), but gets data of shape {input_shape}: use BatchNorm2D")
        return input_shape
