"""The commands as a user runs them, on small images."""

import csv
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import tinycnn as tc
from covid.cli import NOTICE, main
from covid.data.manifest import read_manifest

SMALL = ["--size", "64", "--phantoms", "24", "--batch-size", "16", "--epochs", "2", "--seed", "3"]


@pytest.fixture(autouse=True)
def no_settings_of_the_machine(monkeypatch):
    for name in ("COVID_DATA", "COVID_CACHE", "COVID_DEBUG"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def run(cache, tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "first"
    assert main(["train", *SMALL, "--out", str(folder), "--cache", str(cache)]) == 0
    return folder


def covid(capsys, *arguments):
    """Exit status, standard output and standard error of one command."""
    status = main([str(argument) for argument in arguments])
    return status, *capsys.readouterr()


def test_train_writes_the_run_folder(run):
    assert {path.name for path in run.iterdir()} == {
        "config.json",
        "manifest.csv",
        "history.csv",
        "best.safetensors",
        "last.safetensors",
        "predictions.csv",
        "metrics.json",
        "environment.json",
        "provenance.json",
        "training.png",
        "confusion.png",
    }
    images = read_manifest(run / "manifest.csv")
    rows = list(csv.DictReader((run / "history.csv").read_text().splitlines()))
    trained = sum(image.split == "train" for image in images)
    assert len(rows) == 2 * (trained // 16)
    assert rows[-1]["validation_accuracy"] and not rows[0]["validation_accuracy"]
    with Image.open(run / "training.png") as picture:
        assert picture.width > 800
    mean = tc.load(run / "last.safetensors").state_dict()["input.mean"]
    assert mean.shape == (1, 64, 64) and 20 < mean.mean() < 235  # of pixels 0 … 255, not divided by 255


def test_evaluate_repeats_the_metrics_of_training(run, cache, capsys):
    status, out, _ = covid(capsys, "evaluate", run, "--json", "--cache", cache)
    assert status == 0
    result = json.loads(out)
    assert (result.pop("trained_on"), result.pop("warnings")) == ("phantoms", [])
    assert result == json.loads((run / "metrics.json").read_text())
    assert result["classes"] == ["COVID-19", "Normal", "Pneumonia"]
    confusion = np.array(result["confusion"])
    assert result["n"] == confusion.sum() == sum(image.split == "test" for image in read_manifest(run / "manifest.csv"))
    assert result["accuracy"] == pytest.approx(np.trace(confusion) / confusion.sum())
    for k, name in enumerate(result["classes"]):
        row, column = confusion[k].sum(), confusion[:, k].sum()
        assert result["per_class"][name]["precision"] == (pytest.approx(confusion[k, k] / row) if row else None)
        assert result["per_class"][name]["sensitivity"] == pytest.approx(confusion[k, k] / column)


def test_evaluate_another_folder_leaves_out_what_the_network_was_trained_on(run, cache, capsys, tmp_path):
    phantoms = next(cache.glob("phantoms-*"))
    status, out, _ = covid(capsys, "evaluate", run, "--data", phantoms, "--json", "--cache", cache)
    found, own = json.loads(out), json.loads((run / "metrics.json").read_text())
    assert found.pop("calibration")["temperature"] is None  # no validation images there
    assert own.pop("calibration")["temperature"] and status == 0
    assert found == {**own, "trained_on": "phantoms", "warnings": []}
    status, out, _ = covid(capsys, "evaluate", run, "--data", phantoms, "--cache", cache)
    assert "the network was trained or validated on it" in out and out.rstrip().endswith(NOTICE)

    test = [image for image in read_manifest(run / "manifest.csv") if image.split == "test"]
    for image in test:
        target = tmp_path / "other" / image.path
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(phantoms / image.path, target)
    (tmp_path / "other/Asthma").mkdir()
    shutil.copy(phantoms / test[0].path, tmp_path / "other/Asthma/1.png")
    status, out, _ = covid(capsys, "evaluate", run, "--data", tmp_path / "other", "--json", "--cache", cache)
    assert status == 0 and json.loads(out)["n"] == len(test)


def test_predict_agrees_with_evaluate_and_reads_on_after_a_bad_file(run, cache, capsys, tmp_path):
    phantoms = next(cache.glob("phantoms-*"))
    test = [image for image in read_manifest(run / "manifest.csv") if image.split == "test"]
    status, out, _ = covid(capsys, "predict", run, *(phantoms / image.path for image in test), "--json")
    entries = json.loads(out)
    right = sum(entry["class"] == image.label for entry, image in zip(entries, test, strict=True))
    assert status == 0 and right / len(test) == json.loads((run / "metrics.json").read_text())["accuracy"]
    assert all(sum(entry["probabilities"].values()) == pytest.approx(1, abs=1e-5) for entry in entries)

    shutil.copy(phantoms / test[0].path, tmp_path / "good.png")
    (tmp_path / "bad.png").write_bytes((tmp_path / "good.png").read_bytes()[:2000])
    status, out, err = covid(capsys, "predict", run, tmp_path)
    assert status == 1 and "good.png" in out and "bad.png is unreadable" in err and "1 of 2 images read" in out


def test_real_images_met_by_phantom_weights_are_warned_of_above_the_numbers(run, cache, capsys, tmp_path):
    """Whether an image was drawn is told by its file's name: a copy under another name counts as real."""
    phantoms = next(cache.glob("phantoms-*"))
    drawn = sorted((phantoms / "Normal").iterdir())[0]
    for label in ("NORMAL", "COVID"):
        (tmp_path / label).mkdir()
    for k, path in enumerate(sorted((phantoms / "Normal").iterdir())[:4]):
        with Image.open(path) as image:  # other bytes, or the run would know it
            image.point(lambda grey: min(grey + 1, 255)).save(tmp_path / ("NORMAL", "COVID")[k % 2] / f"IM-{k}.png")
    told = "trained on drawn phantoms"
    real = tmp_path / "NORMAL/IM-0.png"
    status, out, _ = covid(capsys, "predict", run, real)
    warning, header, row = out.splitlines()[:3]
    assert status == 0 and told in warning and header.split() == ["class", "COVID-19", "Normal", "Pneumonia", "image"]
    shares = dict(zip(header.split()[1:4], (float(cell.rstrip("%")) for cell in row.split()[1:4]), strict=True))
    assert row.split()[0] == max(shares, key=shares.get) and row.endswith(str(real))
    entry = json.loads(covid(capsys, "predict", run, real, "--json")[1])[0]
    assert entry["trained_on"] == "phantoms" and told in entry["warnings"][0]
    assert json.loads(covid(capsys, "predict", run, drawn, "--json")[1])[0]["warnings"] == []
    assert told not in covid(capsys, "predict", run, drawn)[1]
    evaluate = ("evaluate", run, "--data", tmp_path, "--cache", cache)
    out = covid(capsys, *evaluate)[1]
    assert told in out.splitlines()[0] and out.count(told) == 1
    assert told in json.loads(covid(capsys, *evaluate, "--json")[1])["warnings"][0]


def test_an_image_that_is_no_radiograph_is_doubted(run, capsys, tmp_path):
    rng = np.random.default_rng(0)
    photo = np.zeros((90, 120, 3), np.uint8)
    photo[:45], photo[45:] = (90, 150, 240), (60, 140, 40)  # sky and grass
    page = np.full((300, 200), 255, np.uint8)
    page[20:280:12, 20:180] = rng.integers(0, 2, (22, 160)) * 255
    pictures = {"photo": photo, "noise": rng.integers(0, 256, (200, 200), dtype=np.uint8), "page": page}
    for name, pixels in pictures.items():
        Image.fromarray(pixels).save(tmp_path / f"{name}.png")
    status, out, _ = covid(capsys, "predict", run, tmp_path)
    lines = out.splitlines()
    assert status == 0
    for name in pictures:
        row = next(k for k, line in enumerate(lines) if line.endswith(f"{name}.png"))
        assert lines[row - 1].startswith(f"warning: {name}.png looks unlike the training images")
        assert lines[row - 1].endswith("it may be no chest radiograph")
    assert "of its pixels are coloured" in out
    entries = json.loads(covid(capsys, "predict", run, tmp_path, "--json")[1])
    assert all("no chest radiograph" in entry["warnings"][-1] for entry in entries)


def test_a_resumed_run_ends_with_the_same_bits(run, cache, capsys, tmp_path, monkeypatch):
    interrupted = tmp_path / "interrupted"
    save, calls = tc.Trainer.save_checkpoint, []

    def save_once(trainer, path):
        save(trainer, path)
        calls.append(path)
        raise KeyboardInterrupt

    monkeypatch.setattr(tc.Trainer, "save_checkpoint", save_once)
    assert main(["train", *SMALL, "--out", str(interrupted), "--cache", str(cache)]) == 130
    assert "--resume" in capsys.readouterr().err and len(calls) == 1
    monkeypatch.undo()
    assert main(["train", "--resume", str(interrupted), "--cache", str(cache)]) == 0
    whole, resumed = (tc.load(folder / "last.safetensors").state_dict() for folder in (run, interrupted))
    assert all(np.array_equal(whole[name], resumed[name]) for name in whole)
    assert (run / "metrics.json").read_text() == (interrupted / "metrics.json").read_text()


def test_the_paper_split_validates_on_the_test_images_and_says_so(cache, capsys, tmp_path):
    status, out, _ = covid(
        capsys,
        "train",
        *SMALL,
        "--split",
        "paper",
        "--epochs",
        "1",
        "--padding",
        "same",
        "--channels",
        "3",
        "--variant",
        "text",
        "--out",
        tmp_path / "r",
        "--cache",
        cache,
    )
    assert status == 0 and "one hold-out" in out
    assert {image.split for image in read_manifest(tmp_path / "r/manifest.csv")} == {"train", "test"}
    net = tc.load(tmp_path / "r/last.safetensors")
    assert net.input_shape == (3, 64, 64) and net.shapes[1] == (8, 64, 64)


@pytest.mark.parametrize(
    "arguments, expected",
    [
        (["train", "--data", "nowhere"], "nowhere is not a folder"),
        (["train", "--epochs", "0"], "epochs is 0: give a whole number"),
        (["train", "--size", "30", "--phantoms", "6", "--batch-size", "4"], "layer 'conv_4' (Conv2D) does not fit"),
        (["train", "--phantoms", "6", "--size", "64"], "do not fill a batch of 32"),
        (["train", "--data", "one-class"], "training needs at least two classes"),
        (["train", "--resume", "run", "--epochs", "1"], "--epochs is 1, but run is planned for 2: give a larger"),
        (["train", "--resume", "run", "--size", "32"], "the run's own settings, all but --epochs: leave out --size"),
        (["train", "--out", "full"], "full is not empty"),
        (["evaluate", "nowhere"], "nowhere is no run folder"),
        (["predict", "run", "nowhere.png"], "nowhere.png is unreadable: no such file"),
        (["evaluate", "damaged"], "not a whole safetensors file"),
    ],
)
def test_errors_are_one_sentence_without_a_traceback(arguments, expected, run, cache, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "one-class/NORMAL").mkdir(parents=True)
    for k in range(4):
        Image.fromarray(np.full((9, 9), 40 * k, np.uint8)).save(tmp_path / f"one-class/NORMAL/{k}.png")
    Path("full").mkdir()
    Path("full/thesis.txt").write_text("x")
    shutil.copytree(run, "run")
    shutil.copytree(run, "damaged")
    weights = Path("damaged/last.safetensors").read_bytes()
    Path("damaged/last.safetensors").write_bytes(weights[: len(weights) // 2])
    status, _, err = covid(capsys, *arguments, "--cache", cache)
    assert status == 1 and expected in err and err.startswith("covid: ") and "Traceback" not in err
    assert not Path("runs").exists()  # a refused command leaves nothing behind


def test_a_finished_run_is_lengthened_to_the_bits_of_a_longer_one(cache, capsys, tmp_path):
    """Batch norm's statistics and the class priors of the shorter run's end leave no trace."""
    small = [*SMALL, "--balanced", "--drop-period", "1", "--cache", str(cache)]
    for folder, epochs in (("short", "1"), ("long", "3")):
        assert main(["train", *small, "--epochs", epochs, "--out", str(tmp_path / folder)]) == 0
    status, out, _ = covid(capsys, "train", "--resume", tmp_path / "short", "--epochs", 3, "--cache", cache)
    assert status == 0 and "goes on to 3 epochs instead of 1, with the same result as if" in out
    for name in ("best", "last"):
        short, long = (tc.load(tmp_path / folder / f"{name}.safetensors").state_dict() for folder in ("short", "long"))
        assert all(np.array_equal(short[key], long[key]) for key in long)
    for name in ("config.json", "predictions.csv", "metrics.json"):
        assert (tmp_path / "short" / name).read_text() == (tmp_path / "long" / name).read_text()
    status, out, _ = covid(capsys, "train", "--resume", tmp_path / "short", "--cache", cache)
    assert status == 0 and "All 3 epochs are finished" in out


def test_a_lengthened_cosine_says_that_it_is_another_run(run, cache, capsys, tmp_path):
    small = [*SMALL, "--epochs", "1", "--schedule", "cosine", "--cache", str(cache)]
    assert main(["train", *small, "--out", str(tmp_path / "run")]) == 0
    status, out, _ = covid(capsys, "train", "--resume", tmp_path / "run", "--epochs", 2, "--cache", cache)
    assert status == 0 and "the result is not that of a run planned for 2 epochs" in out
    rates = [
        float(row["learning_rate"]) for row in csv.DictReader((tmp_path / "run/history.csv").read_text().splitlines())
    ]
    assert rates[-1] == pytest.approx(0.5 * rates[0])  # epoch 2 of a cosine over 2


def test_the_version(capsys):
    with pytest.raises(SystemExit) as exit_status:
        main(["--version"])
    assert exit_status.value.code == 0 and tc.__version__ in capsys.readouterr().out


@pytest.mark.skipif(os.name == "nt", reason="Windows has no closed pipe of this kind")
def test_a_reader_that_stops_reading_ends_the_command_quietly(run, tmp_path):
    """As in `covid … | head -1`."""
    shutil.copytree(run, tmp_path / "run")
    reader, writer = os.pipe()
    os.close(reader)
    command = [sys.executable, "-m", "covid", "compare", "run", "run", "--json"]
    ended = subprocess.run(command, stdout=writer, stderr=subprocess.PIPE, cwd=tmp_path, env=with_covid(), text=True)
    os.close(writer)
    assert (ended.returncode, ended.stderr) == (141, "")


def with_covid():
    """The environment of a process that finds this covid from any folder."""
    return {**os.environ, "PYTHONPATH": str(Path(tc.__file__).parents[1])}


@pytest.mark.skipif(tc.backend.has_gpu(), reason="there is a GPU")
def test_device_cuda_without_one_is_told_for_the_command_line(capsys):
    status, _, err = covid(capsys, "train", "--device", "cuda")
    assert status == 1 and err.startswith("covid: --device cuda: ") and err.count("\n") == 1
    assert "leave out --device cuda" in err and ".to(" not in err


def test_an_unknown_option_names_itself(capsys):
    with pytest.raises(SystemExit) as exit_status:
        main(["train", "--optimiser", "adam"])
    assert exit_status.value.code == 2 and "--optimiser" in capsys.readouterr().err


def grey(path, seed):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, (64, 64), dtype=np.uint8)).save(path)


def test_evaluate_images_of_other_names_and_fewer_classes(run, cache, capsys, tmp_path):
    for k in range(6):
        grey(tmp_path / "corona" / f"{k}.png", k)
        grey(tmp_path / "other" / f"{k}.png", 10 + k)
    grey(tmp_path / "empty" / "0.png", 30)
    evaluate = ("evaluate", run, "--data", tmp_path, "--cache", cache)
    status, _, err = covid(capsys, *evaluate)
    assert status == 1 and "no image of" in err and "--map FOLDER=CLASS" in err
    status, out, _ = covid(
        capsys, *evaluate, "--json", "--map", "corona=COVID-19", "--map", "empty=", "--map", "other=Normal+Pneumonia"
    )
    result = json.loads(out)
    assert status == 0 and result["classes"] == ["COVID-19", "Normal+Pneumonia"] and result["n"] == 12
    net = tc.load(run / "last.safetensors")
    from covid.data.preprocess import Settings, preprocess, read_grey

    files = [*sorted((tmp_path / "corona").iterdir()), *sorted((tmp_path / "other").iterdir())]
    pixels = np.stack([preprocess(read_grey(file), Settings(size=(64, 64))) for file in files])[:, None]
    sick = net.predict(pixels)[:, 0] > 0.5
    assert result["per_class"]["COVID-19"]["sensitivity"] == pytest.approx(sick[:6].mean())
    assert result["per_class"]["COVID-19"]["specificity"] == pytest.approx(1 - sick[6:].mean())
    status, out, _ = covid(capsys, *evaluate, "--json", "--map", "corona=COVID-19")
    result = json.loads(out)
    assert result["n"] == 6 and result["per_class"]["Normal"]["sensitivity"] is None  # no image of it, so no figure


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--map", "a=COVID"], "--map names class 'COVID', but the network's are COVID-19, Normal, Pneumonia"),
        (["--map", "a"], "--map is 'a': give FOLDER=CLASS"),
        (["--map", "a=Normal+Pneumonia", "--map", "b=COVID-19+Normal"], "puts a class into two groups"),
    ],
)
def test_map_errors(run, cache, capsys, tmp_path, options, words):
    grey(tmp_path / "a" / "0.png", 1)
    status, _, err = covid(capsys, "evaluate", run, "--data", tmp_path, "--cache", cache, *options)
    assert status == 1 and words in err
    assert "give that folder with --data" in covid(capsys, "evaluate", run, "--cache", cache, *options)[2]
