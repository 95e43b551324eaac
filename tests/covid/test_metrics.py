import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from covid.metrics import confusion_matrix, format_metrics, metrics, wilson

NAMES = ["COVID-19", "Normal", "Pneumonia"]
FIGURE_3 = [[22, 1, 0], [0, 244, 18], [3, 23, 757]]


def test_rows_are_outputs_and_columns_are_targets():
    confusion = confusion_matrix(targets=[0, 0, 1, 2], outputs=[0, 2, 1, 1], classes=3)
    assert confusion.dtype == np.int64
    assert confusion.tolist() == [[1, 0, 0], [0, 1, 1], [1, 0, 0]]


def test_the_papers_figure_3():
    result = metrics(FIGURE_3, NAMES)
    per_class = [result["per_class"][name] for name in NAMES]
    assert [round(100 * values["precision"], 1) for values in per_class] == [95.7, 93.1, 96.7]
    assert [round(100 * values["sensitivity"], 1) for values in per_class] == [88.0, 91.0, 97.7]
    assert [result["per_class"][name]["support"] for name in NAMES] == [25, 268, 775]
    assert result["n"] == 1068
    assert round(100 * result["accuracy"], 1) == 95.8
    assert [round(100 * end, 1) for end in result["accuracy_interval"]] == [94.4, 96.8]
    # Equation 2 and specificity for COVID-19, by hand: 1 false positive, 3 missed, 1,042 rightly not COVID-19.
    assert result["per_class"]["COVID-19"]["accuracy"] == (22 + 1042) / 1068
    assert result["per_class"]["COVID-19"]["specificity"] == 1042 / 1043


labels = st.integers(2, 5).flatmap(
    lambda classes: st.tuples(
        st.just(classes), st.lists(st.tuples(st.integers(0, classes - 1), st.integers(0, classes - 1)), max_size=40)
    )
)


@given(labels)
def test_equals_counting_films_one_by_one(case):
    classes, pairs = case
    targets, outputs = [t for t, _ in pairs], [o for _, o in pairs]
    confusion = confusion_matrix(targets, outputs, classes)
    result = metrics(confusion, [f"c{k}" for k in range(classes)])

    def share(answers):
        return sum(answers) / len(answers) if answers else None

    assert result["n"] == len(pairs)
    assert result["accuracy"] == share([t == o for t, o in pairs])
    for k in range(classes):
        values = result["per_class"][f"c{k}"]
        assert values["precision"] == share([t == k for t, o in pairs if o == k])
        assert values["sensitivity"] == share([o == k for t, o in pairs if t == k])
        assert values["specificity"] == share([o != k for t, o in pairs if t != k])
        assert values["accuracy"] == share([(t == k) == (o == k) for t, o in pairs])
        assert values["support"] == targets.count(k)
        for other in range(classes):
            assert result["confusion"][k][other] == pairs.count((other, k))


def test_result_is_plain_json_with_none_for_zero_over_zero():
    result = metrics([[4, 0], [1, 0]], ["seen", "never"])
    assert json.loads(json.dumps(result, allow_nan=False)) == result
    assert set(result) == {"n", "accuracy", "accuracy_interval", "classes", "confusion", "per_class"}
    assert result["per_class"]["never"]["sensitivity"] is None
    assert result["per_class"]["never"]["precision"] == 0.0
    empty = metrics([[0, 0], [0, 0]], ["a", "b"])
    assert empty["accuracy"] is None and empty["accuracy_interval"] == [0.0, 1.0]


@pytest.mark.parametrize(
    ("successes", "n", "low", "high"),
    [(22, 23, 79.0, 99.2), (22, 25, 70.0, 95.8), (1023, 1068, 94.4, 96.8), (0, 10, 0.0, 27.8), (10, 10, 72.2, 100.0)],
)
def test_wilson_against_published_values(successes, n, low, high):
    interval = wilson(successes, n)
    assert [round(100 * end, 1) for end in interval] == [low, high]


@given(st.integers(1, 2000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))), st.floats(0.5, 0.999))
def test_wilson_ends_solve_their_definition(case, confidence):
    successes, n = case
    share, (low, high) = successes / n, wilson(successes, n, confidence)
    assert 0 <= low <= share <= high <= 1
    for end in (low, high):
        if 0 < end < 1:
            z = abs(share - end) / math.sqrt(end * (1 - end) / n)
            assert math.erf(z / math.sqrt(2)) == pytest.approx(confidence, abs=1e-6)


def test_table_is_aligned_and_shows_undefined_values_as_dashes():
    table = format_metrics(metrics([[22, 1, 0], [3, 243, 0], [0, 0, 0]], NAMES))
    lines = table.splitlines()
    assert lines[0].split() == ["class", "precision", "sensitivity", "specificity", "accuracy", "support"]
    assert len({len(line) for line in lines[:5]}) == 1
    assert lines[2].split() == ["COVID-19", "95.7", "88.0", "99.6", "98.5", "25"]
    assert lines[4].split() == ["Pneumonia", "–", "–", "100.0", "100.0", "0"]
    assert lines[-1] == "overall accuracy 98.5 % of 269 films (95 % interval 96.2–99.4)"
    assert "overall accuracy – %" in format_metrics(metrics([[0]], ["only"]))


def test_misuse_is_named():
    with pytest.raises(ValueError, match="labels from 0 to 3; 3 classes allow 0 to 2"):
        confusion_matrix([0, 3], [0, 1], 3)
    with pytest.raises(ValueError, match="2 targets but 1 outputs"):
        confusion_matrix([0, 1], [0], 3)
    with pytest.raises(ValueError, match=r"shape \(1, 3\)"):
        confusion_matrix([0], [[0, 1, 0]], 3)
    with pytest.raises(TypeError, match="float64"):
        confusion_matrix([0, 1], [0.2, 0.8], 2)
    with pytest.raises(ValueError, match="for 2 class names"):
        metrics(FIGURE_3, ["a", "b"])
    with pytest.raises(ValueError, match="successes is 5 of n = 4"):
        wilson(5, 4)
    with pytest.raises(ValueError, match="confidence is 95"):
        wilson(1, 4, 95)
