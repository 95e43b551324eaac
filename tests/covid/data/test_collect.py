import csv
import hashlib
import zipfile
from collections import Counter

import numpy as np
import pytest
from PIL import Image

from covid.data.collect import collect
from covid.data.manifest import class_names
from covid.errors import DataError

RNG = np.random.default_rng(0)
NEW = "patientid,offset,sex,age,finding,RT_PCR_positive,survival,view,modality,date,location,folder,filename,doi,,"
KERMANY = {
    "train/NORMAL": ["IM-0115-0001.jpeg", "IM-0119-0001-0002.jpeg", "IM-0119-0001.jpeg", "NORMAL2-IM-0115-0001.jpeg"],
    "train/PNEUMONIA": ["person1_bacteria_2.jpeg", "person1_virus_7.jpeg", "person12_virus_9_1.jpeg"],
    "val/PNEUMONIA": ["person1946_bacteria_4874.jpeg"],
    "test/NORMAL": ["NORMAL2-IM-0007-0001.jpeg"],
    "test/PNEUMONIA": ["person1_virus_6.jpeg"],
}


def write_image(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(RNG.integers(0, 256, (12, 10), dtype=np.uint8)).save(path)
    return path


def kermany(folder):
    for part, names in KERMANY.items():
        for name in names:
            write_image(folder / part / name)


def cohen(folder, rows, header=NEW):
    """metadata.csv with the given rows, and an image for each row that names one which is not called missing."""
    columns = header.split(",")
    (folder / "images").mkdir(parents=True)
    with open(folder / "metadata.csv", "w", newline="") as file:
        table = csv.writer(file)
        table.writerow(columns)
        for row in rows:
            table.writerow([row.get(column, "") for column in columns])
            if row["filename"].endswith(("png", "jpg")) and "missing" not in row["filename"]:
                write_image(folder / "images" / row["filename"])


def row(filename, **other):
    image = {"patientid": "7", "finding": "COVID-19", "view": "PA", "modality": "X-ray", "folder": "images"}
    return image | {"filename": filename} | other


def by_name(images):
    return {image.path.split("/")[-1] or image.path: image for image in images}


# ------------------------------------------------------------------------------------------------ Kermany


@pytest.mark.parametrize("place", ["chest_xray", "chest_xray/chest_xray", "."])
def test_kermany(tmp_path, place):
    kermany(tmp_path / place)
    (tmp_path / place / "train/NORMAL/.DS_Store").write_bytes(b"x")
    (tmp_path / place / "train/NORMAL/notes.txt").write_text("x")
    write_image(tmp_path / "__MACOSX/train/NORMAL/._IM-0115-0001.jpeg")
    images = collect(tmp_path)
    kept = [f for f in images if not f.excluded]
    assert Counter(f.label for f in kept) == {"Normal": 5, "Pneumonia": 5}
    assert [(f.path, f.excluded) for f in images if f.excluded] == [
        ((f"{place}/" if place != "." else "") + "train/NORMAL/notes.txt", "not an image: .txt")
    ]
    for image in kept:
        assert image.sha256 == hashlib.sha256((tmp_path / image.path).read_bytes()).hexdigest()
        assert (image.source, image.view, image.split) == ("Kermany", "AP", "")
    assert {f.path.split("/")[-1]: f.patient for f in kept} == {
        "IM-0115-0001.jpeg": "Kermany/IM-0115",
        "IM-0119-0001.jpeg": "Kermany/IM-0119",
        "IM-0119-0001-0002.jpeg": "Kermany/IM-0119",
        "NORMAL2-IM-0115-0001.jpeg": "Kermany/NORMAL2-IM-0115",
        "NORMAL2-IM-0007-0001.jpeg": "Kermany/NORMAL2-IM-0007",
        "person1_bacteria_2.jpeg": "Kermany/person1",
        "person1_virus_7.jpeg": "Kermany/person1",
        "person12_virus_9_1.jpeg": "Kermany/person12",
        "person1946_bacteria_4874.jpeg": "Kermany/person1946",
        "person1_virus_6.jpeg": "Kermany/test/person1",
    }


def test_the_second_copy_in_kaggles_archive_is_not_counted(tmp_path):
    kermany(tmp_path / "chest_xray")
    kermany(tmp_path / "chest_xray" / "chest_xray")
    assert len(collect(tmp_path)) == 10


# -------------------------------------------------------------------------------------------------- Cohen


@pytest.mark.parametrize("place", ["covid-chestxray-dataset", "covid-chestxray-dataset-master", "."])
def test_cohen_today(tmp_path, place):
    cohen(tmp_path / place, [
        row("a.png"),
        row("b.png", finding="COVID-19, ARDS", view="AP", patientid="8"),
        row("c.jpg", finding="Pneumonia/Viral/COVID-19", view="AP Erect", patientid=""),
        row("d.png", finding="SARS"),
        row("e.png", finding="Pneumonia/Bacterial/Streptococcus"),
        row("f.png", view="L", finding="SARS"),
        row("g.png", view="AP Supine"),
        row("h.png", view="Axial", modality="CT"),
        row("i.nii.gz", view="Axial", modality="CT", folder="volumes"),
        row("missing.png"),
        row("j.png", finding=""),
        row("k.png", view=""),
        row(""),
        row(" l.png ", finding=" covid-19 ") | {"filename": "l.png"},
    ])  # fmt: skip
    write_image(tmp_path / place / "images/unlisted.png")
    images = collect(tmp_path)
    assert {name: f.excluded for name, f in by_name(images).items()} == {
        "a.png": "", "b.png": "", "c.jpg": "", "l.png": "",
        "d.png": "finding: SARS", "e.png": "finding: Pneumonia/Bacterial/Streptococcus",
        "f.png": "view: L", "g.png": "view: AP Supine", "h.png": "modality: CT", "i.nii.gz": "archive",
        "missing.png": "file is missing", "j.png": "finding: not given", "k.png": "view: not given",
        "images": "no file name", "unlisted.png": "no row in metadata.csv",
    }  # fmt: skip
    named = by_name(images)
    assert {f.label for f in images if not f.excluded} == {"COVID-19"} == set(class_names(images))
    assert (named["a.png"].patient, named["b.png"].patient) == ("Cohen/7", "Cohen/8")
    assert named["c.jpg"].patient == "Cohen/c.jpg"
    assert (named["b.png"].view, named["b.png"].source, named["d.png"].label) == ("AP", "Cohen", "SARS")


def test_cohen_of_march_2020(tmp_path):
    header = "Patientid,offset,sex,age,finding,survival,view,date,location,filename,doi, url,license,notes"
    cohen(tmp_path / "covid-chestxray-dataset", [
        {"Patientid": "17", "finding": "COVID-19", "view": "AP", "filename": "a.jpg"},
        {"Patientid": "17", "finding": "COVID-19", "view": "CT", "filename": "b.jpg"},
        {"Patientid": "17", "finding": "COVID-19", "view": "L", "filename": "c.jpg"},
    ], header)  # fmt: skip
    images = collect(tmp_path)
    assert [f.excluded for f in images] == ["", "modality: CT", "view: L"]
    assert {f.patient for f in images} == {"Cohen/17"}


def test_ragged_rows_and_byte_order_mark(tmp_path):
    folder = tmp_path / "covid-chestxray-dataset"
    write_image(folder / "images/a.png")
    text = "patientid,finding,view,filename,modality,notes\n1,COVID-19,PA,a.png,X-ray\n2,SARS,PA,b.png,X-ray,n,extra\n"
    (folder / "metadata.csv").write_text(text, encoding="utf-8-sig")
    assert [f.excluded for f in collect(tmp_path)] == ["", "finding: SARS"]


@pytest.mark.parametrize("column", ["patientid", "finding", "view", "filename"])
def test_a_missing_column_is_named(tmp_path, column):
    columns = [c for c in NEW.split(",") if c != column]
    cohen(tmp_path / "covid-chestxray-dataset", [row("a.png")], ",".join(columns))
    with pytest.raises(DataError, match=f"metadata.csv has no column '{column}'"):
        collect(tmp_path)


@pytest.mark.parametrize("root_itself", [False, True])
def test_missing_metadata(tmp_path, root_itself):
    folder = tmp_path / "covid-chestxray-dataset"
    write_image(folder / "images/a.png")
    with pytest.raises(DataError, match="metadata.csv is missing"):
        collect(folder if root_itself else tmp_path)


def test_both_sources_and_a_folder_of_neither(tmp_path):
    kermany(tmp_path / "chest_xray")
    cohen(tmp_path / "covid-chestxray-dataset", [row("a.png", patientid="person1")])
    write_image(tmp_path / "COVID/own.png")
    images = collect(tmp_path)
    assert class_names(images) == ["COVID-19", "Normal", "Pneumonia"]
    assert [f.path for f in images if f.excluded] == ["COVID/"]
    assert images[-1].excluded == "folder not used: COVID/" and images[-1].sha256 == ""
    patients = {f.source: {g.patient for g in images if g.source == f.source} for f in images}
    assert not patients["Cohen"] & patients["Kermany"]


# ----------------------------------------------------------------------------------------- class folders


def test_one_folder_a_class(tmp_path):
    for folder in ("NORMAL", "covid19", "COVID-19", "Pneumonia", "Tuberculosis", "Asthma"):
        write_image(tmp_path / folder / f"{folder}1.png")
    write_image(tmp_path / "NORMAL/masks/NORMAL1.png")
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs/about.txt").write_text("x")
    (tmp_path / "readme.txt").write_text("x")
    images = collect(tmp_path)
    assert class_names(images) == ["COVID-19", "Normal", "Pneumonia", "Asthma", "Tuberculosis"]
    assert {f.path: f.label for f in images if f.label == "COVID-19"} == {
        "COVID-19/COVID-191.png": "COVID-19",
        "covid19/covid191.png": "COVID-19",
    }
    assert {f.excluded for f in images} == {"", "folder not used: NORMAL/masks/", "folder not used: docs/"}
    kept = [f for f in images if not f.excluded]
    assert len({f.patient for f in kept}) == len(kept) == 6 and {f.source for f in kept} == {"folder"}


def test_a_class_without_usable_images_is_an_error(tmp_path):
    kermany(tmp_path / "chest_xray")
    for part in ("train", "val", "test"):
        for path in (tmp_path / f"chest_xray/{part}/NORMAL").glob("*"):
            path.unlink()
    with pytest.raises(DataError, match="no images of class NORMAL"):
        collect(tmp_path)

    write_image(tmp_path / "folders/COVID/1.png")
    (tmp_path / "folders/NORMAL").mkdir()
    with pytest.raises(DataError, match="NORMAL is a class with no images"):
        collect(tmp_path / "folders")
    (tmp_path / "folders/NORMAL/1.png").write_text("not an image")
    with pytest.raises(DataError, match=r"class Normal has no usable image \(1 × unreadable: not an image\)"):
        collect(tmp_path / "folders")


def test_damaged_files_say_why(tmp_path):
    for i in range(40):  # enough for other processes
        write_image(tmp_path / f"COVID/{i:02d}.png")
    whole = write_image(tmp_path / "NORMAL/whole.png").read_bytes()
    (tmp_path / "NORMAL/half.png").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "NORMAL/page.jpg").write_text("<html>404</html>")
    (tmp_path / "NORMAL/more.zip").write_bytes(b"PK")
    images = collect(tmp_path, workers=2)
    assert {name: f.excluded for name, f in by_name(images).items() if f.excluded} == {
        "half.png": "unreadable: truncated image", "page.jpg": "unreadable: not an image", "more.zip": "archive",
    }  # fmt: skip
    for image in images:
        expected = "" if image.excluded else hashlib.sha256((tmp_path / image.path).read_bytes()).hexdigest()
        assert image.sha256 == expected


def test_patients_with_the_same_image_are_one(tmp_path):
    rows = [
        row(name, patientid=patient, finding="COVID-19")
        for name, patient in (("a.png", "1"), ("b.png", "1"), ("copy.jpg", "2"), ("own.png", "2"), ("c.png", "3"))
    ]
    cohen(tmp_path, rows)
    rng = np.random.default_rng(8)
    for name in ("a.png", "b.png", "own.png", "c.png"):  # images as different as noise can be, smooth as images are
        image = Image.fromarray(rng.integers(0, 256, (9, 9), dtype=np.uint8))
        image.resize((160, 160), Image.Resampling.BICUBIC).save(tmp_path / "images" / name)
    with Image.open(tmp_path / "images/b.png") as image:
        image.resize((90, 100)).point(lambda grey: 0.8 * grey + 20).save(tmp_path / "images/copy.jpg", quality=70)
    images = by_name(collect(tmp_path))
    assert {name: image.patient for name, image in images.items()} == {
        "a.png": "Cohen/1",
        "b.png": "Cohen/1",
        "copy.jpg": "Cohen/1",
        "own.png": "Cohen/1",
        "c.png": "Cohen/3",
    }


def test_nothing_to_find(tmp_path):
    with pytest.raises(DataError, match="nowhere is not a folder; expected chest_xray"):
        collect(tmp_path / "nowhere")
    with pytest.raises(DataError, match="no images in .* expected chest_xray.*one folder a class"):
        collect(tmp_path)
    write_image(tmp_path / "train/covid/a.png")  # classes one level too deep must not become the classes train and test
    with zipfile.ZipFile(tmp_path / "chest_xray.zip", "w"):
        pass
    with pytest.raises(DataError, match="Unpack archives first"):
        collect(tmp_path)
