"""The paper's network with JAX: pure functions, compiled as a whole by `jax.jit`."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from benchmarks.contenders import LEARNING_RATE, MOMENTUM, WEIGHT_DECAY, Problem

Arrays = dict[str, jax.Array]
LAYOUT = ("NHWC", "OIHW", "NHWC")  # of images, weights and results: XLA is a little quicker with channels last


def scores(
    parameters: Arrays, state: Arrays, x: jax.Array, rates: tuple[float, float], key: jax.Array | None
) -> tuple[jax.Array, Arrays]:
    """Table 1 up to the scores, and the new running statistics; `key` draws dropout, and None means evaluation."""
    x = x - state["input.mean"]
    new = dict(state)
    for i in range(1, 5):
        x = lax.conv_general_dilated(x, parameters[f"conv_{i}.weight"], (1, 1), "VALID", dimension_numbers=LAYOUT)
        x = x + parameters[f"conv_{i}.bias"]
        norm = f"batchnorm_{i}"
        mean, variance = state[f"{norm}.running_mean"], state[f"{norm}.running_var"]
        if key is not None:
            unbiased = x.size / x.shape[-1] / (x.size / x.shape[-1] - 1)
            batch_mean, batch_variance = x.mean((0, 1, 2)), x.var((0, 1, 2))
            new[f"{norm}.running_mean"] = 0.9 * mean + 0.1 * batch_mean
            new[f"{norm}.running_var"] = 0.9 * variance + 0.1 * unbiased * batch_variance
            mean, variance = batch_mean, batch_variance
        scale = parameters[f"{norm}.weight"] * lax.rsqrt(variance + 1e-5)
        x = jax.nn.relu((x - mean) * scale + parameters[f"{norm}.bias"])
        x = lax.reduce_window(x, -jnp.inf, lax.max, (1, 2, 2, 1), (1, 2, 2, 1), "VALID")
    x = x.transpose(0, 3, 1, 2).reshape(len(x), -1)
    keys = (None, None) if key is None else jax.random.split(key)
    x = _dropout(x, rates[0], keys[0]) @ parameters["fc_1.weight"].T + parameters["fc_1.bias"]
    x = _dropout(x, rates[1], keys[1]) @ parameters["fc_2.weight"].T + parameters["fc_2.bias"]
    return x, new


def _dropout(x: jax.Array, rate: float, key: jax.Array | None) -> jax.Array:
    if key is None or rate == 0:
        return x
    return jnp.where(jax.random.bernoulli(key, 1 - rate, x.shape), x / (1 - rate), 0)


@partial(jax.jit, static_argnames="rates", donate_argnames=("parameters", "velocity", "state"))
def step(
    parameters: Arrays,
    velocity: Arrays,
    state: Arrays,
    x: jax.Array,
    t: jax.Array,
    key: jax.Array,
    rates: tuple[float, float],
) -> tuple[Any, ...]:
    """One step of gradient descent with momentum; PyTorch's and tinycnn's are equal to it at a constant rate."""
    key, used = jax.random.split(key)

    def loss_of(parameters: Arrays) -> tuple[jax.Array, Arrays]:
        y, new = scores(parameters, state, x, rates, used)
        return -jnp.take_along_axis(jax.nn.log_softmax(y), t[:, None], axis=1).mean(), new

    (loss, state), gradients = jax.value_and_grad(loss_of, has_aux=True)(parameters)
    for name, weight in parameters.items():
        decay = 0.0 if name.endswith("bias") and not name.startswith("batchnorm") else WEIGHT_DECAY
        velocity[name] = MOMENTUM * velocity[name] - LEARNING_RATE * (gradients[name] + decay * weight)
    return {n: parameters[n] + velocity[n] for n in parameters}, velocity, state, loss, gradients, key


@jax.jit
def probabilities(parameters: Arrays, state: Arrays, x: jax.Array) -> jax.Array:
    return jax.nn.softmax(scores(parameters, state, x, (0, 0), None)[0])


class Jax:
    """The network with all its arrays where JAX wants them."""

    def __init__(self, problem: Problem, state: Mapping[str, np.ndarray] | None = None, dropout: bool = True):
        if state is None:
            raise ValueError("the JAX contender starts from weights: give a state")
        arrays = {name: jnp.array(array) for name, array in state.items()}
        arrays["input.mean"] = arrays["input.mean"].transpose(1, 2, 0)
        kept = ("running_mean", "running_var", "input.mean")
        self.state = {name: array for name, array in arrays.items() if name.endswith(kept)}
        self.parameters = {name: array for name, array in arrays.items() if name not in self.state}
        self.velocity = {name: jnp.zeros_like(array) for name, array in self.parameters.items()}
        self.x, self.t = jnp.array(problem.x.transpose(0, 2, 3, 1)), jnp.array(problem.t)
        self.rates = (0.5, 0.3) if dropout else (0.0, 0.0)
        self.key = jax.random.key(0)
        self.last: Arrays = {}

    def train_step(self) -> float:
        self.parameters, self.velocity, self.state, loss, self.last, self.key = step(
            self.parameters, self.velocity, self.state, self.x, self.t, self.key, self.rates
        )
        return float(loss)

    def gradients(self) -> dict[str, np.ndarray]:
        return {name: np.asarray(array) for name, array in self.last.items()}

    def infer(self) -> np.ndarray:
        return np.asarray(probabilities(self.parameters, self.state, self.x))
