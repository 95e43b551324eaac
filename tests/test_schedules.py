"""Schedules: the paper's twenty epochs, and half a cosine."""

import math

import pytest

import tinycnn as tc


def test_piecewise_over_the_papers_twenty_epochs():
    schedule = tc.PiecewiseSchedule(drop_factor=0.2, drop_period=5)
    rates = [0.01 * schedule(epoch, 20) for epoch in range(1, 21)]
    assert rates == pytest.approx([1e-2] * 5 + [2e-3] * 5 + [4e-4] * 5 + [8e-5] * 5, rel=1e-12)


def test_cosine():
    schedule = tc.CosineSchedule(final_factor=0.1)
    assert [schedule(epoch, 6) for epoch in (1, 3, 4, 5)] == pytest.approx(
        [1, 0.1 + 0.9 * 0.75, 0.55, 0.1 + 0.9 * 0.25]
    )
    assert all(schedule(e, 9) > schedule(e + 1, 9) for e in range(1, 9))
    assert tc.CosineSchedule()(5, 5) == pytest.approx(0.5 * (1 + math.cos(0.8 * math.pi)))


def test_constant():
    assert {tc.ConstantSchedule()(epoch, 9) for epoch in range(1, 10)} == {1.0}


@pytest.mark.parametrize(
    "make",
    [
        lambda: tc.PiecewiseSchedule(drop_factor=0),
        lambda: tc.PiecewiseSchedule(drop_period=0),
        lambda: tc.CosineSchedule(final_factor=1.5),
    ],
)
def test_arguments(make):
    with pytest.raises(ValueError, match="give a"):
        make()
