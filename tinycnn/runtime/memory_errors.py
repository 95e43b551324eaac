"""What to say when a batch does not fit into the GPU's memory: the layer, the bytes, a batch size that would fit."""

from __future__ import annotations

import contextlib
import math
import traceback
from collections.abc import Iterator
from typing import TYPE_CHECKING

from tinycnn import backend
from tinycnn.layers.base import Layer

if TYPE_CHECKING:
    from tinycnn.network import Sequential

MARGIN = 0.9  # of the free memory: the rest is for workspaces and for what falls between blocks


@contextlib.contextmanager
def explained(net: Sequential, batch: int, training: bool) -> Iterator[None]:
    """Within the with-block, running out of GPU memory becomes a MemoryError that says what to do.

    What the failed pass has kept is let go of, so a smaller batch can be tried at once.
    """
    try:
        yield
    except MemoryError as error:
        if net.device == "cpu":
            raise
        layer = _layer_at_work(error)
        traceback.clear_frames(error.__traceback__)  # their local variables hold arrays
        net.clear_cache()
        fits = batch_that_fits(net, training)
        advice = (
            f"batches of {min(fits, batch - 1)} images would fit"
            if fits and batch > 1
            else ("not even one image fits: use smaller images, fewer filters, or the CPU")
        )
        said = str(error).rstrip(".")
        raise MemoryError(f"the GPU has no room for {batch} images at a time: {said} in {layer}; {advice}") from None


def batch_that_fits(net: Sequential, training: bool) -> int:
    """How many images can go through `net` at a time in the GPU's free memory, by an estimate that is rather low."""
    return int(MARGIN * backend.free_memory() // bytes_per_image(net, training))


def bytes_per_image(net: Sequential, training: bool) -> int:
    """What one image takes: in training every layer's output and its gradient, else a layer's input and output.

    >>> import tinycnn as tc
    >>> net = tc.Sequential([tc.ImageInput((1, 4, 4)), tc.Conv2D(2, 3), tc.ReLU()])
    >>> bytes_per_image(net, training=True), bytes_per_image(net, training=False)
    (256, 128)
    """
    layers = [(layer.input_shape, layer) for _, layer in net.simple_layers()]
    sizes = [(math.prod(shape), math.prod(layer.output_shape(shape))) for shape, layer in layers]
    return net.dtype.itemsize * (2 * sum(y for _, y in sizes) if training else max(x + y for x, y in sizes))


def _layer_at_work(error: MemoryError) -> str:
    """Whose method the error came through last."""
    name = ""
    for frame, _ in traceback.walk_tb(error.__traceback__):
        if frame.f_code.co_varnames[:1] == ("self",):
            variables = frame.f_locals
            if isinstance(variables.get("self"), Layer):
                name = f"layer {variables['self'].name!r}"
            if isinstance(variables, dict):  # before Python 3.13 they are copies, which would keep the arrays
                variables.clear()
    return name or "the update of the weights"
