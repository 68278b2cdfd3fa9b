"""Scores of pictures by the world's judge, one per prompt, and their means with bootstrap intervals."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from stylus_gen.world.evaluation import Question
from stylus_gen.world.things import STYLES, THINGS

if TYPE_CHECKING:
    from stylus_gen.world.judge import Truth

Scores = dict[str, npt.NDArray[np.float64]]
"""Score name to one value per prompt; NaN where the score does not apply to the prompt."""

NAMES = ("style_acc", "thing_acc", "clip", "dist", "diversity")


def score(asked: Sequence[Question], pictures: npt.NDArray[np.float32], judge: Any, truth: Truth) -> Scores:
    """Score pictures (prompts, seeds, h, w, 3) in [0, 1]; ``judge`` is a model and its tokenizer.

    ``style_acc`` and ``thing_acc`` are the shares of seeds that the classifiers recognise. ``clip`` is the cosine of
    picture and prompt, ``dist`` one minus the cosine to the true picture, both in the judge's space. ``diversity`` is
    the mean absolute difference between seeds in [0, 1].
    """
    import torch

    model, tokenizer = judge
    prompts, seeds = pictures.shape[:2]
    flat = torch.from_numpy(pictures.reshape(-1, *pictures.shape[2:])).permute(0, 3, 1, 2) * 2 - 1
    with torch.no_grad():
        seen, look = model.things(flat), model.styles(flat)
        things = model.thing(seen).argmax(1).view(prompts, seeds).numpy()
        styles = model.style(look).argmax(1).view(prompts, seeds).numpy()
        vectors = model.embed(seen, look).view(prompts, seeds, -1).numpy()
    words = model.read(tokenizer, [q.prompt for q in asked]).numpy()
    return {
        "style_acc": _share(styles, [_style(q) for q in asked]),
        "thing_acc": _share(things, [list(THINGS).index(q.thing) for q in asked]),
        "clip": np.einsum("psd,pd->p", vectors, words) / seeds,
        "dist": 1 - np.einsum("psd,pd->p", vectors, np.stack([truth.vector(q) for q in asked])) / seeds,
        "diversity": _spread(pictures),
    }


def _style(question: Question) -> int | None:
    return None if question.style is None else [s.name for s in STYLES].index(question.style)


def _share(found: npt.NDArray[np.int64], wanted: Sequence[int | None]) -> npt.NDArray[np.float64]:
    rows = zip(found, wanted, strict=True)
    return np.array([np.nan if want is None else float((row == want).mean()) for row, want in rows])


def _spread(pictures: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
    seeds = pictures.shape[1]
    pairs = [(a, b) for a in range(seeds) for b in range(a)]
    if not pairs:
        return np.zeros(len(pictures))
    apart = [np.abs(pictures[:, a] - pictures[:, b]).mean((1, 2, 3)) for a, b in pairs]
    spread: npt.NDArray[np.float64] = np.mean(apart, 0).astype(np.float64)
    return spread


def mean_row(scores: Scores, chosen: Sequence[bool]) -> dict[str, float]:
    """Average every score over the chosen prompts; ``None`` if no prompt has the score (JSON has no NaN)."""
    mask = np.array(chosen)
    return {name: _mean(scores[name][mask]) for name in NAMES}


def _mean(values: npt.NDArray[np.float64]) -> Any:
    kept = values[~np.isnan(values)]
    return round(float(kept.mean()), 4) if len(kept) else None


def bootstrap(scores: Scores, chosen: Sequence[bool], seed: int, draws: int = 1000) -> dict[str, list[float] | None]:
    """Compute 95 % bootstrap intervals of the means by resampling prompts; ``None`` if no prompt has the score."""
    rng = np.random.default_rng(seed)
    mask = np.array(chosen)
    intervals: dict[str, list[float] | None] = {}
    for name in NAMES:
        values = scores[name][mask]
        values = values[~np.isnan(values)]
        means = rng.choice(values, (draws, len(values))).mean(1) if len(values) else None
        intervals[name] = None if means is None else [round(float(q), 4) for q in np.quantile(means, (0.025, 0.975))]
    return intervals
