"""Does a map show what the network has learned? Then it must change when the weights become random."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Sequence
from statistics import fmean
from typing import Any, NamedTuple

import numpy as np

from tinycnn import backend
from tinycnn.inspect.similarity import rank_correlation
from tinycnn.inspect.similarity import ssim as ssim_of
from tinycnn.inspect.tables import Table
from tinycnn.layers.base import Array
from tinycnn.network import Sequential


class SanityRow(NamedTuple):
    """How like the map is to the one with this layer, and all behind it, drawn anew.

    Means over the images; those where either map is flat have no rank correlation and are left out of it.
    """

    layer: str
    rank_correlation: float  # Spearman's, of the maps' absolute values; NaN if all are flat
    ssim: float | None = None


class SanityCheck(Table[SanityRow]):
    """A row a layer, from the last to the first; after the last row nothing of what was learned is left.

    Attributes:
        looks_the_same: whether the rank correlation with all layers random is at least the threshold.
        sentence: what that says of the map.
    """

    headings = ("random from the end to", "rank correlation", "SSIM")

    def __init__(self, rows: Sequence[SanityRow], threshold: float):
        super().__init__(rows)
        self.threshold = threshold
        self.looks_the_same = rows[-1].rank_correlation >= threshold
        self.sentence = self.notes = _sentence(rows[-1].rank_correlation, threshold)

    def cells(self, row: SanityRow) -> tuple[str, ...]:
        return row.layer, f"{row.rank_correlation:.2f}", "" if row.ssim is None else f"{row.ssim:.2f}"


def randomized(net: Sequential, seed: int, layers: Sequence[str] | None = None) -> Sequential:
    """A copy of the network with the weights of some layers drawn anew, as they were before training.

    Batch norm's layers get weight 1, bias 0 and statistics 0 and 1. What the input layer has measured stays.

    Args:
        seed: of the weights; they differ from those that a network of the same seed began with.
        layers: names of layers ("block_1.conv_1") or blocks; by default all.

    Raises:
        KeyError: for a name that no layer with parameters has.

    >>> import tinycnn as tc
    >>> net = tc.Sequential([tc.ImageInput((1, 2, 2)), tc.FullyConnected(2, name="a"), tc.FullyConnected(2, name="b")])
    >>> other = randomized(net, seed=1, layers=["b"])
    >>> [bool((net[n].parameters["weight"] == other[n].parameters["weight"]).all()) for n in "ab"]
    [True, False]
    """
    twin = copy.deepcopy(net).to("cpu")
    holders = {name: layer for name, layer in twin.simple_layers() if layer.parameters}
    chosen = list(holders) if layers is None else list(layers)
    for name in chosen:
        if not any(full == name or full.startswith(f"{name}.") for full in holders):
            raise KeyError(f"no layer with parameters is called {name!r}; there are {', '.join(map(repr, holders))}")
    rng = np.random.default_rng([seed, len(holders)])  # not the stream that a network of this seed began with
    for full, layer in holders.items():
        if any(full == name or full.startswith(f"{name}.") for name in chosen):
            layer.build(layer.input_shape, twin.dtype, rng)
    return twin.to(net.device)


def sanity_check(
    method: Callable[[Sequential, Array], Any],
    net: Sequential,
    x: Array,
    *,
    seed: int = 0,
    ssim: bool = False,
    threshold: float = 0.5,
) -> SanityCheck:
    """Compare a method's maps with those of networks whose weights are random from the end to one layer after another.

    The measure is Spearman's rank correlation ρ of the absolute values of two maps, pixel by pixel, averaged over the
    images. A map that goes on looking the same shows edges of the image, not what was learned.

    Args:
        method: a function of a network and images that returns maps (N, …), such as
            lambda net, x: tc.inspect.saliency(net, x, target=0).
        x: images (N, C, H, W).
        seed: of the random weights.
        ssim: also measure the structural similarity of the maps' absolute values, scaled to at most 1.
        threshold: from which ρ on a map counts as looking the same; the paper names none.

    Source: Adebayo et al., "Sanity checks for saliency maps" (2018), "cascading randomization".

    >>> import tinycnn as tc
    >>> net = tc.Sequential([tc.ImageInput((1, 8, 8)), tc.Conv2D(4, 3, name="conv"), tc.ReLU(),
    ...                      tc.FullyConnected(2, name="fc")])
    >>> x = np.random.default_rng(0).random((2, 1, 8, 8))
    >>> sanity_check(lambda net, x: x, net, x)  # a "map" that is the image itself
    random from the end to  rank correlation  SSIM
    fc                                  1.00
    conv                                1.00
    The map looks the same for random weights (rank correlation 1.00, 0.5 or more): it does not show what the network
    has learned.
    """

    def maps(network: Sequential) -> np.ndarray:
        found = method(network, x)
        return abs(backend.to_device(getattr(found, "attributions", found), "cpu").astype(float))

    names = [name for name, layer in net.simple_layers() if layer.parameters]
    if not names:
        raise ValueError("this network has no weights to draw anew: there is nothing to check")
    original, rows = maps(net), []
    for position in reversed(range(len(names))):
        other = maps(randomized(net, seed, names[position:]))
        pairs = list(zip(original, other, strict=True))
        correlation = _mean([rank_correlation(a, b) for a, b in pairs])
        similarity = float(np.mean([ssim_of(a, b) for a, b in pairs])) if ssim else None
        rows.append(SanityRow(names[position], correlation, similarity))
    return SanityCheck(rows, threshold)


def _mean(correlations: Sequence[float]) -> float:
    """The mean over the images whose maps can be compared; NaN if there are none."""
    known = [correlation for correlation in correlations if not math.isnan(correlation)]
    return fmean(known) if known else math.nan


def _sentence(correlation: float, threshold: float) -> str:
    if math.isnan(correlation):
        return "All maps are flat with random weights or without: there is nothing to compare, and this says nothing."
    if correlation >= threshold:
        return (
            f"The map looks the same for random weights (rank correlation {correlation:.2f}, {threshold:g} or more): "
            "it does not show what the network has learned."
        )
    return (
        f"The map changes with the weights (rank correlation {correlation:.2f} with random ones, below {threshold:g})."
    )
