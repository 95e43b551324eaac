import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from covid.evaluation.metrics import confusion_matrix, format_metrics, metrics, wilson

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
    assert result["per_class"]["COVID-19"]["npv"] == 1042 / 1045
    assert result["per_class"]["COVID-19"]["f1"] == 44 / 48
    intervals = result["per_class"]["COVID-19"]["intervals"]
    assert [round(100 * end, 1) for end in intervals["precision"]] == [79.0, 99.2]
    assert [round(100 * end, 1) for end in intervals["sensitivity"]] == [70.0, 95.8]
    assert intervals["specificity"] == list(wilson(1042, 1043)) and intervals["npv"] == list(wilson(1042, 1045))
    assert result["balanced_accuracy"] == pytest.approx((22 / 25 + 244 / 268 + 757 / 775) / 3)
    assert result["majority"] == {"class": "Pneumonia", "accuracy": 775 / 1068}


labels = st.integers(2, 5).flatmap(
    lambda classes: st.tuples(
        st.just(classes), st.lists(st.tuples(st.integers(0, classes - 1), st.integers(0, classes - 1)), max_size=40)
    )
)


def interval_holds(interval, share):
    return interval is None if share is None else interval[0] <= share + 1e-12 and share <= interval[1] + 1e-12


@settings(deadline=None, max_examples=40)  # the first case imports scikit-learn
@given(labels)
def test_f1_and_means_equal_scikit_learns(case):
    sklearn = pytest.importorskip("sklearn.metrics")
    classes, pairs = case
    if not pairs:
        return
    targets, outputs = [t for t, _ in pairs], [o for _, o in pairs]
    result = metrics(confusion_matrix(targets, outputs, classes), [f"c{k}" for k in range(classes)])
    seen = sorted({*targets, *outputs})  # of the others f1 is undefined
    f1 = sklearn.f1_score(targets, outputs, labels=seen, average=None, zero_division=0)
    ours = [v["f1"] for v in result["per_class"].values()]
    assert [k for k, value in enumerate(ours) if value is not None] == seen
    np.testing.assert_allclose([ours[k] for k in seen], f1)
    assert result["macro_f1"] == pytest.approx(np.mean(f1))
    recalls = sklearn.recall_score(targets, outputs, labels=sorted(set(targets)), average=None)
    assert result["balanced_accuracy"] == pytest.approx(recalls.mean())


@given(labels)
def test_equals_counting_images_one_by_one(case):
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
        assert values["npv"] == share([t != k for t, o in pairs if o != k])
        assert values["support"] == targets.count(k)
        for name, value in values["intervals"].items():
            assert interval_holds(value, values[name])
        for other in range(classes):
            assert result["confusion"][k][other] == pairs.count((other, k))


def test_result_is_plain_json_with_none_for_zero_over_zero():
    result = metrics([[4, 0], [1, 0]], ["seen", "never"])
    assert json.loads(json.dumps(result, allow_nan=False)) == result
    assert set(result) == {
        "n",
        "accuracy",
        "accuracy_interval",
        "balanced_accuracy",
        "macro_f1",
        "majority",
        "classes",
        "confusion",
        "per_class",
    }
    assert result["per_class"]["never"]["intervals"]["sensitivity"] is None
    assert result["balanced_accuracy"] == 0.8  # of the one class with images
    assert result["per_class"]["never"]["sensitivity"] is None
    assert result["per_class"]["never"]["precision"] == 0.0
    empty = metrics([[0, 0], [0, 0]], ["a", "b"])
    assert empty["accuracy"] is None and empty["accuracy_interval"] == [0.0, 1.0]
    assert empty["balanced_accuracy"] is None and empty["macro_f1"] is None
    assert empty["majority"] == {"class": None, "accuracy": None}


def test_table_is_aligned_and_shows_undefined_values_as_dashes():
    table = format_metrics(metrics([[22, 1, 0], [3, 243, 0], [0, 0, 0]], NAMES))
    lines = table.splitlines()
    assert lines[0].split() == ["class", "precision", "sensitivity", "specificity", "NPV", "F1", "accuracy", "support"]
    assert max(len(line) for line in lines) == len(lines[1]) <= 100
    assert lines[2].split() == ["COVID-19", "95.7", "88.0", "99.6", "98.8", "91.7", "98.5", "25"]
    assert lines[3].split() == ["79.0–99.2", "70.0–95.8", "97.7–99.9", "96.5–99.6"]
    assert lines[6].split() == ["Pneumonia", "–", "–", "100.0", "100.0", "–", "100.0", "0"]
    for title, figure, interval in (("precision", "95.7", "79.0–99.2"), ("NPV", "98.8", "96.5–99.6")):
        ends = {
            line.index(word) + len(word)
            for line, word in zip([lines[0], *lines[2:4]], (title, figure, interval), strict=True)
        }
        assert len(ends) == 1
    assert lines[-3:] == [
        "overall accuracy 98.5 % of 269 images (95 % interval 96.2–99.4)",
        "balanced accuracy 93.8 %: the mean of the sensitivities",
        "always answering Normal would score 90.7 %",
    ]
    nothing = format_metrics(metrics([[0]], ["only"]))
    assert nothing.splitlines()[-1] == "overall accuracy – % of 0 images" and "\n\n\n" not in nothing


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
