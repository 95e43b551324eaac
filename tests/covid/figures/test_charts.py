import itertools

import numpy as np
import pytest
from PIL import Image
from scipy.ndimage import find_objects, label

from covid.figures.charts import BLUE, GREEN, GRID, ORANGE, RED, confusion_chart, training_chart


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


def pixels(path):
    return np.asarray(Image.open(path)).astype(int)


def near(image, colour, tolerance=30):
    return np.abs(image - np.array(colour)).max(axis=-1) <= tolerance


def rows_of_line(mask):
    """Rows in which the mask runs across most of the panel."""
    return np.flatnonzero(mask.sum(axis=1) > 500)


def test_a_constant_accuracy_lies_where_the_axis_says(tmp_path):
    training_chart(history(50, accuracy=0.5), tmp_path / "half.png")
    image = pixels(tmp_path / "half.png")
    grid = rows_of_line(near(image, GRID, 6))
    grid = grid[np.diff(grid, prepend=-9) > 3][:5]  # the upper panel's lines at 100, 80, 60, 40 and 20 %
    assert np.ptp(np.diff(grid)) <= 2
    line = rows_of_line(near(image, BLUE)).mean()
    assert line == pytest.approx((grid[2] + grid[3]) / 2, abs=1.5)


@pytest.mark.parametrize(("key", "colour"), [("accuracy", BLUE), ("loss", ORANGE)])
def test_equal_steps_of_the_data_are_equal_steps_of_the_picture(tmp_path, key, colour):
    heights = []
    for value in (0.2, 0.5, 0.8):
        rows = history(50)
        for row in rows:
            row[key] = value
        rows[0]["validation_loss"] = 1.0  # one axis for the three pictures
        training_chart(rows, tmp_path / "chart.png")
        heights.append(rows_of_line(near(pixels(tmp_path / "chart.png"), colour)).mean())
    assert heights[0] > heights[1] > heights[2]
    assert heights[0] - heights[1] == pytest.approx(heights[1] - heights[2], abs=1.5)
    assert heights[0] - heights[2] > 100


def test_iterations_run_from_left_to_right(tmp_path):
    rows = history(100)
    for row in rows[50:]:
        row["accuracy"] = 0.2
    training_chart(rows, tmp_path / "chart.png")
    mask = near(pixels(tmp_path / "chart.png"), BLUE)[:400]  # the upper panel
    panel = np.flatnonzero(mask.any(axis=0))
    heights = np.array([np.flatnonzero(mask[:, x]).mean() for x in range(100, 1040)])
    assert heights[:460].max() < heights[-1] - 100  # the fall begins in the middle, not before
    assert panel.min() < 110


def test_values_that_are_not_finite_are_left_out(tmp_path):
    rows = history(30)
    rows[3]["loss"], rows[4]["loss"], rows[5]["loss"] = float("nan"), float("inf"), 1e30
    training_chart(rows, tmp_path / "chart.png")
    line = rows_of_line(near(pixels(tmp_path / "chart.png"), BLUE))
    assert len(line)


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
    training_chart(rows, tmp_path / "chart.png")
    with Image.open(tmp_path / "chart.png") as image:
        assert image.size[0] == 1200
        assert len(set(image.convert("L").tobytes())) > 10


def test_an_empty_history_is_an_error(tmp_path):
    with pytest.raises(ValueError, match="history is empty"):
        training_chart([], tmp_path / "chart.png")


def blocks(mask, smallest=2000):
    """Bounding boxes of the large areas of a mask, from top to bottom and left to right."""
    areas, count = label(mask)
    found = find_objects(areas)
    big = [found[i] for i in range(count) if (areas[found[i]] == i + 1).sum() > smallest]
    return sorted(big, key=lambda box: (box[0].start // 20, box[1].start))


def test_confusion_cells_are_green_on_the_diagonal_and_red_elsewhere(tmp_path):
    confusion_chart([[22, 1, 0], [0, 244, 18], [3, 23, 757]], ["COVID-19", "Normal", "Pneumonia"], tmp_path / "c.png")
    image = pixels(tmp_path / "c.png")
    greener, redder = image[..., 1] - image[..., 0] > 2, image[..., 0] - image[..., 1] > 2
    green, red = blocks(greener), blocks(redder)
    assert len(green) == 3 and len(red) == 6
    for first, second in itertools.pairwise(green):
        assert second[0].start > first[0].start and second[1].start > first[1].start

    def shade(box):
        return image[box[0].start + 8, box[1].start + 8].sum()

    # Deeper is a larger share of the column: 3 of 25 and 23 of 268 (bottom row), 1 of 268 and 0 of 775 (top row).
    assert shade(red[4]) < shade(red[5]) < shade(red[0]) < shade(red[1])


def test_zero_over_zero_is_a_dash(tmp_path):
    confusion_chart([[22, 0], [7, 0]], ["here", "never seen"], tmp_path / "c.png")
    image = pixels(tmp_path / "c.png")
    heights = {}
    for name, colour in (("share", GREEN), ("complement", RED)):
        ink = near(image, colour, 40)
        bottom = np.flatnonzero(ink.any(axis=1)).max()
        line = ink[bottom - 12 : bottom + 1]  # the bottom margin's last line of this colour: three entries
        areas, _ = label(np.convolve(line.any(axis=0), np.ones(25), "same") > 0)
        entries = [line[:, span[0]] for span in find_objects(areas)]
        heights[name] = [np.ptp(np.flatnonzero(entry.any(axis=1))) + 1 for entry in entries]
    for first, empty, corner in heights.values():
        assert empty <= 3 < 8 < first and corner > 8


@pytest.mark.parametrize("classes", range(1, 11))
def test_any_number_of_classes_and_long_names_stay_on_the_picture(tmp_path, classes):
    rng = np.random.default_rng(classes)
    names = [f"a rather long name for class number {k} of_many" for k in range(classes - 1)] + ["W" * 60]
    confusion_chart(rng.integers(0, 100_000, (classes, classes)), names, tmp_path / "c.png")
    image = pixels(tmp_path / "c.png")
    border = np.concatenate([image[:3].ravel(), image[-3:].ravel(), image[:, :3].ravel(), image[:, -3:].ravel()])
    assert image.shape[1] == 1200
    assert (border == 255).all()


def test_confusion_must_match_the_names(tmp_path):
    with pytest.raises(ValueError, match="for 2 class names"):
        confusion_chart(np.eye(3, dtype=int), ["a", "b"], tmp_path / "c.png")
