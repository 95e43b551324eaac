"""The report says what the run's files say, in every format, and opens anywhere."""

import csv
import json
import re
import shutil
import subprocess
from html.parser import HTMLParser

import numpy as np
import pytest

from covid import pipeline
from covid.audit.audit_run import audit_run
from covid.config import preset
from covid.data.phantom import write_phantoms
from covid.errors import DataError
from covid.models.paper import paper_network
from covid.report.collection import collection
from covid.report.content import content
from covid.report.document import Bullets, Links, Report, Section, Table
from covid.report.files import write, write_collection
from covid.report.render import markdown_table, to_html, to_markdown
from covid.report.settings import configuration, table_1
from covid.runs.predictions import Predictions
from covid.runs.run import Run, write_json

CLASSES = ("COVID-19", "Normal", "Pneumonia")


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def experiments(cache, tmp_path_factory):
    """A folder with the experiments paper and patient, one epoch each, on phantoms laid out as the two collections."""
    folder = tmp_path_factory.mktemp("experiments")
    drawn, data = folder / "drawn", folder / "data"
    write_phantoms(drawn, 24, 0, 64)
    images = {path.name: sorted(path.iterdir()) for path in drawn.iterdir() if path.is_dir()}
    cohen = data / "covid-chestxray-dataset/images"
    cohen.mkdir(parents=True)
    with (cohen.parent / "metadata.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["patientid", "finding", "view", "filename", "license"])
        for i, path in enumerate(images["COVID-19"]):
            shutil.copy(path, cohen / f"{i:02}.png")
            rows.writerow([i // 2, "COVID-19", "PA", f"{i:02}.png", "CC BY"])
    for label, name in (("Normal", "IM-{:04}-{:04}.png"), ("Pneumonia", "person{}_virus_{}.png")):
        for i, path in enumerate(images[label]):
            target = data / "chest_xray" / ("test" if i >= 20 else "train") / label.upper() / name.format(i // 2, i)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, target)
    for split in ("paper", "patient"):
        config = preset("paper", data=str(data), split=split, size=64, epochs=1, batch_size=16)
        pipeline.start(config, folder / split / "seed-0", cache)
    return folder


@pytest.fixture(scope="module")
def phantom_run(cache, tmp_path_factory):
    config = preset("phantom", size=64, phantoms=24, batch_size=16, epochs=2, seed=3)
    run = pipeline.start(config, tmp_path_factory.mktemp("runs") / "first", cache)
    write(run, cache)
    return run


class Page(HTMLParser):
    """Elements, texts and links of a page; fails on tags that do not close in order."""

    VOID = ("meta", "link", "img", "br")

    def __init__(self, text):
        super().__init__()
        self.open, self.elements, self.texts = [], [], []
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.texts.append(data)

    def all(self, tag):
        return [attributes for name, attributes in self.elements if name == tag]


# --------------------------------------------------------------------------------------------- one run's report


def test_the_page_is_well_formed_self_contained_and_accessible(phantom_run):
    text = (phantom_run.folder / "report.html").read_text()
    page = Page(text)
    assert page.all("html") == [{"lang": "en"}] and len(page.all("title")) == 1 and len(page.all("h1")) == 1
    assert not page.all("script") and "url(" not in text and "@import" not in text
    assert len(page.all("img")) >= 6
    for image in page.all("img"):
        assert image["src"].startswith("data:image/png;base64,") and len(image["alt"]) > 20
        assert int(image["width"]) > 500
    ids = {attributes["id"] for _, attributes in page.elements if "id" in attributes}
    for link in page.all("a"):
        href = link["href"]
        assert href[1:] in ids if href.startswith("#") else (phantom_run.folder / href).is_file()
    assert len(page.all("table")) == len(page.all("caption"))
    assert all(link["href"].startswith("data:") for link in page.all("link"))


def test_the_numbers_are_those_of_the_metrics_in_every_format(phantom_run):
    metrics = json.loads((phantom_run.folder / "metrics.json").read_text())
    report = json.loads((phantom_run.folder / "report.json").read_text())
    assert report["data"]["metrics"] == metrics
    assert report["data"]["environment"]["training_seconds"] > 0
    right, n = int(np.trace(metrics["confusion"])), int(np.sum(metrics["confusion"]))
    headline = f"It classifies {100 * right / n:.1f} % of the {n} test images correctly"
    text = " ".join(Page((phantom_run.folder / "report.html").read_text()).texts)
    markdown = (phantom_run.folder / "report.md").read_text()
    for written in (text, markdown, json.dumps(report, ensure_ascii=False)):
        assert headline in written and "Not for clinical use" in written
        for name in CLASSES:
            assert f"{metrics['roc_auc'][name]['value']:.3f}" in written
    for i, name in enumerate(CLASSES):
        tp, support = metrics["confusion"][i][i], int(np.sum(metrics["confusion"], axis=0)[i])
        row = next(
            line
            for line in markdown.splitlines()
            if line.startswith(f"| {name} | ") and line.endswith(f" | {support} |")
        )
        assert f"{100 * tp / support:.1f} (" in row.split("|")[3]


def test_phantoms_are_compared_with_nothing(phantom_run, cache):
    report = content(phantom_run, cache)
    assert {one["verdict"] for one in report.data["against_paper"]} == {"not comparable"}
    assert "because these images are phantoms." in to_markdown(report)
    assert "against-paper" not in [figure.name for figure in report.figures()]


def test_markdown_links_and_pictures_are_there(phantom_run):
    markdown = (phantom_run.folder / "report.md").read_text()
    pictures = re.findall(r"!\[[^\]]+\]\(([^)]+)\)", markdown)
    assert len(pictures) >= 6
    for path in pictures + re.findall(r"\]\(<([^>]+)>\)", markdown):
        assert (phantom_run.folder / path).is_file()
    for card in ("model_card.md", "data_card.md"):
        assert "Not for clinical use" in (phantom_run.folder / card).read_text()


def test_a_run_on_the_papers_split_stands_beside_the_paper(experiments, cache):
    run = Run(experiments / "paper/seed-0")
    report = content(run, cache)
    compared = {(one["where"], one["what"]): one for one in report.data["against_paper"]}
    metrics = run.metrics()
    one = compared["Figure 3", "Normal sensitivity"]
    assert one["value"] == metrics["per_class"]["Normal"]["sensitivity"]
    assert one["difference"] == pytest.approx(one["value"] - 244 / 268)
    assert compared["Table 4", "validation accuracy after epoch 20"]["why_not"] == (
        "this run was not validated after epoch 20"
    )
    low, high = metrics["per_class"]["Normal"]["intervals"]["sensitivity"]
    cell = f"{100 * one['value']:.1f} ({100 * low:.1f} to {100 * high:.1f})"
    assert f"| Normal sensitivity | 91.0 (87.0 to 93.9) | {cell} | " in to_markdown(report)  # 244 of 268, from scipy
    figures = {figure.name: figure for figure in report.figures()}
    assert {"samples", "confusion-paper", "against-paper"} <= figures.keys()
    assert "(licence CC BY)" in figures["samples"].caption
    text = to_markdown(report)
    assert "They are the test images themselves." in text
    assert "| Kermany, train folder | " in text and "Kermany, test folder" not in text
    test = run.predictions().of("test")
    patients = {image.patient for image in run.images() if image.split == "train"}
    known = sum(patient in patients for patient in test.patients)
    assert f"| patient also trained on | {known} | " in text


def test_what_is_missing_is_named_and_does_not_fail(experiments, cache, tmp_path):
    shutil.copytree(experiments / "patient/seed-0", tmp_path / "run")
    run = Run(tmp_path / "run")
    run.environment_file.unlink()
    config = json.loads(run.config_file.read_text())
    run.config_file.write_text(json.dumps(config | {"data": str(tmp_path / "gone")}))
    text = to_markdown(content(run, cache))
    assert "training time were not recorded" in text
    assert "Figure 2 is left out: " in text and "gone" in text
    assert "Not done: covid audit" in text

    metrics = run.metrics()
    del metrics["bootstrap"]
    run.write_metrics(metrics)
    with pytest.raises(DataError, match="covid evaluate .*run writes it again"):
        content(run, cache)
    run.history_file.write_text("epoch\n")
    with pytest.raises(DataError, match=r"history\.csv cannot be read"):
        run.history()


def test_an_audit_that_was_made_is_in_the_report(experiments, cache, tmp_path):
    shutil.copytree(experiments / "patient/seed-0", tmp_path / "run")
    run = Run(tmp_path / "run")
    audit = audit_run(run, cache, workers=1)
    write_json(run.folder / "audit.json", audit)
    report = content(run, cache)
    section = next(section for section in report.sections if section.heading == "Audit")
    assert Bullets(tuple(audit["verdict"])) in section.parts
    found = next(part for part in section.parts if isinstance(part, Table))
    assert len(found.rows) == len(audit["conditions"]) + len(audit["shortcut_baseline"])
    assert found.rows[0][1] == f"{100 * audit['conditions'][0]['accuracy']:.1f}"
    assert {"audit", "audit-occlusions"} <= {figure.name for figure in report.figures()}


def test_table_1_is_the_papers():
    rows = {row[0]: row[1:] for row in table_1(paper_network()).rows}
    assert rows["conv_1"] == ("filter size 3,3; filters 8; stride 1,1; padding 0", "222 × 222 × 8", "80")
    assert rows["maxpool_4"] == ("pool size 2,2; stride 2,2; padding 0", "12 × 12 × 64", "0")
    assert rows["batchnorm_1"][0] == "epsilon 0.00001" and rows["fc_1"][2] == "27,651"
    assert rows["total"] == ("", "", "52,287")
    assert configuration(paper_network(padding="same", size=64).layers[1]).endswith("padding same")
    dropouts = [configuration(layer) for layer in paper_network().layers if layer.name == "dropout"]
    assert dropouts == ["probability 0.5", "probability 0.3"]


# ------------------------------------------------------------------------------------------------ the collection


def test_the_collection_compares_what_was_run_and_names_what_was_not(experiments, cache):
    write(Run(experiments / "paper/seed-0"), cache)
    report = collection(experiments)
    text = to_markdown(report)
    Page(to_html(report))
    for name in ("pre", "pooled", "alexnet"):
        assert f"| {name} (not run) |" in text
    assert "the experiment alexnet was not run" in text and "the experiment pooled and patient" not in text
    accuracy = Run(experiments / "paper/seed-0").metrics()["accuracy"]
    assert report.data["experiments"]["paper"]["accuracy"]["values"] == [accuracy]
    assert f"(paper): {100 * accuracy:.1f} % accuracy in one run" in text
    assert "| paper split, after the last epoch | " + f"{100 * accuracy:.1f} |" in text
    high = Run(experiments / "paper/seed-0").metrics()["accuracy_interval"][1]
    assert (
        f"| Table 5, the proposed network's accuracy | 95.8 (94.4 to 96.8) | {100 * accuracy:.1f}, "
        f"{int(high >= 1023 / 1068)} of 1 |"
    ) in text
    links = next(part for section in report.sections for part in section.parts if isinstance(part, Links))
    assert links.items == (("paper, seed 0", "paper/seed-0/report.html"),)
    for path in write_collection(experiments):
        assert path.is_file()
    json.loads((experiments / "report.json").read_text())


def test_two_experiments_on_the_same_images_are_compared_image_by_image(experiments, tmp_path):
    for name in ("patient", "pooled"):
        shutil.copytree(experiments / "patient/seed-0", tmp_path / name / "seed-0")
    test = Run(tmp_path / "pooled/seed-0").predictions()
    better = Predictions(
        test.classes, test.paths, test.patients, test.sources, test.splits, test.targets, np.eye(3)[test.targets]
    )
    better.write(tmp_path / "pooled/seed-0/predictions.csv")
    report = collection(tmp_path)
    result = report.data["comparisons"]["pooled and patient"]
    of_test = test.of("test")
    assert result["mcnemar"]["only_a"] == (of_test.outputs != of_test.targets).sum() and result["a"]["accuracy"] == 1
    assert "McNemar's exact test gives p" in to_markdown(report)


def test_a_folder_without_experiments_is_refused(tmp_path):
    with pytest.raises(DataError, match="holds no finished experiment"):
        collection(tmp_path)


# ------------------------------------------------------------------------------------------------------ rendering


def test_text_from_files_cannot_break_the_page_or_the_tables():
    nasty = '<script>alert("x")</script> | *a* [b](c)'
    found = Table(nasty, (nasty, "images"), ((nasty, "1"),))
    report = Report(nasty, (Section(nasty, (nasty, Bullets((nasty,)), Links(((nasty, 'a"b'),)), found)),), {})
    page = Page(to_html(report))
    assert not page.all("script") and "".join(page.texts).count(nasty) == 10
    row = markdown_table(found).splitlines()[2]
    assert len(re.findall(r"(?<!\\)\|", row)) == 3 and "\\[b\\](c)" in row and "\\*a\\*" in row


def test_columns_of_numbers_stand_to_the_right():
    found = Table(
        "",
        ("class", "share", "images", "empty"),
        (("a", "95.8 (94.4 to 96.8)", "1,068", ""), ("b", "−1.5 ± 0.2", "–", "")),
    )
    assert markdown_table(found).splitlines()[1] == "|:--|--:|--:|:--|"


CHROMIUM = next((path for path in map(shutil.which, ("chromium", "chromium-browser", "google-chrome")) if path), None)


def complaints(page, folder):
    """What a page writes to the console of a browser that draws it, and what it wants from the network."""
    picture, log = folder / "page.png", folder / "net.json"
    result = subprocess.run(
        [
            CHROMIUM,
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--enable-logging=stderr",
            "--window-size=1200,1500",
            f"--user-data-dir={folder / 'profile'}",
            "--host-resolver-rules=MAP * ~NOTFOUND",
            f"--log-net-log={log}",
            f"--screenshot={picture}",
            page.as_uri(),
        ],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert result.returncode == 0 and picture.stat().st_size > 5_000, result.stderr
    requests = [line for line in log.read_text().splitlines() if "site=file://" in line and '"url":"http' in line]
    return [line for line in result.stderr.splitlines() if "CONSOLE" in line] + requests


@pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")
def test_a_browser_without_a_network_opens_the_page_without_a_complaint(phantom_run, tmp_path):
    page = phantom_run.folder / "report.html"
    assert not complaints(page, tmp_path)
    broken = tmp_path / "broken.html"
    broken.write_text(
        page.read_text().replace(
            "</footer>", '<img src="https://example.org/a.png" alt=""><script>console.error("!")</script></footer>'
        )
    )
    assert len(complaints(broken, tmp_path)) == 2  # so the check above would have noticed
