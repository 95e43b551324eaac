"""PyTorch: sequential modules become networks, networks become modules, and weights cross over."""

from tinycnn.interop.pytorch.reader import from_torch
from tinycnn.interop.pytorch.state import torch_state
from tinycnn.interop.pytorch.writer import to_torch

__all__ = ["from_torch", "to_torch", "torch_state"]
