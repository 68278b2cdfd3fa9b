"""Fusion: from measured evidence to one score, and from the score to a probability. Learned coefficients.

benchmarks/retrieval_fit.py learns them on real prompts, cross-validated by adapter; RETRIEVAL.md says what each brings.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from stylus_gen.tools.search.features import NAMES

Floats = NDArray[np.float64]

# Feature: (weight of its value, weight of its share of the best candidate's value).
WEIGHTS: dict[str, tuple[float, float]] = {
    "name": (0.02, 0.0),
    "trigger": (0.06, 0.0),
    "fields": (0.08, 1.0),
    "trigger phrase": (0.10, 0.0),
    "trigger words": (1.0, 0.0),
    "example": (2.0, 2.0),
    "phrasing": (3.0, 2.0),
    "creator": (2.0, 2.0),
    "meaning": (3.0, 0.0),
    "shown": (0.3, 0.0),
}
SHARPNESS, OFFSET = 1.0, 4.0


def fuse(features: Floats) -> Floats:
    """Score candidates: (queries, candidates, features) to (queries, candidates)."""
    value = np.array([WEIGHTS.get(name, (0.0, 0.0))[0] for name in NAMES])
    share = np.array([WEIGHTS.get(name, (0.0, 0.0))[1] for name in NAMES])
    best = np.maximum(features.max(axis=1, keepdims=True, initial=0.0), 1e-6)
    return features @ value + (features / best) @ share


def calibrate(scores: Floats) -> Floats:
    """Turn scores into probabilities: a softmax over the candidates with one place for "none of them"."""
    odds = np.exp(SHARPNESS * (scores - scores.max(axis=1, keepdims=True, initial=0.0)))
    return odds / (odds.sum(axis=1, keepdims=True) + np.exp(OFFSET - scores.max(axis=1, keepdims=True, initial=0.0)))
