"""`stylus eval world`: do the adapters that the planner chooses make the small world's pictures better?

Five arms draw the same prompts from the same seeds; the world's judge scores them. Needs no network and no pictures:
of the true ones it holds only the judge's vectors.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stylus_gen.eval.scores import Scores, bootstrap, mean_row, score
from stylus_gen.eval.world_pictures import SEED, Drawing, Easel, Weights
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

    ``plan`` makes a plan of a prompt, as `Stylus.plan` does. ``seeds`` are drawn for every prompt in every arm. What
    an earlier run drew into ``out`` with the same weights is not drawn again.
    """
    from stylus_gen.eval.world_sheet import write_results
    from stylus_gen.world.judge import load_judge, load_truth

    judge = load_judge(judge_path())
    truth, facts = load_truth(judge_path())
    asked = questions(truth.pairs, SEED, size or Size())
    arms = _arms(asked, plan, embedder, progress)
    swept = _sweeps(asked) if sweeps else {}
    easel = _easel(out / "pictures", seeds)
    easel.draw([d for drawings in (*arms.values(), *swept.values()) for d in drawings], progress)

    def scored(drawings: Sequence[Drawing]) -> Scores:
        return score([d.question for d in drawings], easel.read(drawings), judge, truth)

    report = {**summarise(asked, {arm: scored(drawings) for arm, drawings in arms.items()}), "judge": facts}
    report |= {"seeds": seeds, "prompts": len(asked)}
    if sweeps:
        report["sweeps"] = {stem: _sweep_rows(drawings, scored(drawings)) for stem, drawings in swept.items()}
    write_results(report, arms, easel, out)
    return report


def _easel(folder: Path, seeds: int) -> Easel:
    from stylus_gen.tools.diffusion.pipeline import load_base

    files = {path.stem: path for path in adapters_path().glob("*.safetensors")}
    edition = hashlib.sha256((adapters_path().parent / "manifest.json").read_bytes()).hexdigest()
    return Easel(load_base(str(base_path()), family="world"), files, edition, folder, seeds)


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
    """Take for each prompt the adapter whose card is nearest by embedding, as naive retrieval does."""
    entries = [e for e in catalogue() if sound(e)]
    cards = embedder.embed([f"{e.title}. {e.text} {', '.join(e.tags)}" for e in entries])
    best = (embedder.embed(list(prompts)) @ cards.T).argmax(1)
    return [entries[i].stem for i in best]


def summarise(asked: Sequence[Question], scores: dict[str, Scores]) -> dict[str, Any]:
    """Average the scores over the prompts that ask for something, over each sort of them, and over the rest.

    ``held_out`` are styles of things that the base knows, ``unseen`` things that it does not, alone and in a style.
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
    """List held-out prompts of some styles, and of unseen things, with their adapter at every weight in turn."""
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
