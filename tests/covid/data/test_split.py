from collections import Counter, defaultdict
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from covid.data.manifest import Radiograph, summary
from covid.data.split import split
from covid.errors import DataError


def image(name, label="Normal", patient=None, sha256=None, source="folder"):
    return Radiograph(name, label, source, patient or name, "", sha256 or f"{name:f>64}"[-64:])


def kermany(part, n, label="Normal"):
    return [image(f"chest_xray/{part}/X/{label}{i}.jpeg", label, source="Kermany") for i in range(n)]


def counts(images):
    return Counter((f.label, f.split) for f in images if not f.excluded)


@st.composite
def populations(draw):
    """Images of many patients: most have a few, some have many; some own two classes, some share a file."""
    images = []
    for label in draw(st.sampled_from([("Normal",), ("COVID-19", "Normal", "Pneumonia")])):
        sizes = draw(st.lists(st.integers(1, 4) | st.integers(1, 20), min_size=12, max_size=80))
        images += [image(f"{label}/{p}_{i}", label, f"{label}{p}") for p, n in enumerate(sizes) for i in range(n)]
    index = st.integers(0, len(images) - 1)
    for a, b in draw(st.lists(st.tuples(index, index), max_size=5)):
        images[a] = replace(images[a], sha256=images[b].sha256)
    for a, b in draw(st.lists(st.tuples(index, index), max_size=3)):
        images[a] = replace(images[a], patient=images[b].patient)
    return images


@settings(max_examples=60, deadline=None)
@given(populations(), st.integers(0, 9))
def test_patient_split_never_leaks_and_holds_the_fractions(images, seed):
    out = split(images, "patient", seed=seed)
    assert [replace(f, split="", excluded="") for f in out] == images  # same images, same order
    kept = [f for f in out if not f.excluded]
    assert all(f.split in ("train", "validation", "test") for f in kept)
    assert all(f.split == "" for f in out if f.excluded)
    assert len({f.sha256 for f in kept}) == len(kept)

    side = {}  # of every patient and every file, left out or not: patients who share a file are together
    by_file = defaultdict(set)
    for before, after in zip(images, out, strict=True):
        by_file[before.sha256].add(after.patient)
        if after.split:
            assert side.setdefault(after.patient, after.split) == after.split
    for patients in by_file.values():
        assert len({side[p] for p in patients if p in side}) <= 1

    per_patient = Counter((f.label, f.patient) for f in kept)
    for label in {f.label for f in kept}:
        n = sum(f.label == label for f in kept)
        largest = max(k for (name, _), k in per_patient.items() if name == label)
        for name, fraction in (("train", 0.7), ("validation", 0.1), ("test", 0.2)):
            assert counts(out)[label, name] > 0
            assert abs(counts(out)[label, name] - fraction * n) <= max(2, largest)


def test_fractions_hold_within_an_image_when_small_patients_can_fill_up():
    rng = np.random.default_rng(5)
    images = [image(f"{p}_{i}", patient=f"p{p}") for p in range(400) for i in range(min(rng.geometric(0.4), 30))]
    n = len(images)
    for fractions in ((0.7, 0.1, 0.2), (0.5, 0.25, 0.25)):
        c = counts(split(images, "patient", seed=0, fractions=fractions))
        for name, fraction in zip(("train", "validation", "test"), fractions, strict=True):
            assert abs(c["Normal", name] - fraction * n) <= 1.5


@pytest.mark.parametrize("seed", range(5))
def test_one_patient_with_many_images_does_not_spoil_the_fractions(seed):
    images = [image(f"big{i}", patient="big") for i in range(40)] + [image(f"{i}") for i in range(60)]
    c = counts(split(images, "patient", seed=seed))
    assert c == {("Normal", "train"): 70, ("Normal", "validation"): 10, ("Normal", "test"): 20}


def test_the_seed_decides_and_the_order_of_images_does_not():
    images = [image(f"{label}{i}", label) for label in ("Normal", "Pneumonia") for i in range(50)]
    first = split(images, "patient", seed=1)
    assert split(images, "patient", seed=1) == first
    assert split(images, "patient", seed=np.random.default_rng(1)) == first
    assert split(images, "patient", seed=2) != first
    assert split(images[::-1], "patient", seed=1)[::-1] == first


def test_patients_chained_by_shared_files_stay_together():
    chain = []  # p0 and p1 share a file, p1 and p2 share another, …
    for i in range(10):
        chain += [image(f"{i}_{j}", patient=f"p{i}", sha256=f"{i + j:064x}") for j in (0, 1)]
    for seed in range(5):
        out = split(chain + [image(f"other{i}") for i in range(30)], "patient", seed=seed)
        assert len({f.split for f in out[:20] if not f.excluded}) == 1


def test_repeated_files():
    images = [image(f"x{i}") for i in range(10)]
    images += [image("copy", sha256=images[3].sha256), image("copy2", sha256=images[3].sha256)]
    images += [image(f"y{i}", "Pneumonia") for i in range(10)] + [image("wrong", "Pneumonia", sha256=images[5].sha256)]
    out = {f.path: f for f in split(images, "patient", seed=0)}
    assert out["copy"].excluded == out["copy2"].excluded == "duplicate of x3" and not out["x3"].excluded
    assert out["wrong"].excluded == "same file as x5 in class Normal"
    assert out["x5"].excluded == "same file as wrong in class Pneumonia"
    assert "duplicate of another image" in summary(list(out.values()))


def test_three_patients_are_enough_and_two_are_not():
    three = [image(f"{p}{i}", patient=p) for p, n in (("a", 30), ("b", 20), ("c", 25)) for i in range(n)]
    assert {f.split for f in split(three, "patient", seed=0)} == {"train", "validation", "test"}
    with pytest.raises(DataError, match="class Normal has 50 images of 2 patients, too few"):
        split(three[:50], "patient", seed=0)


def test_images_already_left_out_stay_out():
    images = [image(f"x{i}") for i in range(10)] + [replace(image("bad", sha256="-"), excluded="view: L")]
    for how in ("patient", "paper"):
        assert split(images, how, seed=0)[-1] == images[-1]


def test_paper_split_counts_are_the_papers():
    images = [image(f"covid-chestxray-dataset/images/{i}", "COVID-19", source="Cohen") for i in range(167)]
    images += kermany("train", 1341) + kermany("train", 3875, "Pneumonia")
    images += kermany("test", 234) + kermany("val", 8, "Pneumonia")
    out = split(images, "paper", seed=0)
    assert counts(out) == {
        ("COVID-19", "train"): 98, ("COVID-19", "test"): 25, ("Normal", "train"): 1073, ("Normal", "test"): 268,
        ("Pneumonia", "train"): 3100, ("Pneumonia", "test"): 775,
    }  # fmt: skip
    assert {f.excluded for f in out if "/train/" not in f.path and f.source == "Kermany"} == {
        "paper split uses the train folder only"
    }
    assert sum(f.excluded == "the paper took 123 images of COVID-19" for f in out) == 167 - 123
    assert split(images, "paper", seed=0) == out != split(images, "paper", seed=1)


@pytest.mark.parametrize(("covid", "train", "test"), [(167, 98, 25), (50, 40, 10)])
def test_pre_experiment_has_123_images_a_class_or_as_many_as_the_smallest(covid, train, test):
    images = [image(f"covid-chestxray-dataset/images/{i}", "COVID-19", source="Cohen") for i in range(covid)]
    images += kermany("train", 400) + kermany("train", 600, "Pneumonia") + kermany("test", 9)
    out = split(images, "pre", seed=0)
    names = ("COVID-19", "Normal", "Pneumonia")
    assert counts(out) == {(name, side): n for name in names for side, n in (("train", train), ("test", test))}
    assert not any(f.split for f in out if "/test/" in f.path)
    assert split(images, "pre", seed=0) == out != split(images, "pre", seed=1)


def test_paper_split_keeps_duplicates_and_takes_all_folders():
    images = [image(f"train/{i}", sha256="0" * 64) for i in range(10)]
    assert counts(split(images, "paper", seed=0)) == {("Normal", "train"): 8, ("Normal", "test"): 2}


def test_paper_split_when_the_root_is_kermany_itself():
    images = [replace(f, path=f.path.removeprefix("chest_xray/")) for f in kermany("train", 10) + kermany("test", 5)]
    assert sum(counts(split(images, "paper", seed=0)).values()) == 10


@pytest.mark.parametrize(
    ("images", "how", "options", "message"),
    [
        ([image(f"{i}") for i in range(9)], "random", {}, "split is 'random': choose one of patient, paper, pre"),
        ([], "patient", {}, "no image to split"),
        (kermany("test", 9), "paper", {}, "class Normal has 0 images"),
        (kermany("train", 2), "paper", {}, "class Normal has 2 images .* at least 3"),
        ([image(f"{i}") for i in range(9)], "patient", {"fractions": (0.7, 0.2, 0.2)}, "add up to 1"),
        ([image(f"{i}") for i in range(9)], "patient", {"fractions": (0.8, 0.0, 0.2)}, "above 0"),
        (
            [image("a", sha256=64 * "0"), image("b", "Lung", sha256=64 * "0")],
            "patient",
            {},
            "has 0 images of 0 patients",
        ),
    ],
)
def test_errors(images, how, options, message):
    with pytest.raises(DataError, match=message):
        split(images, how, seed=0, **options)
