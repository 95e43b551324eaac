"""Networks from and to other libraries, each imported when a function that needs it is called."""

from tinycnn.interop.pytorch import from_torch, to_torch, torch_state

__all__ = ["from_torch", "to_torch", "torch_state"]
