"""The manifest: written and read back, refused when damaged, and summed up."""

import csv
import io
from dataclasses import replace

import pytest

from covid.data.manifest import Radiograph, read_manifest, summary, write_manifest
from covid.errors import DataError

IMAGES = [
    Radiograph("a/é, \"x\"\n1.png", "COVID-19", "folder", "p1", "PA", "0" * 64, "train"),
    Radiograph("b.png", "Normal", "folder", "p2", "", "1" * 64, "validation"),
    Radiograph("b2.png", "Normal", "folder", "p2", "", "2" * 64, "test"),
    Radiograph("c.png", "SARS", "Cohen", "p3", "L", excluded="view: L"),
    Radiograph("d\udcff.png", "Zoster", "folder", "p4", "", "3" * 64),  # a file name that is not UTF-8
]  # fmt: skip


def test_manifest_round_trips(tmp_path):
    write_manifest(tmp_path / "m.csv", IMAGES)
    assert read_manifest(tmp_path / "m.csv") == IMAGES
    header = (tmp_path / "m.csv").read_bytes().split(b"\n")[0]
    assert header == b"path,class,source,patient,view,sha256,split,excluded"
    assert next(csv.DictReader(io.StringIO((tmp_path / "m.csv").read_text(errors="replace"))))["class"] == "COVID-19"


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (b"class", b"label", "does not begin with the columns path,class"),
        (b"b.png,", b"b.png,,", "line 4: 9 values, not 8"),
        (b",validation,", b",valid,", "line 4: split 'valid' is none of"),
        (b"1" * 64, b"1" * 60, "line 4: sha256 '1{60}' is damaged"),
    ],
)
def test_damaged_manifests_are_told(tmp_path, old, new, message):
    write_manifest(path := tmp_path / "m.csv", IMAGES)
    path.write_bytes(path.read_bytes().replace(old, new, 1))
    with pytest.raises(DataError, match=message):
        read_manifest(path)


def test_missing_or_empty_manifest(tmp_path):
    with pytest.raises(DataError, match="m.csv cannot be read: .*No such file"):
        read_manifest(tmp_path / "m.csv")
    (tmp_path / "m.csv").touch()
    with pytest.raises(DataError, match="does not begin"):
        read_manifest(tmp_path / "m.csv")


def test_summary_counts_by_class_split_and_reason():
    lines = summary(IMAGES).splitlines()
    assert [line.split() for line in lines[:4]] == [
        ["class", "train", "validation", "test", "images"],
        ["COVID-19", "1", "0", "0", "1"],
        ["Normal", "0", "1", "1", "2"],
        ["Zoster", "0", "0", "0", "1"],
    ]
    assert lines[4:] == ["", "left out: 1", "     1  view: L"]
    assert len({len(line) for line in lines[:4]}) == 1
    unsplit = [replace(image, split="") for image in IMAGES]
    assert summary(unsplit).splitlines()[0].split() == ["class", "images"]
