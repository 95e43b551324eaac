"""A network: layers one after the other, their shapes worked out once, and gradients carried back through them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from tinycnn import backend, checks, storage
from tinycnn.layers import InputLayer, Layer, OutputLayer
from tinycnn.layers.base import Array, Shape
from tinycnn.layers.block import Block, assemble, check_layers, listing, named, output_shapes, run, run_back
from tinycnn.optimizers import checked_optimizer
from tinycnn.runtime import fusion, inference, train_step
from tinycnn.runtime.cuda_graph import Recorder
from tinycnn.summary import Summary, summarize

if TYPE_CHECKING:
    from tinycnn.optimizers import Optimizer


class StateMatch(NamedTuple):
    """What `load_state_dict` did not find: names of the network without an array, and arrays without a place."""

    missing: list[str]
    unexpected: list[str]


class Sequential(Block):
    """A network of layers in a row, from an ImageInput to, usually, Softmax and ClassificationOutput.

    Without an input layer it is a block: a layer to be put into another network, which hands down its input shape, seed
    and dtype; its parameters are then called after it, "block_1.conv_1.weight". `net["conv_1"]` and `net[1]` are
    layers; `net[:5]` is a network that shares the first five. Layers that already belong to a network keep their
    weights, and whoever trains them, trains them for all.

    Args:
        layers: the layers in order. Those without a name get one from their type.
        seed: of the one random generator that draws the weights and, later, the dropout masks.
        dtype: of parameters and activations: np.float32 to train, np.float64 to check gradients.
        fuse: whether runs of layers are computed by one fused layer; the results are equal.
        name: of a block.

    Attributes:
        layers: the layers as they were given.
        plan: what `train_step` runs: the same layers, or fused ones for some.
        inference_plan: what `predict` runs, fused in longer runs still.
        shapes: each layer's output shape for one image.
        recorder: turns train steps on a GPU into replays of a recording; its `obstacle` says when and why not.

    Raises:
        ValueError: when the layers do not fit together, naming the layer, what it gets and what to change.
        TypeError: for something that is no layer.

    >>> import tinycnn as tc
    >>> net = tc.Sequential([tc.ImageInput((1, 6, 6)), tc.Conv2D(2, 3, name="conv"), tc.ReLU(), tc.MaxPool2D(2),
    ...                      tc.FullyConnected(3, name="fc"), tc.Softmax(), tc.ClassificationOutput()], seed=0)
    >>> net.forward(np.ones((5, 1, 6, 6))).shape
    (5, 3)
    >>> {name: array.shape for name, array in net.parameters().items()}
    {'conv.weight': (2, 1, 3, 3), 'conv.bias': (2,), 'fc.weight': (3, 8), 'fc.bias': (3,)}
    >>> features = net[:4]
    >>> features.forward(np.ones((5, 1, 6, 6))).shape, features["conv"] is net["conv"]
    ((5, 2, 2, 2), True)
    """

    def __init__(
        self,
        layers: Sequence[Layer],
        *,
        seed: int = 0,
        dtype: Any = np.float32,
        fuse: bool = True,
        name: str | None = None,
    ):
        super().__init__(name)
        self.layers = list(layers)
        self.seed, self.dtype, self.fuse = int(seed), _checked_dtype(dtype), fuse
        self.rng: np.random.Generator = np.random.default_rng(seed)
        self.shapes: list[Shape] = []
        self.plan: list[Layer] = []
        self.inference_plan: list[Layer] = []
        self._exact_plan: list[Layer] = []  # of forward and backward: layers to look into
        self._simple_layers: list[tuple[str, Layer]] = []
        self._caching: list[Layer] = []  # all that may hold a cache
        self._caches: list[Any] = []  # what `forward` left in their caches
        self.recorder = Recorder()
        self._batch = 0  # how many images `forward` last saw, 0 when nothing is kept
        check_layers(self.layers)
        first = self.layers[0]
        shape = first.shape if isinstance(first, InputLayer) else first.input_shape
        if shape:  # otherwise it is built as part of another network
            self.build(shape, self.dtype, self.rng)
            self.input_shape = shape

    # --- Assembling ---

    def build(self, input_shape: Shape, dtype: Any, rng: np.random.Generator) -> None:
        generators = {id(layer.rng): layer.rng for _, layer in self.simple_layers() if layer.input_shape and layer.rng}
        self.dtype = _checked_dtype(dtype)
        self.shapes = assemble(self.layers, input_shape, self.dtype, rng)
        self.rng = next(iter(generators.values())) if len(generators) == 1 else rng
        for _, layer in self.simple_layers():
            if layer.rng is not None:
                layer.rng = self.rng  # shared layers go on drawing from the generator that they drew from before
        self._planned = list(self.layers)
        self._simple_layers = list(super().simple_layers())  # asked for several times in every step
        exact, fast = [fusion.softmax_cross_entropy], [fusion.conv_block]
        self._exact_plan = fusion.fuse(fusion.unrolled(self.layers), exact if self.fuse else [])
        self.plan = fusion.fuse(self._exact_plan, fast if self.fuse else [])
        self.inference_plan = fusion.fuse(self.plan, [fusion.conv_blocks] if self.fuse else [])
        simple = (layer for _, layer in self._simple_layers)
        self._caching = list(dict.fromkeys([*simple, *self.layers, *self._exact_plan, *self.plan]))

    def simple_layers(self) -> Iterator[tuple[str, Layer]]:
        return iter(self._simple_layers) if self._simple_layers else super().simple_layers()

    def children(self) -> Iterator[tuple[str, Layer]]:
        return named(self.layers)

    def output_shape(self, input_shape: Shape) -> Shape:
        return output_shapes(self.layers, input_shape)[-1]

    def unrolled(self) -> list[Layer]:
        return fusion.unrolled(self.layers) if type(self) is Sequential else [self]

    def config(self) -> dict[str, Any]:
        return {"layers": self.layers, "name": self.name}  # seed and dtype come from the network around a block

    def __len__(self) -> int:
        return len(self.layers)

    def __iter__(self) -> Iterator[Layer]:
        return iter(self.layers)

    def __getitem__(self, key: int | slice | str) -> Any:
        """A layer, by number or name ("block_1.conv_1" for one inside a block); or, for a slice, a network of some.

        Raises:
            IndexError, KeyError: when there is no such layer, or several have that name.
        """
        if isinstance(key, slice):
            if not self.layers[key]:
                raise IndexError(f"net[{key.start}:{key.stop}] holds no layers: the network has {len(self)}")
            return Sequential(self.layers[key], seed=self.seed, dtype=self.dtype, fuse=self.fuse)
        if not isinstance(key, str):
            return self.layers[key]
        found = [layer for name, layer in self.named_layers() if name == key]
        if len(found) != 1:
            names = ", ".join(repr(name) for name, _ in self.named_layers())
            problem = f"several layers are called {key!r}: use a number" if found else f"no layer is called {key!r}"
            raise KeyError(f"{problem}; there are {names}")
        return found[0]

    # --- Computing ---

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
        x = self.checked_images(x)
        self._batch = len(x)
        x = run(self._exact_plan, x, training)
        self._caches = [layer.cache for layer in self._caching]
        return x

    def loss(self, p: Array, t: Array) -> float:
        """The mean loss of outputs p (N, classes) with targets t: labels (N,) for ClassificationOutput.

        Raises:
            ValueError: for labels out of range, or a network that does not end in an output layer.
        """
        output, p = self.output_layer(), checks.as_array(p, "p")
        self._array_module(p)
        return float(output.loss(p, self.checked_targets(t, len(p))))

    def backward(self, t: Array) -> Array:
        """Carry the gradient of the loss with labels t back to the images, after `forward`: dloss/dx (N, C, H, W).

        Fills `gradients()`. For a network without an output layer t is dloss/dy, the gradient of whatever comes after
        it, shaped like its output.

        Raises:
            RuntimeError: when there was no `forward`, or another network has used one of the layers since.
        """
        if self._batch == 0:
            raise RuntimeError("there is nothing to go back through: call net.forward(x, training=True) first")
        for layer, cache in zip(self._caching, self._caches, strict=True):
            if layer.cache is not cache:
                raise RuntimeError(
                    f"layer {layer.name!r} has been used since this network's forward, by another network that shares "
                    "it: call net.forward(x, training=True) again"
                )
        return run_back(self._exact_plan, self._upstream(t))

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
        self.output_layer()
        checked_optimizer(optimizer)
        if not self.learns():
            raise ValueError("this network has nothing to learn: add a layer such as FullyConnected")
        if not checked:
            x = self.checked_images(x)
            t = self.checked_targets(t, len(x))
        if isinstance(first := self.layers[0], InputLayer) and not first.fitted:
            checks.warn_unfitted(first)
        step = train_step.layer_by_layer if self._is_rewritten("forward", "backward", "loss") else train_step.fast
        loss, p = step(self, x, t, optimizer)
        return (loss, p) if return_output else loss

    def _step(self, x: Array, t: Array, optimizer: Optimizer) -> tuple[Array, Array]:
        """What is recorded on a GPU: a step's loss and output, on checked arrays, without waiting for the device."""
        return train_step.eager(self, x, t, optimizer)

    def predict(self, x: Array, batch_size: int = 64) -> Array:
        """Probabilities (N, classes) for images x (N, C, H, W) in evaluation mode, batch by batch; keeps nothing.

        Raises:
            ValueError: for a wrong shape, NaN pixels, or a batch size below 1.
        """
        checks.checked_count(batch_size, "batch_size")
        return inference.predict(self, checks.as_array(x), batch_size, fast=not self._is_rewritten("forward"))

    def clear_cache(self) -> None:
        """Let go of what `forward` kept for `backward`, which is most of a network's memory."""
        for layer in self._caching:
            layer.clear_cache()
        self._batch, self._caches = 0, []

    def _is_rewritten(self, *methods: str) -> bool:
        """Whether this network is of a subclass that computes some of this in its own way."""
        return any(getattr(type(self), method) is not getattr(Sequential, method) for method in methods)

    # --- Parameters and state ---

    def _arrays(self) -> dict[str, tuple[dict[str, Array], str]]:
        """Where each array of the state dict lives: {full name: (the layer's dict, its name there)}."""
        return {
            f"{full}.{name}": (arrays, name)
            for full, layer in self.simple_layers()
            for arrays in (layer.parameters, layer.state)
            for name in arrays
        }

    def state_dict(self) -> dict[str, Array]:
        """Copies of all parameters and state, by name: what makes two networks of the same layers equal."""
        return {full: arrays[name].copy() for full, (arrays, name) in self._arrays().items()}

    def load_state_dict(self, state: Mapping[str, Any], strict: bool = True) -> StateMatch:
        """Copy arrays from `state` into this network, by the names of `state_dict()`; returns what did not match.

        Shapes are PyTorch's; so are the names where the layers are called alike (its "num_batches_tracked" are passed
        over). `tc.from_torch` builds the network of a PyTorch module, with its weights.

        Returns:
            (missing, unexpected): names of this network that are not in `state`, and names in `state` that are not in
            this network. Both are empty unless strict=False.

        Raises:
            ValueError: for a missing or unexpected name (unless strict=False), for a wrong shape, or when no name
                matches at all; nothing is changed.
        """
        places = self._arrays()
        state = {name: value for name, value in state.items() if not name.endswith(".num_batches_tracked")}
        match = StateMatch(sorted(places.keys() - state.keys()), sorted(state.keys() - places.keys()))
        if strict and any(match):
            raise ValueError(
                f"the state does not belong to this network: missing {match.missing or 'none'}, unexpected "
                f"{match.unexpected or 'none'}; with strict=False what matches is loaded and the rest left alone"
            )
        if state and places and len(match.missing) == len(places):
            raise ValueError(
                f"none of the state's names is one of this network's: it has {_some(match.unexpected)}, the network "
                f"{_some(match.missing)}; rename them, or, for a PyTorch module, use "
                "tc.from_torch(module, input_shape=(C, H, W))"
            )
        found = {name: value for name, value in state.items() if name in places}
        loaded = {name: backend.to_device(checks.as_array(value, name), "cpu") for name, value in found.items()}
        for name, value in loaded.items():
            arrays, key = places[name]
            if value.shape != arrays[key].shape:
                raise ValueError(f"{name} has shape {value.shape} in the state, but {arrays[key].shape} in the network")
        for name, value in loaded.items():
            arrays, key = places[name]
            arrays[key][...] = backend.get_array_module(arrays[key]).asarray(value)
        for full, layer in self.simple_layers():
            if isinstance(layer, InputLayer) and f"{full}.mean" in loaded:
                layer.fitted = bool(loaded[f"{full}.mean"].any())  # all zeros: it was not fitted when saved
        return match

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
        for _, layer in self.named_layers():
            if isinstance(layer, Sequential):
                layer.dtype = self.dtype
        self._discard_derived()
        return self

    @property
    def device(self) -> str:
        """Where the parameters live: "cpu" or "cuda"."""
        return next(map(backend.device_of, self._first_arrays()), "cpu")

    def save(self, path: str | Path) -> None:
        """Write the layers and all arrays into one safetensors file; the network stays on its device.

        Raises:
            OSError: when the file cannot be written; an existing one is then left as it was.
        """
        storage.save_network(self, path)

    def summary(self) -> Summary:
        """A table, to print: each layer's name, type, output shape, parameters and memory, and the totals."""
        return summarize(self)

    def diagram(self, path: str | Path | None = None) -> str:
        """Draw the network as SVG, fit for a slide: see `tinycnn.inspect.diagram.diagram`."""
        from tinycnn.inspect.diagram import diagram

        return diagram(self, path)

    def __repr__(self) -> str:
        return f"Sequential({listing(self.layers)}" + (f", name={self.name!r})" if self.name is not None else ")")

    def _repr_html_(self) -> str:
        return self.summary()._repr_html_()

    # --- Checks ---

    def checked_images(self, x: Any, number: int = 0) -> Array:
        """x as an array of the network's dtype; `number` is what its first image is called in errors."""
        if not self.input_shape:
            raise RuntimeError(
                "this block does not know what it will get: put it into a network that begins with "
                "ImageInput((channels, height, width))"
            )
        if self.layers != self._planned:
            raise RuntimeError(
                "net.layers has been changed since the network was built: make a network of the new list, "
                "tc.Sequential(net.layers), which keeps the weights"
            )
        x = checks.as_array(x)
        if x.shape[1:] != self.input_shape:
            raise ValueError(f"x has shape {tuple(x.shape)}, but the network takes {self.wanted()[1]}")
        if len(x) == 0:
            raise ValueError(f"x holds no {self.wanted()[0]}s: give at least one")
        self._array_module(x)
        converted = x.astype(self.dtype, copy=False)
        return converted if x.dtype.kind in "biu" else checks.checked_pixels(converted, number)

    def wanted(self) -> tuple[str, str]:
        """What errors call one sample, such as "image", and all that the network takes."""
        first = self.layers[0]
        if isinstance(first, InputLayer):
            return first.sample, first.expected()
        return "sample", f"data (N, {', '.join(map(str, self.input_shape))})"

    def checked_targets(self, t: Any, n: int) -> Array:
        """t as the output layer takes it for n images."""
        output: Any = self.layers[-1]
        t = output.targets(t, n, self.shapes[-1])
        self._array_module(t)
        return t

    def output_layer(self) -> Any:
        """What the loss comes from; ValueError for a network without an output layer."""
        if not isinstance(self.layers[-1], OutputLayer):
            raise ValueError(
                "this network does not end in an output layer such as ClassificationOutput, so it has no loss: "
                "add that layer"
            )
        return self._exact_plan[-1]

    def _upstream(self, t: Any) -> Array:
        if isinstance(self.layers[-1], OutputLayer):
            return self.checked_targets(t, self._batch)
        t = checks.as_array(t, "dloss/dy")
        self._array_module(t)
        output = (self._batch, *self.shapes[-1])
        if tuple(t.shape) != output:
            raise ValueError(f"dloss/dy has shape {tuple(t.shape)}, but the network's output is {output}")
        return t.astype(self.dtype, copy=False)

    def _array_module(self, x: Array) -> ModuleType:
        """numpy or cupy; TypeError unless x is on the network's device."""
        return backend.get_array_module(x, *self._first_arrays())

    def _first_arrays(self) -> list[Array]:
        """One array of the network, which shows where all are; none if it has none."""
        groups = (group for _, layer in self.simple_layers() for group in (layer.parameters, layer.state))
        return list(islice((array for group in groups for array in group.values()), 1))

    def _discard_derived(self) -> None:
        self.clear_cache()
        self.recorder = Recorder()
        for _, layer in self.simple_layers():
            layer.gradients = {}


def _checked_dtype(dtype: Any) -> np.dtype[Any]:
    dtype = np.dtype(dtype)
    if dtype not in (np.float32, np.float64):
        raise ValueError(f"dtype is {dtype}: choose np.float32 or np.float64")
    return dtype


def _some(names: Sequence[str]) -> str:
    return ", ".join(map(repr, names[:3])) + (", …" if len(names) > 3 else "") if names else "none"
