"""What every layer has in common."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from tinycnn.representation import constructor_call

Array = Any  # numpy.ndarray or cupy.ndarray
Shape = tuple[int, ...]  # of one image's data, without the batch axis: (C, H, W) or (D,)


class Layer:
    """One step of a network: forward computes y from x, backward computes dloss/dx from dloss/dy.

    A subclass keeps every constructor argument as an attribute of the same name (that is how it is saved and printed)
    and defines `output_shape`, `forward` and `backward`; with learnable parameters also `build`.

    Attributes:
        parameters: learnable arrays by name, "weight" and "bias".
        gradients: dloss/dparameter by the same names, filled by `backward`.
        state: arrays that are saved but not learned by gradient, such as running means.
        cache: what `forward` leaves for `backward`; None when there is nothing to go back through.
        input_shape: of one sample, what the layer was built for; empty while it is in no network.
    """

    input_shape: Shape = ()
    rng: np.random.Generator | None = None  # of a layer that draws: all those of a network share one generator
    lr_factors: Mapping[str, float] = {}  # parameter name → multiplier of the learning rate; 1 where absent
    l2_factors: Mapping[str, float] = {}  # parameter name → multiplier of the weight decay; see `l2_factor`

    def __init__(self, name: str | None = None):
        self.name = name
        self.parameters: dict[str, Array] = {}
        self.gradients: dict[str, Array] = {}
        self.state: dict[str, Array] = {}
        self.cache: Any = None

    def check_before(self, before: Layer | None) -> None:
        """ValueError where this layer cannot come right after `before` (None at the start), whatever the shapes."""

    def output_shape(self, input_shape: Shape) -> Shape:
        """The shape of y for one x of `input_shape`, batch axis left out; ValueError where it cannot work."""
        return input_shape

    def build(self, input_shape: Shape, dtype: Any, rng: np.random.Generator) -> None:
        """Make the parameters and state for inputs of `input_shape`."""

    def forward(self, x: Array, training: bool = False) -> Array:
        raise NotImplementedError

    def backward(self, dy: Array) -> Array:
        """Fill `gradients` and return dx. Changes neither dy nor what `forward` kept, so it may be called again."""
        raise NotImplementedError

    def backward_parameters(self, dy: Array) -> None:
        """Fill `gradients` only: for the first learning layer, whose dx nobody needs."""
        self.backward(dy)

    def unrolled(self) -> list[Layer]:
        """The layers that computing this one comes down to: itself, or those of a plain row of layers."""
        return [self]

    def clear_cache(self) -> None:
        """Let go of what `forward` kept for `backward`."""
        self.cache = None

    def learns(self) -> bool:
        """Whether there is anything in this layer for an optimizer to change."""
        return bool(self.parameters)

    def lr_factor(self, parameter: str) -> float:
        """What the learning rate of this parameter is multiplied by."""
        return self.lr_factors.get(parameter, 1.0)

    def l2_factor(self, parameter: str) -> float:
        """What the weight decay of this parameter is multiplied by: 1, but 0 for a bias, unless `l2_factors` says."""
        return self.l2_factors.get(parameter, 0.0 if parameter == "bias" else 1.0)

    def config(self) -> dict[str, Any]:
        """The constructor arguments that make this layer again, in forms that JSON has.

        Raises:
            AttributeError: for an argument that the constructor does not keep.
        """
        kind, config = type(self), {}
        for name, parameter in inspect.signature(kind).parameters.items():
            if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
                raise AttributeError(
                    f"the constructor of {kind.__name__} takes {parameter}, so it cannot be saved: "
                    "give each argument a name"
                )
            if not hasattr(self, name):
                raise AttributeError(
                    f"{kind.__name__} does not keep its argument {name!r}, so it cannot be saved: "
                    f"write self.{name} = {name} in its __init__"
                )
            config[name] = getattr(self, name)
        return config

    def __repr__(self) -> str:
        return constructor_call(self)


class InputLayer(Layer):
    """The first layer of a network: it says what one sample looks like, and may measure the training data.

    Attributes:
        shape: of one sample, (C, H, W) for images, without the batch axis.
        fitted: whether everything that has to be measured has been.
    """

    sample = "sample"  # what errors call one
    shape: Shape
    fitted: bool

    def check_before(self, before: Layer | None) -> None:
        if before is not None:
            raise ValueError("an input layer can only be the first layer")

    def expected(self) -> str:
        """What the network takes, for errors: "images (N, 3, 32, 32): channels come before height and width"."""
        return f"{self.sample}s (N, {', '.join(map(str, self.shape))})"

    def fit(self, samples: Iterable[Array]) -> None:
        """Measure what has to be measured over samples of `shape`, taken one by one; by default nothing."""


class OutputLayer(Layer):
    """The last layer of a network that can be trained: the loss begins here.

    `forward` passes the network's output y through. `backward` takes the targets t in place of dy, since this is where
    the loss begins, and returns dloss/dy.
    """

    def targets(self, t: Any, n: int, output_shape: Shape) -> Array:
        """t as an array that `loss` and `backward` take, after checking it against n outputs of `output_shape`.

        Raises:
            ValueError, TypeError: saying which target is wrong.
        """
        raise NotImplementedError

    def loss(self, y: Array, t: Array) -> Array:
        """The mean loss of the outputs y with targets t, a scalar array."""
        raise NotImplementedError


def pair(value: int | Sequence[int], argument: str, smallest: int = 1) -> tuple[int, int]:
    """(value, value) for a number, a pair as it is; ValueError naming `argument` for anything else."""
    vertical_horizontal = tuple(value) if isinstance(value, Sequence) else (value, value)
    if len(vertical_horizontal) != 2 or any(
        not isinstance(v, (int, np.integer)) or v < smallest for v in vertical_horizontal
    ):
        raise ValueError(f"{argument} is {value!r}: give a whole number of at least {smallest}, or a pair of them")
    return int(vertical_horizontal[0]), int(vertical_horizontal[1])


def image_shape(input_shape: Shape) -> tuple[int, int, int]:
    """`input_shape` as (C, H, W); ValueError when it is not of images."""
    if len(input_shape) != 3:
        raise ValueError(f"needs images of shape (C, H, W), but gets data of shape {input_shape}")
    return input_shape


def checked_factors(factors: Mapping[str, float] | None, argument: str) -> dict[str, float]:
    """A copy of `factors`, an empty dict for None; ValueError for a name that is no parameter's."""
    factors = dict(factors or {})
    for name, value in factors.items():
        if name not in ("weight", "bias") or value < 0:
            raise ValueError(f'{argument} has {name!r}: {value!r}; give factors ≥ 0 for "weight" and "bias"')
    return factors
