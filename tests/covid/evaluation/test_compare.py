"""Two runs on the images that both were tested on."""

import numpy as np
import pytest

from covid.errors import DataError
from covid.evaluation.compare import compare_runs, format_comparison, p_value, verdict
from covid.runs.predictions import Predictions
from covid.runs.run import Run

CLASSES = ("COVID-19", "Normal", "Pneumonia")


def run(folder, targets, outputs, paths=None, classes=CLASSES, patients=None):
    """A run folder that holds only what its network said: certain of `outputs`."""
    n = len(targets)
    table = Predictions(
        classes,
        np.array(paths or [f"{i}.png" for i in range(n)]),
        np.array(patients or [f"p{i}" for i in range(n)]),
        np.full(n, "folder"),
        np.full(n, "test"),
        np.array(targets),
        np.eye(len(classes))[list(outputs)],
    )
    folder.mkdir()
    table.write(folder / "predictions.csv")
    return Run(folder)


def test_only_shared_images_count_and_every_figure_is_the_hand_counted_one(tmp_path):
    a = run(tmp_path / "a", [0, 0, 1, 1, 2, 2], [0, 1, 1, 1, 2, 0], list("abcdef"))
    b = run(tmp_path / "b", [2, 2, 1, 1, 0], [2, 2, 1, 0, 0], list("fedcx"))  # shares c d e f, in another order
    result = compare_runs(a, b)
    assert result["n"] == result["patients"] == 4
    assert (result["a"]["test_images"], result["b"]["test_images"]) == (6, 5)
    assert result["a"]["accuracy"] == 3 / 4 and result["b"]["accuracy"] == 3 / 4
    assert result["mcnemar"] == {"only_a": 1, "only_b": 1, "p": 1.0}
    assert result["a"]["per_class"]["Pneumonia"]["sensitivity"] == 1 / 2
    assert result["a"]["per_class"]["COVID-19"]["precision"] == 0  # f is called COVID-19 wrongly; a and b do not count
    assert result["a"]["balanced_accuracy"] == (1 + 1 / 2) / 2 and result["b"]["balanced_accuracy"] == (1 / 2 + 1) / 2


def test_the_text_gives_both_runs_with_intervals_the_difference_and_the_test(tmp_path):
    n = 40
    a = run(tmp_path / "a", [0] * n, [0] * n)
    b = run(tmp_path / "b", [0] * n, [0] * (n - 10) + [1] * 10)
    text = format_comparison(compare_runs(a, b))
    assert "40 test images of 40 patients are in both runs" in text
    accuracy = next(line for line in text.splitlines() if line.startswith("accuracy"))
    assert "100.0 (91.2 to 100.0)" in accuracy and "75.0 (59.8 to 85.8)" in accuracy  # Wilson, from scipy
    assert "COVID-19 sensitivity" in text and "Normal precision" in text
    assert "10 images only the first got right, 0 only the second; p = 0.002" in text  # 2 · 2⁻¹⁰
    assert "difference (first − second): +25.0 points, 95 % interval +1" in text
    assert text.endswith("The first is better on these images, by more than chance explains.")
    assert format_comparison(compare_runs(b, a)).endswith(
        "The second is better on these images, by more than chance explains."
    )


@pytest.mark.parametrize(
    "ends, p, chance",
    [([0.01, 0.1], 0.01, False), ([-0.01, 0.1], 0.01, True), ([0.01, 0.1], 0.06, True), (None, 0.0001, True)],
)
def test_a_difference_counts_only_if_patients_and_the_test_agree(ends, p, chance):
    result = {"difference": 0.05, "difference_interval": ends, "mcnemar": {"p": p}}
    assert ("within what chance explains" in verdict(result)) == chance


def test_runs_that_share_no_test_image_or_have_other_classes_are_refused_by_name(tmp_path):
    a = run(tmp_path / "a", [0, 1], [0, 1], ["a.png", "b.png"])
    b = run(tmp_path / "b", [0, 1], [0, 1], ["c.png", "d.png"])
    with pytest.raises(DataError, match=r"a and .*b cannot be compared: none of the 2 and 2 test images"):
        compare_runs(a, b)
    c = run(tmp_path / "c", [0, 1], [0, 1], ["a.png", "b.png"], ("Normal", "COVID-19"))
    with pytest.raises(DataError, match="classes"):
        compare_runs(a, c)
    with pytest.raises(DataError, match=r"predictions\.csv cannot be read"):
        compare_runs(a, Run(tmp_path / "nowhere"))


def test_a_tiny_probability_is_not_printed_as_zero():
    assert p_value(0.0004) == "below 0.001" and p_value(0.05) == "0.050"
