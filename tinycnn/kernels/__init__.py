"""The operations on raw arrays, once to read (`reference`) and once as fast as the machine allows (`cpu`, `gpu`).

`for_array(x)` gives the module whose functions serve x. Every module has the same functions with the same arguments,
which `contracts` checks at the door. `ladder` holds the steps between `reference` and `cpu`.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
from collections.abc import Iterator
from contextvars import ContextVar
from types import ModuleType
from typing import Any

import numpy as np

from tinycnn.backend import get_array_module

_forced: ContextVar[str | None] = ContextVar("kernels", default=None)
NAMES = ("reference", "cpu", "gpu")
LEAST_PROBABILITY = 1e-30  # log p and 1/p stay finite in float32, whose smallest normal number is 1.2e-38


def for_array(*arrays: Any) -> ModuleType:
    """The kernel module that serves these arrays: `cpu` for NumPy, `gpu` for CuPy, or what a with-block `use` says.

    Raises TypeError when NumPy and CuPy arrays are mixed.
    """
    on_cpu = get_array_module(*arrays) is np
    return named(_forced.get() or ("cpu" if on_cpu else "gpu"))


def im2col_for_array(*arrays: Any) -> ModuleType:
    """The module that convolves these arrays by im2col and a matrix product: the reference, or `gpu`'s own."""
    return getattr(for_array(*arrays), "columns", named("reference"))


@contextlib.contextmanager
def use(name: str) -> Iterator[ModuleType]:
    """Within the with-block (and this thread) every layer computes with the kernels called `name`.

    >>> with use("reference") as kernels:
    ...     kernels.relu_forward(np.array([-1.0, 2.0]))
    array([0., 2.])
    """
    if name not in NAMES:
        raise ValueError(f"no kernels are called {name!r}: choose one of {', '.join(NAMES)}")
    token = _forced.set(name)
    try:
        yield named(name)
    finally:
        _forced.reset(token)


def active() -> str:
    """The name of the kernels that NumPy arrays get now."""
    return _forced.get() or "cpu"


@functools.cache
def named(name: str) -> ModuleType:
    """The kernel module called `name`, loaded when it is first asked for."""
    return importlib.import_module(f"tinycnn.kernels.{name}")
