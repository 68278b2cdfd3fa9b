"""From a finished state to the Plan."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import Any

from stylus_gen.agent.context import AgentContext
from stylus_gen.agent.state import State
from stylus_gen.tools.a1111 import read_seed, without_tags
from stylus_gen.tools.concepts import apart
from stylus_gen.tools.licence import combine_licences
from stylus_gen.tools.plan import (
    MAX_SEED,
    WHOLE,
    Assignment,
    Concept,
    Coverage,
    MaskRow,
    Plan,
    PlannerInfo,
    Policy,
    Rejection,
    Verdict,
)
from stylus_gen.tools.text import clean_text
from stylus_gen.tools.triggers import place_words

REJECTIONS = 20
"""Refused candidates that a plan lists: those with the highest scores."""


def compose(state: State, context: AgentContext) -> Plan:
    """Build and validate the plan."""
    request = state.request
    assignments = tuple(state.assignments or ())
    served = {assignment.concept_id for assignment in assignments}
    concepts = _shown(state, served)
    return Plan(
        prompt=request.prompt,
        final_prompt=final_prompt(request.prompt, assignments),
        negative_prompt=without_tags(request.negative_prompt),
        base=request.base,
        family=request.family,
        concepts=concepts,
        assignments=assignments,
        rejected=tuple(_rejected(state)),
        masks=tuple(state.masks or ()),
        seed=request.seed,
        coverage=_coverage(concepts, assignments),
        policy=request.policy,
        banned=request.banned,
        max_adapters=request.max_adapters,
        diversity=request.diversity,
        budget=request.budget,
        verdict=_verdict(assignments, request.policy, context),
        warnings=tuple(_warnings(state)),
        planner=_planner(state, context),
        timings_ms={**state.timings_ms, "total": round(sum(state.timings_ms.values()), 3)},
        tokens=state.tokens,
    )


def _shown(state: State, served: Collection[str]) -> tuple[Concept, ...]:
    """List the concepts that a plan shows: none overlapping, the whole prompt only if an adapter is for it."""
    whole = [concept for concept in state.places().values() if concept.id == WHOLE and WHOLE in served]
    return (*apart(state.concepts or (), served), *whole)


def recompose(
    plan: Plan, assignments: Sequence[Assignment], masks: Sequence[MaskRow], context: AgentContext, **facts: Any
) -> Plan:
    """Rebuild a plan with other assignments and masks, and everything that depends on them."""
    prompt = facts.get("prompt", plan.prompt)
    served = {assignment.concept_id for assignment in assignments}
    concepts = tuple(c for c in facts.pop("concepts", plan.concepts) if c.id != WHOLE or WHOLE in served)
    changed: dict[str, Any] = {
        "concepts": concepts,
        "assignments": tuple(assignments),
        "masks": tuple(masks),
        "final_prompt": final_prompt(prompt, assignments),
        "coverage": _coverage(concepts, assignments),
        "verdict": _verdict(assignments, plan.policy, context),
    }
    return Plan.model_validate({**dict(plan), **changed, **facts})


def _coverage(concepts: Sequence[Concept], assignments: Sequence[Assignment]) -> Coverage:
    served = {assignment.concept_id for assignment in assignments}
    return Coverage(
        covered=tuple(c.id for c in concepts if c.id in served),
        uncovered=tuple(c.id for c in concepts if c.id not in served),
    )


def _verdict(assignments: Sequence[Assignment], policy: Policy, context: AgentContext) -> Verdict:
    cards = context.cards([a.adapter_id for a in assignments]) if assignments else ()
    return combine_licences(cards, policy.profile)


def final_prompt(prompt: str, assignments: Iterable[Assignment]) -> str:
    """Write the prompt that is drawn: the missing trigger words, then the user's words without ``<lora:…>`` tags."""
    return place_words(without_tags(prompt), [word for a in assignments for word in a.trigger_words])


def _rejected(state: State) -> list[Rejection]:
    """List what was refused and what the planner ignored, the highest score first."""
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
    if state.fell_back:
        warnings.append(f"the offline planner finished this plan: {state.fell_back}")
    if pasted := state.request.pasted:
        warnings.append(_about_settings(pasted, state.request.seed))
    if any(without_tags(said) != said for said in (state.request.prompt, state.request.negative_prompt)):
        warnings.append("<lora:…> tags in the prompt were left out: pin those adapters instead (--pin NAME)")
    return warnings


def _about_settings(pasted: str, seed: int) -> str:
    """Say which of the settings that were pasted after the prompt a plan uses: at most the seed."""
    said, given = clean_text(pasted, 200), read_seed(pasted)
    if given.isdecimal() and int(given) == seed:
        used = f"the plan takes its seed, {seed}, from the settings pasted after the prompt"
        others = f"; it does not use the others: {said}; give them to `generate`, such as --steps"
        return used + ("" if pasted.strip(" ,.").lower() == f"seed: {given}" else others)
    wrong = given and not (given.isdecimal() and int(given) <= MAX_SEED)
    limits = f"; a seed is a whole number from 0 to {MAX_SEED:,}" if wrong else ""
    return (
        f"the settings pasted after the prompt are not used: {said}{limits}; give them to `generate`, such as --steps"
    )


def _planner(state: State, context: AgentContext) -> PlannerInfo:
    planner = context.planner
    name = f"{planner.name}, then offline" if state.fell_back else planner.name
    return PlannerInfo(name=name, mode=state.mode or planner.mode, prompt_version=planner.prompt_version)
