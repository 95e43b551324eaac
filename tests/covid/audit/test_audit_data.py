import hashlib
import json

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont
from scipy.stats import chi2_contingency

from covid.audit.audit_data import association, audit_data, feature_table, format_data_audit
from covid.audit.image_features import frame, image_features, letter_boxes
from covid.data.collect import collect
from covid.data.manifest import Radiograph
from covid.data.phantom import CLASSES, phantom
from covid.errors import DataError

SIZE = 160


def drawn(i, label="Normal", size=SIZE):
    return phantom(label, np.random.default_rng([7, i]), size)


# ------------------------------------------------------------------------------------------------- image features


def lettered(text, where, size=18, ground=40):
    rng = np.random.default_rng(0)
    image = Image.fromarray((ground + 10 * rng.random((256, 256))).astype(np.uint8))
    ImageDraw.Draw(image).text(where, text, fill=250, font=ImageFont.load_default(size))
    return np.asarray(image)


def test_letters_in_the_margin_are_counted_and_placed():
    boxes = letter_boxes(lettered("L R H", (15, 170)))
    assert len(boxes) == 3
    assert all(165 < top < bottom < 195 for top, _, bottom, _ in boxes)


@pytest.mark.parametrize("factor", [1, 3])
def test_letter_boxes_are_in_pixels_of_the_image(factor):
    image = lettered("R", (15, 120), size=20).repeat(factor, axis=0).repeat(factor, axis=1)
    ((top, left, bottom, right),) = letter_boxes(image)
    bright = np.argwhere(image > 200)
    assert (
        np.abs(np.array([top, left, bottom, right]) - [*bright.min(axis=0), *(bright.max(axis=0) + 1)]).max()
        <= 3 * factor
    )


def test_no_letters_are_seen_over_the_lungs_or_in_soft_bright_spots():
    assert letter_boxes(lettered("R", (120, 120))) == []
    y, x = np.mgrid[:256, :256]
    soft = 40 + 200 * np.exp(-((y - 120) ** 2 + (x - 25) ** 2) / (2 * 8**2))
    assert letter_boxes(soft.astype(np.uint8)) == []


def test_the_cues_of_a_file(tmp_path):
    pixels = np.full((60, 100, 3), 100, np.uint8)
    pixels[:, 50:] = 0
    Image.fromarray(pixels).save(tmp_path / "image.png")
    features = image_features(tmp_path / "image.png")
    assert (features.width, features.height, features.format, features.mode) == (100, 60, "PNG", "RGB")
    assert features.bytes == (tmp_path / "image.png").stat().st_size
    assert (features.brightness, features.spread, features.black, features.white) == (50, 50, 0.5, 0)
    assert (features.border, features.letters, features.letter_height) == (50, 0, 0.5)


def test_a_frame_has_the_width_asked_for():
    mask = frame((100, 50), 0.1)
    assert mask.sum() == 100 * 50 - 80 * 40
    assert not mask[10:90, 5:45].any()


def test_feature_table_by_hand():
    labels = ["sick"] * 2 + ["well"] * 8
    values = ["PNG", "JPEG"] + ["JPEG"] * 8
    table = feature_table(labels, values, ["sick", "well"])
    assert table["values"] == ["PNG", "JPEG"]
    assert table["counts"] == {"sick": [1, 1], "well": [0, 8]}
    assert table["accuracy"] == 0.9
    assert table["balanced_accuracy"] == 0.75  # half of the sick by PNG, all of the well by JPEG


def test_association_is_that_of_scipy():
    table = np.array([[10, 3, 2], [4, 9, 1], [1, 2, 20]])
    expected = chi2_contingency(table, correction=False)
    v, p = association(table)
    assert v == pytest.approx(np.sqrt(expected.statistic / (52 * 2)))
    assert p == pytest.approx(expected.pvalue)
    assert association([[3, 4]]) == (0, 1)


# ------------------------------------------------------------------------------------------- the audit


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Twelve images a class; one of Normal's twice as it is, one again as a JPEG; COVID-19's are all large JPEGs."""
    root = tmp_path_factory.mktemp("images")
    for label in CLASSES:
        (root / label).mkdir()
        for i in range(12):
            covid = label == "COVID-19"
            image = Image.fromarray(drawn(100 * CLASSES.index(label) + i, label, 300 if covid else SIZE))
            image.save(root / label / f"{i:02d}.{'jpg' if covid else 'png'}")
    original = root / "Normal" / "00.png"
    (root / "Normal" / "copy.png").write_bytes(original.read_bytes())
    Image.open(original).resize((200, 200)).save(root / "Normal" / "smaller.jpg")
    return root


@pytest.fixture(scope="module")
def audit(folder):
    return audit_data(folder, workers=1)


def test_planted_copies_are_reported(audit):
    assert audit["images"] == 38
    assert audit["exact"] == {
        "groups": 1,
        "images": 2,
        "groups_across_classes": 0,
        "list": [["Normal/00.png", "Normal/copy.png"]],
    }
    assert [pair["images"] for pair in audit["near"]["list"]] == [
        ["Normal/00.png", "Normal/smaller.jpg"],
        ["Normal/copy.png", "Normal/smaller.jpg"],
    ]


def test_a_file_property_that_gives_a_class_away_is_reported(audit):
    formats = audit["image_features"]["file format"]
    assert formats["counts"]["COVID-19"] == [0, 12]
    assert formats["values"] == ["PNG", "JPEG"]
    verdict = " ".join(audit["verdict"])
    assert "longer side 66.7%" in verdict
    assert "Every COVID-19 image comes from" not in verdict  # one folder is the source of all
    assert "Nothing here tells the patients" in verdict


def test_the_report_is_text_and_json(audit):
    text = format_data_audit(json.loads(json.dumps(audit)))
    assert all(sentence in text for sentence in audit["verdict"])
    assert "Class by file format" in text


def manifest(root, images):
    """Images of an image each in `root`, given as (name, label, source, patient, split)."""
    rows = []
    for i, (name, label, source, patient, side) in enumerate(images):
        Image.fromarray(drawn(i, size=64)).save(root / name)
        sha256 = hashlib.sha256((root / name).read_bytes()).hexdigest()
        rows.append(Radiograph(name, label, source, patient, "", sha256, side))
    return rows


def test_leaks_of_a_runs_split(tmp_path):
    images = manifest(
        tmp_path,
        [
            ("a.png", "Normal", "Kermany", "p1", "train"),
            ("b.png", "Normal", "Kermany", "p1", "test"),
            ("c.png", "Normal", "Kermany", "p2", "test"),
            ("d.png", "COVID-19", "Cohen", "p3", "validation"),
            ("e.png", "COVID-19", "Cohen", "p4", "test"),
            ("f.png", "COVID-19", "Cohen", "p5", "train"),
        ],
    )
    Image.open(tmp_path / "d.png").resize((90, 90)).save(tmp_path / "e.png")  # e is d again, under another name
    leaks = audit_data(tmp_path, images, workers=1)["splits"]["run"]
    assert leaks["images"] == {"train": 2, "validation": 1, "test": 3}
    assert leaks["test_images_met"] == {"same_file": 0, "near_duplicate": 1, "same_patient": 1, "any": 2}
    assert leaks["classes"] == {"COVID-19": {"met": 1, "test": 1}, "Normal": {"met": 1, "test": 2}}
    assert leaks["patients_across"] == 1


def test_verdict_of_a_clean_run_and_of_a_source_of_its_own(tmp_path):
    images = manifest(
        tmp_path,
        [
            (
                f"{i}.png",
                *(("COVID-19", "Cohen") if i % 2 else ("Normal", "Kermany")),
                f"p{i}",
                "test" if i > 3 else "train",
            )
            for i in range(6)
        ],
    )
    verdict = " ".join(audit_data(tmp_path, images, workers=1)["verdict"])
    assert "keeps its 2 test images apart" in verdict
    assert "Every COVID-19 image comes from Cohen" in verdict


def test_a_folder_too_small_to_split_is_audited_all_the_same(tmp_path):
    for label in ("NORMAL", "COVID19"):
        (tmp_path / label).mkdir()
        Image.fromarray(drawn(len(label), size=64)).save(tmp_path / label / "a.png")
    audit = audit_data(tmp_path, workers=1)
    assert "too few" in audit["splits"]["patient"]["problem"]
    assert "The patient split is not possible" in format_data_audit(audit)


def test_nothing_to_audit_is_a_data_error(tmp_path):
    with pytest.raises(DataError, match="can be used"):
        audit_data(tmp_path, [Radiograph("a.png", "Normal", "folder", "a", "", excluded="unreadable")])
    images = [image for image in collect_one(tmp_path)]
    (tmp_path / images[0].path).write_bytes(b"no image")
    with pytest.raises(DataError, match="unreadable"):
        audit_data(tmp_path, images)


def collect_one(root):
    (root / "NORMAL").mkdir()
    Image.fromarray(drawn(0, size=64)).save(root / "NORMAL" / "a.png")
    return collect(root)
