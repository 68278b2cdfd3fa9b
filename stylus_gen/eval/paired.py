"""Statistics that all evaluations share: bootstrap intervals over prompts, paired differences, the sign test. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import comb

import numpy as np
from numpy.typing import NDArray

Rows = NDArray[np.int64]
Statistic = Callable[[Rows], float | None]
"""A figure of some rows, by their numbers; ``None`` where these rows leave it undefined."""

RESAMPLES = 1000


@dataclass(frozen=True)
class Difference:
    """How much a figure of one run exceeds that of another on the same prompts, with its 95 % interval."""

    value: float | None
    low: float
    high: float


def bootstrap(n: int, statistic: Statistic, seed: int = 0) -> tuple[float, float]:
    """Compute the 2.5 and 97.5 percentiles of a statistic over resamples of ``n`` rows; (0, 0) where it has none."""
    random = np.random.default_rng(seed)
    drawn = [statistic(random.integers(0, n, n)) for _ in range(RESAMPLES if n else 0)]
    values = [value for value in drawn if value is not None]
    if not values:
        return 0.0, 0.0
    low, high = np.percentile(values, (2.5, 97.5))
    return round(float(low), 4), round(float(high), 4)


def paired_difference(n: int, mine: Statistic, other: Statistic, seed: int = 0) -> Difference:
    """Compare two runs on the same ``n`` prompts: each resample draws the same prompts for both (Efron 1979)."""

    def gap(rows: Rows) -> float | None:
        a, b = mine(rows), other(rows)
        return None if a is None or b is None else a - b

    value = gap(np.arange(n)) if n else None
    return Difference(None if value is None else round(value, 4), *bootstrap(n, gap, seed))


def sign_test(mine: Sequence[float], other: Sequence[float]) -> float:
    """Compute the two-sided p-value of the sign test on paired values; ties say nothing (Dixon & Mood 1946)."""
    if len(mine) != len(other):
        raise ValueError(f"{len(mine)} values are paired with {len(other)}; expected one for each")
    more = sum(a > b for a, b in zip(mine, other, strict=True))
    fewer = sum(a < b for a, b in zip(mine, other, strict=True))
    tail = sum(comb(more + fewer, k) for k in range(min(more, fewer) + 1))
    return float(min(1.0, 2 * tail / 2 ** (more + fewer)))
