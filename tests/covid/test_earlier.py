"""Run folders that earlier versions wrote are still read, measured, compared and reported."""

import json
import shutil

import pytest

from covid import earlier, pipeline
from covid.cli import main
from covid.config import Config, preset
from covid.report.collection import finished
from covid.reproduce import write_run_audit
from covid.runs.run import Run


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def today(cache, tmp_path_factory):
    config = preset("pooled", size=48, phantoms=15, batch_size=8, epochs=1)
    run = pipeline.start(config, tmp_path_factory.mktemp("runs") / "today", cache)
    write_run_audit(run, cache)
    return run


@pytest.fixture
def old(today, tmp_path):
    """The same run as a folder of the earlier format, its words put back by hand."""
    folder = tmp_path / "strong/seed-0"
    shutil.copytree(today.folder, folder)
    (folder / "provenance.json").unlink(missing_ok=True)
    text = (folder / "config.json").read_text()
    for key in ("network", "preset"):
        assert f'"{key}": "pooled"' in text
        text = text.replace(f'"{key}": "pooled"', f'"{key}": "strong"')
    (folder / "config.json").write_text(text)
    audit = json.loads((folder / "audit.json").read_text())
    audit["films"] = audit.pop("images")
    audit["floor"] = audit.pop("shortcut_baseline")
    for row in audit["floor"]:
        row["cues"] = row.pop("features")
        row["name"] = row["name"].replace("baseline", "floor").replace("features", "cues")
    for row in audit["conditions"]:
        row["kind"] = row["kind"].replace("occlusion", "covering")
        row["name"] = row["name"].replace("lungs occluded", "lungs covered")
    (folder / "audit.json").write_text(json.dumps(audit))
    audit["verdict"] = ["With the lungs covered these films are told by the floor."]
    assert "baseline:" not in (folder / "audit.json").read_text()
    return Run.open(folder)


def test_config_and_audit_read_as_todays(old, today):
    assert old.config() == today.config() and old.config().network == "pooled"
    assert {**old.audit(), "verdict": None} == {**today.audit(), "verdict": None}


def test_an_old_run_is_evaluated_and_reported(old, today, cache, capsys):
    assert main(["evaluate", str(old.folder), "--json", "--cache", str(cache)]) == 0
    now = json.loads(capsys.readouterr().out)
    assert {key: now[key] for key in today.metrics()} == today.metrics()
    assert main(["report", str(old.folder), "--cache", str(cache)]) == 0
    report = (old.folder / "report.md").read_text()
    assert "lungs occluded" in report and "baseline: file features" in report
    assert "floor" not in report and "covered" not in report and "film" not in report
    assert "global average pooling" in report
    assert main(["report", str(today.folder), "--cache", str(cache)]) == 0


def test_an_old_experiment_keeps_its_folder(old):
    folder = old.folder.parents[1]
    assert [run.folder for run in finished(earlier.experiment_folder(folder, "pooled"))] == [old.folder]
    (folder / "pooled").mkdir()
    assert earlier.experiment_folder(folder, "pooled") == folder / "pooled"


def test_todays_files_pass_unchanged(today):
    values = json.loads(today.config_file.read_text())
    assert earlier.config(values) == values
    values = json.loads(today.audit_file.read_text())
    assert earlier.audit(values) == values


def test_a_config_written_by_hand_in_the_earlier_words(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps({"network": "strong", "preset": "strong", "classes": ["a"]}))
    assert Config.read(tmp_path / "config.json") == Config(network="pooled", preset="pooled", classes=("a",))
