"""`stylus eval composer`: do plans contain the adapters that people used, do they abstain, do they break rules?

It takes any catalogue of Civitai model objects and any prompts with the fields ``prompt``,
``prompt_without_triggers`` and ``adapters`` (model id to the weight used). It runs in a temporary database.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
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
from stylus_gen.context import agent_context
from stylus_gen.eval.gold import Prompt, read_gold, require_overlap, throw_away_database
from stylus_gen.eval.prices import cost
from stylus_gen.tools.errors import BadRequest
from stylus_gen.tools.families import Family, family_of, support
from stylus_gen.tools.ingest import import_adapters
from stylus_gen.tools.plan import Plan, Tokens
from stylus_gen.tools.progress import Progress
from stylus_gen.tools.prune import PER_CONCEPT, STYLES, title_stem
from stylus_gen.tools.search.embed import Embedder
from stylus_gen.tools.store.adapters import count_families
from stylus_gen.tools.store.database import Database
from stylus_gen.tools.text import gives_orders, has_words
from stylus_gen.tools.weights import EXEMPT, STRENGTH_BUDGET, strength


@dataclass(frozen=True)
class Measures:
    """The measurements of one plan.

    ``used`` says whether it holds an adapter that the prompt used, ``errors`` are the absolute errors of the weights of
    such adapters, ``ms`` is the time to plan in milliseconds.
    """

    used: bool
    adapters: int
    character: bool
    breaks: tuple[str, ...]
    errors: tuple[float, ...]
    tokens: Tokens
    ms: float


def evaluate_composer(
    adapters: Path,
    gold: Path,
    *,
    planner: Planner,
    embedder: Embedder,
    family: Family | None = None,
    limit: int | None = None,
    progress: Progress,
) -> dict[str, Any]:
    """Import the adapters into a temporary database, plan every prompt three times, and summarise the plans.

    The three plans: with trigger words, without them, and with the used adapters hidden from search. ``family`` is the
    base's; the default is the most frequent family of the adapters.
    """
    prompts = read_gold(gold, limit)
    with throw_away_database() as db:
        summary = import_adapters(db, adapters, embedder=embedder, progress=progress)
        require_overlap(db, summary, prompts, adapters)
        base = family or family_of(next((name for name in count_families(db) if name != "unknown"), "sd15"))
        return measure(db, prompts, planner=planner, embedder=embedder, family=base, progress=progress)


def measure(
    db: Database, prompts: Sequence[Prompt], *, planner: Planner, embedder: Embedder, family: Family, progress: Progress
) -> dict[str, Any]:
    """Plan every prompt three times against a filled database, and summarise the plans."""
    context = agent_context(db, embedder, planner)
    with_triggers: list[Measures | None] = []
    without_triggers: list[Measures | None] = []
    absent: list[Measures | None] = []
    for done, prompt in enumerate(prompts):
        with_triggers.append(measure_plan(prompt.text, prompt.used, context, family))
        without_triggers.append(measure_plan(prompt.without_triggers, prompt.used, context, family))
        with hidden(db, list(prompt.used)):
            absent.append(measure_plan(prompt.text, prompt.used, context, family))
        progress(done + 1, len(prompts), "planning")
    return summarise(with_triggers, without_triggers, absent, planner.name)


@contextmanager
def hidden(db: Database, model_keys: Sequence[str]) -> Iterator[None]:
    """Hide models from search; for the temporary database only."""
    with db.pool.connection() as conn:
        hide = "UPDATE search_documents SET safe = false WHERE safe AND model_key = ANY(%s) RETURNING id"
        ids = [row[0] for row in conn.execute(hide, (list(model_keys),)).fetchall()]
    try:
        yield
    finally:
        with db.pool.connection() as conn:
            conn.execute("UPDATE search_documents SET safe = true WHERE id = ANY(%s)", (ids,))


def measure_plan(text: str, used: Mapping[str, float], context: AgentContext, family: Family) -> Measures | None:
    """Plan one prompt and measure the plan; ``None`` if the prompt is invalid (empty or too long)."""
    try:
        request = PlanRequest(prompt=text, family=family)
    except BadRequest:
        return None
    started = time.perf_counter()
    plan = plan_prompt(request, context)
    ms = (time.perf_counter() - started) * 1000
    right = [a for a in plan.assignments if a.model_key in used]
    return Measures(
        used=bool(right),
        adapters=len(plan.assignments),
        character=any(a.kind == "character" for a in plan.assignments),
        breaks=tuple(broken_rules(plan, max_adapters=4)),
        errors=tuple(abs(a.weight - used[a.model_key]) for a in right),
        tokens=plan.tokens,
        ms=ms,
    )


def broken_rules(plan: Plan, *, max_adapters: int) -> Iterator[str]:
    """Name the rules that a finished plan breaks. The check reads only the plan and runs no stage of the planner."""
    chosen = plan.assignments
    if len(chosen) > max_adapters:
        yield "too many adapters"
    for name in ("adapter_id", "model_key"):
        if len({getattr(a, name) for a in chosen}) < len(chosen):
            yield f"{name} twice"
    named = [(a.kind, name) for a in chosen if (name := title_stem(a.name))]
    if len(set(named)) < len(named):
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
        yield "a slider or accelerator that the prompt does not name"
    if strength((a.kind, a.weight) for a in chosen) > STRENGTH_BUDGET + 1e-6:
        yield "over the strength budget"
    if chosen and not all(any(row) for row in plan.masks):
        yield "an image without adapters"
    added = [word for a in chosen for word in a.trigger_words]
    if any("<" in word or "\n" in word or gives_orders(word) for word in added):
        yield "text in the final prompt that is not a trigger word"


def summarise(
    with_triggers: Sequence[Measures | None],
    without_triggers: Sequence[Measures | None],
    absent: Sequence[Measures | None],
    planner: str,
) -> dict[str, Any]:
    """Summarise outcomes in the form that ``--json`` prints.

    A prompt that is empty without its triggers counts as not found. Turns, tokens, US dollars (``None`` if the model's
    price is unknown) and seconds are means per plan.
    """
    plans = [o for o in with_triggers if o]
    everywhere = [o for outcomes in (with_triggers, without_triggers, absent) for o in outcomes if o]
    times = [o.ms for o in plans]
    return {
        "used_in_plan": {
            "with_triggers": _mean([bool(o and o.used) for o in with_triggers]),
            "without_triggers": _mean([bool(o and o.used) for o in without_triggers]),
        },
        "adapters_per_plan": _mean([o.adapters for o in plans]),
        "rule_breaks": _mean([bool(o.breaks) for o in everywhere]),
        "character_when_absent": _mean([o.character for o in absent if o]),
        "weight_mae": _mean([e for o in plans for e in o.errors]),
        "empty_plans": _mean([o.adapters == 0 for o in plans]),
        "turns": _mean([o.tokens.calls for o in plans]),
        "prompt_tokens": _mean([o.tokens.prompt for o in plans]),
        "completion_tokens": _mean([o.tokens.completion for o in plans]),
        "usd": _mean([d for o in plans if (d := cost(planner, o.tokens)) is not None], 6),
        "seconds": _mean([o.ms / 1000 for o in plans]),
        "latency_ms": {f"p{q}": round(float(np.percentile(times, q)), 1) if times else None for q in (50, 95)},
        "n": len(with_triggers),
    }


def _mean(values: Sequence[float], digits: int = 4) -> float | None:
    return round(fmean(values), digits) if values else None
