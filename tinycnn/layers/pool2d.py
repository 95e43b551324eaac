"""Pooling: each window becomes one number."""

from __future__ import annotations

from tinycnn import kernels
from tinycnn.layers.base import Array, Layer, Shape, image_shape, pair
from tinycnn.windows import output_shape


class _Pool2D(Layer):
    """What max and average pooling share: the window and where it goes."""

    def __init__(
        self,
        pool: int | tuple[int, int],
        stride: int | tuple[int, int] | None = None,
        padding: int | tuple[int, int] = 0,
        name: str | None = None,
    ):
        super().__init__(name)
        self.pool = pair(pool, "pool")
        self.stride = self.pool if stride is None else pair(stride, "stride")
        self.padding = pair(padding, "padding", 0)
        if self.padding[0] >= self.pool[0] or self.padding[1] >= self.pool[1]:
            raise ValueError(
                f"padding is {padding!r}: it must be smaller than the {self.pool[0]}×{self.pool[1]} "
                "window, or some windows would hold nothing else"
            )

    def output_shape(self, input_shape: Shape) -> Shape:
        c, h, w = image_shape(input_shape)
        oh, ow = output_shape((h, w), *self.geometry())
        if oh < 1 or ow < 1:
            raise ValueError(
                f"a {self.pool[0]}×{self.pool[1]} window does not fit into {h}×{w} pixels with padding {self.padding}"
            )
        return c, oh, ow

    def geometry(self) -> tuple[tuple[int, int], tuple[int, int], tuple[int, int, int, int]]:
        """pool, stride, and padding as (top, bottom, left, right)."""
        vertical, horizontal = self.padding
        return self.pool, self.stride, (vertical, vertical, horizontal, horizontal)


class MaxPool2D(_Pool2D):
    """y[n,c,i,j] = the largest x in window (i, j); its gradient goes to the first largest, in row order.

    x (N, C, H, W) → y (N, C, OH, OW). Windows may overlap (stride < pool); an odd last row or column that fills no
    window is dropped; padding never wins.

    Args:
        pool: the window's height and width, as one number or a pair.
        stride: from window to window; the window's size by default.
        padding: (vertical, horizontal) cells around the image, or one number; smaller than the window.

    >>> import numpy as np
    >>> MaxPool2D(2).forward(np.arange(16.0).reshape(1, 1, 4, 4))
    array([[[[ 5.,  7.],
             [13., 15.]]]])
    """

    def forward(self, x: Array, training: bool = False) -> Array:
        y, argmax = kernels.for_array(x).max_pool2d_forward(x, *self.geometry())
        self.cache = argmax, x.shape
        return y

    def backward(self, dy: Array) -> Array:
        argmax, input_shape = self.cache
        return kernels.for_array(dy).max_pool2d_backward(dy, argmax, input_shape, *self.geometry())


class AveragePool2D(_Pool2D):
    """y[n,c,i,j] = the mean of window (i, j), padding counted as zeros; its gradient is shared equally.

    x (N, C, H, W) → y (N, C, OH, OW); arguments as in `MaxPool2D`.

    >>> import numpy as np
    >>> AveragePool2D(2).forward(np.arange(16.0).reshape(1, 1, 4, 4))
    array([[[[ 2.5,  4.5],
             [10.5, 12.5]]]])
    """

    def forward(self, x: Array, training: bool = False) -> Array:
        self.cache = x.shape
        return kernels.for_array(x).average_pool2d_forward(x, *self.geometry())

    def backward(self, dy: Array) -> Array:
        return kernels.for_array(dy).average_pool2d_backward(dy, self.cache, *self.geometry())


class GlobalAveragePool2D(Layer):
    """y[n,c] = the mean of channel c of image n: x (N, C, H, W) → y (N, C, 1, 1).

    Source: Lin et al., "Network in network" (2013).

    >>> GlobalAveragePool2D().output_shape((64, 12, 12))
    (64, 1, 1)
    """

    def output_shape(self, input_shape: Shape) -> Shape:
        return image_shape(input_shape)[0], 1, 1

    def forward(self, x: Array, training: bool = False) -> Array:
        self.cache = x.shape
        return kernels.for_array(x).average_pool2d_forward(x, x.shape[2:], (1, 1))

    def backward(self, dy: Array) -> Array:
        return kernels.for_array(dy).average_pool2d_backward(dy, self.cache, self.cache[2:], (1, 1))
