"""Figures of rankings: recall, reciprocal rank, discounted gain, calibration, and their intervals."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stylus_gen.eval.paired import bootstrap

Floats = NDArray[np.float64]

DEPTHS = (1, 10, 50, 150)
BINS = 10


@dataclass(frozen=True)
class Ranking:
    """The candidates for one prompt. ``hits`` are the best ranks, from 1, of the adapters that were really used.

    ``used`` counts them; ``scored`` gives each candidate's score and whether it was used, best first.
    """

    hits: tuple[int, ...]
    used: int
    scored: tuple[tuple[float, bool], ...]
    group: dict[str, str]

    @property
    def chance(self) -> float:
        """The first candidate's score; 0 if there is none."""
        return self.scored[0][0] if self.scored else 0.0

    @property
    def right(self) -> bool:
        """Whether the first candidate was really used."""
        return bool(self.scored and self.scored[0][1])


def rank(ranked: Sequence[tuple[str, float]], used: Collection[str], group: dict[str, str]) -> Ranking:
    """Compare candidates, (model key, score) from the best on, with the models really used."""
    firsts: dict[str, int] = {}
    for rank, (key, _) in enumerate(ranked, 1):
        firsts.setdefault(key, rank)
    hits = tuple(rank for key, rank in firsts.items() if key in used)
    return Ranking(hits, len(used), tuple((score, key in used) for key, score in ranked), group)


def figures(rankings: Sequence[Ranking]) -> dict[str, object]:
    """Compute R@k, MRR and nDCG@10."""
    return {
        "r_at": {str(k): round(float(np.mean(_within(rankings, k))), 4) for k in DEPTHS} if rankings else {},
        "mrr": round(float(np.mean(_reciprocal(rankings))), 4) if rankings else None,
        "ndcg_at_10": round(float(np.mean(_gain(rankings))), 4) if rankings else None,
    }


def intervals(rankings: Sequence[Ranking], seed: int = 0) -> dict[str, tuple[float, float]]:
    """Compute 95 % bootstrap intervals of the same figures, resampling prompts."""
    rows = {f"r_at_{k}": _within(rankings, k) for k in DEPTHS}
    rows |= {"mrr": _reciprocal(rankings), "ndcg_at_10": _gain(rankings)}
    return {name: bootstrap(len(rankings), _mean_of(row), seed) for name, row in rows.items()}


def _mean_of(row: NDArray[np.float64]) -> Callable[[NDArray[np.int64]], float]:
    return lambda at: float(row[at].mean())


def reliability(chances: Sequence[float], right: Sequence[bool]) -> list[dict[str, float]]:
    """Tabulate each tenth of probability that occurs: how many, the mean said, the share right."""
    p, y = np.asarray(chances, float), np.asarray(right, float)
    place = np.minimum((p * BINS).astype(int), BINS - 1)
    return [
        {
            "from": b / BINS,
            "n": int((place == b).sum()),
            "said": float(p[place == b].mean()),
            "right": float(y[place == b].mean()),
        }
        for b in range(BINS)
        if (place == b).any()
    ]


def calibration_error(rankings: Sequence[Ranking], *, first_only: bool = True) -> float:
    """Compute the expected calibration error over ten equal bins (Guo et al. 2017, arXiv 1706.04599).

    Of the first candidate of each prompt, or of all candidates together.
    """
    pairs = [(a.chance, a.right) for a in rankings] if first_only else [pair for a in rankings for pair in a.scored]
    table = reliability([p for p, _ in pairs], [right for _, right in pairs])
    return sum(row["n"] * abs(row["said"] - row["right"]) for row in table) / max(1, len(pairs))


def _within(rankings: Sequence[Ranking], k: int) -> Floats:
    return np.array([min(a.hits, default=k + 1) <= k for a in rankings], float)


def _reciprocal(rankings: Sequence[Ranking]) -> Floats:
    return np.array([1 / min(a.hits) if a.hits else 0.0 for a in rankings])


def _gain(rankings: Sequence[Ranking], k: int = 10) -> Floats:
    discount = 1 / np.log2(np.arange(2, k + 2))
    return np.array(
        [sum(discount[h - 1] for h in a.hits if h <= k) / discount[: max(1, a.used)].sum() for a in rankings]
    )
