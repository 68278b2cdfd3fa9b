"""`stylus eval plans`: do plans hold the adapters that were judged right for everyday prompts, and no others?

It runs on any catalogue of Civitai model objects and any judged prompts, in a throw-away database. An adapter that
nobody judged counts as wrong, and how many there are is said.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np

from stylus_gen.agent.context import AgentContext
from stylus_gen.agent.graph import plan_prompt
from stylus_gen.agent.planner import Planner
from stylus_gen.agent.request import PlanRequest
from stylus_gen.context import agent_context
from stylus_gen.eval.gold import throw_away_database
from stylus_gen.eval.judged import JudgedPrompt, read_judged
from stylus_gen.eval.paired import Rows, Statistic, bootstrap, paired_difference, sign_test
from stylus_gen.tools.errors import BadRequest
from stylus_gen.tools.families import Family
from stylus_gen.tools.ingest import import_adapters
from stylus_gen.tools.progress import Progress
from stylus_gen.tools.search.embed import Embedder
from stylus_gen.tools.store.database import Database

LISTED = 10
"""Candidates of each list that count as found."""
SEED = 1
UNNAMED = "paraphrase"
"""The slice whose prompts say what they want without any name; figures of the others are told apart from it."""


@dataclass(frozen=True)
class Graded:
    """What one plan came to: its adapters' grades (``None``: never judged), its spans covered, and what search found.

    ``pairs`` are (span, right adapter) pairs, ``found`` those of them that any list of search holds.
    """

    id: str
    slice: str
    grades: tuple[int | None, ...]
    spans: int
    covered: int
    covered_acceptably: int
    serves_nothing: bool
    pairs: int
    found: int
    ms: float

    @property
    def right(self) -> int:
        """Count the adapters graded right."""
        return sum(grade == 2 for grade in self.grades)

    @property
    def acceptable(self) -> int:
        """Count the adapters graded right or acceptable."""
        return sum(grade in (1, 2) for grade in self.grades)

    @property
    def wrong(self) -> bool:
        """Tell whether the plan holds an adapter that is wrong, or that nobody judged."""
        return self.acceptable < len(self.grades)


@dataclass(frozen=True)
class Measured:
    """The report that ``--json`` ends with, each prompt's outcome, and what intervals and another run say of it."""

    report: dict[str, Any]
    prompts: list[Graded]
    more: dict[str, Any]


def evaluate_plans(
    adapters: Path,
    judged: Path,
    *,
    planner: Planner,
    embedder: Embedder,
    family: Family,
    against: Path | None = None,
    limit: int | None = None,
    progress: Progress,
) -> Measured:
    """Import the adapters into a throw-away database, plan every prompt, and compare the plans with the grades."""
    prompts = read_judged(judged, limit)
    other = read_run(against) if against else None
    with throw_away_database() as db:
        summary = import_adapters(db, adapters, embedder=embedder, progress=progress)
        if not summary.taken:
            raise BadRequest(f"no adapter of {adapters.name!r} could be imported; expected Civitai model objects")
        graded = grade_plans(db, prompts, planner=planner, embedder=embedder, family=family, progress=progress)
    return Measured(summarise(graded), graded, compare(graded, other))


def grade_plans(
    db: Database,
    prompts: Sequence[JudgedPrompt],
    *,
    planner: Planner,
    embedder: Embedder,
    family: Family,
    progress: Progress,
) -> list[Graded]:
    """Plan every prompt against a filled database: one image, the seed fixed, the policy as it is by default."""
    context = agent_context(db, embedder, planner)
    graded = []
    for done, prompt in enumerate(prompts, 1):
        graded.append(_grade(prompt, context, family))
        progress(done, len(prompts), "planning")
    return graded


def _grade(prompt: JudgedPrompt, context: AgentContext, family: Family) -> Graded:
    listed: set[str] = set()

    def search(*asked: Any) -> Mapping[str, Any]:
        found = context.search(*asked)
        listed.update(candidate.model_key for ranking in found.values() for candidate in ranking[:LISTED])
        return found

    started = time.perf_counter()
    plan = plan_prompt(PlanRequest(prompt=prompt.prompt, family=family, seed=SEED), replace(context, search=search))
    ms = (time.perf_counter() - started) * 1000
    chosen = [assignment.model_key for assignment in plan.assignments]
    right = [key for key, (grade, _) in prompt.grades.items() if grade == 2]
    return Graded(
        id=prompt.id,
        slice=prompt.slice,
        grades=tuple(prompt.grade(key) for key in chosen),
        spans=len(prompt.spans),
        covered=len(_served(prompt, chosen, 2) & prompt.spans),
        covered_acceptably=len(_served(prompt, chosen, 1) & prompt.spans),
        serves_nothing=prompt.wants_nothing,
        pairs=len(right),
        found=len(listed.intersection(right)),
        ms=round(ms, 1),
    )


def _served(prompt: JudgedPrompt, chosen: Iterable[str], grade: int) -> set[str]:
    return {prompt.grades[key][1] for key in chosen if (prompt.grade(key) or 0) >= grade}


def summarise(graded: Sequence[Graded]) -> dict[str, Any]:
    """Sum up outcomes in the form that ``--json`` ends with; a share of nothing is ``None``."""
    named = [g for g in graded if g.slice != UNNAMED]
    slices = sorted({g.slice for g in graded})
    times = [g.ms for g in graded]
    return {
        "spans_covered": _covered(graded),
        "spans_covered_named": _covered(named),
        "spans_covered_paraphrase": _covered([g for g in graded if g.slice == UNNAMED]),
        **{name: FIGURES[name](graded) for name in HEADLINES},
        "unjudged": sum(grade is None for g in graded for grade in g.grades),
        "by_slice": {name: _slice([g for g in graded if g.slice == name]) for name in slices},
        "latency_ms": {f"p{q}": round(float(np.percentile(times, q)), 1) if times else None for q in (50, 95)},
        "n": len(graded),
    }


def _slice(graded: Sequence[Graded]) -> dict[str, Any]:
    return {**{name: figure(graded) for name, figure in FIGURES.items()}, "n": len(graded)}


def _ratio(part: int, whole: int) -> float | None:
    return round(part / whole, 4) if whole else None


def _covered(graded: Sequence[Graded]) -> float | None:
    return _ratio(sum(g.covered for g in graded), sum(g.spans for g in graded))


def _covered_acceptably(graded: Sequence[Graded]) -> float | None:
    return _ratio(sum(g.covered_acceptably for g in graded), sum(g.spans for g in graded))


def _right(graded: Sequence[Graded]) -> float | None:
    return _ratio(sum(g.right for g in graded), sum(len(g.grades) for g in graded))


def _acceptable(graded: Sequence[Graded]) -> float | None:
    return _ratio(sum(g.acceptable for g in graded), sum(len(g.grades) for g in graded))


def _wrong(graded: Sequence[Graded]) -> float | None:
    return _ratio(sum(g.wrong for g in graded), len(graded))


def _quiet(graded: Sequence[Graded]) -> float | None:
    idle = [g for g in graded if g.serves_nothing]
    return _ratio(sum(not g.grades for g in idle), len(idle))


def _recall(graded: Sequence[Graded]) -> float | None:
    return _ratio(sum(g.found for g in graded), sum(g.pairs for g in graded))


def _adapters(graded: Sequence[Graded]) -> float | None:
    return round(fmean(len(g.grades) for g in graded), 4) if graded else None


Figure = Callable[[Sequence[Graded]], float | None]

FIGURES: dict[str, Figure] = {
    "spans_covered": _covered,
    "spans_covered_acceptably": _covered_acceptably,
    "right": _right,
    "right_or_acceptable": _acceptable,
    "prompts_with_wrong": _wrong,
    "quiet": _quiet,
    "recall_at_10": _recall,
    "adapters_per_plan": _adapters,
}
HEADLINES = ("right", "right_or_acceptable", "prompts_with_wrong", "quiet", "recall_at_10")


def compare(graded: Sequence[Graded], other: Sequence[Graded] | None) -> dict[str, Any]:
    """Compute 95 % intervals by bootstrap over prompts and, against another run, paired differences.

    Two runs are compared on the prompts that both planned.
    """
    intervals = {name: bootstrap(len(graded), _of(graded, figure)) for name, figure in FIGURES.items()}
    more: dict[str, Any] = {"intervals": intervals}
    if other is None:
        return more
    theirs = {g.id: g for g in other}
    mine = [g for g in graded if g.id in theirs]
    if not mine:
        raise BadRequest("the other run planned none of these prompts; expected a run on the same file")
    yours = [theirs[g.id] for g in mine]
    more["against"] = {
        name: asdict(paired_difference(len(mine), _of(mine, figure), _of(yours, figure)))
        for name, figure in FIGURES.items()
    }
    more["sign_test"] = {
        "spans_covered": round(sign_test([g.covered for g in mine], [g.covered for g in yours]), 4),
        "prompts_with_wrong": round(sign_test([g.wrong for g in mine], [g.wrong for g in yours]), 4),
        "n": len(mine),
    }
    return more


def _of(graded: Sequence[Graded], figure: Figure) -> Statistic:
    def statistic(rows: Rows) -> float | None:
        return figure([graded[i] for i in rows])

    return statistic


def read_run(path: Path) -> list[Graded]:
    """Read the prompts' outcomes from what an earlier run printed with ``--json``."""
    if not path.is_file():
        raise BadRequest(f"no run is at {str(path)!r}: save one with `stylus eval plans … --json > FILE`")
    graded = list(_outcomes(path))
    if not graded:
        raise BadRequest(f"{str(path)!r} holds no run: expected what `stylus eval plans … --json` printed")
    return graded


def _outcomes(path: Path) -> Iterator[Graded]:
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            row = json.loads(line)
            if isinstance(row, dict) and "grades" in row:
                yield Graded(**{**row, "grades": tuple(row["grades"])})
        except (ValueError, TypeError):
            continue
