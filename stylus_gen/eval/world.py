"""`stylus eval world`: do the adapters that the planner chooses make the small world's pictures better?

Five arms draw the same prompts from the same seeds; the world's judge scores them. Needs no network and no pictures:
of the true ones it holds only the judge's vectors.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from stylus_gen.eval.scores import Scores, bootstrap, mean_row, score
from stylus_gen.world import adapters_path, base_path, judge_path
from stylus_gen.world.catalogue import WEIGHT, catalogue
from stylus_gen.world.exam import Question, Size, questions, sound

if TYPE_CHECKING:
    from stylus_gen.tools.diffusion.studio import Studio
    from stylus_gen.tools.embed import Embedder
    from stylus_gen.tools.plan import Plan

Progress = Callable[[int, int, str], None]
Planning = Callable[[str], "Plan"]
Weights = tuple[tuple[str, float], ...]
"""File stems and weights, sorted: what one picture is drawn with."""

ARMS = ("base", "by_hand", "planned", "random", "nearest")
SWEPT = ("glossy_3d_r8", "bw_stencil_r8", "ink_comic_r8", "penguin_world")
SWEEP_WEIGHTS = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0, 1.25, 1.5)
SEED = 20261121


@dataclass(frozen=True)
class Drawing:
    """One question as one arm draws it."""

    question: Question
    prompt: str
    weights: Weights


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

    ``plan`` makes a plan of a prompt, as `Stylus.plan` does. ``seeds`` are drawn for every prompt in every arm.
    """
    from stylus_gen.eval.world_sheet import write_results
    from stylus_gen.tools.diffusion.studio import open_studio
    from stylus_gen.world.judge import load_judge, load_truth

    judge = load_judge(judge_path())
    truth, facts = load_truth(judge_path())
    asked = questions(truth.pairs, SEED, size or Size())
    studio = open_studio(str(base_path()), family="world")
    files = {path.stem: path for path in adapters_path().glob("*.safetensors")}
    arms = _arms(asked, plan, embedder, progress)
    scores: dict[str, Scores] = {}
    pictures: dict[str, npt.NDArray[np.float32]] = {}
    for i, (arm, drawings) in enumerate(arms.items()):
        progress(i, len(arms) + 1, f"drawing {arm}")
        pictures[arm] = draw_all(drawings, studio, files, seeds)
        scores[arm] = score([d.question for d in drawings], pictures[arm], judge, truth)
    report = {**summarise(asked, scores), "judge": facts, "seeds": seeds}
    if sweeps:
        progress(len(arms), len(arms) + 1, "weight sweeps")
        report["sweeps"] = {stem: _sweep(stem, asked, studio, files, judge, truth) for stem in SWEPT}
    write_results(report, arms, pictures, out)
    return report


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
    stems = _stems_by_hash()
    weights = tuple(sorted((stems[a.adapter_id], a.weight) for a in plan.active(0)))
    return Drawing(question, plan.final_prompt, weights)


def _stems_by_hash() -> dict[str, str]:
    import json

    folder = adapters_path()
    hashes = json.loads((folder.parent / "manifest.json").read_text("utf-8"))
    return {h: Path(name).stem for name, h in hashes.items() if name.endswith(".safetensors")}


def _nearest(prompts: Sequence[str], embedder: Embedder) -> list[str]:
    """Take for each prompt the adapter whose card is nearest by embedding, as naive retrieval does."""
    entries = [e for e in catalogue() if sound(e)]
    cards = embedder.embed([f"{e.title}. {e.text} {', '.join(e.tags)}" for e in entries])
    best = (embedder.embed(list(prompts)) @ cards.T).argmax(1)
    return [entries[i].stem for i in best]


def draw_all(
    drawings: Sequence[Drawing], studio: Studio, files: dict[str, Path], seeds: int, batch: int = 16
) -> npt.NDArray[np.float32]:
    """Draw every drawing from each seed: float (drawings, seeds, h, w, 3) in [0, 1]. Same adapters share a batch."""
    groups: dict[Weights, list[tuple[int, int]]] = {}
    for i, drawing in enumerate(drawings):
        groups.setdefault(drawing.weights, []).extend((i, s) for s in range(seeds))
    done: dict[tuple[int, int], npt.NDArray[np.float32]] = {}
    with studio.lock, studio.given_back():
        for weights, cells in groups.items():
            studio.runtime.apply([(studio.shelf.get(files[stem]), weight) for stem, weight in weights])
            for start in range(0, len(cells), batch):
                part = cells[start : start + batch]
                images = _draw([drawings[i].prompt for i, _ in part], [s for _, s in part], studio)
                done.update(zip(part, images, strict=True))
    return np.stack([np.stack([done[i, s] for s in range(seeds)]) for i in range(len(drawings))])


def _draw(prompts: list[str], seeds: list[int], studio: Studio) -> npt.NDArray[np.float32]:
    import torch

    of = studio.defaults
    made = studio.pipe(
        prompts,
        num_inference_steps=of.steps,
        guidance_scale=of.guidance,
        generator=[torch.Generator("cpu").manual_seed(SEED + s) for s in seeds],
        output_type="np",
    )
    images: npt.NDArray[np.float32] = made.images.astype(np.float32)
    return images


def summarise(asked: Sequence[Question], scores: dict[str, Scores]) -> dict[str, Any]:
    """Average the scores over the prompts that ask for something, over unseen things, and over what needs nothing."""
    rows = {
        "arms": [q.sort != "plain" for q in asked],
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


def _sweep(
    stem: str, asked: Sequence[Question], studio: Studio, files: dict[str, Path], judge: Any, truth: Any
) -> list[dict[str, float]]:
    """Draw up to four of an adapter's prompts at every weight; a row of scores a weight."""
    mine = [q for q in asked if stem in q.by_hand and len(q.by_hand) == 1][:4]
    drawings = [Drawing(q, q.prompt, ((stem, w),) if w else ()) for w in SWEEP_WEIGHTS for q in mine]
    scored = score([d.question for d in drawings], draw_all(drawings, studio, files, 1), judge, truth)
    rows = []
    for k, weight in enumerate(SWEEP_WEIGHTS):
        chosen = [k * len(mine) <= i < (k + 1) * len(mine) for i in range(len(drawings))]
        rows.append({"weight": weight, **mean_row(scored, chosen)})
    return rows
