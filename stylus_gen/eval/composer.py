"""`stylus eval composer`: does the plan hold what people really used, does it abstain, and does it ever break a rule?

It runs on any catalogue of Civitai model objects and any prompts with the fields ``prompt``,
``prompt_without_triggers`` and ``adapters`` (model id to the weight that was used), in a throw-away database.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np

from stylus_gen.agent.context import AgentContext
from stylus_gen.agent.graph import plan_prompt
from stylus_gen.agent.planner import Planner
from stylus_gen.agent.request import PlanRequest
from stylus_gen.eval.gold import Prompt, read_gold, throw_away_database
from stylus_gen.tools.embed import Embedder
from stylus_gen.tools.families import Family, support
from stylus_gen.tools.ingest import import_adapters
from stylus_gen.tools.plan import Concept, Plan, Policy
from stylus_gen.tools.prune import PER_CONCEPT, STYLES, stem
from stylus_gen.tools.search import search_adapters
from stylus_gen.tools.store.adapters import get_cards
from stylus_gen.tools.store.database import Database
from stylus_gen.tools.triggers import gives_orders, has_words
from stylus_gen.tools.weights import EXEMPT, STRENGTH_BUDGET

Progress = Callable[[int, int, str], None]


@dataclass(frozen=True)
class Outcome:
    """What one plan came to. ``errors`` are of the weights of used adapters, ``ms`` the time to plan."""

    used: bool
    adapters: int
    character: bool
    breaks: tuple[str, ...]
    errors: tuple[float, ...]
    turns: int
    prompt_tokens: int
    ms: float


def evaluate_composer(
    adapters: Path,
    gold: Path,
    *,
    planner: Planner,
    embedder: Embedder,
    family: Family = "sd15",
    limit: int | None = None,
    progress: Progress,
) -> dict[str, Any]:
    """Import the adapters into a throw-away database, plan every prompt three times, and sum up.

    With its trigger words, without them, and with the adapters it used hidden from search.
    """
    prompts = read_gold(gold, limit)
    with throw_away_database() as db:
        import_adapters(db, adapters, embedder=embedder, progress=progress)
        return measure(db, prompts, planner=planner, embedder=embedder, family=family, progress=progress)


def measure(
    db: Database, prompts: Sequence[Prompt], *, planner: Planner, embedder: Embedder, family: Family, progress: Progress
) -> dict[str, Any]:
    """Plan every prompt three times against a filled database, and sum up."""
    context = context_of(db, embedder, planner)
    told: list[Outcome] = []
    untold: list[Outcome | None] = []
    absent: list[Outcome] = []
    for done, prompt in enumerate(prompts):
        told.append(outcome(prompt.text, prompt.used, context, family))
        bare = prompt.without_triggers
        untold.append(outcome(bare, prompt.used, context, family) if bare.strip() else None)
        with hidden(db, list(prompt.used)):
            absent.append(outcome(prompt.text, prompt.used, context, family))
        progress(done + 1, len(prompts), "planning")
    return summarise(told, untold, absent)


def context_of(db: Database, embedder: Embedder, planner: Planner) -> AgentContext:
    """Join the agent to a database."""

    def search(prompt: str, concepts: Sequence[Concept], family: str, policy: Policy, limit: int) -> Mapping[str, Any]:
        return search_adapters(db, embedder, prompt, concepts, family=family, policy=policy, limit=limit)

    return AgentContext(search, lambda ids: get_cards(db, ids), planner)


@contextmanager
def hidden(db: Database, model_keys: Sequence[str]) -> Iterator[None]:
    """Hide models from search, as if they were not in the catalogue; for the throw-away database only."""
    with db.pool.connection() as conn:
        hide = "UPDATE search_documents SET safe = false WHERE safe AND model_key = ANY(%s) RETURNING id"
        ids = [row[0] for row in conn.execute(hide, (list(model_keys),)).fetchall()]
    try:
        yield
    finally:
        with db.pool.connection() as conn:
            conn.execute("UPDATE search_documents SET safe = true WHERE id = ANY(%s)", (ids,))


def outcome(text: str, used: Mapping[str, float], context: AgentContext, family: Family) -> Outcome:
    """Plan one prompt and look at the plan."""
    started = time.perf_counter()
    plan = plan_prompt(PlanRequest(prompt=text, family=family), context)
    ms = (time.perf_counter() - started) * 1000
    right = [a for a in plan.assignments if a.model_key in used]
    return Outcome(
        used=bool(right),
        adapters=len(plan.assignments),
        character=any(a.kind == "character" for a in plan.assignments),
        breaks=tuple(broken_rules(plan, max_adapters=4)),
        errors=tuple(abs(a.weight - used[a.model_key]) for a in right),
        turns=plan.tokens.calls,
        prompt_tokens=plan.tokens.prompt,
        ms=ms,
    )


def broken_rules(plan: Plan, *, max_adapters: int) -> Iterator[str]:
    """Name the rules a plan breaks, looked at from outside: only the plan, none of the code that made it."""
    chosen = plan.assignments
    if len(chosen) > max_adapters:
        yield "too many adapters"
    for name in ("adapter_id", "model_key"):
        if len({getattr(a, name) for a in chosen}) < len(chosen):
            yield f"{name} twice"
    if len({(a.kind, stem(a.name)) for a in chosen if stem(a.name)}) < sum(bool(stem(a.name)) for a in chosen):
        yield "the same name twice"
    if any(sum(a.concept_id == c.id for a in chosen) > PER_CONCEPT for c in plan.concepts):
        yield "too many adapters for a concept"
    if sum(a.kind == "style" for a in chosen) > STYLES:
        yield "too many styles"
    characters = [a.concept_id for a in chosen if a.kind == "character"]
    if len(set(characters)) < len(characters):
        yield "two characters in one place"
    if any(support(a.family, plan.family) == "none" for a in chosen):
        yield "wrong family"
    if any(a.kind in EXEMPT and not has_words(plan.prompt, a.name) for a in chosen):
        yield "a slider or accelerator nobody asked for"
    if sum(abs(a.weight) for a in chosen if a.kind not in EXEMPT) > STRENGTH_BUDGET + 1e-6:
        yield "over the strength budget"
    if chosen and not all(any(row) for row in plan.masks):
        yield "an image without adapters"
    added = plan.final_prompt.removesuffix(plan.prompt)
    if "<" in added or "\n" in added or gives_orders(added):
        yield "text that is no trigger word in the final prompt"


def summarise(told: Sequence[Outcome], untold: Sequence[Outcome | None], absent: Sequence[Outcome]) -> dict[str, Any]:
    """Sum up outcomes in the form that ``--json`` prints; a prompt of nothing but triggers counts as not found."""
    plans = [*told, *(o for o in untold if o), *absent]
    errors = [e for o in told for e in o.errors]
    times = [o.ms for o in told]
    return {
        "used_in_plan": {
            "with_triggers": _mean([o.used for o in told]),
            "without_triggers": _mean([bool(o and o.used) for o in untold]),
        },
        "adapters_per_plan": _mean([o.adapters for o in told]),
        "rule_breaks": _mean([bool(o.breaks) for o in plans]),
        "character_when_absent": _mean([o.character for o in absent]),
        "weight_mae": _mean(errors),
        "empty_plans": _mean([o.adapters == 0 for o in told]),
        "turns": _mean([o.turns for o in told]),
        "prompt_tokens": _mean([o.prompt_tokens for o in told]),
        "latency_ms": {f"p{q}": round(float(np.percentile(times, q)), 1) if times else None for q in (50, 95)},
        "n": len(told),
    }


def _mean(values: Sequence[float]) -> float | None:
    return round(fmean(values), 4) if values else None
