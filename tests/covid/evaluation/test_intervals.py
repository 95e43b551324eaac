import math
from fractions import Fraction
from statistics import NormalDist

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from covid.evaluation.intervals import bootstrap, mcnemar, wilson


@pytest.mark.parametrize(
    ("successes", "n", "low", "high"),
    [(22, 23, 79.0, 99.2), (22, 25, 70.0, 95.8), (1023, 1068, 94.4, 96.8), (0, 10, 0.0, 27.8), (10, 10, 72.2, 100.0)],
)
def test_wilson_against_published_values(successes, n, low, high):
    interval = wilson(successes, n)
    assert [round(100 * end, 1) for end in interval] == [low, high]


@settings(deadline=None)
@given(st.integers(1, 2000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))), st.floats(0.5, 0.999))
def test_wilson_ends_solve_their_definition(case, confidence):
    successes, n = case
    share, (low, high) = successes / n, wilson(successes, n, confidence)
    assert 0 <= low <= share <= high <= 1
    for end in (low, high):
        if 0 < end < 1:
            z = abs(share - end) / math.sqrt(end * (1 - end) / n)
            assert math.erf(z / math.sqrt(2)) == pytest.approx(confidence, abs=1e-6)


@settings(deadline=None)  # the first case imports SciPy
@given(st.integers(1, 3000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))), st.floats(0.5, 0.999))
def test_wilson_is_its_formula(case, confidence):
    successes, n = case
    z, share = NormalDist().inv_cdf((1 + confidence) / 2), successes / n
    centre = (share + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z * math.sqrt(share * (1 - share) / n + z**2 / (4 * n**2)) / (1 + z**2 / n)
    assert wilson(successes, n, confidence) == pytest.approx((centre - half, centre + half), abs=1e-9)


def test_wilson_ends_exactly_at_0_and_1():
    for n in range(1, 60):
        assert wilson(0, n)[0] == 0 and wilson(n, n)[1] == 1
    assert wilson(0, 0) == (0.0, 1.0)


def mean(values):
    return lambda weights: np.average(values, weights=weights)


def test_images_of_their_own_give_the_interval_of_scipys_bootstrap():
    values = np.random.default_rng(0).exponential(size=60)
    ours = bootstrap(mean(values), np.arange(60), repeats=4000)
    scipys = stats.bootstrap((values,), np.mean, n_resamples=4000, method="percentile", random_state=1)
    assert ours == pytest.approx(scipys.confidence_interval, abs=0.02)


def test_whole_patients_are_drawn():
    drawn = []
    patients = np.array(["b", "a", "b", "c", "a", "b"])
    bootstrap(lambda weights: drawn.append(weights) or 0.0, patients, repeats=200)
    for weights in drawn:
        assert len({weights[0], weights[2], weights[5]}) == len({weights[1], weights[4]}) == 1
        assert weights[0] + weights[1] + weights[3] == 3
    assert {int(weights[0]) for weights in drawn} == {0, 1, 2, 3}


def test_images_of_few_patients_give_wider_intervals():
    """20 images a patient, all alike, are worth one: the interval is that of the patients' values."""
    values = np.random.default_rng(1).normal(size=30)
    images, patients = np.repeat(values, 20), np.repeat(np.arange(30), 20)
    alike, alone = bootstrap(mean(images), patients), bootstrap(mean(images), range(600))
    assert np.ptp(alike) == pytest.approx(np.sqrt(20) * np.ptp(alone), rel=0.1)
    assert alike == pytest.approx(bootstrap(mean(values), range(30)))


def test_the_interval_covers_the_truth_as_often_as_it_says():
    rng = np.random.default_rng(2)
    covered = 0
    for seed in range(200):
        patients = rng.normal(size=40)  # true mean 0; two images a patient that differ a little
        images = np.repeat(patients, 2) + 0.1 * rng.normal(size=80)
        low, high = bootstrap(mean(images), np.repeat(np.arange(40), 2), repeats=200, confidence=0.9, seed=seed)
        covered += low <= 0 <= high
    assert 0.83 <= covered / 200 <= 0.95  # three standard errors of 0.021 about 0.9, less what 200 repeats lose


def test_shapes_seeds_and_undefined_repeats():
    values = np.random.default_rng(3).normal(size=50)

    def statistic(weights):
        with np.errstate(invalid="ignore"):
            rare = (weights[:2] * values[:2]).sum() / weights[:2].sum()  # undefined when neither is drawn
        return np.array([[np.average(values, weights=weights), rare, np.nan]])

    ends = bootstrap(statistic, np.arange(50))
    assert ends.shape == (1, 3, 2) and np.isnan(ends[0, 2]).all()
    assert ends[0, 1] == pytest.approx(sorted(values[:2]))
    assert (ends[0, 0] == bootstrap(mean(values), np.arange(50))).all()
    assert (ends[0, 0] != bootstrap(mean(values), np.arange(50), seed=1)).any()
    assert np.isnan(bootstrap(statistic, np.zeros(50))).all() and np.isnan(bootstrap(mean(values[:1]), ["one"])).all()


def two_sided(only_a, only_b):
    """The probability that n throws of a coin divide at least as unevenly: whole numbers over 2ⁿ."""
    n = only_a + only_b
    ways = sum(math.comb(n, k) for k in range(n + 1) if abs(2 * k - n) >= abs(only_a - only_b))
    return float(Fraction(ways, 2**n))


@settings(deadline=None)
@given(st.lists(st.tuples(st.booleans(), st.booleans()), max_size=60))
def test_mcnemar_counts_the_ways_that_images_divide(images):
    a, b = [a for a, _ in images], [b for _, b in images]
    result = mcnemar(a, b)
    only_a, only_b = images.count((True, False)), images.count((False, True))
    assert result == {"only_a": only_a, "only_b": only_b, "p": pytest.approx(two_sided(only_a, only_b), rel=1e-9)}


def test_mcnemar_of_many_images():
    result = mcnemar(np.arange(6000) < 3100, np.arange(6000) >= 3100)
    assert result["p"] == pytest.approx(two_sided(3100, 2900), rel=1e-9)


def test_misuse_is_named():
    with pytest.raises(ValueError, match="successes is 5 of n = 4"):
        wilson(5, 4)
    with pytest.raises(ValueError, match="confidence is 95"):
        wilson(1, 4, 95)
    with pytest.raises(ValueError, match="confidence is 0"):
        bootstrap(mean([1, 2]), [1, 2], confidence=0)
    with pytest.raises(ValueError, match="repeats is 0"):
        bootstrap(mean([1, 2]), [1, 2], repeats=0)
    with pytest.raises(ValueError, match=r"shape \(3,\) and right_b \(2,\)"):
        mcnemar([1, 1, 0], [1, 0])
