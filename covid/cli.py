"""The command line: an argument parser for each command, and what it calls."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from covid.config import CHOICES, PRESETS, Config, default_preset, preset
from covid.errors import DataError
from tinycnn import __version__

NOTICE = "Not for clinical use."
CLOSED_PIPE = 128 + 13  # what shells report of a program that SIGPIPE ended
DATA_VARIABLE, CACHE_VARIABLE = "COVID_DATA", "COVID_CACHE"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns its exit status: 0, or 1 with one clear line on standard error.

    When whoever reads the output stops reading, as `head` does, the command ends without a word, with the status that
    shells give to any program which a closed pipe ends.
    """
    try:
        try:
            return _run(arguments)
        finally:
            if sys.stdout:
                sys.stdout.flush()  # now, where a closed pipe is caught
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # for what Python flushes when it exits
        return CLOSED_PIPE


def _run(arguments: Sequence[str] | None) -> int:
    options = _parser().parse_args(arguments)
    try:
        return options.command(options)
    except BrokenPipeError:
        raise
    except (DataError, ValueError, RuntimeError, ArithmeticError, OSError, MemoryError) as error:
        if os.environ.get("COVID_DEBUG"):
            raise
        message = str(error) or type(error).__name__
        print(f"covid: {message}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(
            "\ncovid: interrupted; finished epochs are kept, and `covid train --resume RUN` goes on from there",
            file=sys.stderr,
        )
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="covid",
        description=f"Train and use the chest X-ray network of a 2020 paper. {NOTICE}",
        epilog="COVID_DEBUG=1 shows where an error came from.",
    )
    parser.add_argument("--version", action="version", version=f"covid, part of tinycnn {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    _add_train(commands)
    _add_evaluate(commands)
    _add_predict(commands)
    _add_audit(commands)
    _add_report(commands)
    _add_compare(commands)
    _add_reproduce(commands)
    return parser


def _add_train(commands: Any) -> None:
    parser = commands.add_parser("train", help="train the network on radiographs, or on phantoms if there are none")
    parser.set_defaults(command=_train)
    _add_data(parser, "without either, phantom X-rays are drawn")
    parser.add_argument("--out", type=Path, metavar="RUN", help="folder for the results (runs/DATE-TIME)")
    parser.add_argument(
        "--resume",
        type=Path,
        metavar="RUN",
        help="go on with an interrupted run, with its own settings, or with a finished one to a larger --epochs",
    )
    _add_device(parser)
    parser.add_argument(
        "--seeds",
        type=int,
        metavar="N",
        help="train N times, with seeds counted from --seed, into RUN/seed-…; finished ones are kept",
    )
    _add_settings(
        parser.add_argument_group("data and experiment"),
        {
            "preset": (sorted(PRESETS), "settings to start from; phantom where there is no data, else"),
            "split": (
                list(CHOICES["split"]),
                "patients kept apart, the paper's split image by image, or its pre-experiment's",
            ),
            "seed": (int, "of everything random"),
            "split_seed": (int, "of the split, if it is to differ from --seed"),
            "phantoms": (int, "phantoms of each class, when there is no data"),
        },
    )
    _add_settings(
        parser.add_argument_group("training (the paper's Table 2, and more)"),
        {
            "epochs": (int, "how often every image is shown"),
            "batch_size": (int, "images a step"),
            "optimizer": (list(CHOICES["optimizer"]), "gradient descent with momentum, or Adam"),
            "learning_rate": (float, "initial learning rate"),
            "momentum": (float, "of gradient descent"),
            "schedule": (list(CHOICES["schedule"]), "learning rate schedule: falling in steps, or along a cosine"),
            "drop_factor": (float, "what the learning rate is multiplied by at each drop"),
            "drop_period": (int, "epochs between drops"),
            "weight_decay": (float, "L2 factor"),
            "balanced": (bool, "show every class equally often"),
            "augment": (bool, "flip, shift, turn and zoom training images, and change their contrast"),
        },
    )
    _add_settings(
        parser.add_argument_group("the network, and what the paper leaves open"),
        {
            "network": (list(CHOICES["network"]), "which network"),
            "weights": (str, "a file with AlexNet's weights to begin from"),
            "channels": (list(CHOICES["channels"]), "grey, or grey repeated as RGB"),
            "padding": (["0", "same"], "of the convolutions"),
            "variant": (list(CHOICES["variant"]), "Table 1, or the network of the paper's text with one dropout layer"),
            "mean_of": (list(CHOICES["mean_of"]), "the training set's mean to subtract: of each pixel or each channel"),
            "size": (int, "images are resized to size × size pixels"),
            "batch_norm": (
                list(CHOICES["batch_norm"]),
                "evaluation statistics: a pass after training, or moving averages",
            ),
            "validation_statistics": (
                list(CHOICES["validation_statistics"]),
                "what batch norm uses when validating in training",
            ),
        },
    )


def _add_settings(group: Any, settings: dict[str, tuple[Any, str]]) -> None:
    """An option for each setting of Config: (type or list of choices, help)."""
    for name, (accepts, text) in settings.items():
        default = getattr(Config(), name)
        kind: dict[str, Any] = {"type": accepts, "metavar": "FILE" if accepts is str else "N"}
        if isinstance(accepts, list):
            kind = {"choices": accepts, "type": type(accepts[0])}
        elif accepts is bool:
            kind = {"action": argparse.BooleanOptionalAction}
        shown = {"None": "as --seed", "False": "no", "": "none"}.get(str(default), default)
        group.add_argument("--" + name.replace("_", "-"), default=argparse.SUPPRESS, help=f"{text} ({shown})", **kind)


def _add_evaluate(commands: Any) -> None:
    parser = commands.add_parser(
        "evaluate", help="measure a trained network on its test images, or on another folder's"
    )
    parser.set_defaults(command=_evaluate)
    parser.add_argument("run", type=Path, metavar="RUN", help="folder that covid train wrote")
    parser.add_argument(
        "--data", type=Path, metavar="DIR", help="images to measure on, instead of the run's test images"
    )
    parser.add_argument(
        "--map",
        action="append",
        default=[],
        metavar="FOLDER=CLASS",
        help="with --data: images of class FOLDER there are the network's CLASS; several classes joined "
        "by + count as one, and FOLDER= leaves images out; may be given several times",
    )
    _add_use(parser)


def _add_predict(commands: Any) -> None:
    parser = commands.add_parser("predict", help="the class and the class probabilities of single images")
    parser.set_defaults(command=_predict)
    parser.add_argument("run", type=Path, metavar="RUN", help="folder that covid train wrote")
    parser.add_argument("images", type=Path, nargs="+", metavar="IMAGE", help="image files, or folders of them")
    _add_use(parser)


def _add_audit(commands: Any) -> None:
    parser = commands.add_parser("audit", help="what a network could learn, or did learn, that is no lung")
    parser.set_defaults(command=_audit)
    parser.add_argument(
        "run",
        type=Path,
        nargs="?",
        metavar="RUN",
        help="a trained run: its network on images with the lungs occluded, turned and more; without it, radiographs",
    )
    parser.add_argument("--data", type=Path, metavar="DIR", help="radiographs to audit before any training")
    parser.add_argument("--out", type=Path, metavar="FOLDER", help="with --data: where to write audit.json")
    parser.add_argument("--json", action="store_true", help="print JSON")
    _add_device(parser)


def _add_report(commands: Any) -> None:
    parser = commands.add_parser("report", help="write a run's report: tables and figures beside the paper's")
    parser.set_defaults(command=_report)
    parser.add_argument(
        "run", type=Path, metavar="RUN", help="folder that covid train wrote, or the folder of covid reproduce"
    )
    _add_device(parser)


def _add_compare(commands: Any) -> None:
    parser = commands.add_parser("compare", help="two runs on the test images they share, with a paired test")
    parser.set_defaults(command=_compare)
    parser.add_argument("runs", type=Path, nargs=2, metavar="RUN", help="folders that covid train wrote")
    parser.add_argument("--json", action="store_true", help="print JSON")


def _add_reproduce(commands: Any) -> None:
    parser = commands.add_parser("reproduce", help="run every experiment and audit, and write the report over them all")
    parser.set_defaults(command=_reproduce)
    _add_data(parser, "needed here")
    parser.add_argument(
        "--out",
        type=Path,
        default=Path("reproduction"),
        metavar="FOLDER",
        help="folder for the results; what is finished there is kept (reproduction)",
    )
    parser.add_argument("--only", nargs="+", default=[], metavar="NAME", help="some experiments, by name")
    parser.add_argument("--quick", action="store_true", help="one epoch of one run each, to see that it works")
    _add_device(parser)


def _add_data(parser: Any, otherwise: str) -> None:
    parser.add_argument(
        "--data",
        type=Path,
        default=os.environ.get(DATA_VARIABLE),
        metavar="DIR",
        help="folder with chest_xray/ and covid-chestxray-dataset/, or with one folder a class; "
        f"${DATA_VARIABLE} if set; {otherwise}",
    )


def _add_use(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--weights",
        choices=("last", "best"),
        default="last",
        help="network of the last epoch, or the best by validation accuracy (last, as in the paper)",
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
    _add_device(parser)


def _add_device(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto", help="where to compute (auto)")
    parser.add_argument(
        "--cache",
        type=Path,
        default=_cache_folder(),
        metavar="DIR",
        help=f"folder for prepared pixels and phantoms; ${CACHE_VARIABLE} if set ({_cache_folder()})",
    )


def _cache_folder() -> Path:
    if folder := os.environ.get(CACHE_VARIABLE):
        return Path(folder)
    base = os.environ.get("LOCALAPPDATA") if os.name == "nt" else os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "tinycnn"


def _device(options: argparse.Namespace) -> str:
    from tinycnn import backend

    if options.device == "cuda":
        try:
            backend.cupy()  # says now, rather than after minutes of reading images, that there is no GPU
        except RuntimeError as error:
            reason = str(error).removesuffix(f": {backend.GPU_HELP}")
            raise DataError(
                f"--device cuda: {reason}: pip install cupy-cuda12x or cupy-cuda13x, whichever is your CUDA version, "
                "or leave out --device cuda to compute on the CPU"
            ) from error
    return backend.best_device() if options.device == "auto" else options.device


def _train(options: argparse.Namespace) -> int:
    from covid import experiments, pipeline

    settings = {name: value for name, value in vars(options).items() if name in Config.__dataclass_fields__}
    device = _device(options)
    if options.resume:
        given = sorted(settings.keys() - {"data", "epochs"}) + ["seeds"] * (options.seeds is not None)
        if given or options.out:
            flag = (given or ["out"])[0].replace("_", "-")
            raise DataError(f"--resume goes on with the run's own settings, all but --epochs: leave out --{flag}")
        folder = pipeline.resume(options.resume, options.cache, device, epochs=settings.get("epochs")).folder
    else:
        config = _config(options, settings)
        folder = options.out or Path("runs") / datetime.now().strftime("%Y%m%d-%H%M%S")
        if options.seeds is None:
            pipeline.start(config, folder, options.cache, device)
        else:
            experiments.run_all(experiments.seeded(config, options.seeds), folder, options.cache, device)
            print(f"\n{experiments.format_summary(experiments.read_summary(folder))}")
    print(f"\nResults are in {folder}: {', '.join(sorted(path.name for path in folder.iterdir()))}\n{NOTICE}")
    return 0


def _config(options: argparse.Namespace, settings: dict[str, Any]) -> Config:
    if options.data:
        settings["data"] = str(options.data.resolve())
    else:
        settings["data"] = ""
        print("No --data: training on phantom X-rays, drawn by this program. They are not real radiographs.")
    if "padding" in settings:
        settings["padding"] = 0 if settings["padding"] == "0" else "same"
    return preset(settings.pop("preset", None) or default_preset(settings["data"]), **settings)


def _evaluate(options: argparse.Namespace) -> int:
    from covid import pipeline
    from covid.data import manifest
    from covid.evaluation import evaluate, metrics
    from covid.evaluation.measure import measure
    from covid.runs.run import Run

    run = Run.open(options.run)
    net, provenance = run.network(options.weights, _device(options)), run.provenance()
    warnings: list[str] = []
    if options.data:
        table, images = evaluate.on_folder(run, net, options.data, options.cache, _names(options.map))
        warnings = provenance.warnings(image.path for image in images if image.split)
        result, heading = measure(table), f"images in {options.data}:\n{manifest.summary(images)}\n"
    elif options.map:
        raise DataError("--map renames the classes of another folder: give that folder with --data")
    elif options.weights == "last":
        result, heading = pipeline.measured(run, net, options.cache), f"test images of {run.folder}:"
    else:
        result, heading = measure(evaluate.on_own_images(run, net, options.cache)), f"test images of {run.folder}:"
    if options.json:
        print(json.dumps({**result, "trained_on": provenance.trained_on, "warnings": warnings}, indent=2))
        print(NOTICE, file=sys.stderr)
    else:
        _print_warnings(warnings)
        print(f"{heading}\n{metrics.format_metrics(result)}\n\nThe run's results are in {run.folder}\n{NOTICE}")
    return 0


def _names(pairs: Sequence[str]) -> dict[str, str]:
    wrong = next((pair for pair in pairs if "=" not in pair), None)
    if wrong:
        raise DataError(f"--map is {wrong!r}: give FOLDER=CLASS")
    return dict(pair.split("=", 1) for pair in pairs)


def _predict(options: argparse.Namespace) -> int:
    from covid.evaluation import evaluate
    from covid.runs.run import Run

    run = Run.open(options.run)
    net, classes, provenance = run.network(options.weights, _device(options)), run.config().classes, run.provenance()
    files = evaluate.image_files(options.images)
    warnings = {file: provenance.warnings([str(file)]) for file in files}
    if not options.json:
        _print_warnings(sorted({warning for of_file in warnings.values() for warning in of_file}))
        widths = [max(9, len(name)) for name in classes]
        print("  ".join([f"{'class':{max(widths)}}", *map(str.rjust, classes, widths), "image"]))
    entries: list[dict[str, Any]] = []
    for answer in evaluate.answers(run, net, files):
        entry = _entry(answer, classes, provenance.trained_on, [*warnings[answer.path], *answer.doubts])
        entries.append(entry)
        if answer.error:
            print(f"covid: {answer.error}", file=sys.stderr)
        elif not options.json:
            _print_warnings(answer.doubts)
            shares = (f"{p:>{width}.1%}" for p, width in zip(entry["probabilities"].values(), widths, strict=True))
            print("  ".join([f"{entry['class']:{max(widths)}}", *shares, entry["file"]]))
    if options.json:
        print(json.dumps(entries, indent=2))
    failures = sum("error" in entry for entry in entries)
    print(
        f"\n{len(entries) - failures} of {len(entries)} images read; the run's results are in {run.folder}\n{NOTICE}",
        file=sys.stderr if options.json else sys.stdout,
    )
    return 1 if failures else 0


def _entry(answer: Any, classes: Sequence[str], trained_on: str, warnings: Sequence[str]) -> dict[str, Any]:
    """What is said of one image, in plain JSON types."""
    if answer.error:
        return {"file": str(answer.path), "error": answer.error}
    return {
        "file": str(answer.path),
        "class": classes[int(answer.probabilities.argmax())],
        "probabilities": {name: float(p) for name, p in zip(classes, answer.probabilities, strict=True)},
        "trained_on": trained_on,
        "warnings": list(warnings),
    }


def _print_warnings(warnings: Sequence[str]) -> None:
    for warning in warnings:
        print(f"warning: {warning}")


def _audit(options: argparse.Namespace) -> int:
    from covid import reproduce
    from covid.audit import audit_data, audit_run
    from covid.runs.run import Run

    if (options.run is None) == (options.data is None):
        raise DataError("audit a trained run, as in covid audit RUN, or radiographs, as in covid audit --data DIR")
    if options.run:
        audit = reproduce.write_run_audit(Run.open(options.run), options.cache, _device(options))
        text = audit_run.format_run_audit(audit)
    else:
        audit = reproduce.write_data_audit(options.data, options.out)
        text = audit_data.format_data_audit(audit)
    print(json.dumps(audit, indent=2) if options.json else f"{text}\n\n{NOTICE}")
    return 0


def _report(options: argparse.Namespace) -> int:
    from covid.report import files
    from covid.runs.run import Run

    if (options.run / "config.json").is_file() or not any(options.run.glob("*/summary.json")):
        written = files.write(Run.open(options.run), options.cache)
    else:
        written = files.write_collection(options.run)
    print(f"written: {', '.join(map(str, written))}\n{NOTICE}")
    return 0


def _compare(options: argparse.Namespace) -> int:
    from covid.evaluation import compare
    from covid.runs.run import Run

    result = compare.compare_runs(*map(Run.open, options.runs))
    print(json.dumps(result, indent=2) if options.json else f"{compare.format_comparison(result)}\n\n{NOTICE}")
    return 0


def _reproduce(options: argparse.Namespace) -> int:
    from covid.reproduce import reproduce

    if not options.data:
        raise DataError("the experiments need radiographs: give their folder with --data")
    written = reproduce(
        options.data.resolve(), options.out, options.cache, _device(options), names=options.only, quick=options.quick
    )
    print(f"\nThe report is {written[0]}\n{NOTICE}")
    return 0
