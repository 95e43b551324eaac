import io

import numpy as np
import pytest
from PIL import Image

from covid.evaluation.curves import Curve
from covid.figures.charts import confusion_chart
from covid.figures.curve_charts import (
    COLOURS,
    LEFT,
    SIDE,
    TOP,
    Row,
    interval_chart,
    precision_recall_chart,
    reliability_chart,
    roc_chart,
)


def pixels(path):
    return np.asarray(Image.open(path)).astype(int)


def near(image, colour, tolerance=25):
    return np.abs(image - np.array(colour)).max(axis=-1) <= tolerance


def at(image, x, y, colour):
    """Whether the colour is at the place (x, y) of the square panel, give or take two pixels."""
    column, row = round(LEFT + x * SIDE), round(TOP + (1 - y) * SIDE)
    return near(image[row - 2 : row + 3, column - 2 : column + 3], colour).any()


def curve(name, x, y, area=0.9, interval=(0.8, 0.95)):
    return Curve(name, np.array(x, dtype=float), np.array(y, dtype=float), area, interval)


def test_roc_curves_lie_where_their_rates_say(tmp_path):
    curves = [curve("first", [0, 0.25, 1], [0, 0.75, 1]), curve("second", [0, 0.5, 1], [0, 0.1, 1])]
    roc_chart(curves, tmp_path / "roc.png")
    image = pixels(tmp_path / "roc.png")
    assert image.shape[1] == 1200
    for x, y in ((0.05, 0.15), (0.25, 0.75), (0.625, 0.875)):
        assert at(image, x, y, COLOURS[0]) and not at(image, y, x, COLOURS[0])
    dashed = [at(image, x, 0.2 * x, COLOURS[1]) for x in np.linspace(0.02, 0.48, 100)]
    assert 0.4 < np.mean(dashed) < 0.8 and not at(image, 0.1, 0.5, COLOURS[1])


def test_precision_falls_in_steps(tmp_path):
    # The second point gains no recall: average precision does not count it, and it is not drawn.
    curves = [curve("one", [0.5, 0.5, 1], [1, 0.3, 0.6]), curve("dashed, level", [0.5, 0.7, 1], [0.2, 0.2, 0.2])]
    precision_recall_chart(curves, tmp_path / "pr.png")
    image = pixels(tmp_path / "pr.png")
    assert at(image, 0.25, 1, COLOURS[0]) and at(image, 0.5, 0.8, COLOURS[0]) and at(image, 0.75, 0.6, COLOURS[0])
    assert any(at(image, x, 0.2, COLOURS[1]) for x in np.linspace(0.8, 0.9, 20))
    assert not at(image, 0.75, 0.8, COLOURS[0]) and not at(image, 0.5, 0.4, COLOURS[0])


def test_guessing_is_marked_at_the_share_of_the_class(tmp_path):
    precision_recall_chart([curve("one", [0.5, 1], [1, 0.3])], tmp_path / "pr.png")
    image = pixels(tmp_path / "pr.png")
    row = image[round(TOP + 0.7 * SIDE) - 1 : round(TOP + 0.7 * SIDE) + 2, LEFT + 20 : LEFT + SIDE // 2 - 20]
    bluish = row[..., 2] - row[..., 0] > 60
    assert bluish.any(axis=0).all()


def bins(*filled):
    empty = {"count": 0, "confidence": None, "accuracy": None, "accuracy_interval": None}
    rows = [dict(empty, low=i / 5, high=(i + 1) / 5) for i in range(5)]
    for i, confidence, accuracy, low, high in filled:
        rows[i].update(count=7, confidence=confidence, accuracy=accuracy, accuracy_interval=[low, high])
    return rows


def test_bins_and_their_whiskers_lie_where_they_should(tmp_path):
    before, after = bins((2, 0.5, 0.3, 0.1, 0.6), (4, 0.9, 0.8, 0.7, 0.85)), bins((3, 0.7, 0.65, 0.5, 0.8))
    reliability_chart({"before": before, "after": after}, tmp_path / "reliability.png")
    image = pixels(tmp_path / "reliability.png")
    assert at(image, 0.5, 0.3, COLOURS[0]) and at(image, 0.9, 0.8, COLOURS[0])
    assert not at(image, 0.7, 0.55, COLOURS[0])  # no line joins the bins
    column = image[TOP + 5 : TOP + SIDE - 5, round(LEFT + 0.5 * SIDE)]
    whisker = np.flatnonzero(column[:, 2] - column[:, 0] > 60) + TOP + 5
    assert whisker.min() == pytest.approx(TOP + 0.4 * SIDE, abs=2)
    assert whisker.max() == pytest.approx(TOP + 0.9 * SIDE, abs=2)
    diamond = near(image[:, LEFT : LEFT + SIDE], COLOURS[1], 60)[TOP : TOP + SIDE]
    rows, columns = np.nonzero(diamond)
    assert columns.mean() == pytest.approx(0.7 * SIDE, abs=2) and rows.mean() == pytest.approx(0.35 * SIDE, abs=2)


def test_intervals_and_references_share_one_axis(tmp_path):
    rows = [Row("a", 0.80, 0.70, 0.90, 0.75), Row("b", 0.90, 0.85, 0.95), Row("c", 0.75, None, None, 0.80)]
    interval_chart(rows, tmp_path / "intervals.png", title="Ours beside the paper's")
    image = pixels(tmp_path / "intervals.png")[:, 320:860]
    blue, orange = near(image, COLOURS[0]), near(image, COLOURS[1], 60)
    middles = [117, 161, 205]
    whiskers = [np.flatnonzero(blue[y]) for y in middles]
    pixel = (whiskers[0].max() - whiskers[0].min()) / 0.2  # a row from 70 to 90 %

    def across(share):
        return whiskers[0].min() + (share - 0.7) * pixel

    assert pixel > 1000
    assert whiskers[1].min() == pytest.approx(across(0.85), abs=3)
    assert whiskers[1].max() == pytest.approx(across(0.95), abs=3)
    dots = [np.flatnonzero(blue[y - 5]) for y in middles]  # between the whisker and the top of the dot
    for dot, (value, low, high) in zip(dots, [row[1:4] for row in rows], strict=True):
        ends = [] if low is None else [across(low), across(high)]
        assert min(abs(dot - across(value))) < 4
        assert all(min(abs(x - place) for place in (across(value), *ends)) < 6 for x in dot)
    for y, reference in zip(middles, (0.75, None, 0.80), strict=True):
        columns = np.flatnonzero(orange[y - 9 : y + 10].any(axis=0))
        if reference is None:
            assert not len(columns)
        else:
            assert (columns.min() + columns.max()) / 2 == pytest.approx(across(reference), abs=2)


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
def test_extreme_figures_are_drawn_inside_the_picture(tmp_path, rows):
    interval_chart(rows, tmp_path / "c.png", title="Figures", value_name="a run's long name", reference_name="x" * 40)
    assert_white_border(pixels(tmp_path / "c.png"))


def assert_white_border(image):
    border = np.concatenate([image[:3].ravel(), image[-3:].ravel(), image[:, :3].ravel(), image[:, -3:].ravel()])
    assert (border == 255).all()


@pytest.mark.parametrize("chart", [roc_chart, precision_recall_chart])
def test_undefined_curves_and_many_long_names_stay_on_the_picture(tmp_path, chart):
    undefined = curve("never seen", [np.nan, np.nan], [0, 1], None, None)
    many = [curve(f"{i} " + "W" * 60, [0, i / 10, 1], [1, 0.5, 0.2]) for i in range(9)]
    chart([undefined, *many], tmp_path / "c.png")
    assert_white_border(pixels(tmp_path / "c.png"))
    chart([], tmp_path / "c.png")
    empty = pixels(tmp_path / "c.png")
    chart([undefined], tmp_path / "c.png")
    assert (pixels(tmp_path / "c.png")[:, : LEFT + SIDE] == empty[:, : LEFT + SIDE]).all()


def test_a_chart_goes_into_a_file_or_into_memory(tmp_path):
    memory = io.BytesIO()
    for target in (memory, tmp_path / "file.png", str(tmp_path / "name.png")):
        confusion_chart([[2, 0], [1, 3]], ["a", "b"], target)
    assert memory.getvalue() == (tmp_path / "file.png").read_bytes() == (tmp_path / "name.png").read_bytes()


def test_no_rows_are_an_error(tmp_path):
    with pytest.raises(ValueError, match="rows is empty"):
        interval_chart([], tmp_path / "c.png", title="")
