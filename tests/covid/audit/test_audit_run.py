import json

import numpy as np
import pytest
from scipy.ndimage import shift as scipy_shift

import tinycnn as tc
from covid import pipeline
from covid.audit import perturbations as change
from covid.audit.audit_run import audit_network, audit_run, example_images, format_run_audit, verdict
from covid.audit.image_features import frame
from covid.config import Config
from covid.errors import DataError
from covid.figures.audit_charts import occlusion_sheet, perturbation_chart
from covid.runs.run import Run

SIDE = 32
CLASSES = ["sick", "well"]


@pytest.fixture
def images():
    return np.random.default_rng(0).integers(0, 256, (3, 1, SIDE, SIDE), dtype=np.uint8)


# ------------------------------------------------------------------------------------------ perturbations


@pytest.mark.parametrize("name", [c.name for c in change.perturbations(SIDE, SIDE)])
def test_a_change_keeps_shape_and_type_and_its_input(name):
    x = np.random.default_rng(0).integers(0, 256, (2, 3, SIDE, 40), dtype=np.uint8)
    before = x.copy()
    apply = {c.name: c.apply for c in change.perturbations(SIDE, 40)}[name]
    y = apply(x)
    assert (y.shape, y.dtype) == (x.shape, np.uint8)
    assert (x == before).all()
    assert (y == x).all() == (name == "untouched")
    assert (y[0] == apply(x[:1])[0]).all()  # each image by itself


def test_occlusions_leave_exactly_the_documented_pixels(images):
    of = {c.name: c.apply(images) for c in change.perturbations(SIDE, SIDE)}
    border, lungs = np.ones((SIDE, SIDE), bool), np.zeros((SIDE, SIDE), bool)
    border[3:29, 3:29] = False  # 9 % of 32 is 2.9
    for i in range(SIDE):
        for j in range(SIDE):
            y, x = (i + 0.5) / SIDE, (j + 0.5) / SIDE
            lungs[i, j] = min(abs(x - 0.28), abs(x - 0.72)) ** 2 / 0.19**2 + (y - 0.47) ** 2 / 0.34**2 <= 1
    for name, kept in (
        ("lungs occluded", ~lungs),
        ("only the lungs", lungs),
        ("only the border", border),
        ("only the middle", ~border),
    ):
        for image, changed in zip(images[:, 0], of[name][:, 0], strict=True):
            assert (changed[kept] == image[kept]).all(), name
            assert (changed[~kept] == round(image[kept].mean())).all(), name


def test_the_lung_fields_are_about_two_fifths_of_the_image_and_no_part_of_its_border():
    assert not (change.lung_fields(224, 224) & frame((224, 224), change.MIDDLE_FRAME)).any()
    assert change.lung_fields(224, 224).mean() == pytest.approx(2 * np.pi * 0.19 * 0.34, abs=0.002)


@pytest.mark.parametrize(("down", "right"), [(3, 0), (-3, 0), (0, 4), (0, -4), (2, -5)])
def test_shift_is_that_of_scipy(images, down, right):
    for image, moved in zip(images[:, 0], change.shift(images, down, right)[:, 0], strict=True):
        assert (moved == scipy_shift(image, (down, right), order=0, cval=round(image.mean()))).all()


def test_rotation_is_anticlockwise_about_the_centre():
    image = np.zeros((1, 1, 65, 65), np.uint8)
    image[0, 0, 30:35, 52:57] = 255  # 22 pixels to the right of the centre
    row, column = np.argwhere(change.rotate(image, 20)[0, 0] > 128).mean(axis=0)
    assert row == pytest.approx(32 - 22 * np.sin(np.radians(20)), abs=0.5)
    assert column == pytest.approx(32 + 22 * np.cos(np.radians(20)), abs=0.5)


def test_contrast_and_brightness_by_hand():
    image = np.array([[[[0, 100], [100, 200]]]], np.uint8)
    assert change.contrast(image, 0.5).tolist() == [[[[50, 100], [100, 150]]]]
    assert change.contrast(image, 2).tolist() == [[[[0, 100], [100, 255]]]]
    assert change.brightness(image, -40).tolist() == [[[[0, 60], [60, 160]]]]
    assert change.brightness(image, 60).tolist() == [[[[60, 160], [160, 255]]]]


# ---------------------------------------------------------------------------------------------- the verdict


def with_border(n, levels, seed=0):
    """Images of noise whose outer two pixels have the class's level; the classes take turns."""
    rng = np.random.default_rng(seed)
    t = np.arange(n) % len(levels)
    x = rng.integers(0, 256, (n, 1, SIDE, SIDE), dtype=np.uint8)
    mask = np.ones((SIDE, SIDE), bool)
    mask[2:-2, 2:-2] = False
    for image, label in zip(x, t, strict=True):
        image[0, mask] = levels[label] + rng.integers(-5, 6, mask.sum())
    return x, t


def looking_at(mask, level):
    """A network that calls images sick whose mean over the mask (H, W) lies above `level`."""
    net = tc.Sequential(
        [
            tc.ImageInput((1, SIDE, SIDE), normalization="none"),
            tc.FullyConnected(2, name="fc"),
            tc.Softmax(),
            tc.ClassificationOutput(),
        ],
        seed=0,
    )
    weight = np.zeros((2, 1, SIDE, SIDE), np.float32)
    weight[0, 0, mask] = 1 / mask.sum()
    net.load_state_dict(
        {**net.state_dict(), "fc.weight": weight.reshape(2, -1), "fc.bias": np.array([-level, 0], np.float32)}
    )
    return net


def test_a_network_that_looks_only_at_the_border_is_caught():
    x, t = with_border(100, (180, 80))
    mask = np.ones((SIDE, SIDE), bool)
    mask[2:-2, 2:-2] = False
    audit = audit_network(looking_at(mask, 130), x, t, CLASSES)
    rows = {row["name"]: row for row in audit["conditions"]}
    assert all(rows[name]["accuracy"] == 1 for name in ("untouched", "only the border", "lungs occluded"))
    assert rows["only the middle"]["balanced_accuracy"] < 0.7
    sentences = [text for text in verdict(audit) if "much of its score does not come from the lungs" in text]
    assert [sentence.split(" it ")[0] for sentence in sentences] == ["With the lungs occluded", "From the border alone"]
    assert "100.0% (always sick: 50.0%)" in sentences[0]


def test_a_network_that_looks_only_at_the_lungs_is_not_accused():
    x, t = np.full((60, 1, SIDE, SIDE), 130, np.uint8), np.arange(60) % 2
    mask = change.lung_fields(SIDE, SIDE)
    x[t == 0] += (60 * mask).astype(np.uint8)
    x[t == 1] -= (60 * mask).astype(np.uint8)
    audit = audit_network(looking_at(mask, 130), x, t, CLASSES)
    rows = {row["name"]: row for row in audit["conditions"]}
    assert rows["untouched"]["accuracy"] == rows["only the lungs"]["accuracy"] == 1
    assert rows["lungs occluded"]["balanced_accuracy"] == 0.5
    assert not any("does not come from the lungs" in sentence for sentence in verdict(audit))


def test_figures_and_intervals_by_hand():
    x, t = with_border(100, (180, 80))
    x[:8:2] = x[1]  # four of the fifty sick images look well
    mask = np.ones((SIDE, SIDE), bool)
    mask[2:-2, 2:-2] = False
    row = audit_network(looking_at(mask, 130), x, t, CLASSES)["conditions"][0]
    assert (row["name"], row["accuracy"], row["balanced_accuracy"]) == ("untouched", 0.96, 0.96)
    assert row["interval"] == pytest.approx([0.9016, 0.9843], abs=1e-4)  # Wilson's, of 96 in 100
    assert row["sensitivity"]["sick"]["value"] == 0.92
    assert row["sensitivity"]["sick"]["interval"] == pytest.approx([0.8116, 0.9685], abs=1e-4)  # of 46 in 50
    assert row["sensitivity"]["well"]["value"] == 1


def figures(accuracy, balanced, kind="occlusion", name=""):
    half = 0.02
    return {
        "name": name,
        "kind": kind,
        "accuracy": accuracy,
        "interval": [accuracy - half, accuracy + half],
        "balanced_accuracy": balanced,
        "equal_classes": False,
        "features": ["brightness"],
        "sensitivity": {name: {"value": balanced, "interval": [balanced - half, balanced]} for name in CLASSES},
    }


def told(untouched, baseline, occluded=(0.5, 0.5), turned=0.9):
    conditions = [
        figures(*untouched, "untouched", "untouched"),
        figures(*occluded, name="lungs occluded"),
        figures(0.5, 0.5, name="only the border"),
        figures(0.5, 0.5, name="only the lungs"),
        figures(turned, 0.8, "rotation", "turned by +5°"),
        figures(0.9, 0.8, "contrast", "contrast 50%"),
    ]
    return " ".join(
        verdict(
            {
                "images": 100,
                "classes": CLASSES,
                "conditions": conditions,
                "shortcut_baseline": [figures(*baseline)],
                "majority": {"class": "well", "accuracy": 0.5},
            }
        )
    )


@pytest.mark.parametrize(
    ("baseline", "sentence"),
    [
        ((0.7, 0.7), "beats this baseline; only"),
        ((0.7, 0.95), "beats this baseline in accuracy, but not in balanced accuracy"),
        ((0.89, 0.7), "beats this baseline in balanced accuracy, but not in accuracy"),  # inside the interval of 0.9
        ((0.95, 0.95), "does not beat this baseline"),
    ],
)
def test_the_network_is_held_against_the_baseline(baseline, sentence):
    assert sentence in told((0.9, 0.9), baseline)


def test_the_verdict_in_degrees():
    assert "some of its score does not come from the lungs" in told((0.9, 0.9), (0.5, 0.5), occluded=(0.6, 0.62))
    assert "hardly does better than chance" in told((0.9, 0.52), (0.5, 0.5))
    assert "turned by +5°: 60.0% right, 30.0 points less" in told((0.9, 0.9), (0.5, 0.5), turned=0.6)
    assert "turns and shifts tried hardly matter" in told((0.9, 0.9), (0.5, 0.5))
    assert "sensitivity for sick (90.0%) lies between 80.0% and 80.0%" in told((0.9, 0.9), (0.5, 0.5))


# ------------------------------------------------------------------------------------------- a whole run


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    cache = tmp_path_factory.mktemp("cache")
    config = Config(size=64, phantoms=12, epochs=1, batch_size=8)
    return pipeline.start(config, tmp_path_factory.mktemp("runs") / "run", cache), cache


@pytest.fixture(scope="module")
def audit(run):
    return audit_run(*run, workers=1)


def test_the_audit_of_a_run_is_json_and_text(run, audit):
    folder = run[0]
    tests = [image for image in folder.images() if image.split == "test"]
    assert audit["images"] == len(tests)
    assert audit["conditions"][0]["accuracy"] == pytest.approx(folder.metrics()["accuracy"])
    assert len(audit["shortcut_baseline"]) == 4
    text = format_run_audit(json.loads(json.dumps(audit)))
    assert all(sentence in text for sentence in audit["verdict"])
    assert all(row["name"] in text for row in audit["conditions"])


def test_the_figures_of_an_audit_are_drawn(run, audit, tmp_path):
    images = example_images(*run)
    assert [image.shape for image in images.values()] == [(1, 64, 64)] * 3
    perturbation_chart(audit, tmp_path / "changes.png")
    occlusion_sheet(images, tmp_path / "occlusions.png")
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in tmp_path.iterdir())


def test_a_run_whose_images_are_gone_is_a_data_error(run, tmp_path):
    config = json.loads(run[0].config_file.read_text())
    moved = Run(tmp_path)
    moved.config_file.write_text(json.dumps({**config, "data": str(tmp_path / "gone")}))
    moved.manifest_file.write_bytes(run[0].manifest_file.read_bytes())
    with pytest.raises(DataError, match="not in .*gone"):
        audit_run(moved, run[1])
