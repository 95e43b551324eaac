"""Fixtures that several folders of tests share."""

import importlib

import pytest


@pytest.fixture(params=["reference", "cpu"])
def kernels(request):
    """Each module of kernels in turn: one test body holds them all to the same answers."""
    return importlib.import_module(f"tinycnn.kernels.{request.param}")
