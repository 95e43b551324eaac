"""What a run was trained on: told by its files, written down, and held against other images."""

import numpy as np
import pytest

from covid.data.manifest import Radiograph, write_manifest
from covid.data.phantom import write_phantoms
from covid.errors import DataError
from covid.runs.provenance import PHANTOM_WEIGHTS, PHANTOMS, RADIOGRAPHS, Provenance
from covid.runs.run import Run, write_json

REAL = "chest_xray/train/NORMAL/IM-0115-0001.jpeg"


def test_phantoms_are_known_by_the_names_they_are_written_under(tmp_path):
    drawn = [path.relative_to(tmp_path).as_posix() for path in write_phantoms(tmp_path / "p", 1, 0, 32).rglob("*.png")]
    assert len(drawn) == 3
    assert Provenance.of(drawn).trained_on == PHANTOMS
    assert Provenance.of([*drawn, REAL]).trained_on == RADIOGRAPHS
    assert Provenance.of([]).trained_on == RADIOGRAPHS


@pytest.mark.parametrize(
    ("trained_on", "paths", "expected"),
    [
        (PHANTOMS, [REAL], [PHANTOM_WEIGHTS]),
        (PHANTOMS, ["Normal/seed0-64px-0000.png", REAL], [PHANTOM_WEIGHTS]),
        (PHANTOMS, ["Normal/seed0-64px-0000.png"], []),
        (RADIOGRAPHS, [REAL, "Normal/seed0-64px-0000.png"], []),
    ],
)
def test_real_images_and_phantom_weights_do_not_go_together(trained_on, paths, expected):
    assert Provenance(trained_on).warnings(paths) == expected


def test_a_run_of_an_earlier_version_is_known_by_its_manifest(tmp_path):
    for path, expected in ((REAL, RADIOGRAPHS), ("Normal/seed0-64px-0000.png", PHANTOMS)):
        run = Run(tmp_path)
        write_manifest(run.manifest_file, [Radiograph(path, "Normal", "folder", "p", "", "0" * 64, "train")])
        assert run.provenance() == Provenance(expected)


def test_written_and_read_back_and_refused_when_damaged(tmp_path):
    run = Run(tmp_path)
    images = np.random.default_rng(0).integers(0, 256, (5, 40, 40), dtype=np.uint8)
    provenance = Provenance.of([REAL], images)
    write_json(run.provenance_file, provenance.to_json())
    assert run.provenance() == provenance
    write_json(run.provenance_file, {"trained_on": "phantoms"})
    with pytest.raises(DataError, match=r"provenance\.json is damaged .*restore it"):
        run.provenance()
