"""Packages that only some functions need."""

from __future__ import annotations

import importlib
from types import ModuleType


def required(package: str, purpose: str) -> ModuleType:
    """The module `package`; where it is not installed, ImportError with a sentence that says what needs it."""
    try:
        return importlib.import_module(package)
    except ImportError as error:
        raise ImportError(f"{purpose} needs the {package} package: pip install {package}", name=package) from error
