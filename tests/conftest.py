"""Fixtures that several folders of tests share."""

import importlib

import pytest

from tests.emulation import emulate
from tests.emulation.on_device import OnDevice
from tinycnn import backend


@pytest.fixture(scope="module", params=["reference", "cpu", pytest.param("gpu", marks=pytest.mark.gpu)])
def kernels(request):
    """Each module of kernels in turn: one test body holds them all to the same answers.

    The tests hand NumPy arrays to all of them. `gpu` computes on a GPU if there is one, and otherwise in an emulator.
    """
    module = importlib.import_module(f"tinycnn.kernels.{request.param}")
    if request.param != "gpu":
        yield module
    elif backend.has_gpu():
        yield OnDevice(module)
    elif emulate.COMPILER:
        with emulate.emulated():
            yield module
    else:
        pytest.skip("no GPU, and no g++ to emulate one with")
