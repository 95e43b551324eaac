"""The GPU's kernels, called with NumPy arrays."""

import numpy as np

from tinycnn import backend


class OnDevice:
    """A module whose functions take and return NumPy arrays; they compute on copies on the GPU.

    What a function changes in place is changed in the caller's arrays too.
    """

    def __init__(self, module):
        self.module, self.__name__ = module, module.__name__

    def __getattr__(self, name):
        function = getattr(self.module, name)

        def call(*args, **kwargs):
            moved = []

            def to_gpu(value):
                if isinstance(value, np.ndarray):
                    moved.append((value, backend.to_device(value, "cuda")))
                    return moved[-1][1]
                if isinstance(value, (list, tuple)):
                    return _like(value, map(to_gpu, value))
                return value

            result = function(*map(to_gpu, args), **{key: to_gpu(value) for key, value in kwargs.items()})
            for original, copy in moved:
                if original.flags.writeable:
                    original[...] = copy.get()
            return to_cpu(result)

        return call


def to_cpu(value):
    if isinstance(value, tuple):
        return _like(value, map(to_cpu, value))
    return value.get() if hasattr(value, "get") else value


def _like(kind, values):
    """A list, tuple or named tuple, whichever `kind` is."""
    return kind._make(values) if hasattr(kind, "_make") else type(kind)(values)
