"""`stylus eval world`: do the planner's adapters improve the pictures of the small world?

Five arms draw the same prompts from the same seeds; the world's judge scores the pictures. The evaluation needs
neither a network nor the true pictures: it compares with the judge's vectors of them.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stylus_gen.eval.scores import Scores, bootstrap, mean_row, score
from stylus_gen.eval.world_pictures import SEED, Drawing, PictureCache, Weights
from stylus_gen.tools.progress import Progress
from stylus_gen.world import adapter_stems, adapters_path, base_path, judge_path
from stylus_gen.world.catalogue import WEIGHT, catalogue
from stylus_gen.world.evaluation import Question, Size, questions, sound

if TYPE_CHECKING:
    from stylus_gen.tools.plan import Plan
    from stylus_gen.tools.search.embed import Embedder

Planning = Callable[[str], "Plan"]

SWEPT = ("glossy_3d_r8", "bw_stencil_r8", "ink_comic_r8", "simple_sticker_r8")
SWEEP_WEIGHTS = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0, 1.2, 1.35, 1.5)
SWEEP_PROMPTS = 10


def evaluate_world(
    plan: Planning,
    embedder: Embedder,
    *,
    out: Path,
    progress: Progress,
    seeds: int = 2,
    size: Size | None = None,
    sweeps: bool = True,
) -> dict[str, Any]:
    """Draw and score all arms; write ``world.json`` and the contact sheet ``world.png`` into ``out``.

    ``plan`` makes a plan from a prompt, as `Stylus.plan` does. ``seeds`` pictures are drawn per prompt and arm.
    Pictures that an earlier run drew into ``out`` with the same weights are reused.
    """
    from stylus_gen.eval.world_sheet import write_results
    from stylus_gen.world.judge import load_judge, load_truth

    judge = load_judge(judge_path())
    truth, facts = load_truth(judge_path())
    asked = questions(truth.pairs, SEED, size or Size())
    arms = _arms(asked, plan, embedder, progress)
    swept = _sweeps(asked) if sweeps else {}
    cache = _picture_cache(out / "pictures", seeds)
    cache.draw([d for drawings in (*arms.values(), *swept.values()) for d in drawings], progress)

    def scored(drawings: Sequence[Drawing]) -> Scores:
        return score([d.question for d in drawings], cache.read(drawings), judge, truth)

    report = {**summarise(asked, {arm: scored(drawings) for arm, drawings in arms.items()}), "judge": facts}
    report |= {"seeds": seeds, "prompts": len(asked)}
    if sweeps:
        report["sweeps"] = {stem: _sweep_rows(drawings, scored(drawings)) for stem, drawings in swept.items()}
    write_results(report, arms, cache, out)
    return report


def _picture_cache(folder: Path, seeds: int) -> PictureCache:
    from stylus_gen.tools.diffusion.pipeline import load_base

    files = {path.stem: path for path in adapters_path().glob("*.safetensors")}
    edition = hashlib.sha256((adapters_path().parent / "manifest.json").read_bytes()).hexdigest()
    return PictureCache(load_base(str(base_path()), family="world"), files, edition, folder, seeds)


def _arms(
    asked: Sequence[Question], plan: Planning, embedder: Embedder, progress: Progress
) -> dict[str, list[Drawing]]:
    rng = random.Random(SEED)
    usable = [e.stem for e in catalogue() if sound(e)]
    nearest = _nearest([q.prompt for q in asked], embedder)
    planned = []
    for i, question in enumerate(asked):
        progress(i, len(asked), f"planning {question.prompt!r}")
        planned.append(_planned(question, plan(question.prompt)))
    return {
        "base": [Drawing(q, q.prompt, ()) for q in asked],
        "by_hand": [Drawing(q, q.prompt, _at_weight(q.by_hand)) for q in asked],
        "planned": planned,
        "random": [Drawing(q, q.prompt, _at_weight([rng.choice(usable)])) for q in asked],
        "nearest": [Drawing(q, q.prompt, _at_weight([n])) for q, n in zip(asked, nearest, strict=True)],
    }


def _at_weight(stems: Sequence[str]) -> Weights:
    return tuple(sorted((stem, WEIGHT) for stem in stems))


def _planned(question: Question, plan: Plan) -> Drawing:
    stems = adapter_stems()
    weights = tuple(sorted((stems[a.adapter_id], a.weight) for a in plan.active(0)))
    return Drawing(question, plan.final_prompt, weights)


def _nearest(prompts: Sequence[str], embedder: Embedder) -> list[str]:
    """Find for each prompt the adapter whose card has the nearest embedding (naive retrieval)."""
    entries = [e for e in catalogue() if sound(e)]
    cards = embedder.embed([f"{e.title}. {e.text} {', '.join(e.tags)}" for e in entries])
    best = (embedder.embed(list(prompts)) @ cards.T).argmax(1)
    return [entries[i].stem for i in best]


def summarise(asked: Sequence[Question], scores: dict[str, Scores]) -> dict[str, Any]:
    """Average the scores over all prompts that need an adapter, over two sorts of them, and over the others.

    ``held_out`` are styles of things that the base knows; ``unseen`` are things that it does not know, with or without
    a style.
    """
    rows = {
        "arms": [q.sort != "plain" for q in asked],
        "held_out": [q.sort == "style" for q in asked],
        "unseen": [q.sort in ("unseen", "both") for q in asked],
        "no_adapter_needed": [q.sort == "plain" for q in asked],
    }
    report: dict[str, Any] = {}
    intervals: dict[str, Any] = {}
    for name, chosen in rows.items():
        arms = ("base", "planned") if name == "no_adapter_needed" else tuple(scores)
        report[name] = {arm: mean_row(scores[arm], chosen) for arm in arms}
        intervals[name] = {arm: bootstrap(scores[arm], chosen, SEED) for arm in arms}
    return {**report, "intervals": intervals}


def _sweeps(asked: Sequence[Question]) -> dict[str, list[Drawing]]:
    """List held-out prompts of some styles and prompts of unseen things, with their adapter at each sweep weight."""
    mine = {stem: [q for q in asked if q.by_hand == (stem,)] for stem in SWEPT}
    mine["subjects"] = [q for q in asked if q.sort == "unseen"]
    return {
        name: [
            Drawing(q, q.prompt, ((q.by_hand[0], weight),) if weight else ())
            for weight in SWEEP_WEIGHTS
            for q in group[:SWEEP_PROMPTS]
        ]
        for name, group in mine.items()
        if group
    }


def _sweep_rows(drawings: Sequence[Drawing], scores: Scores) -> list[dict[str, Any]]:
    """Average the scores of the prompts at each weight."""
    prompts = len(drawings) // len(SWEEP_WEIGHTS)
    return [
        {"weight": weight, "prompts": prompts, **mean_row(scores, [i // prompts == k for i in range(len(drawings))])}
        for k, weight in enumerate(SWEEP_WEIGHTS)
    ]
