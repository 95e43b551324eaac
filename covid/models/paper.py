"""The paper's network, from its Table 1: a row of the table is a line here."""

from __future__ import annotations

from typing import Any

import numpy as np

import tinycnn as tc

VARIANTS = ("table", "text")


def paper_network(
    channels: int = 1,
    classes: int = 3,
    *,
    size: int | tuple[int, int] = 224,
    padding: int | str = 0,
    variant: str = "table",
    mean_of: str = "pixel",
    seed: int = 0,
    dtype: Any = np.float32,
) -> tc.Sequential:
    """The network of Al-Asfoor & Abed (2020): 52,287 parameters for grey 224×224 images and three classes.

    Args:
        channels: 1 for grey images, 3 for RGB; the paper leaves it open.
        classes: how many there are.
        size: height and width of the images, as one number or a pair.
        padding: of the convolutions, 0 or "same"; the paper leaves it open.
        variant: "table", Table 1's 22 rows after the input layer, or "text", the 22 layers that section 4.1 describes:
            the input layer counted, and one dropout layer, between the two fully connected ones.
        mean_of: what the input layer subtracts the mean of, each "pixel" or each "channel"; the paper leaves it open.
        seed: of the weights and dropout masks.
        dtype: np.float32 to train, np.float64 to check gradients.

    Raises:
        ValueError: for an unknown variant, or images too small for four rounds of convolution and pooling.

    Source: "Deep Learning Approach for COVID-19 Diagnosis Using X-Ray Images", doi:10.21203/rs.3.rs-31278/v1.

    >>> sum(array.size for array in paper_network().parameters().values())
    52287
    """
    if variant not in VARIANTS:
        raise ValueError(f"variant is {variant!r}: choose one of {', '.join(VARIANTS)}")
    height, width = (size, size) if isinstance(size, int) else size
    table_1 = [
        tc.Conv2D(8, 3, padding=padding, name="conv_1"),
        tc.BatchNorm2D(eps=1e-5, name="batchnorm_1"),
        tc.ReLU(name="relu_1"),
        tc.MaxPool2D(2, stride=2, name="maxpool_1"),
        tc.Conv2D(16, 3, padding=padding, name="conv_2"),
        tc.BatchNorm2D(eps=1e-5, name="batchnorm_2"),
        tc.ReLU(name="relu_2"),
        tc.MaxPool2D(2, stride=2, name="maxpool_2"),
        tc.Conv2D(32, 3, padding=padding, name="conv_3"),
        tc.BatchNorm2D(eps=1e-5, name="batchnorm_3"),
        tc.ReLU(name="relu_3"),
        tc.MaxPool2D(2, stride=2, name="maxpool_3"),
        tc.Conv2D(64, 3, padding=padding, name="conv_4"),
        tc.BatchNorm2D(eps=1e-5, name="batchnorm_4"),
        tc.ReLU(name="relu_4"),
        tc.MaxPool2D(2, stride=2, name="maxpool_4"),
        tc.Dropout(0.5, name="dropout"),
        tc.FullyConnected(classes, name="fc_1"),
        tc.Dropout(0.3, name="dropout"),
        tc.FullyConnected(classes, name="fc_2"),
        tc.Softmax(name="Softmax"),
        tc.ClassificationOutput(name="class output"),
    ]
    if variant == "text":
        del table_1[16]  # the text's only dropout layer stands between fc_1 and fc_2
    first = tc.ImageInput((channels, height, width), normalization="zerocenter", mean_of=mean_of, name="input")
    return tc.Sequential([first, *table_1], seed=seed, dtype=dtype)
