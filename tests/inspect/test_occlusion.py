"""Occlusion against closed forms and naive loops."""

import numpy as np
import pytest

from tests.inspect.networks import linear_network, nested_network, weights_of
from tinycnn import inspect

RNG = np.random.default_rng(0)


def test_of_a_linear_score_a_window_is_worth_the_pixels_below_it():
    net, x = linear_network(), RNG.normal(size=(2, 2, 4, 5))
    parts = (x * weights_of(net, 1)).sum(axis=1)  # what each pixel adds to the score
    found = inspect.occlusion(net, x, 1, window=(2, 5), stride=(2, 5))
    for half in (slice(0, 2), slice(2, 4)):
        expected = parts[:, half].sum(axis=(1, 2))
        np.testing.assert_allclose(found[:, half], np.broadcast_to(expected[:, None, None], (2, 2, 5)), atol=1e-12)


def test_windows_that_overlap_are_averaged_as_in_a_loop():
    net, x = nested_network(), RNG.normal(3, 2, (2, 3, 12, 12))
    target, fill = [2, 0], np.arange(3.0)[:, None, None]
    totals, counts = np.zeros((2, 12, 12)), np.zeros((12, 12))
    whole = inspect.activations(net, x, "fc")
    for i in (0, 3, 6, 7):  # the last window ends at the edge
        for j in (0, 2, 4, 6, 8):
            covered = x.copy()
            covered[:, :, i : i + 5, j : j + 4] = fill
            drop = (whole - inspect.activations(net, covered, "fc"))[[0, 1], target]
            totals[:, i : i + 5, j : j + 4] += drop[:, None, None]
            counts[i : i + 5, j : j + 4] += 1
    found = inspect.occlusion(net, x, target, window=(5, 4), stride=(3, 2), fill=fill, batch_size=3)
    np.testing.assert_allclose(found, totals / counts, atol=1e-12)
    assert counts.min() == 1


def test_windows_that_would_miss_pixels_are_refused():
    net, x = linear_network(), np.ones((1, 2, 4, 5))
    with pytest.raises(ValueError, match="would never be covered"):
        inspect.occlusion(net, x, 0, window=2, stride=3)
    with pytest.raises(ValueError, match="but the images have 4×5 pixels"):
        inspect.occlusion(net, x, 0, window=5)
