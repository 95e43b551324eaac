"""The table of predictions: written and read back, chosen from, and refused when damaged."""

import numpy as np
import pytest

from covid.data.manifest import Radiograph
from covid.errors import DataError
from covid.runs.predictions import Predictions

IMAGES = [
    Radiograph("a, b/1.png", "Normal", "Kermany", "Kermany/person1", "AP", split="test"),
    Radiograph("ü.jpg", "COVID-19", "Cohen", "Cohen/7", "PA", split="validation"),
    Radiograph("c.jpg", "Normal", "Kermany", "Kermany/person2", "AP", split="test"),
]
P = np.array([[0.25, 0.75], [0.9, 0.1], [1 - 1e-9, 1e-9]])


def test_written_and_read_back(tmp_path):
    table = Predictions.of_images(IMAGES, ("COVID-19", "Normal"), P)
    assert table.targets.tolist() == [1, 0, 1] and table.outputs.tolist() == [1, 0, 0]
    table.write(tmp_path / "p.csv")
    assert (tmp_path / "p.csv").read_text(encoding="utf-8").splitlines()[0] == (
        "path,patient,source,split,class,p COVID-19,p Normal"
    )
    again = Predictions.read(tmp_path / "p.csv")
    assert again.classes == table.classes
    for name in ("paths", "patients", "sources", "splits", "targets"):
        assert getattr(again, name).tolist() == getattr(table, name).tolist()
    np.testing.assert_allclose(again.probabilities, P, rtol=1e-8)


def test_choosing():
    test = Predictions.of_images(IMAGES, ("COVID-19", "Normal"), P).of("test")
    assert len(test) == 2 and test.paths.tolist() == ["a, b/1.png", "c.jpg"] and test.probabilities[1, 0] > 0.99


@pytest.mark.parametrize(
    "text",
    [
        "",
        "path,class\na,Normal\n",
        "path,patient,source,split,class,p Normal\n",
        "path,patient,source,split,class,p Normal\na,b,c,test,Other,1\n",
        "path,patient,source,split,class,p Normal\na,b,c,test,Normal,one\n",
        "path,patient,source,split,class,p Normal\na,b,c,test,Normal\n",
    ],
)
def test_a_damaged_table_is_refused(tmp_path, text):
    (tmp_path / "p.csv").write_text(text)
    with pytest.raises(DataError, match=r"p\.csv cannot be read .*covid evaluate"):
        Predictions.read(tmp_path / "p.csv")


def test_a_missing_table_is_refused(tmp_path):
    with pytest.raises(DataError, match="No such file"):
        Predictions.read(tmp_path / "p.csv")
