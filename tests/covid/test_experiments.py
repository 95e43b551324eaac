"""Experiments: the named settings, runs with several seeds, and their summary."""

import json
import statistics

import pytest

from covid import experiments
from covid.cli import main
from covid.config import Config, preset
from covid.errors import DataError

TINY = {"size": 48, "phantoms": 15, "batch_size": 8, "epochs": 1}


def test_every_experiment_names_a_preset_and_settings_that_exist():
    for name, plan in experiments.EXPERIMENTS.items():
        runs = experiments.configs(name, "images")
        assert [run.seed for run in runs] == list(range(plan.seeds)) and {run.split for run in runs} == {plan.split}
    assert {run.split_seed for run in experiments.configs("pooled", "images")} == {0}  # the same test images for all
    with pytest.raises(DataError, match="experiment is 'best': choose one of pre, paper"):
        experiments.configs("best", "images")


def test_summary_by_hand():
    def result(accuracy, precision):
        return {
            "classes": ["sick"],
            "accuracy": accuracy,
            "balanced_accuracy": accuracy,
            "per_class": {"sick": {"precision": precision, "sensitivity": 0.5, "specificity": 1.0}},
        }

    summary = experiments.summarize([result(0.9, None), result(0.7, 0.4), result(0.8, 0.6)])
    assert summary["runs"] == 3
    assert summary["accuracy"]["mean"] == pytest.approx(0.8) and summary["accuracy"]["sd"] == pytest.approx(0.1)
    precision = summary["per_class"]["sick"]["precision"]
    assert precision["mean"] == pytest.approx(0.5) and precision["values"] == [None, 0.4, 0.6]
    text = experiments.format_summary(summary)
    assert "overall accuracy    80.0 ± 10.0    90.0   70.0   80.0" in text and "–" in text


def test_one_run_has_no_spread():
    assert experiments._spread([0.5]) == {"mean": 0.5, "sd": None, "values": [0.5]}


def test_seeds_are_trained_once_and_gone_on_with(tmp_path, capsys):
    arguments = [
        "train",
        "--cache",
        str(tmp_path / "cache"),
        "--out",
        str(tmp_path / "runs"),
        "--split-seed",
        "7",
        *(f"--{name.replace('_', '-')}={value}" for name, value in TINY.items()),
    ]
    assert main([*arguments, "--seeds", "1"]) == 0
    first = (tmp_path / "runs/seed-0/last.safetensors").read_bytes()
    assert main([*arguments, "--seeds", "2"]) == 0
    out = capsys.readouterr().out
    assert "already trained" in out and (tmp_path / "runs/seed-0/last.safetensors").read_bytes() == first
    runs = [json.loads((tmp_path / f"runs/seed-{k}/metrics.json").read_text()) for k in (0, 1)]
    summary = json.loads((tmp_path / "runs/summary.json").read_text())
    assert summary["accuracy"]["values"] == [run["accuracy"] for run in runs]
    assert summary["accuracy"]["mean"] == pytest.approx(statistics.mean(run["accuracy"] for run in runs))
    manifests = [(tmp_path / f"runs/seed-{k}/manifest.csv").read_text() for k in (0, 1)]
    weights = [(tmp_path / f"runs/seed-{k}/last.safetensors").read_bytes() for k in (0, 1)]
    assert [text.count("test") for text in manifests] == [manifests[0].count("test")] * 2 and weights[0] != weights[1]
    assert main([*arguments, "--seeds", "2", "--epochs", "2"]) == 1
    assert "was trained with another epochs: choose another folder" in capsys.readouterr().err
    assert main([*arguments, "--seeds", "0"]) == 1
    assert "seeds is 0" in capsys.readouterr().err


def test_presets_train_what_they_say():
    assert preset("pooled").network == "pooled" and preset("pooled").balanced and preset("pooled").augment
    assert preset("paper") == Config()
    with pytest.raises(DataError, match="network is 'vgg': choose one of paper, pooled, alexnet"):
        preset("paper", network="vgg")
