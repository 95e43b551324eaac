import json
import time

import numpy as np
import pytest

from covid.errors import DataError
from covid.evaluation.intervals import wilson
from covid.evaluation.measure import class_curves, compare, measure
from covid.runs.predictions import Predictions

CLASSES = ("COVID-19", "Normal", "Pneumonia")


def predictions(n, seed=0, sharpness=2.0, temperature=1.0, images_of_a_patient=2):
    """The same images for every seed, a quarter for validation; at temperature 1 the probabilities are calibrated."""
    rng = np.random.default_rng(1)
    targets = rng.choice(3, n, p=[0.1, 0.3, 0.6])
    # A Gaussian score around the target's own corner makes softmax(sharpness·score + log prior) the posterior.
    scores = sharpness * np.eye(3)[targets] + np.random.default_rng([2, seed]).normal(size=(n, 3))
    powers = np.exp((sharpness * scores + np.log([0.1, 0.3, 0.6])) / temperature)
    return Predictions(
        CLASSES,
        np.array([f"{i}.png" for i in range(n)]),
        np.array([f"p{i // images_of_a_patient}" for i in range(n)]),
        np.full(n, "folder"),
        np.where(np.arange(n) // images_of_a_patient % 4 == 0, "validation", "test"),
        targets,
        powers / powers.sum(axis=1, keepdims=True),
    )


def small(targets, outputs, patients=None, splits="test", classes=CLASSES):
    """Images of given targets whose answers are certain."""
    n = len(targets)
    return Predictions(
        classes,
        np.array([f"{i}.png" for i in range(n)]),
        np.array(patients or range(n)).astype(str),
        np.full(n, "folder"),
        np.full(n, splits),
        np.array(targets),
        np.eye(len(classes))[list(outputs)],
    )


def test_the_figures_are_those_of_the_test_images_by_scikit_learn():
    sklearn = pytest.importorskip("sklearn.metrics")
    everything = predictions(400)
    test = everything.of("test")
    result = measure(everything, repeats=50)
    assert result["n"] == len(test) == 300 and result["patients"] == 150
    assert result["accuracy"] == pytest.approx(sklearn.accuracy_score(test.targets, test.outputs))
    assert result["balanced_accuracy"] == pytest.approx(sklearn.balanced_accuracy_score(test.targets, test.outputs))
    for i, name in enumerate(CLASSES):
        one, score = test.targets == i, test.probabilities[:, i]
        assert result["roc_auc"][name]["value"] == pytest.approx(sklearn.roc_auc_score(one, score))
        assert result["average_precision"][name]["value"] == pytest.approx(sklearn.average_precision_score(one, score))
    assert json.loads(json.dumps(result, allow_nan=False)) == result


def test_every_interval_is_of_its_own_figure():
    result = measure(predictions(1200), repeats=300)
    per_class = result["bootstrap"]["per_class"]
    assert list(per_class) == list(CLASSES)
    intervals = [
        (result["accuracy"], result["bootstrap"]["accuracy"]),
        (result["balanced_accuracy"], result["bootstrap"]["balanced_accuracy"]),
    ]
    for name in CLASSES:
        assert set(per_class[name]) == {"sensitivity", "precision", "f1", "roc_auc", "average_precision"}
        intervals += [
            (result["per_class"][name][figure], per_class[name][figure])
            for figure in ("sensitivity", "precision", "f1")
        ]
        intervals += [
            (result[figure][name]["value"], per_class[name][figure]) for figure in ("roc_auc", "average_precision")
        ]
        assert result["roc_auc"][name]["interval"] == per_class[name]["roc_auc"]
    for value, (low, high) in intervals:
        assert low < value < high and (low + high) / 2 == pytest.approx(value, abs=0.25 * (high - low))
    # Images of their own, so that the bootstrap and Wilson must agree.
    alone = measure(predictions(1200, images_of_a_patient=1), repeats=500)
    assert alone["bootstrap"]["accuracy"] == pytest.approx(alone["accuracy_interval"], abs=0.01)


def test_calibration_uses_the_validation_images():
    result = measure(predictions(6000, temperature=0.5), repeats=1)["calibration"]
    assert result["temperature"] == pytest.approx(2.0, rel=0.1)  # halved temperature is mended by doubling it
    assert result["ece_after"] < 0.03 < result["ece"]
    assert sum(row["count"] for row in result["bins"]) == 4500
    images = predictions(400)
    other = images.probabilities.copy()
    other[images.splits == "test"] = np.roll(other[images.splits == "test"], 1, axis=0)
    changed = Predictions(
        images.classes, images.paths, images.patients, images.sources, images.splits, images.targets, other
    )
    before, after = (measure(table, repeats=1)["calibration"] for table in (images, changed))
    assert before["temperature"] == after["temperature"] and before["brier"] < after["brier"]


def test_what_is_undefined_is_none():
    result = measure(small([0, 0, 1, 1], [0, 1, 1, 1]), repeats=20)
    assert result["per_class"]["Pneumonia"]["sensitivity"] is None
    assert result["roc_auc"]["Pneumonia"] == {"value": None, "interval": None}
    assert result["bootstrap"]["per_class"]["Pneumonia"]["f1"] is None
    assert result["balanced_accuracy"] == 0.75 and result["bootstrap"]["balanced_accuracy"] is not None
    assert result["calibration"]["temperature"] is None and result["calibration"]["ece_after"] is None
    one = measure(small([0, 1], [0, 1], patients=["p", "p"]), repeats=20)
    assert one["patients"] == 1 and one["bootstrap"]["accuracy"] is None


def test_a_thousand_images_take_seconds():
    images = predictions(1334)
    start = time.process_time()
    measure(images)
    assert time.process_time() - start < 6  # about 1 second on an idle machine


def test_compare_by_hand():
    #            0  1  2  3  4  5
    targets = [0, 0, 1, 1, 2, 2]
    a = small(targets, [0, 0, 1, 1, 2, 0])
    b = small(targets, [0, 1, 0, 0, 2, 2])[np.array([5, 4, 3, 2, 1])]  # in another order, without image 0
    result = compare(a, b)
    assert result["n"] == result["patients"] == 5
    assert result["a"] == {"accuracy": 4 / 5, "interval": list(wilson(4, 5))}
    assert result["b"] == {"accuracy": 2 / 5, "interval": list(wilson(2, 5))}
    assert result["difference"] == pytest.approx(2 / 5)
    assert result["mcnemar"] == {"only_a": 3, "only_b": 1, "p": pytest.approx(10 / 16)}
    low, high = result["difference_interval"]
    assert -0.6 <= low < 0.4 < high == 1
    back = compare(b, a)
    assert back["difference"] == -result["difference"] and back["difference_interval"] == [-high, -low]


def test_compare_draws_patients():
    rng = np.random.default_rng(4)
    right_a, right_b = rng.random(40) < 0.9, rng.random(40) < 0.6
    targets, patients = np.ones(400, dtype=int), [f"p{i // 10}" for i in range(400)]
    a, b = (small(targets, np.repeat(right, 10).astype(int), patients) for right in (right_a, right_b))
    few, many = compare(a, b), compare(small(targets, a.outputs), small(targets, b.outputs))
    assert few["patients"] == 40 and many["patients"] == 400
    assert np.ptp(few["difference_interval"]) > 2.5 * np.ptp(many["difference_interval"])
    low, high = few["difference_interval"]
    error = np.std(right_a.astype(int) - right_b) / np.sqrt(40)
    assert (low, high) == pytest.approx((few["difference"] - 1.96 * error, few["difference"] + 1.96 * error), abs=0.05)


def test_only_test_images_are_compared():
    a, b = predictions(100), predictions(100, seed=7)
    assert compare(a, b)["n"] == len(a.of("test"))


def test_runs_that_cannot_be_compared():
    a = small([0, 1], [0, 1])
    with pytest.raises(DataError, match="compare runs of the same classes"):
        compare(a, small([0, 1], [0, 1], classes=("COVID-19", "Normal")))
    with pytest.raises(DataError, match="none of the 2 and 0 test images"):
        compare(a, small([0, 1], [0, 1], splits="validation"))
    with pytest.raises(DataError, match=r"1\.png is of another class"):
        compare(a, small([0, 2], [0, 1]))
    with pytest.raises(DataError, match="none of the 2 images"):
        measure(small([0, 1], [0, 1], splits="validation"))


def test_the_curves_are_named_and_end_at_one():
    images = predictions(300)
    result = measure(images, repeats=20)
    roc, precision_recall = class_curves(images, result)
    assert [curve.name for curve in roc] == [curve.name for curve in precision_recall] == list(CLASSES)
    for curve, name in zip(roc, CLASSES, strict=True):
        assert (curve.x[0], curve.y[0], curve.x[-1], curve.y[-1]) == (0, 0, 1, 1)
        assert (curve.area, curve.interval) == tuple(result["roc_auc"][name].values())
    test = images.of("test")
    for i, curve in enumerate(precision_recall):
        assert curve.x[-1] == 1 and curve.y[-1] == pytest.approx((test.targets == i).mean())
        assert curve.area == result["average_precision"][CLASSES[i]]["value"]
