"""Fusion: from measured evidence to one score, and from the score to a probability. Learned coefficients.

benchmarks/retrieval_fit.py learns them on real prompts, cross-validated by adapter; RETRIEVAL.md says what each brings.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from stylus_gen.tools.search.features import NAMES

Floats = NDArray[np.float32]

# Feature: (weight of its value, weight of its share of the best candidate's value).
WEIGHTS: dict[str, tuple[float, float]] = {
    "description": (0, 0.996),
    "examples": (-0.04, -1.07),
    "fields": (0.028, 1.895),
    "trigger share": (0.433, 0),
    "name share": (0.785, 0),
    "own name": (2.814, 0),
    "own trigger": (2.769, 0),
    "likeness": (0, 0.218),
    "phrasing": (0, 2.338),
    "meaning": (2.748, 2.493),
    "shown": (0.768, 0),
    "downloads": (0, -0.224),
    "creator": (0.714, 4.835),
}
NONE = 11.437
"""The score of "none of them"."""


def fuse(features: Floats) -> Floats:
    """Score candidates: (queries, candidates, features) to (queries, candidates)."""
    value = np.array([WEIGHTS.get(name, (0.0, 0.0))[0] for name in NAMES])
    share = np.array([WEIGHTS.get(name, (0.0, 0.0))[1] for name in NAMES])
    best = np.maximum(features.max(axis=1, keepdims=True, initial=0.0), 1e-6)
    scores: Floats = features @ value + (features / best) @ share
    return scores


def calibrate(scores: Floats) -> Floats:
    """Turn scores into probabilities: a softmax over the candidates and "none of them"."""
    best = np.maximum(scores.max(axis=1, keepdims=True, initial=NONE), NONE)
    odds = np.exp(scores - best)
    chances: Floats = odds / (odds.sum(axis=1, keepdims=True) + np.exp(NONE - best))
    return chances
