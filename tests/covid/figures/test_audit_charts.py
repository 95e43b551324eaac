import numpy as np
import pytest

from covid.audit.perturbations import perturbations
from covid.figures.audit_charts import occlusion_sheet, perturbation_chart
from covid.figures.image_grid import image_grid


def row(name, kind, accuracy, sensitivity):
    def share(value):
        return {"value": value, "interval": None if value is None else [max(value - 0.1, 0), min(value + 0.2, 1)]}

    return {
        "name": name,
        "kind": kind,
        "accuracy": accuracy,
        "interval": share(accuracy)["interval"],
        "sensitivity": {"accuracy": share(sensitivity), "well": share(0.5)},  # a class may be called so
    }


AUDIT = {
    "images": 36,
    "classes": ["accuracy", "well"],
    "majority": {"class": "well", "accuracy": 0.55},
    "conditions": [
        row("untouched", "untouched", 0.9, 0.8),
        row("lungs occluded", "occlusion", 0.25, 0.1),
        row("only the lungs", "occlusion", 0.5, None),
    ],
    "shortcut_baseline": [row("pixel features", "baseline", 0.6, 1.0)],
}


def series(container):
    """Points of a series with whiskers, and the ends of its whiskers."""
    line, _, (whiskers,) = container
    ends = [segment[:, 0] if len(segment) else (np.nan, np.nan) for segment in whiskers.get_segments()]
    return line.get_xydata(), np.array(ends)


def test_every_row_has_its_points_and_whiskers():
    (axes,) = perturbation_chart(AUDIT).axes
    labels = [label.get_text() for label in axes.get_yticklabels()]
    assert labels == ["untouched", "lungs occluded", "only the lungs", "pixel features"]
    rows = axes.get_yticks()
    low, high = axes.get_ylim()
    assert low > rows[-1] and high < rows[0]  # from the top down
    np.testing.assert_allclose(np.diff(rows), [1.55, 1, 1.55])  # a gap between kinds
    (accuracy, accuracy_ends), (sensitivity, sensitivity_ends) = map(series, axes.containers)
    np.testing.assert_allclose(accuracy[:, 0], [90, 25, 50, 60])
    np.testing.assert_allclose(accuracy_ends, [[80, 100], [15, 45], [40, 70], [50, 80]])
    np.testing.assert_allclose(sensitivity[:, 0], [80, 10, np.nan, 100])
    np.testing.assert_allclose(sensitivity_ends[[0, 1, 3]], [[70, 100], [0, 30], [90, 100]])
    for points in (accuracy, sensitivity):
        np.testing.assert_allclose(points[:, 1], rows, atol=0.3)
    assert axes.get_xlim() == (0, 100)
    assert axes.figure.texts[0].get_text() == "The network on 36 test images changed on purpose"
    legend = [text.get_text() for text in axes.get_legend().get_texts()]
    assert legend == ["accuracy", "sensitivity for accuracy", "untouched"]


def test_the_untouched_values_and_the_commonest_class_are_carried_down():
    (axes,) = perturbation_chart(AUDIT).axes
    upright = [line for line in axes.lines if len(line.get_xdata()) == 2 and np.ptp(line.get_xdata()) == 0]
    assert sorted(line.get_xdata()[0] for line in upright) == pytest.approx([55, 80, 90])
    assert "always well: 55.0 %" in [text.get_text() for text in axes.texts]


def test_without_a_baseline_there_are_only_the_conditions():
    (axes,) = perturbation_chart({key: value for key, value in AUDIT.items() if key != "shortcut_baseline"}).axes
    assert len(axes.get_yticks()) == 3


def cells(figure):
    return [np.asarray(axes.images[0].get_array()) for axes in figure.axes]


def test_the_sheet_shows_an_image_of_each_class_and_its_occlusions():
    rng = np.random.default_rng(0)
    images = {name: rng.integers(0, 256, (1, 64, 64), dtype=np.uint8) for name in ("one", "two", "three")}
    figure = occlusion_sheet(images)
    changes = [change for change in perturbations(64, 64) if change.kind in ("untouched", "occlusion")]
    shown = cells(figure)
    assert len(changes) == 5 and len(shown) == 15
    for i, image in enumerate(images.values()):
        assert (shown[5 * i] == image[0]).all()
        for change, cell in zip(changes, shown[5 * i : 5 * i + 5], strict=True):
            assert (cell == change.apply(image[None])[0, 0]).all()
    assert [axes.get_title() for axes in figure.axes[:5]] == [change.name for change in changes]
    assert [axes.get_ylabel() for axes in figure.axes[::5]] == ["one", "two", "three"]
    with pytest.raises(ValueError, match="images is empty"):
        occlusion_sheet({})


def test_images_of_any_shape_lie_in_squares_with_the_grey_levels_they_have():
    wide, tall = np.full((20, 80), 100.0), np.full((90, 30), 255.0)
    figure = image_grid(["wide", "tall"], ["as it is", "prepared"], [[wide, tall], [wide[:, :20], tall[:30]]])
    figure.draw_without_rendering()
    boxes = [axes.get_window_extent() for axes in figure.axes]
    assert len({(round(box.width), round(box.height)) for box in boxes}) == 1
    assert boxes[0].width == pytest.approx(boxes[0].height)
    assert boxes[0].x1 < boxes[1].x0 and boxes[2].y1 < boxes[0].y0  # columns from the left, rows from the top
    for axes in figure.axes:
        assert axes.images[0].get_clim() == (0, 255)
        across, down = np.ptp(axes.get_xlim()), np.ptp(axes.get_ylim())
        assert across == pytest.approx(down) and across >= max(axes.images[0].get_array().shape)  # whole, undistorted
