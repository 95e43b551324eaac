"""Softmax and the loss."""

from __future__ import annotations

from typing import Any

import numpy as np

from tinycnn.backend import get_array_module
from tinycnn.kernels import LEAST_PROBABILITY

Array = Any  # numpy.ndarray or cupy.ndarray


def softmax_forward(x: Array) -> Array:
    """y[n,k] = exp(x[n,k]) / Σ_j exp(x[n,j]): (N, K) → (N, K); never below LEAST_PROBABILITY."""
    xp = get_array_module(x)
    e = xp.exp(x - x.max(axis=1, keepdims=True))
    return xp.maximum(e / e.sum(axis=1, keepdims=True), x.dtype.type(LEAST_PROBABILITY))


def softmax_backward(dy: Array, y: Array) -> Array:
    """dx = y · (dy − Σ_k dy·y): the Jacobian diag(y) − yyᵀ, times dy, without building it."""
    return y * (dy - (dy * y).sum(axis=1, keepdims=True))


def log_softmax_forward(x: Array) -> Array:
    """log y[n,k] = x[n,k] − log Σ_j exp(x[n,j]), exact however small y is: x (N, K) → (N, K)."""
    xp = get_array_module(x)
    shifted = x - x.max(axis=1, keepdims=True)
    return shifted - xp.log(xp.exp(shifted).sum(axis=1, keepdims=True))


def cross_entropy_forward(
    log_p: Array, t: Array, class_weights: Array | None = None, label_smoothing: float = 0.0
) -> Array:
    """loss = −Σ_n Σ_k q[n,k] · log p[n,k] / Σ_n w[t_n]: log_p (N, K), labels t (N,) → scalar; w (K,) is 1 by default.

    The label's class has q[n,t_n] = (1 − ε) · w[t_n], and label smoothing ε adds ε/K · w[k] to every class.
    """
    xp = get_array_module(log_p)
    shares, spread = _label_shares(log_p, t, class_weights, label_smoothing)
    loss = -(shares * log_p[xp.arange(len(t)), t]).sum()
    return loss if spread is None else loss - (log_p * spread).sum()


def cross_entropy_backward(
    p: Array, t: Array, class_weights: Array | None = None, label_smoothing: float = 0.0
) -> Array:
    """dloss/dlogits of softmax and cross-entropy together: (p[n,k] · Σ_j q[n,j] − q[n,k]) / Σ_n w[t_n], for p (N, K).

    Without label smoothing that is (p − onehot(t)) · w[t] / Σ w[t].
    """
    xp = get_array_module(p)
    shares, spread = _label_shares(p, t, class_weights, label_smoothing)
    dlogits = p.copy()
    dlogits[xp.arange(len(t)), t] -= 1
    dlogits *= shares[:, None]
    return dlogits if spread is None else dlogits + (p * spread.sum() - spread)


def _label_shares(
    p: Array, t: Array, class_weights: Array | None, label_smoothing: float
) -> tuple[Array, Array | None]:
    """(1 − ε) · w[t_n] / Σ_n w[t_n] (N,), and ε/K · w[k] / Σ_n w[t_n] (K,), which is None where ε = 0."""
    xp = get_array_module(p)
    w = xp.ones(p.shape[1], p.dtype) if class_weights is None else class_weights.astype(p.dtype)
    total = w[t].sum()
    shares = w[t] / total
    if not label_smoothing:
        return shares, None
    return p.dtype.type(1 - label_smoothing) * shares, p.dtype.type(label_smoothing / p.shape[1]) * w / total


def squared_error_forward(y: Array, t: Array) -> Array:
    """loss = mean of (y − t)² over all elements: y and t of one shape → scalar."""
    xp = get_array_module(y)
    return xp.square(y - t).mean(dtype=np.float64).astype(y.dtype)


def squared_error_backward(y: Array, t: Array) -> Array:
    """dloss/dy = 2 · (y − t) / (how many elements there are)."""
    return (y - t) * y.dtype.type(2 / y.size)
