"""From a finished state to the Plan."""

from __future__ import annotations

import re
from collections.abc import Iterable

from stylus_gen.agent.context import AgentContext
from stylus_gen.agent.state import WHOLE, State
from stylus_gen.tools.licence import judge_licences
from stylus_gen.tools.plan import Assignment, Coverage, Plan, Planner, Rejection
from stylus_gen.tools.triggers import place_words

REJECTIONS = 20
"""Refused candidates that a plan lists: those that came closest."""

_LORA_TAG = re.compile(r"\s*<(?:lora|lyco|hypernet):[^<>]*>\s*,?", re.IGNORECASE)


def compose(state: State, context: AgentContext) -> Plan:
    """Build and validate the plan."""
    request = state.request
    assignments = tuple(state.assignments or ())
    cards = context.cards([a.adapter_id for a in assignments]) if assignments else ()
    covered = {a.concept_id for a in assignments}
    concepts = [c for c in state.places().values() if c.id != WHOLE or WHOLE in covered]
    total = round(sum(state.timings_ms.values()), 3)
    return Plan(
        prompt=request.prompt,
        final_prompt=final_prompt(request.prompt, assignments),
        negative_prompt=request.negative_prompt,
        base=request.base,
        family=request.family,
        concepts=tuple(concepts),
        assignments=assignments,
        rejected=tuple(_rejected(state)),
        masks=tuple(state.masks or ()),
        seed=request.seed,
        coverage=Coverage(
            covered=tuple(c.id for c in concepts if c.id in covered),
            uncovered=tuple(c.id for c in concepts if c.id not in covered),
        ),
        policy=request.policy,
        verdict=judge_licences(cards, request.policy.profile),
        warnings=tuple(_warnings(state)),
        planner=_planner(state, context),
        timings_ms={**state.timings_ms, "total": total},
        tokens=state.tokens,
    )


def final_prompt(prompt: str, assignments: Iterable[Assignment]) -> str:
    """Write the prompt that is drawn: the missing trigger words, then the user's words without ``<lora:…>`` tags."""
    said = _LORA_TAG.sub(" ", prompt).strip() if _LORA_TAG.search(prompt) else prompt
    return place_words(said, [word for a in assignments for word in a.trigger_words])


def _rejected(state: State) -> list[Rejection]:
    """List what was refused, and what the planner passed over without a word, the likeliest first."""
    scores = {c.adapter_id: c.score for c in state.handles().values()}
    done = {a.adapter_id for a in state.assignments or ()} | {r.adapter_id for r in state.rejected}
    passed = [
        Rejection(adapter_id=c.adapter_id, name=c.name, code="not_relevant", reason="not kept by the planner")
        for c in state.handles().values()
        if c.adapter_id not in done
    ]
    return sorted([*state.rejected, *passed], key=lambda r: -scores.get(r.adapter_id, 1.0))[:REJECTIONS]


def _warnings(state: State) -> list[str]:
    warnings = list(state.warnings)
    if state.handed_over:
        warnings.append(f"the offline planner finished this plan: {state.handed_over}")
    if _LORA_TAG.search(state.request.prompt):
        warnings.append("<lora:…> tags in the prompt were left out: pin those adapters instead")
    return warnings


def _planner(state: State, context: AgentContext) -> Planner:
    planner = context.planner
    name = f"{planner.name}, then offline" if state.handed_over else planner.name
    return Planner(name=name, mode=state.mode or planner.mode, prompt_version=planner.prompt_version)
