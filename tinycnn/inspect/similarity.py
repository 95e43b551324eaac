"""How like two maps are: rank correlation and structural similarity."""

from __future__ import annotations

import math

import numpy as np


def rank_correlation(a: np.ndarray, b: np.ndarray) -> float:
    """Spearman's ρ, the correlation of the ranks, equal numbers sharing their mean rank; NaN where all are equal.

    >>> rank_correlation(np.array([1.0, 2.0, 3.0]), np.array([1.0, 10.0, 5.0]))
    0.5
    """
    ranks_a, ranks_b = _centred_ranks(a), _centred_ranks(b)
    size = math.sqrt((ranks_a @ ranks_a) * (ranks_b @ ranks_b))
    return float(ranks_a @ ranks_b) / size if size else math.nan


def _centred_ranks(values: np.ndarray) -> np.ndarray:
    _, inverse, counts = np.unique(values.ravel(), return_inverse=True, return_counts=True)
    ranks = np.cumsum(counts) - (counts - 1) / 2
    return ranks[inverse.ravel()] - (values.size + 1) / 2


def ssim(a: np.ndarray, b: np.ndarray) -> float:
    """The structural similarity of two maps (H, W) or (C, H, W) ≥ 0, each scaled to at most 1, channels summed.

    Source: Wang et al., "Image quality assessment: from error visibility to structural similarity" (2004).
    """
    from skimage.metrics import structural_similarity

    a, b = (m.sum(axis=0) if m.ndim == 3 else m for m in (a, b))
    if a.ndim != 2 or min(a.shape) < 3:
        raise ValueError(f"ssim compares maps of at least 3×3 pixels, but the method's have shape {a.shape}")
    a, b = (m / (m.max() or 1) for m in (a, b))
    side = min(7, (min(a.shape) - 1) // 2 * 2 + 1)
    return float(structural_similarity(a, b, win_size=side, data_range=1.0))
