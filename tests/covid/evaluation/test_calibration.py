import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from covid.evaluation.calibration import apply_temperature, brier, ece, fit_temperature, reliability


def softmax(logits):
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def calibrated(n, seed=0):
    """Logits of three classes, and targets drawn with exactly the probabilities they give."""
    rng = np.random.default_rng(seed)
    logits = 2 * rng.normal(size=(n, 3))
    return logits, (softmax(logits).cumsum(axis=1) < rng.random((n, 1))).sum(axis=1)


def test_by_hand():
    # Four bins: confidences 0.4 | 0.6 and 0.7 | 0.75 to the bin below, 0.9; right, right, wrong, right, wrong.
    p = np.array([[0.4, 0.3, 0.3], [0.2, 0.6, 0.2], [0.1, 0.2, 0.7], [0.75, 0.25, 0], [0, 0.1, 0.9]])
    t = np.array([0, 1, 0, 0, 1])
    table = reliability(p, t, bins=4)
    assert [row["count"] for row in table] == [0, 1, 3, 1]
    assert [row["accuracy"] for row in table] == [None, 1, pytest.approx(2 / 3), 0]
    assert [row["confidence"] for row in table] == [None, 0.4, pytest.approx(2.05 / 3), 0.9]
    assert [(row["low"], row["high"]) for row in table] == [(0, 0.25), (0.25, 0.5), (0.5, 0.75), (0.75, 1)]
    assert table[0]["accuracy_interval"] is None
    assert table[1]["accuracy_interval"] == pytest.approx([0.2065, 1], abs=1e-4)
    assert ece(p, t, bins=4) == pytest.approx((0.6 + 0.05 + 0.9) / 5)
    assert brier(p[:2], t[:2]) == pytest.approx((0.36 + 0.09 + 0.09 + 0.04 + 0.16 + 0.04) / 2)
    assert json.loads(json.dumps(table, allow_nan=False)) == table


def test_a_certain_image_is_in_the_last_bin_and_every_image_in_one():
    table = reliability([[1.0, 0.0], [0.5, 0.5], [0.0, 1.0]], [0, 0, 0])
    assert len(table) == 15 and table[14]["count"] == 2 and sum(row["count"] for row in table) == 3


def test_reliability_is_scikit_learns_calibration_curve():
    """Of the confidence in the answer, and whether it is right, with the same bins; empty ones are left out there."""
    calibration = pytest.importorskip("sklearn.calibration")
    logits, t = calibrated(500)
    p = softmax(logits)
    right, claimed = calibration.calibration_curve(p.argmax(axis=1) == t, p.max(axis=1), n_bins=15)
    table = [row for row in reliability(p, t) if row["count"]]
    np.testing.assert_allclose([row["accuracy"] for row in table], right)
    np.testing.assert_allclose([row["confidence"] for row in table], claimed)


def test_brier_is_the_sum_of_scikit_learns_over_the_classes():
    sklearn = pytest.importorskip("sklearn.metrics")
    logits, t = calibrated(200)
    p = softmax(logits)
    assert brier(p, t) == pytest.approx(sum(sklearn.brier_score_loss(t == k, p[:, k]) for k in range(3)))


@given(st.floats(0.3, 5), st.integers(0, 1000))
def test_applied_temperature_divides_the_logits(temperature, seed):
    logits, _ = calibrated(20, seed)
    scaled = apply_temperature(softmax(logits), temperature)
    np.testing.assert_allclose(scaled, softmax(logits / temperature), atol=1e-12)
    assert (scaled.argmax(axis=1) == logits.argmax(axis=1)).all()


@pytest.mark.parametrize("temperature", [0.4, 1.0, 3.0])
def test_the_temperature_that_spoilt_calibrated_images_is_found(temperature):
    logits, t = calibrated(20_000)
    spoilt = softmax(logits * temperature)
    found = fit_temperature(spoilt, t)
    assert found == pytest.approx(temperature, rel=0.03)
    after = apply_temperature(spoilt, found)
    assert ece(after, t) < 0.015
    if temperature != 1:
        assert ece(spoilt, t) > 0.1 and brier(after, t) < brier(spoilt, t)


def test_the_fit_is_the_least_cross_entropy():
    logits, t = calibrated(300, seed=5)
    p = softmax(2 * logits)
    grid = np.exp(np.linspace(-2, 3, 2001))
    losses = [-np.log(softmax(np.log(p) / g)[np.arange(300), t]).mean() for g in grid]
    assert fit_temperature(p, t) == pytest.approx(grid[int(np.argmin(losses))], rel=0.003)


def test_underflowed_and_one_sided_probabilities_stay_finite():
    p = np.array([[1.0, 0.0], [0.0, 1.0], [0.3, 0.7]])
    assert np.isfinite(apply_temperature(p, 0.05)).all()
    assert fit_temperature(p, [0, 1, 1]) == pytest.approx(0.05, rel=0.01)  # all right: as sure as allowed
    assert fit_temperature(p, [1, 0, 0]) == pytest.approx(20, rel=0.01)  # all wrong: as unsure as allowed
    assert np.isnan(ece(np.empty((0, 2)), [])) and np.isnan(brier(np.empty((0, 2)), []))


def test_misuse_is_named():
    with pytest.raises(ValueError, match="temperature is 0"):
        apply_temperature([[0.5, 0.5]], 0)
    with pytest.raises(ValueError, match="no images"):
        fit_temperature(np.empty((0, 2)), [])
    with pytest.raises(ValueError, match=r"shape \(2,\) and targets \(2,\)"):
        ece([0.2, 0.8], [0, 1])
