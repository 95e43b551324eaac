"""Importing the package is cheap: nothing heavy before it is needed."""

import subprocess
import sys
from pathlib import Path

import tinycnn as tc

HEAVY = ("numba", "cupy", "matplotlib", "torch", "scipy", "sklearn", "PIL", "skimage", "tinycnn.kernels.cpu")


def run(code: str) -> str:
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stderr == ""
    return result.stdout


def test_import_loads_nothing_heavy():
    loaded = run("import sys, tinycnn; print(*sys.modules)").split()
    assert "tinycnn.network" in loaded
    assert [name for name in HEAVY if name in loaded] == []


def test_building_a_network_loads_nothing_heavy():
    loaded = run("import sys, covid.models.paper as n; n.paper_network(); print(*sys.modules)").split()
    assert [name for name in HEAVY if name in loaded] == []


def test_reference_kernels_need_no_numba():
    loaded = run("""
import sys, numpy as np, tinycnn as tc
net = tc.Sequential([tc.ImageInput((1, 8, 8)), tc.Conv2D(2, 3), tc.BatchNorm2D(), tc.ReLU(), tc.MaxPool2D(2),
                     tc.FullyConnected(2), tc.Softmax(), tc.ClassificationOutput()])
with tc.kernels.use("reference"):
    net.train_step(np.ones((2, 1, 8, 8)), np.array([0, 1]), tc.SGDM())
print(*sys.modules)""").split()
    assert "numba" not in loaded and "tinycnn.kernels.cpu" not in loaded


def test_what_runs_here():
    output = subprocess.run([sys.executable, "-m", "tinycnn"], capture_output=True, text=True, check=True).stdout
    assert f"tinycnn  {tc.__version__}" in output and "threads" in output


def test_public_names_exist():
    assert all(hasattr(tc, name) for name in tc.__all__)


def test_every_folder_of_modules_is_a_package():
    """An installation takes along packages alone: a folder without __init__.py would be missing from it."""
    root = Path(tc.__file__).parents[1]
    folders = {path.parent for package in ("tinycnn", "covid") for path in (root / package).rglob("*.py")}
    assert [str(folder) for folder in sorted(folders) if not (folder / "__init__.py").is_file()] == []
