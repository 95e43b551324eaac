"""Everything again with one command, and the commands that look at what it made, on a few small phantoms."""

import json

import pytest

from covid.cli import main
from covid.data import phantom
from covid.reproduce import reproduce
from covid.runs.run import Run

TINY = {"size": 64, "batch_size": 8, "epochs": 1}


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    folder = tmp_path_factory.mktemp("images")
    phantom.write_phantoms(folder, 10, 0, 64)
    return folder


@pytest.fixture(scope="module")
def folder(images, tmp_path_factory):
    place = tmp_path_factory.mktemp("reproduction")
    reproduce(images, place, place / "cache", names=["pre", "patient", "pooled"], quick=True, **TINY)
    return place


def test_every_experiment_has_its_runs_audits_and_reports(folder):
    for name, split in (("pre", "pre"), ("patient", "patient"), ("pooled", "patient")):
        run = Run.open(folder / name / "seed-0")
        assert run.config().split == split and run.metrics()["n"] == len(run.predictions().of("test"))
        assert json.loads((folder / name / "summary.json").read_text())["runs"] == 1
        assert (run.folder / "report.html").is_file() and (run.folder / "model_card.md").is_file()
        assert (run.folder / "audit.json").is_file() == (name != "pre")
    report = (folder / "report.md").read_text()
    assert "pooled" in report and "alexnet" in report  # the one that was not run is named too
    assert json.loads((folder / "audit.json").read_text())["verdict"]


def test_what_is_finished_is_kept(images, folder, capsys):
    weights = folder / "patient/seed-0/last.safetensors"
    before = weights.stat().st_mtime_ns
    reproduce(images, folder, folder / "cache", names=["patient"], quick=True, **TINY)
    assert "already trained" in capsys.readouterr().out and weights.stat().st_mtime_ns == before


def test_the_commands(folder, capsys):
    cache = ["--cache", str(folder / "cache")]
    patient, pooled = str(folder / "patient/seed-0"), str(folder / "pooled/seed-0")
    assert main(["compare", patient, pooled]) == 0
    out = capsys.readouterr().out
    assert "McNemar" in out and out.rstrip().endswith("Not for clinical use.")
    assert main(["compare", patient, pooled, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["n"] == Run(patient).metrics()["n"]
    assert main(["report", patient, *cache]) == 0 and "report.html" in capsys.readouterr().out
    assert main(["report", str(folder), *cache]) == 0 and str(folder / "report.html") in capsys.readouterr().out
    assert main(["audit", patient, "--json", *cache]) == 0
    audit = json.loads(capsys.readouterr().out)
    assert audit["conditions"][0]["accuracy"] == pytest.approx(Run(patient).metrics()["accuracy"])


def test_auditing_images(images, tmp_path, capsys):
    assert main(["audit", "--data", str(images), "--out", str(tmp_path / "audit")]) == 0
    assert "perceptual" in capsys.readouterr().out and (tmp_path / "audit/audit.json").is_file()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["audit"], "covid audit RUN"),
        (["audit", "somewhere", "--data", "images"], "covid audit RUN"),
        (["report", "nowhere"], "nowhere is no run folder"),
        (["compare", "nowhere", "there"], "nowhere is no run folder"),
        (["reproduce", "--out", "x"], "give their folder with --data"),
        (["reproduce", "--data", "nowhere", "--out", "x"], "nowhere is not a folder"),
    ],
)
def test_errors(arguments, words, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("COVID_DATA", raising=False)
    assert main(arguments) == 1 and words in capsys.readouterr().err
