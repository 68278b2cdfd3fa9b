"""Combine features into one score, and the score into a probability. The weights are learned.

A whole prompt and a concept have separate weights. A prompt resembles an adapter's example prompts. A concept is a few
words, and only an adapter with them in its name, trigger words or tags matches.

benchmarks/retrieval_fit.py learns the weights from real prompts, cross-validated by adapter; RETRIEVAL.md reports what
each feature contributes.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from stylus_gen.tools.search.features import COLUMN, NAMES

Floats = NDArray[np.float32]

# A share is relative to the best candidate's value or to this minimum, the first quartile of best values over real
# prompts. Without it, the nearest example of a three-word prompt would weigh as much as a copied prompt.
FLOOR = {"description": 7.4, "examples": 17.3, "fields": 22.3, "likeness": 0.29, "phrasing": 0.05, "creator": 0.29}
Weights = Mapping[str, tuple[float, float]]
"""Feature: (weight of its value, weight of its share of the best candidate's value)."""

WEIGHTS: Weights = {
    "description": (0, 0.819),
    "examples": (0.008, -3.9),
    "fields": (-0.017, 6.588),
    "trigger share": (0.871, 0),
    "name share": (0.649, 0),
    "own name": (1.419, 0),
    "own trigger": (2.661, 0),
    "said": (6.164, 0),
    "likeness": (0, -0.768),
    "phrasing": (0, 2.608),
    "meaning": (1.471, 2.775),
    "shown": (0.607, 0),
    "downloads": (0, -0.315),
    "creator": (-0.368, 5.607),
}
NONE = 10.42
"""The score of "none of them"."""

CONCEPT_WEIGHTS: Weights = {"fields": (0.338, 0), "own name": (0.829, 0), "own trigger": (1.087, 0), "said": (2.98, 0)}
CONCEPT_NONE = 7.248
NAMING = [COLUMN[name] for name in ("name share", "own trigger", "tags")]
"""Features of which at least one must be positive for an adapter to match a concept."""


def score(features: Floats) -> Floats:
    """Score each candidate for the prompt (the first query) and for its concepts; 0 is as good as "none of them".

    (queries, candidates, features) to (queries, candidates). What does not name a concept has −∞ there.
    """
    named = (features[1:, :, NAMING] > 0).any(axis=-1)
    concepts = np.where(named, fuse(features[1:], CONCEPT_WEIGHTS) - CONCEPT_NONE, -np.inf)
    return np.concatenate([fuse(features[:1], WEIGHTS) - NONE, concepts])


def fuse(features: Floats, weights: Weights) -> Floats:
    """Score candidates: (queries, candidates, features) to (queries, candidates)."""
    value = np.array([weights.get(name, (0.0, 0.0))[0] for name in NAMES])
    share = np.array([weights.get(name, (0.0, 0.0))[1] for name in NAMES])
    scores: Floats = features @ value + shares(features) @ share
    return scores


def shares(features: Floats) -> Floats:
    """Divide each feature by the best candidate's: (…, candidates, features)."""
    floor = np.array([FLOOR.get(name, 1e-6) for name in NAMES], np.float32)
    parts: Floats = features / np.maximum(features.max(axis=-2, keepdims=True, initial=0), floor)
    return parts


def calibrate(scores: Floats) -> Floats:
    """Turn scores into probabilities: a softmax over the candidates and "none of them", which scores 0."""
    best = scores.max(axis=-1, keepdims=True, initial=0)
    odds = np.exp(scores - best)
    chances: Floats = odds / (odds.sum(axis=-1, keepdims=True) + np.exp(-best))
    return chances
