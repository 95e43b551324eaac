"""The model card and the data card say what the run's own files say."""

import numpy as np
import pytest

from covid.config import preset
from covid.data.manifest import Radiograph, write_manifest
from covid.evaluation.measure import measure
from covid.models.paper import paper_network
from covid.report.cards import data_card, licences, model_card
from covid.runs.predictions import Predictions
from covid.runs.run import Run

MITCHELL = (
    "Model details",
    "Intended use",
    "Factors",
    "Metrics",
    "Evaluation data",
    "Training data",
    "Quantitative analyses",
    "Ethical considerations",
    "Caveats and recommendations",
)


def image(path, label, source, patient, split, excluded=""):
    return Radiograph(path, label, source, f"{source}/{patient}", "PA", "" if excluded else "0" * 64, split, excluded)


IMAGES = [
    image("cohen/images/a.png", "COVID-19", "Cohen", 1, "train"),
    image("cohen/images/b.png", "COVID-19", "Cohen", 1, "test"),
    image("cohen/images/c.jpg", "COVID-19", "Cohen", 2, "test"),
    image("cohen/images/d.jpg", "COVID-19", "Cohen", 3, "", "view: L"),
    image("cohen/images/e.jpg", "COVID-19", "Cohen", 3, "", "view: L"),
    image("chest_xray/train/NORMAL/IM-1-1.jpeg", "Normal", "Kermany", "IM-1", "train"),
    image("chest_xray/train/NORMAL/IM-2-1.jpeg", "Normal", "Kermany", "IM-2", "test"),
]
METADATA = """﻿patientid,finding,view,filename,License
1,COVID-19,PA,a.png,CC BY-NC-SA
1,COVID-19,PA,b.png,
2,COVID-19,PA,c.jpg,CC BY-NC-SA
3,COVID-19,L,d.jpg,Apache 2.0
"""


@pytest.fixture
def run(tmp_path):
    """A run on four images of Cohen's and Kermany's, right in two of three test images."""
    (tmp_path / "data/cohen").mkdir(parents=True)
    (tmp_path / "data/cohen/metadata.csv").write_text(METADATA, encoding="utf-8")
    run = Run(tmp_path / "run")
    run.folder.mkdir()
    classes = ("COVID-19", "Normal")
    preset("paper", data=str(tmp_path / "data"), split="paper", classes=classes, size=64).write(run.config_file)
    write_manifest(run.manifest_file, IMAGES)
    test = [image for image in IMAGES if image.split == "test"]
    run.write_metrics(measure(Predictions.of_images(test, classes, np.array([[0.9, 0.1], [0.2, 0.8], [0.1, 0.9]]))))
    paper_network(classes=2, size=64).save(run.weights_file())
    return run


def test_licences_are_looked_up_image_by_image(run, tmp_path):
    assert licences(tmp_path / "data", IMAGES[:3]) == {
        "cohen/images/a.png": "CC BY-NC-SA",
        "cohen/images/b.png": "not given",
        "cohen/images/c.jpg": "CC BY-NC-SA",
    }
    assert licences(tmp_path / "nowhere", IMAGES) is None
    assert licences(tmp_path / "data", IMAGES[5:]) == {}


def test_the_data_card_counts_images_patients_licences_and_what_was_left_out(run):
    card = data_card(run)
    assert "| COVID-19 | 1 (1) | 2 (2) | 3 (2) |" in card  # patient 1 is on both sides
    assert "| all | 2 (2) | 3 (3) | 5 (4) |" in card
    assert "with images both in training and outside it: 1." in card
    assert "3 images of Cohen et al., image by image: 2 CC BY-NC-SA, 1 not given." in card  # not d.jpg, which is unused
    assert "2 images of Kermany et al.: CC BY 4.0." in card
    assert "| 2 | view: L |" in card
    assert "image by image" in card and "Not for clinical use" in card


def test_without_the_data_the_data_card_says_that_licences_cannot_be_listed(run, tmp_path):
    (tmp_path / "data/cohen/metadata.csv").unlink()
    assert "its metadata.csv is no longer in the data folder" in data_card(run)


def test_the_model_card_has_the_headings_of_mitchell_and_the_numbers_of_the_run(run):
    card = model_card(run)
    headings = [line.removeprefix("## ") for line in card.splitlines() if line.startswith("## ")]
    assert headings == list(MITCHELL)
    parameters = sum(array.size for array in run.network().parameters().values())
    assert f"{parameters:,} parameters" in card
    assert "Accuracy 66.7 % (20.8 to 93.9) of 3 images" in card  # Wilson's interval of 2/3, from scipy
    assert "| COVID-19 | 100.0 (20.7 to 100.0) | 50.0 (9.5 to 90.5) | 100.0 (20.7 to 100.0) | 2 |" in card
    assert "Not for clinical use" in card
