"""A network: layers one after the other, their shapes worked out once, and gradients carried back through them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np

from tinycnn import backend, storage
from tinycnn.assembly import assemble
from tinycnn.checks import as_array, checked_pixels, warn_unfitted
from tinycnn.layers import Dropout, ImageInput, Layer, OutputLayer
from tinycnn.layers.base import Array, Shape
from tinycnn.optimizers import checked_optimizer
from tinycnn.runtime import fusion, memory_errors
from tinycnn.runtime.cuda_graph import Recorder
from tinycnn.summary import Summary, summarize

if TYPE_CHECKING:
    from tinycnn.optimizers import Optimizer


class Sequential:
    """A network of layers in a row, from an ImageInput to, usually, Softmax and ClassificationOutput.

    Args:
        layers: the layers in order; the first is an ImageInput. Layers without a name get one from their type.
        seed: of the one random generator that draws the weights and, later, the dropout masks.
        dtype: of parameters and activations: np.float32 to train, np.float64 to check gradients.
        fuse: whether runs of layers are computed by one fused layer; the results are equal.

    Attributes:
        layers: the layers as they were given.
        plan: what `train_step` runs, and `predict` in longer runs still: the same layers, or fused ones for some.
        shapes: each layer's output shape for one image.
        recorder: turns train steps on a GPU into replays of a recording; its `obstacle` says when and why not.

    Raises:
        ValueError: when the layers do not fit together, naming the layer, what it gets and what to change.

    >>> import tinycnn as tc
    >>> net = tc.Sequential([tc.ImageInput((1, 6, 6)), tc.Conv2D(2, 3, name="conv"), tc.ReLU(), tc.MaxPool2D(2),
    ...                      tc.FullyConnected(3, name="fc"), tc.Softmax(), tc.ClassificationOutput()], seed=0)
    >>> net.forward(np.ones((5, 1, 6, 6))).shape
    (5, 3)
    >>> {name: array.shape for name, array in net.parameters().items()}
    {'conv.weight': (2, 1, 3, 3), 'conv.bias': (2,), 'fc.weight': (3, 8), 'fc.bias': (3,)}
    """

    def __init__(self, layers: Sequence[Layer], *, seed: int = 0, dtype: Any = np.float32, fuse: bool = True):
        self.layers = list(layers)
        self.seed, self.dtype, self.fuse = int(seed), _checked_dtype(dtype), fuse
        self.rng = np.random.default_rng(seed)
        self.shapes = assemble(self.layers, self.dtype, self.rng)
        exact, fast = [fusion.softmax_cross_entropy], [fusion.conv_block]
        self._exact_plan = fusion.fuse(self.layers, exact if fuse else [])  # forward and backward: layers to look into
        self.plan = fusion.fuse(self._exact_plan, fast if fuse else [])  # train_step
        self._inference_plan = fusion.fuse(self.plan, [fusion.conv_blocks] if fuse else [])  # predict
        self._batch = 0  # how many images `forward` last saw, 0 when nothing is kept
        self.recorder = Recorder()

    # --- Computing ---

    @property
    def input_shape(self) -> Shape:
        """(C, H, W) of one image."""
        return self.shapes[0]

    @property
    def classes(self) -> int:
        """How many numbers come out for one image."""
        return self.shapes[-1][0]

    def forward(self, x: Array, training: bool = False) -> Array:
        """The network's output for images x (N, C, H, W): probabilities (N, classes) if it ends in Softmax.

        With training=True batch norm uses the batch's own statistics and dropout drops. What each layer computed stays
        in `layer.cache`, for `backward` and for the curious.

        Raises:
            ValueError: for a wrong shape, or for NaN or infinite pixels.
        """
        x = self._checked_images(x)
        self._batch = len(x)
        for layer in self._exact_plan:
            x = layer.forward(x, training)
        return x

    def loss(self, p: Array, t: Array) -> float:
        """The mean cross-entropy of probabilities p (N, classes) with integer labels t (N,).

        Raises:
            ValueError: for labels out of range, or a network that does not end in ClassificationOutput.
        """
        output, p = self._output_layer(), as_array(p, "p")
        self._array_module(p)
        return float(output.loss(p, self._checked_labels(t, len(p))))

    def backward(self, t: Array) -> Array:
        """Carry the gradient of the loss with labels t back to the images, after `forward`: dloss/dx (N, C, H, W).

        Fills `gradients()`. For a network without ClassificationOutput t is dloss/dy, the gradient of whatever comes
        after it, shaped like its output.
        """
        if self._batch == 0:
            raise RuntimeError("there is nothing to go back through: call net.forward(x, training=True) first")
        dy = self._upstream(t)
        for layer in reversed(self._exact_plan):
            dy = layer.backward(dy)
        return dy

    def train_step(
        self, x: Array, t: Array, optimizer: Optimizer, return_output: bool = False, checked: bool = False
    ) -> Any:
        """One forward, backward and update on images x (N, C, H, W) with labels t (N,); returns the loss before it.

        The fast path: no gradient of the images is computed, and nothing is kept afterwards. With
        `return_output=True`, returns (loss, probabilities). With `checked=True`, pixels and labels are taken as they
        are; on a GPU each check waits for the device. There the next step writes over `gradients()`.

        Raises:
            ValueError: for a wrong shape, NaN pixels or labels out of range, before anything has changed.
            MemoryError: when the batch does not fit into the GPU's memory.
        """
        self._output_layer()
        checked_optimizer(optimizer)
        if not any(layer.learns() for layer in self.plan):
            raise ValueError("this network has nothing to learn: add a layer such as FullyConnected")
        if not checked:
            x = self._checked_images(x)
            t = self._checked_labels(t, len(x))
        first: Any = self.layers[0]
        if not first.fitted:
            warn_unfitted(first)
        with memory_errors.explained(self, len(x), training=True):
            step = self._step if self.device == "cpu" else partial(self.recorder.step, self)
            loss, p = step(x, t, optimizer)
            loss = float(loss)
        return (loss, p) if return_output else loss

    def _step(self, x: Array, t: Array, optimizer: Optimizer) -> tuple[Array, Array]:
        """A train step's loss and output, without ever waiting for the device."""
        first = next(i for i, layer in enumerate(self.plan) if layer.learns())
        p, dy = x.astype(self.dtype, copy=False), t
        for layer in self.plan:
            p = layer.forward(p, training=True)
        loss = self._output_layer().loss(p, t)
        for layer in reversed(self.plan[first + 1 :]):
            dy = layer.backward(dy)
            layer.cache = None  # its memory can serve the layers that are still to come
        self.plan[first].backward_parameters(dy)
        self.clear_cache()
        optimizer.step(self)
        return loss, p

    def predict(self, x: Array, batch_size: int = 64) -> Array:
        """Probabilities (N, classes) for images x (N, C, H, W) in evaluation mode, batch by batch; keeps nothing.

        Raises:
            ValueError: for a wrong shape, NaN pixels, or a batch size below 1.
        """
        if batch_size < 1:
            raise ValueError(f"batch_size is {batch_size}: give a whole number of at least 1")
        x = as_array(x)
        outputs = []
        for start in range(0, len(x), batch_size):
            y = self._checked_images(x[start : start + batch_size], start)
            with memory_errors.explained(self, len(y), training=False):
                for layer in self._inference_plan:
                    y = layer.forward(y, training=False)
                    layer.cache = None
            outputs.append(y)
        self.clear_cache()
        if not outputs:
            return backend.to_device(np.empty((0, *self.shapes[-1]), self.dtype), self.device)
        return backend.get_array_module(outputs[0]).concatenate(outputs)

    def observe(self, x: Array, track: bool = True) -> Array:
        """The output for images x (N, C, H, W), normalized by the batch's own statistics, without dropout.

        The batch norms take the statistics in, unless `track` is False; nothing else is kept.
        """
        before = (
            None
            if track
            else {
                full: arrays[name].copy()
                for full, (arrays, name) in self._arrays().items()
                if name.startswith("running_")
            }
        )
        x = self._checked_images(x)
        for layer in self.plan:
            x = layer.forward(x, training=not isinstance(layer, Dropout))
            layer.cache = None
        self.clear_cache()
        if before:
            self.load_state_dict(before, strict=False)
        return x

    def clear_cache(self) -> None:
        """Let go of what `forward` kept for `backward`, which is most of a network's memory."""
        for layer in {*self.layers, *self._exact_plan, *self.plan}:
            layer.cache = None
        self._batch = 0

    # --- Parameters and state ---

    def learnables(self) -> Iterator[tuple[str, Layer, str]]:
        """(full name, layer, parameter's name in it) of each parameter, in order."""
        for layer in self.layers:
            for name in layer.parameters:
                yield f"{layer.name}.{name}", layer, name

    def parameters(self) -> dict[str, Array]:
        """The learnable arrays themselves, by name: {"conv_1.weight": (O, C, KH, KW), "conv_1.bias": (O,), …}."""
        return {full: layer.parameters[name] for full, layer, name in self.learnables()}

    def gradients(self) -> dict[str, Array]:
        """dloss/dparameter under the names of `parameters()`, as the last backward pass left them."""
        return {full: layer.gradients[name] for full, layer, name in self.learnables() if name in layer.gradients}

    def _arrays(self) -> dict[str, tuple[dict[str, Array], str]]:
        """Where each array of the state dict lives: {full name: (the layer's dict, its name there)}."""
        return {
            f"{layer.name}.{name}": (arrays, name)
            for layer in self.layers
            for arrays in (layer.parameters, layer.state)
            for name in arrays
        }

    def state_dict(self) -> dict[str, Array]:
        """Copies of all parameters and state, by name: what makes two networks of the same layers equal."""
        return {full: arrays[name].copy() for full, (arrays, name) in self._arrays().items()}

    def load_state_dict(self, state: Mapping[str, Any], strict: bool = True) -> None:
        """Copy arrays from `state` into this network; the names and shapes are those of `state_dict()`, or PyTorch's.

        Raises:
            ValueError: for an unknown or (unless strict=False) a missing name, or a wrong shape; nothing is changed.
        """
        places = self._arrays()
        state = {name: value for name, value in state.items() if not name.endswith(".num_batches_tracked")}
        unknown, missing = sorted(state.keys() - places.keys()), sorted(places.keys() - state.keys())
        if strict and (unknown or missing):
            raise ValueError(
                f"the state does not belong to this network: missing {missing or 'none'}, unknown "
                f"{unknown or 'none'}; with strict=False what matches is loaded and the rest left alone"
            )
        loaded = {
            name: np.asarray(value.get() if hasattr(value, "get") else value)
            for name, value in state.items()
            if name in places
        }
        for name, value in loaded.items():
            arrays, key = places[name]
            if value.shape != arrays[key].shape:
                raise ValueError(f"{name} has shape {value.shape} in the state, but {arrays[key].shape} in the network")
        for name, value in loaded.items():
            arrays, key = places[name]
            arrays[key][...] = backend.get_array_module(arrays[key]).asarray(value)
        for layer in self.layers:
            if isinstance(layer, ImageInput) and f"{layer.name}.mean" in loaded:
                layer.fitted = bool(loaded[f"{layer.name}.mean"].any())  # all zeros: it was not fitted when saved

    def to(self, device: str) -> Sequential:
        """Move parameters and state to "cpu" or "cuda"; returns the network itself.

        Raises:
            RuntimeError: when there is no CuPy or no GPU.
        """
        for arrays, name in self._arrays().values():
            arrays[name] = backend.to_device(arrays[name], device)
        self._discard_derived()
        return self

    def astype(self, dtype: Any) -> Sequential:
        """Convert parameters and state to np.float32 or np.float64; returns the network itself."""
        self.dtype = _checked_dtype(dtype)
        for arrays, name in self._arrays().values():
            arrays[name] = arrays[name].astype(self.dtype)
        self._discard_derived()
        return self

    @property
    def device(self) -> str:
        """Where the parameters live: "cpu" or "cuda"."""
        groups = (group for layer in self.layers for group in (layer.parameters, layer.state))
        array = next((array for group in groups for array in group.values()), None)
        return "cpu" if array is None else backend.device_of(array)

    def save(self, path: str | Path) -> None:
        """Write the layers and all arrays into one safetensors file; the network stays on its device.

        Raises:
            OSError: when the file cannot be written; an existing one is then left as it was.
        """
        storage.save_network(self, path)

    def summary(self) -> Summary:
        """A table, to print: each layer's name, type, output shape, learnables and memory, and the totals."""
        return summarize(self)

    def __repr__(self) -> str:
        return "Sequential([\n" + "".join(f"    {layer!r},\n" for layer in self.layers) + "])"

    def _repr_html_(self) -> str:
        return self.summary()._repr_html_()

    # --- Checks ---

    def _discard_derived(self) -> None:
        self.clear_cache()
        self.recorder = Recorder()
        for layer in self.layers:
            layer.gradients = {}

    def _output_layer(self) -> Any:
        if not isinstance(self.layers[-1], OutputLayer):
            raise ValueError(
                "this network does not end in an output layer such as ClassificationOutput, so it has no loss: "
                "add that layer"
            )
        return self._exact_plan[-1]

    def _upstream(self, t: Array) -> Array:
        if isinstance(self.layers[-1], OutputLayer):
            return self._checked_labels(t, self._batch)
        t = as_array(t, "dloss/dy")
        self._array_module(t)
        output = (self._batch, *self.shapes[-1])
        if tuple(t.shape) != output:
            raise ValueError(f"dloss/dy has shape {tuple(t.shape)}, but the network's output is {output}")
        return t.astype(self.dtype, copy=False)

    def _checked_labels(self, t: Array, n: int) -> Array:
        self._output_layer()
        output: Any = self.layers[-1]
        t = output.targets(t, n, self.shapes[-1])
        self._array_module(t)
        return t

    def _array_module(self, x: Array) -> ModuleType:
        """numpy or cupy; TypeError unless x is on the network's device."""
        return backend.get_array_module(x, *self.parameters().values())

    def _checked_images(self, x: Array, number: int = 0) -> Array:
        """x as an array of the network's dtype; `number` is what its first image is called in errors."""
        x = as_array(x)
        if x.shape[1:] != self.input_shape:
            raise ValueError(
                f"x has shape {tuple(x.shape)}, but the network takes images (N, "
                f"{', '.join(map(str, self.input_shape))}): channels come before height and width"
            )
        if len(x) == 0:
            raise ValueError("x holds no images: give at least one")
        self._array_module(x)
        converted = x.astype(self.dtype, copy=False)
        return converted if x.dtype.kind in "biu" else checked_pixels(converted, number)


def _checked_dtype(dtype: Any) -> np.dtype[Any]:
    dtype = np.dtype(dtype)
    if dtype not in (np.float32, np.float64):
        raise ValueError(f"dtype is {dtype}: choose np.float32 or np.float64")
    return dtype
