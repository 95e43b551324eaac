import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from covid.evaluation.curves import average_precision, precision_recall_curve, roc_auc, roc_curve

images = st.lists(st.tuples(st.booleans(), st.integers(0, 6), st.integers(0, 3)), min_size=1, max_size=40)


def columns(case):
    """Targets, scores with many ties, and how often each image counts."""
    targets, scores, weights = (np.array(column) for column in zip(*case, strict=True))
    return targets, scores / 6, weights


def test_by_hand():
    #   score  0.9  0.8  0.8  0.4  0.1     after 0.9: 1 of 2 positive, 0 of 3 false; after 0.8: 2 of 2, 1 of 3; …
    targets, scores = [1, 1, 0, 0, 0], [0.9, 0.8, 0.8, 0.4, 0.1]
    false, true, thresholds = roc_curve(targets, scores)
    assert false == pytest.approx([0, 0, 1 / 3, 2 / 3, 1]) and true == pytest.approx([0, 0.5, 1, 1, 1])
    assert thresholds.tolist() == [np.inf, 0.9, 0.8, 0.4, 0.1]
    precision, recall, thresholds = precision_recall_curve(targets, scores)
    assert precision == pytest.approx([1, 2 / 3, 1 / 2, 2 / 5]) and recall.tolist() == [0.5, 1, 1, 1]
    assert thresholds.tolist() == [0.9, 0.8, 0.4, 0.1]
    assert roc_auc(targets, scores) == pytest.approx(5.5 / 6)  # of 6 pairs, 5 in order and one tied
    assert average_precision(targets, scores) == pytest.approx(0.5 * 1 + 0.5 * 2 / 3)


@given(images)
def test_the_area_is_the_share_of_pairs_in_order(case):
    targets, scores, weights = columns(case)
    pairs = [
        (scores[i], scores[j], weights[i] * weights[j])
        for i in np.flatnonzero(targets)
        for j in np.flatnonzero(~targets)
    ]
    total = sum(weight for *_, weight in pairs)
    if total:
        right = sum(weight * ((a > b) + (a == b) / 2) for a, b, weight in pairs)
        assert roc_auc(targets, scores, weights) == pytest.approx(right / total)
    else:
        assert np.isnan(roc_auc(targets, scores, weights))


@given(images)
def test_a_weight_is_an_image_counted_that_often(case):
    targets, scores, weights = columns(case)
    copied = np.repeat(targets, weights), np.repeat(scores, weights)
    for area in (roc_auc, average_precision):
        assert area(targets, scores, weights) == pytest.approx(area(*copied), nan_ok=True)


@settings(deadline=None, max_examples=60)  # the first case imports scikit-learn
@given(images)
def test_equal_scikit_learn(case):
    sklearn = pytest.importorskip("sklearn.metrics")
    targets, scores, weights = columns(case)
    weights = weights + 1
    if targets.any() and not targets.all():
        ours, theirs = (
            roc_curve(targets, scores, weights),
            sklearn.roc_curve(targets, scores, sample_weight=weights, drop_intermediate=False),
        )
        for part, other in zip(ours, theirs, strict=True):
            np.testing.assert_allclose(part, other)
        assert roc_auc(targets, scores, weights) == pytest.approx(
            sklearn.roc_auc_score(targets, scores, sample_weight=weights)
        )
    if targets.any():
        precision, recall, thresholds = precision_recall_curve(targets, scores, weights)
        theirs = sklearn.precision_recall_curve(targets, scores, sample_weight=weights)
        np.testing.assert_allclose(precision, theirs[0][-2::-1])
        np.testing.assert_allclose(recall, theirs[1][-2::-1])
        np.testing.assert_allclose(thresholds, theirs[2][::-1])
        assert average_precision(targets, scores, weights) == pytest.approx(
            sklearn.average_precision_score(targets, scores, sample_weight=weights)
        )


@pytest.mark.parametrize(("targets", "average"), [([1, 1], 1), ([0, 0], np.nan), ([], np.nan)])
def test_without_one_of_the_two_kinds_the_area_is_undefined(targets, average):
    scores = np.linspace(0, 1, len(targets))
    assert np.isnan(roc_auc(targets, scores))
    assert average_precision(targets, scores) == pytest.approx(average, nan_ok=True)


def test_misuse_is_named():
    with pytest.raises(ValueError, match=r"shapes \(2,\), \(3,\) and \(2,\)"):
        roc_auc([0, 1], [0.1, 0.2, 0.3])
    with pytest.raises(ValueError, match="NaN"):
        average_precision([0, 1], [0.1, np.nan])
