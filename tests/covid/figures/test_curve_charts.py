import numpy as np
import pytest

from covid.evaluation.curves import Curve
from covid.figures.curve_charts import Row, interval_chart, precision_recall_chart, reliability_chart, roc_chart


def curve(name, x, y, area=0.9, interval=(0.8, 0.95)):
    return Curve(name, np.array(x, dtype=float), np.array(y, dtype=float), area, interval)


def texts(axes):
    return [text.get_text() for text in axes.texts]


def legend(axes):
    return [text.get_text() for text in axes.get_legend().get_texts()]


def test_roc_curves_are_their_rates():
    curves = [curve("first", [0, 0.25, 1], [0, 0.75, 1]), curve("second", [0, 0.5, 1], [0, 0.1, 1], 0.345, None)]
    (axes,) = roc_chart(curves).axes
    guessing, *lines = axes.lines
    assert guessing.get_xydata().tolist() == [[0, 0], [1, 1]]
    assert [line.get_xydata().tolist() for line in lines] == [
        [[0, 0], [0.25, 0.75], [1, 1]],
        [[0, 0], [0.5, 0.1], [1, 1]],
    ]
    assert lines[0].get_color() != lines[1].get_color() and lines[0].get_linestyle() != lines[1].get_linestyle()
    assert legend(axes) == ["first\n0.900  (0.800 to 0.950)", "second\n0.345"]
    assert [handle.get_color() for handle in axes.get_legend().legend_handles] == [line.get_color() for line in lines]
    assert (axes.get_xlim(), axes.get_ylim()) == ((0, 1), (0, 1))
    assert axes.get_xlabel() == "False positive rate (1 − specificity)"
    assert axes.get_ylabel() == "True positive rate (sensitivity)"
    panel = axes.get_window_extent()
    assert panel.width == pytest.approx(panel.height)  # a diagonal is one


def drawn(line):
    """The corners of a line that is drawn in steps, as it appears on the picture."""
    corners = line.get_path()
    return corners.vertices.tolist()


def test_precision_falls_in_steps():
    # The second point gains no recall: average precision does not count it, and it is not drawn.
    (axes,) = precision_recall_chart([curve("one", [0.5, 0.5, 1], [1, 0.3, 0.6])]).axes
    guessing, line = axes.lines
    assert guessing.get_xydata().tolist() == [[0, 0.6], [1, 0.6]]  # the share of the class, on which recall 1 ends
    assert drawn(line) == [[0, 1], [0, 1], [0.5, 1], [0.5, 0.6], [1, 0.6]]
    assert "pale: the class's share of the images" in texts(axes)
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("Recall (sensitivity)", "Precision")


def test_the_area_under_the_steps_is_average_precision():
    from covid.evaluation.curves import average_precision, precision_recall_curve

    rng = np.random.default_rng(0)
    targets, scores = rng.random(60) < 0.4, rng.integers(0, 12, 60) / 12
    precision, recall, _ = precision_recall_curve(targets, scores)
    line = precision_recall_chart([curve("one", recall, precision)]).axes[0].lines[-1]
    x, y = np.array(drawn(line)).T
    assert (np.diff(x) * y[1:]).sum() == pytest.approx(average_precision(targets, scores))


def bins(*filled):
    empty = {"count": 0, "confidence": None, "accuracy": None, "accuracy_interval": None}
    rows = [dict(empty, low=i / 5, high=(i + 1) / 5) for i in range(5)]
    for i, count, confidence, accuracy, low, high in filled:
        rows[i].update(count=count, confidence=confidence, accuracy=accuracy, accuracy_interval=[low, high])
    return rows


def test_bins_their_whiskers_and_their_counts():
    before, after = bins((2, 7, 0.5, 0.3, 0.1, 0.6), (4, 9, 0.9, 0.8, 0.7, 0.85)), bins((3, 4, 0.7, 0.65, 0.5, 0.8))
    axes, counts = reliability_chart({"before": before, "after": after}).axes
    assert axes.lines[0].get_xydata().tolist() == [[0, 0], [1, 1]]
    for container, points, ends in zip(
        axes.containers,
        ([[0.5, 0.3], [0.9, 0.8]], [[0.7, 0.65]]),
        ([[0.1, 0.6], [0.7, 0.85]], [[0.5, 0.8]]),
        strict=True,
    ):
        line, _, (whiskers,) = container
        assert line.get_xydata().tolist() == points
        assert line.get_linestyle() == "None"  # no line joins the bins
        for segment, (x, _), (low, high) in zip(whiskers.get_segments(), points, ends, strict=True):
            np.testing.assert_allclose(segment, [[x, low], [x, high]])
    assert legend(axes) == ["before", "after"]
    heights = [[bar.get_height() for bar in container] for container in counts.containers]
    assert heights == [[0, 0, 7, 0, 9], [0, 0, 0, 4, 0]]
    middles = [np.mean([bars[i].get_x() + bars[i].get_width() / 2 for bars in counts.containers]) for i in range(5)]
    np.testing.assert_allclose(middles, [0.1, 0.3, 0.5, 0.7, 0.9])  # both tables' bars share the bin
    assert counts.get_xlim() == axes.get_xlim() == (0, 1) and counts.get_xlabel().startswith("Confidence")
    alone = reliability_chart({"before": before}).axes[1]
    assert [text for text in texts(alone) if text] == ["7", "9"]


def test_a_table_without_images_is_drawn():
    assert reliability_chart({"nothing": bins()}).axes[0].containers[0][0].get_xydata().shape == (0, 2)
    assert reliability_chart({}).axes[1].containers == []


def test_intervals_and_references_share_one_axis():
    rows = [Row("a", 0.80, 0.70, 0.90, 0.75), Row("b", 0.90, 0.85, 0.95), Row("c", 0.75, None, None, 0.80)]
    figure = interval_chart(rows, title="Ours beside the paper's")
    (axes,) = figure.axes
    assert [label.get_text() for label in axes.get_yticklabels()] == ["a", "b", "c"]
    low, high = axes.get_ylim()
    assert low > high  # the first row is the upper one
    points = [container[0].get_xydata().tolist() for container in axes.containers]
    np.testing.assert_allclose(np.concatenate(points), [[80, 0], [90, 1], [75, 2]])
    segments = [bars.get_segments()[0].tolist() for container in axes.containers for bars in container[2]]
    np.testing.assert_allclose(segments, [[[70, 0], [90, 0]], [[85, 1], [95, 1]]])
    references = [line.get_xydata().tolist() for line in axes.lines if line.get_marker() == "D"]
    assert references[:2] == [[[75, 0]], [[80, 2]]]  # the third is the legend's
    assert {"80.0  (70.0 to 90.0)", "90.0  (85.0 to 95.0)", "75.0", "80.0", "this run", "paper"} <= set(texts(axes))
    assert figure.texts[0].get_text() == "Ours beside the paper's" and axes.get_xlabel() == "%"


def test_without_references_their_column_is_left_out():
    (axes,) = interval_chart([Row("a", None, None, None)], title="").axes
    assert set(texts(axes)) == {"undefined", "this run"}


@pytest.mark.parametrize(
    "rows",
    [
        [Row("all right", 1.0, 1.0, 1.0)],
        [Row("nothing", None, None, None)],
        [Row("a difference", -0.02, -0.05, 0.01), Row("another", 0.3, 0.1, 0.5, 0.2)],
        [Row(f"a label that is much too long for its place, number {i}", i / 30, 0, 1, 0.5) for i in range(31)],
    ],
    ids=["all right", "nothing", "negative", "many"],
)
def test_extreme_figures_are_drawn_inside_the_picture(rows):
    inside(interval_chart(rows, title="Figures", value_name="a run's long name", reference_name="x" * 40))


def inside(figure):
    box, whole = figure.get_tightbbox(), figure.get_size_inches()
    assert box.x0 >= 0 and box.y0 >= 0 and box.x1 <= whole[0] and box.y1 <= whole[1]


@pytest.mark.parametrize("chart", [roc_chart, precision_recall_chart])
def test_undefined_curves_and_many_long_names_stay_on_the_picture(chart):
    undefined = curve("never seen", [np.nan, np.nan], [0, 1], None, None)
    many = [curve(f"{i} " + "W" * 60, [0, i / 20, 1], [1, 0.5, 0.2]) for i in range(16)]
    figure = chart([undefined, *many])
    inside(figure)
    assert legend(figure.axes[0])[0] == "never seen\nundefined"
    inside(chart([]))
    line = chart([undefined]).axes[0].lines[-1]
    assert not np.isfinite(line.get_xydata()).all(axis=1).any()


def test_no_rows_are_an_error(tmp_path):
    with pytest.raises(ValueError, match="rows is empty"):
        interval_chart([], tmp_path / "c.png", title="")
