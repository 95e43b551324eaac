"""Writes a report to its files: a page, Markdown with pictures, JSON, and the two cards."""

from __future__ import annotations

from pathlib import Path

from covid.report.cards import data_card, model_card
from covid.report.collection import collection
from covid.report.content import content
from covid.report.document import Report
from covid.report.render import to_html, to_json, to_markdown
from covid.runs.run import Run


def write(run: Run, cache: Path) -> list[Path]:
    """Write a run's report.html, report.md with its pictures in report/, report.json, model_card.md and data_card.md.

    Returns the files' paths. Raises DataError when the run was not evaluated.

    >>> write(Run.open("runs/first"), Path("cache"))  # doctest: +SKIP
    """
    files = _write(content(run, cache), run.folder)
    for name, text in (("model_card.md", model_card(run)), ("data_card.md", data_card(run))):
        files.append(run.folder / name)
        files[-1].write_text(text, encoding="utf-8")
    return files


def write_collection(folder: Path) -> list[Path]:
    """Write report.html, report.md and report.json about the experiments in `folder`; returns their paths.

    The folder holds NAME/seed-K for each NAME of `covid.experiments.EXPERIMENTS` that was run. Raises DataError
    when it holds none.
    """
    return _write(collection(folder), folder)


def _write(report: Report, folder: Path) -> list[Path]:
    files = {"report.html": to_html(report), "report.md": to_markdown(report), "report.json": to_json(report) + "\n"}
    for name, text in files.items():
        (folder / name).write_text(text, encoding="utf-8")
    pictures = folder / "report"
    if report.figures():
        pictures.mkdir(exist_ok=True)
    for figure in report.figures():
        (pictures / f"{figure.name}.png").write_bytes(figure.png)
    return [folder / name for name in files]
