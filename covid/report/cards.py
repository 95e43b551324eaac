"""A model card and a data card for a run: what was made of what, for what it is fit, and where it fails."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from covid import paper
from covid.config import Config
from covid.data.manifest import SPLITS, Radiograph
from covid.report.against_paper import network_name
from covid.report.data import images_table, left_out
from covid.report.document import Table
from covid.report.render import markdown_table
from covid.runs.run import Run
from covid.tables import interval, percent

NOT_GIVEN = "not given"

_NOT_CLINICAL = "Not for clinical use: no one may be diagnosed, treated or sent home on what this network says."
_LABELS = "The labels are those of the sources; nobody read the images again."
_LIMITS_OF_THE_PAPER = (
    "Source, age and class coincide in the paper's data: children from one hospital are Normal or Pneumonia, and the "
    "COVID-19 images are of adults from the literature. A network can tell such classes apart without looking at lungs "
    "(Maguolo & Nanni 2021; DeGrave et al. 2021), so a good score here says nothing about another hospital.",
    "COVID-19 has few images. The intervals are wide, and an image more or less moves its figures by points.",
)
_LIMITS_OF_FOLDERS = (
    "Nothing is known here of the images' origin. Where each class comes from a hospital, a machine or an age group of "
    "its own, a network can tell the classes apart without looking at lungs.",
    "Each file counts as a patient of its own; several images of one patient make the intervals too narrow, and can "
    "lie on both sides of the split.",
)

_SOURCES = {
    "Kermany": 'Kermany et al. 2018, "Labeled Optical Coherence Tomography and Chest X-Ray Images", '
    "https://doi.org/10.17632/rscbjbr9sj: images of children aged one to five from one hospital in "
    "Guangzhou. Licence CC BY 4.0 for all.",
    "Cohen": "Cohen et al. 2020, COVID-19 image data collection, https://github.com/ieee8023/covid-chestxray-dataset: "
    "images gathered from publications and websites, mostly of adults. Each image has a licence of its own.",
    "folder": "A folder with one folder a class, as the user has it. Its origin, licence and patients are not known to "
    "this program, and each file counts as a patient of its own.",
}
_PHANTOMS = (
    "Phantom X-rays, drawn by this program from random anatomy. They are not images of anyone, and carry no "
    "licence of others."
)


def limits(config: Config, images: Sequence[Radiograph]) -> tuple[str, ...]:
    """What a reader of a run's figures must know, in sentences."""
    if not config.data:
        return (_NOT_CLINICAL, "Phantoms are drawings: a score on them says nothing about images of patients.")
    of_paper = {image.source for image in images} & {"Kermany", "Cohen"}
    return (_NOT_CLINICAL, *(_LIMITS_OF_THE_PAPER if of_paper else _LIMITS_OF_FOLDERS), _LABELS)


def licences(root: Path, images: Sequence[Radiograph]) -> dict[str, str] | None:
    """The licence of each of Cohen's images by path, as its metadata.csv says; None when the file is not there.

    Releases before 2020-04 have no licence column; these images, and rows where it is empty, are "not given".
    """
    wanted = {image.path: image.path.rpartition("/")[2] for image in images if image.source == "Cohen"}
    if not wanted:
        return {}
    metadata = root.joinpath(*next(iter(wanted)).split("/")[:-2], "metadata.csv")
    try:
        with metadata.open(newline="", encoding="utf-8-sig", errors="replace") as file:
            rows = [
                {(key or "").strip().casefold(): value for key, value in row.items()} for row in csv.DictReader(file)
            ]
    except OSError:
        return None
    of_file = {row.get("filename") or "": (row.get("license") or "").strip() or NOT_GIVEN for row in rows}
    return {path: of_file.get(name, NOT_GIVEN) for path, name in wanted.items()}


def model_card(run: Run) -> str:
    """The model card of a run as Markdown, with the headings of Mitchell et al., "Model cards for model reporting"
    (2019). Raises DataError when the run was not evaluated."""
    config, metrics, images = run.config(), run.metrics(), run.images()
    net = run.network()
    parameters = sum(array.size for array in net.parameters().values())
    patients = "patients" if config.split == "patient" else "images, so that a patient can be on both sides"
    held_out = [image for image in images if image.split == "test"]
    return _document(
        "Model card",
        (
            "Model details",
            [
                f"{network_name(config).capitalize()} ({parameters:,} parameters, {len(net.layers)} layers with the "
                f"input), preset {config.preset}, seed {config.seed}, epochs: {config.epochs}. After {paper.AUTHORS}, "
                f'"{paper.TITLE}" (2020), {paper.DOI}.',
                f"Input: one chest X-ray as {config.channels} × {config.size} × {config.size} grey levels from 0 to 255"
                + (", after CLAHE" if config.clahe else "")
                + f". Output: probabilities of {', '.join(config.classes)}.",
            ],
        ),
        ("Intended use", [f"Teaching, and repeating a published experiment. {_NOT_CLINICAL}"]),
        ("Factors", [_factors(config, images)]),
        (
            "Metrics",
            [
                "Precision, sensitivity and specificity of each class against the rest, and overall and balanced "
                "accuracy, with 95 % Wilson intervals, or from drawing patients with replacement."
            ],
        ),
        (
            "Evaluation data",
            [
                f"{len(held_out)} test images of {len({image.patient for image in held_out})} patients, held "
                f"out by dividing {patients}. See the data card."
            ],
        ),
        ("Training data", [f"{sum(image.split == 'train' for image in images)} images. See the data card."]),
        ("Quantitative analyses", [_scores(metrics), _figures(metrics)]),
        (
            "Ethical considerations",
            [
                "The images are of patients; those of public collections were published without "
                "names. A network that answers quickly and wrongly can harm."
                if config.data
                else "No patient's image was used."
            ],
        ),
        (
            "Caveats and recommendations",
            [
                *limits(config, images),
                "Measure on images of another hospital before believing any figure: covid evaluate RUN --data DIR. "
                "What the network looks at: covid audit RUN.",
            ],
        ),
    )


def _factors(config: Config, images: Sequence[Radiograph]) -> str:
    if not config.data:
        return (
            "Results are given for each class of phantoms. They vary in anatomy and exposure and in nothing else; "
            "they have neither age nor sex."
        )
    if {image.source for image in images} & {"Kermany", "Cohen"}:
        return (
            "Results are given for each class. The images' source, and with it the patients' age, goes with the "
            "class and cannot be separated from it; sex and age are not evaluated."
        )
    return "Results are given for each class. Source, age and sex are not known, and not evaluated."


def _scores(metrics: Mapping[str, Any]) -> str:
    return (
        f"Accuracy {percent(metrics['accuracy'])} % ({interval(metrics['accuracy_interval'])}) of {metrics['n']} "
        f"images; balanced accuracy {percent(metrics['balanced_accuracy'])} %. Always answering "
        f"{metrics['majority']['class']} would score {percent(metrics['majority']['accuracy'])} %."
    )


def _figures(metrics: Mapping[str, Any]) -> str:
    names = ("precision", "sensitivity", "specificity")
    rows = [
        (
            name,
            *(f"{percent(values[figure])} ({interval(values['intervals'][figure])})" for figure in names),
            str(values["support"]),
        )
        for name, values in metrics["per_class"].items()
    ]
    return markdown_table(Table("", ("class", *(f"{name}, %" for name in names), "images"), tuple(rows)))


def data_card(run: Run, root: Path | None = None) -> str:
    """The data card of a run as Markdown: provenance, licences, patients, classes, what was left out, limits.

    `root` is the folder of the images, where licences are looked up; the run's own by default.
    """
    config, images = run.config(), run.images()
    used = [image for image in images if image.split]
    sources = sorted({image.source for image in used})
    origin = [_SOURCES.get(source, source) for source in sources] if config.data else [_PHANTOMS]
    return _document(
        "Data card",
        ("Provenance", origin),
        ("Licences", _licence_lines(config, root or Path(config.data), used)),
        ("Classes and patients", [markdown_table(images_table(images, config.classes)), _patients(used)]),
        ("Ages", [_ages(config, sources)]),
        ("Split", [_split(config)]),
        ("Left out", [markdown_table(table) if (table := left_out(images)) else "Nothing."]),
        (
            "Preprocessing",
            [
                f"Read as grey, resized to {config.size} × {config.size} pixels (bicubic)"
                + (", then CLAHE (8 × 8 tiles, 256 bins, clip limit 0.01)." if config.clahe else ".")
            ],
        ),
        ("Limits", limits(config, images)),
    )


def _licence_lines(config: Config, root: Path, used: Sequence[Radiograph]) -> list[str]:
    if not config.data:
        return ["None needed: the images are drawn."]
    lines = []
    counts = Counter(image.source for image in used)
    if counts["Kermany"]:
        lines.append(f"{counts['Kermany']} images of Kermany et al.: CC BY 4.0.")
    if counts["Cohen"]:
        found = licences(root, used)
        each = (
            "its metadata.csv is no longer in the data folder, so they cannot be listed"
            if found is None
            else ", ".join(f"{n} {name}" for name, n in Counter(found.values()).most_common())
        )
        lines.append(f"{counts['Cohen']} images of Cohen et al., image by image: {each}.")
    if counts["folder"]:
        lines.append(f"{counts['folder']} images from the user's folders: not known.")
    return lines


def _patients(used: Sequence[Radiograph]) -> str:
    across = {image.patient for image in used if image.split == "train"} & {
        image.patient for image in used if image.split != "train"
    }
    sides = ", ".join(f"{len({image.patient for image in used if image.split == side})} {side}" for side in SPLITS)
    return (
        f"Patients, as file names and lists tell them: {sides}; with images both in training and outside it: "
        f"{len(across)}."
    )


def _ages(config: Config, sources: Sequence[str]) -> str:
    if not config.data:
        return "Phantoms have no age."
    if sources == ["Cohen", "Kermany"]:
        return (
            "Not used, and not given image by image for Kermany's. By the sources' descriptions Normal and Pneumonia "
            "are children and COVID-19 adults, so age and class cannot be told apart."
        )
    return "Not known."


def _split(config: Config) -> str:
    seed = config.seed if config.split_seed is None else config.split_seed
    how = {
        "patient": "by patient: all images of a patient, and of patients who share a file, are on one side",
        "paper": "as in the paper, image by image: 80 % of each class for training, the rest for validation and test "
        "alike, so the same patient can be on both sides",
        "pre": "as in the paper's pre-experiment: 123 images of each class, 80 % for training, image by image",
    }
    return f"Divided {how[config.split]}. Seed {seed}."


def _document(title: str, *sections: tuple[str, Sequence[str]]) -> str:
    parts = [f"# {title}"]
    for heading, paragraphs in sections:
        parts += [f"## {heading}", *paragraphs]
    return "\n\n".join(parts) + "\n"
