"""Probabilities learnt from equally frequent classes, corrected for the classes' own frequencies."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from tinycnn import backend
from tinycnn.layers import ClassificationOutput, FullyConnected, Softmax

if TYPE_CHECKING:
    from tinycnn.network import Sequential


def correct_class_priors(net: Sequential, labels: np.ndarray) -> None:
    """Turn probabilities learnt from equally frequent classes into those for the frequencies of `labels`.

    p'(k|x) ∝ p(k|x) · n_k: so the bias of the last fully connected layer, before softmax, becomes b_k + log(K · n_k/n).
    A class without labels keeps its bias.

    Raises:
        ValueError: when the network does not end in a fully connected layer with a bias and Softmax.

    Source: Saerens, Latinne & Decaestecker, "Adjusting the outputs of a classifier to new a priori probabilities"
    (2002).
    """
    match net.layers[-3:]:
        case [FullyConnected() as last, Softmax(), ClassificationOutput()] if last.bias:
            counts = np.bincount(labels, minlength=net.classes)
            shift = np.log(np.where(counts, counts, len(labels) / net.classes) * net.classes / len(labels))
            bias = last.parameters["bias"]
            bias += backend.get_array_module(bias).asarray(shift, bias.dtype)
        case _:
            raise ValueError(
                "balanced training needs a network that ends in FullyConnected, with a bias, Softmax and "
                "ClassificationOutput"
            )
