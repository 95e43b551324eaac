"""Softmax and the loss."""

from __future__ import annotations

from typing import Any

from tinycnn.backend import get_array_module

Array = Any  # numpy.ndarray or cupy.ndarray

LEAST_PROBABILITY = 1e-30  # log p and 1/p stay finite in float32, whose smallest normal number is 1.2e-38


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


def cross_entropy_forward(log_p: Array, t: Array, class_weights: Array | None = None) -> Array:
    """loss = −Σ_n w[t_n] · log p[n, t_n] / Σ_n w[t_n]: log_p (N, K), labels t (N,) → scalar; w is 1 by default."""
    xp = get_array_module(log_p)
    shares = _label_shares(log_p, t, class_weights)
    return -(shares * log_p[xp.arange(len(t)), t]).sum()


def cross_entropy_backward(p: Array, t: Array, class_weights: Array | None = None) -> Array:
    """dloss/dlogits of softmax and cross-entropy together: (p − onehot(t)) · w[t] / Σ w[t]: (N, K) → (N, K)."""
    xp = get_array_module(p)
    dlogits = p.copy()
    dlogits[xp.arange(len(t)), t] -= 1
    return dlogits * _label_shares(p, t, class_weights)[:, None]


def _label_shares(p: Array, t: Array, class_weights: Array | None) -> Array:
    """Each image's share of the mean loss, w[t_n] / Σ w[t]: (N,), which sums to 1."""
    xp = get_array_module(p)
    weights = xp.ones(len(t), p.dtype) if class_weights is None else class_weights[t].astype(p.dtype)
    return weights / weights.sum()
