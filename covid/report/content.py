"""What the report of one run says, section by section."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from covid import paper
from covid.audit import audit_run
from covid.config import Config
from covid.data.manifest import Radiograph
from covid.errors import DataError
from covid.report import pictures, points
from covid.report.against_paper import Comparison, comparisons, differences, network_name, no_match
from covid.report.cards import licences, limits
from covid.report.data import images_table, left_out
from covid.report.document import Bullets, Figure, Links, Part, Report, Section, Table, table
from covid.report.settings import further_settings, same_as_table_1, table_1, table_2
from covid.runs.predictions import Predictions
from covid.runs.provenance import PHANTOM_WEIGHTS, PHANTOMS
from covid.runs.run import Run
from covid.tables import interval, percent
from covid.tables import points as in_points


def content(run: Run, cache: Path) -> Report:
    """The report of a run. Raises DataError when the run was not evaluated, or its files are damaged."""
    config, images, metrics = run.config(), run.images(), run.metrics()
    if "bootstrap" not in metrics:
        raise DataError(f"{run.metrics_file} is of an earlier version: covid evaluate {run.folder} writes it again")
    predictions, history = run.predictions(), run.history()
    compared = comparisons(config, images, metrics, history)
    sections = [
        Section("Summary", _summary(run, config, images, metrics, compared)),
        Section("Images", _images(run, config, images, cache)),
        Section("Network and training", _training(run, config, history)),
        Section("Results", _results(metrics, predictions, not no_match(config, images))),
        Section("Comparison with the paper", _beside_paper(config, images, compared)),
        Section("Accuracy on parts of the test set", _points(config, predictions.of("test"), images, history)),
        Section("Audit", _audit(run, cache)),
        Section("How it was run", _provenance(run, config)),
        Section("Limits", (Bullets(limits(config, images)),)),
    ]
    data = {
        "config": asdict(config),
        "metrics": metrics,
        "environment": environment(run),
        "against_paper": [_as_json(one) for one in compared],
    }
    return Report(f"{_name(run.folder)}: {network_name(config)} on chest X-rays", tuple(sections), data)


def _name(folder: Path) -> str:
    """A run folder's name; one of several seeds is called after the folder that it is in, too."""
    folder = folder.resolve()
    return f"Run {folder.parent.name}/{folder.name}" if folder.name.startswith("seed-") else f"Run {folder.name}"


def environment(run: Run) -> dict[str, Any] | None:
    """What environment.json holds; None for runs that were trained without writing one."""
    return run.environment() if run.environment_file.is_file() else None


# ------------------------------------------------------------------------------------------------ sections


_SOURCES = {"Cohen": "Cohen's images", "Kermany": "Kermany's images", "folder": "images in one folder a class"}


def _summary(
    run: Run, config: Config, images: Sequence[Radiograph], metrics: Mapping[str, Any], compared: Sequence[Comparison]
) -> tuple[Part, ...]:
    what = (
        f"drawn phantoms, {config.phantoms} of each class"
        if not config.data
        else (
            " and ".join(
                _SOURCES.get(source, source) for source in sorted({image.source for image in images if image.split})
            )
        )
    )
    counts = {side: sum(image.split == side for image in images) for side in ("train", "validation", "test")}
    others = f"{counts['validation']:,} for validation, {counts['test']:,} for the test"
    if not counts["validation"]:
        others = f"{counts['test']:,} for validation and test alike"
    majority, best = metrics["majority"], metrics["bootstrap"]
    headline = [
        f"{_capital(network_name(config))}, trained on {what} (epochs: {config.epochs}): {counts['train']:,} "
        f"images for training, {others}. Split: "
        f"{config.split}; seed {config.seed}.",
        f"It classifies {percent(metrics['accuracy'])} % of the {metrics['n']:,} test images correctly (95 % interval "
        f"{interval(metrics['accuracy_interval'])}, or {interval(best['accuracy'])} when its {metrics['patients']:,} "
        f"patients are drawn with replacement). Always answering {majority['class']} would be right "
        f"for {percent(majority['accuracy'])} %.",
        f"Its balanced accuracy, the mean of the classes' sensitivities, is {percent(metrics['balanced_accuracy'])} % "
        f"({interval(best['balanced_accuracy'])}).",
    ]
    reason = no_match(config, images)
    if reason:
        verdict: tuple[Part, ...] = (f"None of the paper's figures can be compared with this run, because {reason}.",)
    else:
        reached = [one for one in compared if one.verdict == "reached"]
        missed = [one for one in compared if one.verdict == "not reached"]
        verdict = (
            f"Of the paper's {len(reached) + len(missed)} figures that can be compared, {len(reached)} are "
            f"reached and {len(missed)} are not. A figure counts as reached unless it lies above this run's "
            "95 % interval.",
            Bullets(tuple(one.sentence() for one in compared)),
        )
    first = (PHANTOM_WEIGHTS,) if run.provenance().trained_on == PHANTOMS else ()
    return (*first, Bullets(tuple(headline)), *(differences(config) if not reason else ()), *verdict)


def _images(run: Run, config: Config, images: Sequence[Radiograph], cache: Path) -> tuple[Part, ...]:
    parts: list[Part] = [images_table(images, config.classes)]
    if not no_match(config, images):
        listed = ", ".join(f"{n:,} {name}" for name, n in paper.LISTED_IMAGES.items())
        parts.append(
            f"The paper lists {listed}; its confusion matrix of 25, 268 and 775 test images fits 123, 1,341 "
            "and 3,875 images, those of Kermany's train folder and 123 COVID-19 images."
        )
    parts += [found] if (found := left_out(images)) else ["No image was left out."]
    parts.append(
        _or_why(lambda: pictures.samples(run, cache, licences(Path(config.data), images) or {}), "Figure 2 is left out")
    )
    return tuple(parts)


def _training(run: Run, config: Config, history: Sequence[Mapping[str, Any]]) -> tuple[Part, ...]:
    net = run.network()
    return (
        same_as_table_1(net, config),
        table_1(net),
        table_2(config),
        further_settings(config),
        pictures.training(history),
    )


def _results(metrics: dict[str, Any], predictions: Predictions, comparable: bool) -> tuple[Part, ...]:
    rows: list[list[object]] = []
    for name, values in metrics["per_class"].items():
        cells = [
            f"{percent(values[figure])} ({interval(values['intervals'][figure])})"
            for figure in ("precision", "sensitivity", "specificity")
        ]
        others = [percent(values[figure]) for figure in ("npv", "f1", "accuracy")]
        rows.append([name, *cells, *others, f"{values['support']:,}"])
    areas = [
        [name, *(_area(metrics[figure][name]) for figure in ("roc_auc", "average_precision"))]
        for name in metrics["classes"]
    ]
    calibration = metrics["calibration"]
    tempered = (
        f" After dividing the logits by the temperature {calibration['temperature']:.2f}, fitted to the validation "
        f"images, the ECE is {calibration['ece_after']:.3f}."
        if calibration["temperature"]
        else ""
    )
    return (
        pictures.confusion(metrics),
        *((pictures.paper_confusion(),) if comparable else ()),
        table(
            "Each class against the rest, in percent with 95 % Wilson intervals. Accuracy is the paper's equation 2.",
            ["class", "precision", "sensitivity", "specificity", "NPV", "F1", "accuracy", "images"],
            rows,
        ),
        table(
            "Areas under the curves, with 95 % intervals from drawing patients with replacement.",
            ["class", "ROC area (AUC)", "average precision"],
            areas,
        ),
        *pictures.curves(predictions, metrics),
        f"Expected calibration error (ECE) {calibration['ece']:.3f}, Brier score {calibration['brier']:.3f}.{tempered}",
    )


def _beside_paper(config: Config, images: Sequence[Radiograph], compared: Sequence[Comparison]) -> tuple[Part, ...]:
    captions = {
        "Table 3": "Table 3. What the paper calls the accuracy of a class, which is its precision.",
        "Figure 3": "Figure 3, bottom margin: the sensitivities, which the paper's tables leave out.",
        "Table 4": "Table 4. Validation accuracy by epoch. The first two figures are of the paper's pre-experiment.",
        "Table 5": "Table 5. The two networks' accuracy.",
    }
    tables = [
        comparison_table(caption, [one for one in compared if one.where == where])
        for where, caption in captions.items()
    ]
    parts: list[Part] = []
    comparable = [one for one in compared if one.verdict != "not comparable"]
    if comparable:
        parts = [
            "The paper gives no intervals; those beside its figures are Wilson's, from its own counts. The last "
            "column says where its figure lies against this run's interval.",
            pictures.against_paper(comparable),
        ]
    else:
        reason = no_match(config, images) or "of its settings"
        parts = [f"Nothing can be compared with the paper, because {reason}. Its figures are listed for reference."]
    return (*parts, *tables)


def comparison_table(caption: str, compared: Sequence[Comparison]) -> Table:
    """The paper's column, ours, and the difference against the interval."""
    rows = []
    for one in compared:
        ours = "–" if one.value is None or one.why_not else f"{percent(one.value)} ({interval(one.interval)})"
        where = f"not comparable: {one.why_not}" if one.why_not else one.position
        rows.append(
            [
                one.what,
                f"{one.paper.printed} ({interval(one.paper.interval)})",
                ours,
                in_points(one.difference),
                where or "–",
            ]
        )
    return table(caption, ["figure of the paper", "paper, %", "this run, %", "points", "the paper's figure lies"], rows)


def _points(
    config: Config, test: Predictions, images: Sequence[Radiograph], history: Sequence[Mapping[str, Any]]
) -> tuple[Part, ...]:
    parts = points_tables(test, images)
    choice = points.choosing(history)
    if choice:
        where = "validation" if config.split == "patient" else "test"
        parts.append(
            f"On the {where} images the best epoch is {choice['best_epoch']} with {percent(choice['best'])} %, the "
            f"last is {choice['last_epoch']} with {percent(choice['last'])} %: choosing the epoch on these images "
            f"would add {in_points(choice['gain'])} points to what they measure. "
            + (
                "They are not the test images, so such a choice would not make the test results look better."
                if config.split == "patient"
                else "They are the test images themselves. The results here are those of "
                "the last epoch, without choosing."
            )
        )
    return tuple(parts)


def points_tables(test: Predictions, images: Sequence[Radiograph], which: str = "") -> list[Part]:
    """Accuracy on parts of the test images of a run, which the captions call `which`."""
    of_run = f" of {which}" if which else ""
    found: list[Part] = [
        _part_table(f"Accuracy on the test images{of_run} by where they come from.", points.by_folder(test))
    ]
    if points.met(test, images).any():
        found.append(
            _part_table(
                f"Accuracy on the test images{of_run} by whether images of the same patient were trained on.",
                points.by_acquaintance(test, images),
            )
        )
    else:
        found.append(f"No patient of the test images{of_run} is in the training set.")
    return found


def _part_table(caption: str, parts: Sequence[points.Part]) -> Table:
    rows = [[part.name, f"{part.images:,}", percent(part.accuracy), interval(part.interval)] for part in parts]
    return table(caption, ["test images", "images", "accuracy, %", "95 % interval"], rows)


def _audit(run: Run, cache: Path) -> tuple[Part, ...]:
    if not run.audit_file.is_file():
        return (
            f"Not done: covid audit {run.folder} measures how the network does with the lungs occluded, with the "
            "border alone, and beside a classifier that sees only properties of the files.",
        )
    occluded = _or_why(lambda: pictures.occlusions(run, cache), "The occluded images are left out")
    return (*audit_parts(run.audit(), "audit"), occluded)


def audit_parts(audit: dict[str, Any], name: str) -> tuple[Part, ...]:
    """What a run's audit found: its verdict, its figures, and their chart."""
    rows = [
        [
            row["name"],
            percent(row["accuracy"]),
            interval(row["interval"]),
            percent(row["balanced_accuracy"]),
            *(percent(row["sensitivity"][label]["value"]) for label in audit["classes"]),
        ]
        for row in [*audit["conditions"], *audit.get("shortcut_baseline", [])]
    ]
    header = ["test images", "accuracy", "95 % interval", "balanced accuracy", *audit["classes"]]
    return (
        Bullets(tuple(audit_run.verdict(audit))),  # from the figures, so that an earlier audit is told in today's words
        pictures.perturbations(audit, name),
        table(
            "The network on changed test images, then the shortcut baseline: linear classifiers of a few image "
            "features. In percent; the classes' columns are sensitivities.",
            header,
            rows,
        ),
    )


_RECORDED = {
    "command": "command",
    "training_seconds": "training time",
    "tinycnn": "tinycnn",
    "python": "Python",
    "numpy": "NumPy",
    "numba": "Numba",
    "cpu": "processor",
    "threads": "threads",
    "gpu": "GPU",
    "kernels": "kernels",
}


def _provenance(run: Run, config: Config) -> tuple[Part, ...]:
    rows = [["preset", config.preset], ["seed", str(config.seed)], ["data", config.data or "phantoms"]]
    recorded = environment(run) or {}
    for key, name in _RECORDED.items():
        if key in recorded:
            rows.append([name, _duration(recorded[key]) if key == "training_seconds" else str(recorded[key])])
    unknown = () if recorded else ("Command, versions, machine and training time were not recorded.",)
    files = [
        path.name
        for path in (run.config_file, run.manifest_file, run.history_file, run.predictions_file, run.metrics_file)
        if path.is_file()
    ]
    return (
        table("Settings, command, versions and machine.", ["what", "this run"], rows),
        *unknown,
        "The numbers of this page are in:",
        Links(tuple((name, name) for name in files)),
    )


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


def _area(values: Mapping[str, Any]) -> str:
    if values["value"] is None:
        return "–"
    ends = values["interval"]
    return f"{values['value']:.3f}" + (f" ({ends[0]:.3f} to {ends[1]:.3f})" if ends else "")


def _or_why(make: Callable[[], Figure], what: str) -> Part:
    """A figure, or the reason why its images are not there."""
    try:
        return make()
    except DataError as error:
        return f"{what}: {error}."


def _as_json(one: Comparison) -> dict[str, Any]:
    return {
        "where": one.where,
        "what": one.what,
        "paper": one.paper.value,
        "paper_printed": one.paper.printed,
        "paper_interval": list(one.paper.interval),
        "value": one.value,
        "interval": one.interval,
        "difference": one.difference,
        "verdict": one.verdict,
        "why_not": one.why_not,
    }


def _capital(text: str) -> str:
    return text[0].upper() + text[1:]
