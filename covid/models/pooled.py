"""A network beyond the paper, from the same parts: one block more, and no bottleneck of three units at the end."""

from __future__ import annotations

from typing import Any

import numpy as np

import tinycnn as tc

WIDTHS = (16, 32, 64, 128, 128)


def pooled_network(
    channels: int = 1, classes: int = 3, *, size: int | tuple[int, int] = 224, seed: int = 0, dtype: Any = np.float32
) -> tc.Sequential:
    """Five rounds of convolution, batch norm, ReLU and pooling, then each channel's mean and one fully connected layer.

    The paper's fc_1 sees each of 9,216 places by itself and passes on three numbers; here a finding counts the same
    wherever it lies, and all 128 channels reach the classes.

    Args:
        channels: 1 for grey images, 3 for RGB.
        classes: how many there are.
        size: height and width of the images, as one number or a pair; at least 32.
        seed: of the weights and dropout masks.
        dtype: np.float32 to train, np.float64 to check gradients.

    >>> sum(array.size for array in pooled_network().parameters().values())
    245859
    """
    height, width = (size, size) if isinstance(size, int) else size
    layers: list[tc.Layer] = [
        tc.ImageInput((channels, height, width), normalization="zerocenter", mean_of="channel", name="input")
    ]
    for k, filters in enumerate(WIDTHS, start=1):
        layers += [
            tc.Conv2D(filters, 3, padding="same", name=f"conv_{k}"),
            tc.BatchNorm2D(name=f"batchnorm_{k}"),
            tc.ReLU(name=f"relu_{k}"),
            tc.MaxPool2D(2, stride=2, name=f"maxpool_{k}"),
        ]
    layers += [
        tc.GlobalAveragePool2D(name="mean"),
        tc.Dropout(0.3, name="dropout"),
        tc.FullyConnected(classes, name="fc"),
        tc.Softmax(name="softmax"),
        tc.ClassificationOutput(name="output"),
    ]
    return tc.Sequential(layers, seed=seed, dtype=dtype)
