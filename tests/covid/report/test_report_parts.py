"""The paper's figures, which of them a run reaches, and where its points come from."""

import numpy as np
import pytest

from covid import paper
from covid.config import preset
from covid.data.manifest import Radiograph
from covid.evaluation.intervals import wilson
from covid.report import points
from covid.report.against_paper import Comparison, comparisons
from covid.runs.predictions import Predictions

CLASSES = ("COVID-19", "Normal", "Pneumonia")

# ------------------------------------------------------------------------------------------ the paper's figures


def test_the_papers_figures_are_those_that_its_pages_print():
    assert paper.FIGURE_3 == ((22, 1, 0), (0, 244, 18), (3, 23, 757))
    assert {name: share.printed for name, share in paper.TABLE_3.items()} == {
        "COVID-19": "95.7",
        "Normal": "93.1",
        "Pneumonia": "96.7",
    }
    assert [share.printed for share in paper.FIGURE_3_SENSITIVITY.values()] == ["88.0", "91.0", "97.7"]
    assert {epoch: share.printed for epoch, share in {**paper.TABLE_4_PRE, **paper.TABLE_4_FULL}.items()} == {
        1: "62.67",
        13: "92.00",
        20: "95.8",
    }
    assert {name: share.printed for name, share in paper.TABLE_5.items()} == {"alexnet": "95.00", "paper": "95.8"}
    assert [value for *_, value in paper.TABLE_2] == ["0.9000", "0.0100", "0.2", "5", "20", "64", "every epoch"]


def test_the_counts_behind_the_printed_figures_give_them():
    shares = [*paper.TABLE_3.values(), *paper.FIGURE_3_SENSITIVITY.values(), *paper.TABLE_4_PRE.values()]
    for share in [*shares, paper.ACCURACY]:
        decimals = len(share.printed.partition(".")[2])
        assert f"{100 * share.images / share.of:.{decimals}f}" == share.printed
    matrix = np.array(paper.FIGURE_3)
    assert matrix.sum() == paper.ACCURACY.of == 1068 and np.trace(matrix) == paper.ACCURACY.images == 1023
    assert [(share.images, share.of) for share in paper.TABLE_3.values()] == list(
        zip(np.diag(matrix), matrix.sum(axis=1), strict=True)
    )
    assert [(share.images, share.of) for share in paper.FIGURE_3_SENSITIVITY.values()] == list(
        zip(np.diag(matrix), matrix.sum(axis=0), strict=True)
    )
    assert paper.ACCURACY.interval == pytest.approx((0.944, 0.968), abs=5e-4)


@pytest.mark.parametrize(
    "interval, verdict",
    [((0.90, 0.97), "reached"), ((0.97, 0.99), "reached"), ((0.90, 0.95), "not reached"), (None, "not comparable")],
)
def test_a_figure_is_reached_unless_it_lies_above_the_runs_interval(interval, verdict):
    value = sum(interval) / 2 if interval else None
    one = Comparison("Table 3", "COVID-19 precision", paper.TABLE_3["COVID-19"], value, interval)  # 22/23, 95.7 %
    assert one.verdict == verdict and f"{'cannot be compared' if interval is None else verdict}" in one.sentence()


def comparable(split="paper", network="paper", source="Kermany"):
    """The names of the figures that a run of 20 epochs can be compared with."""
    config = preset("paper", data="images", split=split, network=network, classes=CLASSES)
    images = [Radiograph("a", "Normal", name, "p", "PA", "0", "test") for name in (source, "Cohen")]
    history = [{"epoch": epoch, "validation_accuracy": 0.5} for epoch in range(1, 21)]
    of_class = {"precision": 0.5, "sensitivity": 0.5, "intervals": {"precision": (0, 1), "sensitivity": (0, 1)}}
    metrics = {"accuracy": 0.5, "accuracy_interval": (0, 1), "per_class": dict.fromkeys(CLASSES, of_class)}
    return [
        one.where + "/" + one.what.rpartition(" ")[2] if one.where == "Table 4" else one.where
        for one in comparisons(config, images, metrics, history)
        if one.verdict != "not comparable"
    ]


def test_table_4_counts_the_images_that_validated():
    images = [
        Radiograph("a", "Normal", source, "p", "PA", "0", split)
        for source in ("Kermany", "Cohen")
        for split in ["validation"] * 10 + ["test"] * 50
    ]
    metrics = {"accuracy": 0.5, "accuracy_interval": (0, 1), "per_class": {}}
    history = [{"epoch": 20, "validation_accuracy": 0.5}]
    for split, images_held_out in (("patient", 20), ("paper", 100)):
        config = preset("paper", data="images", split=split, classes=CLASSES)
        found = comparisons(config, images, metrics, history)
        one = next(one for one in found if one.what.endswith("epoch 20"))
        assert one.value == 0.5 and one.interval == wilson(images_held_out // 2, images_held_out)


def test_each_figure_is_compared_only_with_a_run_that_repeats_it():
    full = ["Table 3"] * 3 + ["Figure 3"] * 3 + ["Table 4/20"]
    assert comparable("paper") == comparable("patient") == [*full, "Table 5"]
    assert comparable("pre") == ["Table 4/1", "Table 4/13"]
    assert comparable(network="alexnet") == ["Table 5"]
    assert comparable(source="folder") == []


# ---------------------------------------------------------------------------------------- where the points come from


def answers(rows):
    """Predictions from (path, source, patient, target, output)."""
    paths, sources, patients, targets, outputs = zip(*rows, strict=True)
    return Predictions(
        ("sick", "well"),
        np.array(paths),
        np.array(patients),
        np.array(sources),
        np.full(len(rows), "test"),
        np.array(targets),
        np.eye(2)[list(outputs)],
    )


HOLDOUT = answers(
    [
        ("x/train/A/1", "Kermany", "p1", 0, 0),
        ("x/train/A/2", "Kermany", "p2", 0, 1),
        ("x/train/A/3", "Kermany", "p2", 0, 0),
        ("c/images/4", "Cohen", "p3", 1, 1),
    ]
)
TRAINED = [
    Radiograph("x/train/A/9", "sick", "Kermany", "p1", "AP", "0", "train"),
    Radiograph("c/images/9", "well", "Cohen", "p9", "AP", "0", "train"),
    Radiograph("x/train/A/2", "sick", "Kermany", "p2", "AP", "0", "test"),
]
BY_PATIENT = answers(
    [
        ("x/train/A/1", "Kermany", "p1", 0, 0),
        ("x/test/A/2", "Kermany", "p2", 0, 1),
        ("x/train/B/5", "Kermany", "p5", 1, 1),
        ("x/val/B/6", "Kermany", "p6", 1, 0),
    ]
)
HISTORY = [
    {"epoch": 1, "validation_accuracy": 0.9},
    {"epoch": 2, "validation_accuracy": 0.5},
    {"epoch": 2, "validation_accuracy": None},
    {"epoch": 3, "validation_accuracy": 0.8},
]


def test_accuracy_by_folder_and_by_patient_is_the_hand_counted_one():
    assert {part.name: (part.right, part.images) for part in points.by_folder(HOLDOUT)} == {
        "Cohen": (1, 1),
        "Kermany, train folder": (2, 3),
    }
    assert {part.name: (part.right, part.images) for part in points.by_acquaintance(HOLDOUT, TRAINED)} == {
        "patient also trained on": (1, 1),
        "patient not trained on": (2, 3),
        "patient not trained on: sick": (1, 2),
        "patient not trained on: well": (1, 1),
    }
    assert points.choosing(HISTORY) == {
        "best_epoch": 1,
        "best": 0.9,
        "last_epoch": 3,
        "last": 0.8,
        "gain": pytest.approx(0.1),
    }
    assert points.choosing([{"epoch": 1, "validation_accuracy": None}]) is None


def test_the_way_from_split_to_split_weighs_the_classes_equally():
    steps = [value for _, value in points.chain((HOLDOUT, TRAINED, HISTORY), BY_PATIENT)]
    # Three of the hold-out's four images are sick: half of the sick and all well ones right without p1, and so on.
    assert steps == pytest.approx([0.9, 3 / 4, 3 / 4 * 1 / 2 + 1 / 4, 1.0, 3 / 4 * 1 / 2 + 1 / 4 * 1 / 2, 1 / 2])


def test_a_step_without_images_of_a_class_is_unknown_not_wrong():
    only_sick = HOLDOUT[HOLDOUT.targets == 0]
    assert points.standardised(only_sick, np.ones(3, dtype=bool), {"sick": 0.75, "well": 0.25}) is None
