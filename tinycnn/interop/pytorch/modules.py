"""PyTorch modules for what tinycnn's layers do and torch.nn has no module for: `Normalize` and `Residual`.

The classes are defined when they are first asked for, so that torch is imported no earlier; importing them from here
works, and so does unpickling a module that holds one.
"""

from __future__ import annotations

import functools
from typing import Any

from tinycnn.interop.optional import required


@functools.cache
def normalize_class() -> Any:
    """The class `Normalize`, a subclass of torch.nn.Module."""
    torch = required("torch", "Normalize")

    class Normalize(torch.nn.Module):  # type: ignore[name-defined]
        """y = x − mean, or (x − mean) / std: what tinycnn's input layers do.

        x is (N, C, H, W) and mean and std (C, H, W), or x (N, D) and mean and std (D,).

        Args:
            mean: a tensor, kept as a buffer of that name.
            std: likewise, or None for no division.
            mean_of: what the two are the statistics of, each "pixel" or each "channel", as in `tc.ImageInput`.
        """

        def __init__(self, mean: Any, std: Any = None, mean_of: str = "pixel"):
            super().__init__()
            self.mean_of = mean_of
            self.register_buffer("mean", mean)
            self.register_buffer("std", std)

        def forward(self, x: Any) -> Any:
            return x - self.mean if self.std is None else (x - self.mean) / self.std

    Normalize.__qualname__ = "Normalize"
    return Normalize


@functools.cache
def residual_class() -> Any:
    """The class `Residual`, a subclass of torch.nn.Sequential."""
    torch = required("torch", "Residual")

    class Residual(torch.nn.Sequential):  # type: ignore[name-defined]
        """y = F(x) + S(x): F is the row of modules inside, S the one called "shortcut", or x itself without one."""

        def forward(self, x: Any) -> Any:
            y = x
            for name, module in self._modules.items():
                y = y if name == "shortcut" else module(y)
            return y + (self.shortcut(x) if "shortcut" in self._modules else x)

    Residual.__qualname__ = "Residual"
    return Residual


def __getattr__(name: str) -> Any:
    classes = {"Normalize": normalize_class, "Residual": residual_class}
    if name in classes:
        return classes[name]()
    raise AttributeError(f"module {__name__} has no attribute {name!r}")
