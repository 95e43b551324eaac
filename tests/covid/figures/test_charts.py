import itertools

import numpy as np
import pytest
from matplotlib.colors import to_rgb

from covid.figures.charts import confusion_chart, training_chart
from covid.figures.style import COLOURS

NAMES = ["COVID-19", "Normal", "Pneumonia"]
FIGURE_3 = [[22, 1, 0], [0, 244, 18], [3, 23, 757]]


def history(iterations, accuracy=0.6, loss=0.8, per_epoch=10, validate_every=None):
    rows = []
    for i in range(1, iterations + 1):
        measured = validate_every and i % validate_every == 0
        rows.append(
            {
                "epoch": (i - 1) // per_epoch + 1,
                "iteration": i,
                "seconds": i / 3,
                "learning_rate": 0.01,
                "loss": loss,
                "accuracy": accuracy,
                "validation_loss": loss * 1.1 if measured else None,
                "validation_accuracy": accuracy * 0.9 if measured else None,
            }
        )
    return rows


def texts(axes):
    return [text.get_text() for text in axes.texts]


# ---------------------------------------------------------------------------------------- training progress


def test_the_lines_are_the_history():
    rows = history(40, validate_every=10)
    for row in rows:
        row["accuracy"], row["loss"] = 0.4 + row["iteration"] / 100, 2 / row["iteration"]
    upper, lower = training_chart(rows).axes
    for axes, key, unit in ((upper, "accuracy", 100), (lower, "loss", 1)):
        batches, smooth, validation = axes.lines
        np.testing.assert_allclose(batches.get_xydata(), [(row["iteration"], unit * row[key]) for row in rows])
        measured = [(row["iteration"], unit * row[f"validation_{key}"]) for row in rows[9::10]]
        np.testing.assert_allclose(validation.get_xydata(), measured)
        assert list(smooth.get_xdata()) == list(range(1, 41))
        assert batches.get_color() == smooth.get_color() != validation.get_color()
        assert axes.get_xlim() == (0.5, 40.5)
    assert upper.get_yticks().tolist() == [0, 20, 40, 60, 80, 100, *upper.get_yticks()[6:]]
    assert upper.get_ylim() == (0, 103) and upper.get_ylabel() == "Accuracy (%)" and lower.get_ylabel() == "Loss"
    assert lower.get_xlabel() == "Iteration"
    legend = [text.get_text() for text in upper.get_legend().get_texts()]
    assert legend == ["training, each mini-batch", "training, smoothed", "validation"]
    handles = upper.get_legend().legend_handles
    assert [handle.get_color() for handle in handles] == [line.get_color() for line in upper.lines]


def test_the_smoothed_line_is_a_mean_of_the_past_that_fades():
    rows = history(90)
    for row in rows:
        row["accuracy"] = float(row["iteration"] > 45)
    smooth = training_chart(rows).axes[0].lines[1].get_ydata()
    weights = (2 / 3) ** np.arange(90)  # an iteration's weight falls to 1 − 1/3 with each later one: 90 / 30 = 3
    wanted = [100 * weights[: max(i - 44, 0)].sum() / weights[: i + 1].sum() for i in range(90)]
    np.testing.assert_allclose(smooth, wanted)


def test_the_last_values_stand_beside_the_panels():
    upper, lower = training_chart(history(30, accuracy=0.5, loss=0.8, validate_every=10)).axes
    assert "50.0 %" in texts(upper) and "45.0 %" in texts(upper)
    assert "0.8" in texts(lower) and "0.88" in texts(lower)
    for axes in (upper, lower):  # close together they are moved apart, by more than a line of text
        low, high = sorted(text.xy[1] for text in axes.texts if text.xy[0] == 1)
        height = axes.bbox.height / axes.figure.dpi * 72
        assert (high - low) * height >= 10


def test_epochs_are_banded_and_numbered():
    upper, lower = training_chart(history(40, per_epoch=10)).axes
    for axes in (upper, lower):
        bands = [(patch.get_extents().x0, patch.get_extents().x1) for patch in axes.patches]
        wanted = [(axes.transData.transform((x, 0))[0] for x in span) for span in ((10.5, 20.5), (30.5, 40.5))]
        np.testing.assert_allclose(bands, [tuple(span) for span in wanted])
    (above,) = upper.child_axes
    assert [label.get_text() for label in above.get_xticklabels()] == ["1", "2", "3", "4"]
    np.testing.assert_allclose(above.get_xticks(), [5.5, 15.5, 25.5, 35.5])
    (above,) = training_chart(history(1000, per_epoch=10)).axes[0].child_axes  # 100 epochs: every fifth number
    assert [label.get_text() for label in above.get_xticklabels()][:3] == ["5", "10", "15"]


def test_values_that_are_not_finite_are_left_out_and_extreme_ones_do_not_flatten_the_rest():
    rows = history(90)
    rows[3]["loss"], rows[4]["loss"], rows[5]["loss"] = float("nan"), float("inf"), 1e30
    lower = training_chart(rows).axes[1]
    assert list(lower.lines[0].get_xdata()) == [i for i in range(1, 91) if i not in (4, 5)]
    assert np.isfinite(lower.lines[1].get_ydata()).all()
    assert lower.get_ylim() == (0, pytest.approx(0.8 * 1.03))


@pytest.mark.parametrize(
    "rows",
    [
        history(1),
        history(1, validate_every=1),
        history(2000, per_epoch=20, validate_every=20),
        history(300, per_epoch=1),
        history(40, loss=0.0, accuracy=1.0),
        history(40, loss=float("nan")),
        history(120)[60:],
    ],
    ids=["one", "one validated", "2000", "300 epochs", "no loss", "all nan", "starts late"],
)
def test_extreme_histories_are_drawn(tmp_path, rows):
    figure = training_chart(rows, tmp_path / "chart.png")
    assert (tmp_path / "chart.png").read_bytes().startswith(b"\x89PNG")
    assert figure.axes[0].get_xlim() == (rows[0]["iteration"] - 0.5, rows[-1]["iteration"] + 0.5)


def test_an_empty_history_is_an_error(tmp_path):
    with pytest.raises(ValueError, match="history is empty"):
        training_chart([], tmp_path / "chart.png")


# ----------------------------------------------------------------------------------------- confusion matrix


def cells(axes, k):
    """The two lines of each of the (k + 1)² cells, by (row, column)."""
    found = {}
    for text in axes.texts:
        x, y = text.get_position()
        if text.get_text() not in ("Precision", "Accuracy"):
            found.setdefault((round(y), round(x)), []).append(text.get_text())
    assert len(found) == (k + 1) ** 2
    return found


def test_the_papers_confusion_matrix():
    (axes,) = confusion_chart(FIGURE_3, NAMES).axes
    found = cells(axes, 3)
    for row, column in np.ndindex(3, 3):
        assert found[row, column] == [f"{FIGURE_3[row][column]:,}", f"{100 * FIGURE_3[row][column] / 1068:.1f} %"]
    assert [found[row, 3] for row in range(3)] == [["95.7 %", "4.3 %"], ["93.1 %", "6.9 %"], ["96.7 %", "3.3 %"]]
    assert [found[3, column] for column in range(3)] == [["88.0 %", "12.0 %"], ["91.0 %", "9.0 %"], ["97.7 %", "2.3 %"]]
    assert found[3, 3] == ["95.8 %", "4.2 %"]
    assert [label.get_text() for label in axes.get_yticklabels()] == [*NAMES, "Sensitivity"]
    assert [label.get_text() for label in axes.get_xticklabels()] == [*NAMES, ""]
    low, high = axes.get_ylim()
    assert low > high  # the first row is the upper one
    titles = [text.get_text() for text in axes.figure.texts]
    assert "Target class (what is so)" in titles and "Output class (what the network says)" in titles


def test_cells_are_blue_on_the_diagonal_and_orange_elsewhere_and_deeper_for_a_larger_share_of_the_class():
    (axes,) = confusion_chart(FIGURE_3, NAMES).axes
    colours = np.asarray(axes.images[0].get_array())
    assert colours.shape == (4, 4, 3)
    for row, column in np.ndindex(3, 3):
        right, wrong = (np.subtract(1, to_rgb(colour)) for colour in COLOURS[:2])
        tint = 1 - colours[row, column]  # in the direction of its colour, from white
        along = right if row == column else wrong
        assert tint @ along == pytest.approx(np.linalg.norm(tint) * np.linalg.norm(along))
    # 3 of 25, 23 of 268, 18 of 775, 1 of 268 and 0 of 25
    depth = [np.linalg.norm(1 - colours[cell]) for cell in ((2, 0), (2, 1), (1, 2), (0, 1), (1, 0))]
    assert all(deeper > paler for deeper, paler in itertools.pairwise(depth))


def test_zero_over_zero_is_a_dash():
    found = cells(confusion_chart([[22, 0], [7, 0]], ["here", "never seen"]).axes[0], 2)
    assert found[2, 1] == ["–", "–"] and found[2, 0] == ["75.9 %", "24.1 %"] and found[1, 2] == ["0.0 %", "100.0 %"]
    assert cells(confusion_chart([[0]], ["only"]).axes[0], 1)[0, 0] == ["0", "–"]


@pytest.mark.parametrize("classes", range(1, 11))
def test_any_number_of_classes_and_long_names_stay_on_the_picture(classes):
    rng = np.random.default_rng(classes)
    names = [f"a rather long name for class number {k} of_many" for k in range(classes - 1)] + ["W" * 60]
    figure = confusion_chart(rng.integers(0, 100_000, (classes, classes)), names)
    box, whole = figure.get_tightbbox(), figure.get_size_inches()
    assert box.x0 >= 0 and box.y0 >= 0 and box.x1 <= whole[0] and box.y1 <= whole[1]
    labels = [label.get_window_extent() for label in figure.axes[0].get_xticklabels()[:-1]]
    assert not any(a.overlaps(b) for a, b in itertools.pairwise(labels))


def test_confusion_must_match_the_names(tmp_path):
    with pytest.raises(ValueError, match="for 2 class names"):
        confusion_chart(np.eye(3, dtype=int), ["a", "b"], tmp_path / "c.png")
