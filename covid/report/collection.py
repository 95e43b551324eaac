"""What the report of several experiments says: the paper's tables from our own runs, and what lies between them."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from covid import earlier, paper
from covid.errors import DataError
from covid.evaluation.compare import compare_runs, p_value, verdict
from covid.experiments import EXPERIMENTS, summarize
from covid.report import points
from covid.report.against_paper import Comparison, comparisons, validation_accuracies
from covid.report.content import audit_parts, points_tables
from covid.report.document import Bullets, Links, Part, Report, Section, Table, table
from covid.runs.run import Run, read_json
from covid.tables import interval, percent
from covid.tables import points as in_points

Runs = Mapping[str, Sequence[Run]]
Compared = Mapping[str, Sequence[Sequence[Comparison]]]  # experiment → run → the paper's figures

_REPEATS = ("pre", "paper", "alexnet")  # the experiments that repeat the paper; it did not do the others


def collection(folder: Path) -> Report:
    """The report of the experiments in `folder`/NAME/seed-K. Raises DataError when there is none."""
    runs = {name: finished(earlier.experiment_folder(folder, name)) for name in EXPERIMENTS}
    if not any(runs.values()):
        raise DataError(
            f"{folder} holds no finished experiment ({', '.join(EXPERIMENTS)}, each with seed-… runs): "
            "give a folder that covid reproduce wrote"
        )
    summaries = {name: summarize([run.metrics() for run in of_name]) for name, of_name in runs.items() if of_name}
    compared = {name: [_compared(run) for run in of_name] for name, of_name in runs.items() if of_name}
    pairs = {pair: _pair(runs, *pair) for pair in (("paper", "alexnet"), ("pooled", "patient"))}
    sections = (
        Section("Summary", _summary(runs, summaries, compared)),
        Section("All experiments", (_overall(runs, summaries), _per_class(summaries))),
        Section("The paper's figures", _figures(compared)),
        Section("Table 4: validation accuracy by epoch", (_table_4(runs),)),
        Section("Table 5: the proposed network and AlexNet", _comparison("paper", "alexnet", pairs)),
        Section("A network with global average pooling on the same patients", _comparison("pooled", "patient", pairs)),
        Section("Accuracy on parts of the test sets", _points(runs)),
        Section("Audits", _audits(folder, runs)),
        Section("Each run's own report", _links(folder, runs)),
    )
    data = {
        "experiments": summaries,
        "comparisons": {f"{a} and {b}": found for (a, b), found in pairs.items() if not isinstance(found, str)},
    }
    return Report("The paper's experiments, repeated", sections, data)


def finished(folder: Path) -> list[Run]:
    """The runs seed-K in a folder that were measured, by seed."""
    found = [Run(path) for path in folder.glob("seed-*") if (path / "metrics.json").is_file()]
    return sorted(found, key=lambda run: run.config().seed)


def _compared(run: Run) -> list[Comparison]:
    return comparisons(run.config(), run.images(), run.metrics(), run.history())


def _pair(runs: Runs, a: str, b: str) -> dict[str, Any] | str:
    """The first runs of two experiments on the images that both tested, or why they cannot be compared."""
    missing = [name for name in (a, b) if not runs[name]]
    if missing:
        return f"Not compared: the experiment {' and '.join(missing)} was not run."
    try:
        return compare_runs(runs[a][0], runs[b][0])
    except DataError as error:
        return f"Not compared: {error}."


# ------------------------------------------------------------------------------------------------ sections


def _summary(runs: Runs, summaries: Mapping[str, dict[str, Any]], compared: Compared) -> tuple[Part, ...]:
    sentences = []
    for name, plan in EXPERIMENTS.items():
        if name not in summaries:
            sentences.append(f"{plan.title} ({name}): not run.")
            continue
        sentences.append(
            f"{plan.title} ({name}): {_mean_sd(summaries[name]['accuracy'])} % accuracy in "
            f"{_count(runs[name])}, balanced accuracy {_mean_sd(summaries[name]['balanced_accuracy'])} %."
        )
    verdicts = [_verdict(name, figures) for name in _REPEATS for figures in _by_figure(compared.get(name, ()))]
    if not verdicts:
        return (
            Bullets(tuple(sentences)),
            "None of the paper's figures can be compared with these runs: they are of "
            "other images, or the paper's experiments were not run.",
        )
    return (
        Bullets(tuple(sentences)),
        "A figure of the paper counts as reached by a run unless it lies above the run's 95 % interval:",
        Bullets(tuple(verdicts)),
    )


def _by_figure(compared: Sequence[Sequence[Comparison]]) -> list[tuple[Comparison, ...]]:
    """For each of the paper's figures that can be compared, every run's comparison."""
    return [
        figures for figures in zip(*compared, strict=True) if all(one.verdict != "not comparable" for one in figures)
    ]


def _verdict(name: str, figures: Sequence[Comparison]) -> str:
    one, values = figures[0], [each.value for each in figures if each.value is not None]
    reached = sum(each.verdict == "reached" for each in figures)
    how = (
        "reached"
        if reached == len(figures)
        else "not reached"
        if not reached
        else (f"reached by {reached} of {len(figures)} runs")
    )
    return (
        f"{one.where}, {one.what} of {one.paper.printed} %: {how}. Here {percent(statistics.fmean(values))} %"
        f"{f' on average of {len(values)} runs' if len(values) > 1 else ''} ({name})."
    )


def _overall(runs: Runs, summaries: Mapping[str, dict[str, Any]]) -> Table:
    rows: list[list[object]] = []
    for name in EXPERIMENTS:
        if name not in summaries:
            rows.append([f"{name} (not run)", *["–"] * 6])
            continue
        metrics, summary = runs[name][0].metrics(), summaries[name]
        share = {"pre": None, "alexnet": paper.TABLE_5["alexnet"]}.get(name, paper.ACCURACY)
        rows.append(
            [
                name,
                _mean_sd(summary["accuracy"]),
                ", ".join(percent(value) for value in summary["accuracy"]["values"]),
                interval(metrics["accuracy_interval"]),
                _mean_sd(summary["balanced_accuracy"]),
                percent(metrics["majority"]["accuracy"]),
                share.printed if share else "–",
            ]
        )
    return table(
        "Overall accuracy in percent: mean ± standard deviation over seeds, each run, the 95 % Wilson "
        "interval of the first run, and what always answering the commonest class would score.",
        ["experiment", "accuracy", "each run", "first run's interval", "balanced accuracy", "commonest class", "paper"],
        rows,
    )


def _per_class(summaries: Mapping[str, dict[str, Any]]) -> Table:
    figures = ("precision", "sensitivity", "specificity")
    rows = [
        [name, label, *(_mean_sd(values[figure]) for figure in figures)]
        for name, summary in summaries.items()
        for label, values in summary["per_class"].items()
    ]
    return table(
        "Each class, in percent: mean ± standard deviation over seeds.", ["experiment", "class", *figures], rows
    )


def _figures(compared: Compared) -> tuple[Part, ...]:
    names = [name for name in compared if _by_figure(compared[name])]
    if not names:
        return ("No run here can be compared with the paper.",)
    rows = []
    for i, one in enumerate(compared[names[0]][0]):
        rows.append(
            [
                f"{one.where}, {one.what}",
                f"{one.paper.printed} ({interval(one.paper.interval)})",
                *(_cell([run[i] for run in compared[name]]) for name in names),
            ]
        )
    return (
        "Table 3's accuracy of a class is its precision; the sensitivities are those of the paper's Figure 3.",
        table(
            "Each of the paper's figures, with the Wilson interval of its own counts, and in percent the mean "
            "over the runs of each experiment with how many runs reach it; a dash where they cannot be compared.",
            ["figure of the paper", "printed", *names],
            rows,
        ),
    )


def _cell(figures: Sequence[Comparison]) -> str:
    values = [one.value for one in figures if one.verdict != "not comparable" and one.value is not None]
    reached = sum(one.verdict == "reached" for one in figures)
    return f"{percent(statistics.fmean(values))}, {reached} of {len(values)}" if values else "–"


def _table_4(runs: Runs) -> Table:
    printed = {
        **{epoch: ("pre", share) for epoch, share in paper.TABLE_4_PRE.items()},
        **{epoch: ("paper", share) for epoch, share in paper.TABLE_4_FULL.items()},
    }
    measured = {name: validation_accuracies(of_name[0].history()) if of_name else {} for name, of_name in runs.items()}
    rows = [
        [
            f"{epoch}",
            f"{share.printed} ({'pre-experiment' if name == 'pre' else 'all images'})",
            *(percent(measured[which].get(epoch)) for which in ("pre", "paper", "patient")),
        ]
        for epoch, (name, share) in printed.items()
    ]
    return table(
        "Validation accuracy in percent after an epoch, of the first run. The paper prints one table; its "
        "first two figures are of its pre-experiment, the third of all images.",
        ["epoch", "paper", "pre", "paper's split", "patients kept apart"],
        rows,
    )


def _comparison(a: str, b: str, pairs: Mapping[tuple[str, str], dict[str, Any] | str]) -> tuple[Part, ...]:
    result = pairs[a, b]
    printed = {name: f"{share.printed} ({interval(share.interval)})" for name, share in paper.TABLE_5.items()}
    if isinstance(result, str):
        return (result,) + (
            ()
            if b != "alexnet"
            else (
                table(
                    "Table 5 of the paper.",
                    ["network", "paper, %"],
                    [["AlexNet", printed["alexnet"]], ["proposed network", printed["paper"]]],
                ),
            )
        )
    rows = []
    for name, side in ((a, "a"), (b, "b")):
        values = result[side]
        rows.append(
            [
                EXPERIMENTS[name].title,
                f"{percent(values['accuracy'])} ({interval(values['interval'])})",
                percent(values["balanced_accuracy"]),
                *(percent(values["per_class"][label]["sensitivity"]) for label in result["classes"]),
                printed.get(name, "–") if b == "alexnet" else "–",
            ]
        )
    test, ends = result["mcnemar"], result["difference_interval"]
    return (
        table(
            f"The first run of each on the {result['n']:,} test images of {result['patients']:,} patients that both "
            "have. Accuracy with 95 % Wilson interval; the classes' columns are sensitivities.",
            [
                "network",
                "accuracy, %",
                "balanced accuracy, %",
                *(f"{name}, %" for name in result["classes"]),
                "paper, %",
            ],
            rows,
        ),
        f"Difference {in_points(result['difference'])} points"
        + (
            f", 95 % interval {in_points(ends[0])} to {in_points(ends[1])} when patients are drawn with replacement"
            if ends
            else ""
        )
        + f". {test['only_a']} images only the first got right, {test['only_b']} only the second: "
        f"McNemar's exact test gives p {p_value(test['p']) if test['p'] < 0.001 else '= ' + p_value(test['p'])}. "
        f"{verdict(result)}",
    )


def _points(runs: Runs) -> tuple[Part, ...]:
    parts: list[Part] = []
    if runs["paper"] and runs["patient"]:
        steps = _chain(runs)
        rows = []
        for i, (name, value) in enumerate(steps):
            before = steps[i - 1][1] if i else None
            rows.append(
                [
                    name,
                    percent(value),
                    in_points(None if value is None or before is None else value - before),
                    _MEANING[i],
                ]
            )
        both = min(len(runs["paper"]), len(runs["patient"]))
        parts += [
            table(
                f"From the paper's split to patients kept apart, in percent: mean of "
                f"{'one run' if both == 1 else f'{both} runs'} of each.",
                ["measured on", "accuracy", "change", "what the change is"],
                rows,
            ),
            _chain_sentence(steps),
        ]
    for name, label in (("paper", "the paper's split"), ("patient", "patients kept apart")):
        if runs[name]:
            test, images = runs[name][0].predictions().of("test"), runs[name][0].images()
            parts += points_tables(test, images, f"{label}, {_which(runs[name][0])},")
    missing = [name for name in ("paper", "patient") if not runs[name]]
    return tuple(parts) + (
        (
            f"The experiment {' and '.join(missing)} was not run, so the way from one split to the "
            "other cannot be traced.",
        )
        if missing
        else ()
    )


_MEANING = (
    "",
    "the hold-out does not choose the epoch",
    "no image of a patient that was trained on",
    "another division: other images, fewer of them trained on, chance",
    "the official test and val folders",
    "the classes as frequent as they are in this test",
)


def _chain(runs: Runs) -> list[tuple[str, float | None]]:
    """The steps of `points.chain`, each the mean over the runs; None where a run has none."""
    chains = [
        points.chain((a.predictions(), a.images(), a.history()), b.predictions())
        for a, b in zip(runs["paper"], runs["patient"], strict=False)
    ]
    return [
        (
            steps[0][0],
            None
            if any(value is None for _, value in steps)
            else statistics.fmean(value for _, value in steps if value is not None),
        )
        for steps in zip(*chains, strict=True)
    ]


def _chain_sentence(steps: Sequence[tuple[str, float | None]]) -> str:
    values = [value for _, value in steps]
    changes = [
        (after - before, meaning)
        for before, after, meaning in zip(values, values[1:], _MEANING[1:], strict=False)
        if before is not None and after is not None
    ]
    loss, meaning = min(changes)
    after_training, last = values[1] or 0.0, values[-1] or 0.0
    return (
        f"From the paper's split after its last epoch to patients kept apart: {in_points(last - after_training)} "
        f"points. The largest single loss in the table, {in_points(loss)} points, comes with: {meaning}. The steps "
        "rest on different images, so each carries the uncertainty of the intervals below."
    )


def _audits(folder: Path, runs: Runs) -> tuple[Part, ...]:
    parts: list[Part] = []
    data_audit = folder / "audit.json"
    if data_audit.is_file():
        audit = read_json(data_audit, "covid audit --data DIR writes it again")
        parts += ["Of the images:", Bullets(tuple(audit["verdict"]))]
    for name, of_name in runs.items():
        audited = next((run for run in of_name if run.audit_file.is_file()), None)
        if audited:
            audit = audited.audit()
            parts += [f"Of the experiment {name}, {_which(audited)}:", *audit_parts(audit, f"audit-{name}")]
    return tuple(parts) or ("Neither the images nor a run was audited: covid audit does it.",)


def _links(folder: Path, runs: Runs) -> tuple[Part, ...]:
    there = [
        (f"{name}, {_which(run)}", (run.folder / "report.html").relative_to(folder).as_posix())
        for name, of_name in runs.items()
        for run in of_name
        if (run.folder / "report.html").is_file()
    ]
    return (Links(tuple(there)),) if there else ("None was written: covid report RUN writes it.",)


def _which(run: Run) -> str:
    return f"seed {run.config().seed}"


def _count(runs: Sequence[Run]) -> str:
    return "one run" if len(runs) == 1 else f"{len(runs)} runs"


def _mean_sd(spread: Mapping[str, Any]) -> str:
    if spread["mean"] is None or np.isnan(spread["mean"]):
        return "–"
    return percent(spread["mean"]) + (f" ± {percent(spread['sd'])}" if spread["sd"] is not None else "")
