"""Edits: the changes that a person can make to a plan. An edit makes a new plan and leaves the rest as it was.

Weights, drops, removed words, seeds and the number of images are changed in the plan itself. A pin, a ban or added
words run the planning graph again with the other adapters pinned, so that only what is open is searched and pruned. A
new base runs it with the same concepts and no pins: all adapters are chosen again.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Annotated, Any, Literal, assert_never

from pydantic import Field, RootModel

from stylus_gen.agent.compose import recompose
from stylus_gen.agent.context import AgentContext
from stylus_gen.agent.graph import run
from stylus_gen.agent.request import PlanRequest
from stylus_gen.agent.state import State
from stylus_gen.tools.candidate import candidate_of
from stylus_gen.tools.errors import BadRequest
from stylus_gen.tools.families import Family
from stylus_gen.tools.masks import pick_masks
from stylus_gen.tools.plan import MAX_IMAGES, WHOLE, Assignment, Concept, MaskRow, Plan, Record, whole_prompt
from stylus_gen.tools.prune import Choice
from stylus_gen.tools.text import plain
from stylus_gen.tools.weights import STRENGTH_BUDGET, strength


class Accept(Record):
    """Accept the plan as it is."""

    action: Literal["accept"] = "accept"


class Drop(Record):
    """Leave an adapter out and put nothing in its place."""

    action: Literal["drop"] = "drop"
    adapter: str = Field(description="its id, or its name in the plan")


class Weigh(Record):
    """Give an adapter another weight."""

    action: Literal["weight"] = "weight"
    adapter: str
    weight: float = Field(ge=-5, le=5)


class Pin(Record):
    """Use this adapter."""

    action: Literal["pin"] = "pin"
    adapter: str = Field(description="its id")


class Ban(Record):
    """Leave an adapter out for good and plan again: another may be chosen instead."""

    action: Literal["ban"] = "ban"
    adapter: str


class Rebase(Record):
    """Draw with another base model: the concepts are kept, the adapters are chosen again."""

    action: Literal["base"] = "base"
    base: str
    family: Family


class Reseed(Record):
    """Draw again with another seed."""

    action: Literal["seed"] = "seed"
    seed: int = Field(ge=0, le=2**32 - 1)


class Count(Record):
    """Draw this number of images."""

    action: Literal["images"] = "images"
    images: int = Field(ge=1, le=MAX_IMAGES)


class Remove(Record):
    """Remove words from the prompt and the adapters chosen for them, or remove a trigger word that the plan added."""

    action: Literal["remove"] = "remove"
    words: str = Field(min_length=1)


class Add(Record):
    """Put words at the end of the prompt, and look for adapters for them."""

    action: Literal["add"] = "add"
    words: str = Field(min_length=1)


Edit = Accept | Drop | Weigh | Pin | Ban | Rebase | Reseed | Count | Remove | Add


class Answer(RootModel[Annotated[Edit, Field(discriminator="action")]]):
    """A person's answer to a plan that waits: one edit."""


def edit_plan(plan: Plan, edit: Edit, context: AgentContext) -> Plan:
    """Apply one edit.

    Raises BadRequest for an adapter that is not in the plan or words that are not in the prompt. An edit that plans
    again raises what `plan_prompt` raises.
    """
    match edit:
        case Accept():
            return plan
        case Drop():
            gone = _index(plan, edit.adapter)
            return _drop(plan, {gone}, context, banned=(*plan.banned, plan.assignments[gone].adapter_id))
        case Weigh():
            return _weigh(plan, _index(plan, edit.adapter), edit.weight, context)
        case Reseed():
            return plan.model_copy(update={"seed": edit.seed})
        case Count():
            return plan.model_copy(update={"masks": _resize(plan, edit.images)})
        case Remove():
            return _remove(plan, edit.words, context)
        case Rebase():
            return _rebase(plan, edit, context)
        case Pin():
            return _pin(plan, edit.adapter, context)
        case Ban():
            gone = _index(plan, edit.adapter)
            return _replan(plan, context, {gone}, banned=(*plan.banned, plan.assignments[gone].adapter_id))
        case Add():
            return _replan(plan, context, set(), prompt=f"{plan.prompt}, {edit.words}")
        case _:
            assert_never(edit)


def _resize(plan: Plan, images: int) -> tuple[MaskRow, ...]:
    """Keep the first mask rows. Further rows are drawn at random if the plan has diversity; otherwise rows repeat."""
    if plan.diversity:
        more = pick_masks(plan.assignments, images=images, seed=plan.seed, diversity=plan.diversity)
    else:
        more = tuple(plan.masks[i % plan.images] for i in range(images))
    return (*plan.masks[:images], *more[plan.images :])


def _index(plan: Plan, adapter: str) -> int:
    """Find the place of an assignment by the adapter's id or name."""
    for index, assignment in enumerate(plan.assignments):
        if adapter == assignment.adapter_id or adapter.casefold() == assignment.name.casefold():
            return index
    names = ", ".join(repr(a.name) for a in plan.assignments) or "none"
    raise BadRequest(f"{adapter!r} is not in the plan; its adapters are {names}", adapter=adapter)


def _drop(plan: Plan, gone: set[int], context: AgentContext, **facts: Any) -> Plan:
    kept = [i for i in range(len(plan.assignments)) if i not in gone]
    rows = [tuple(row[i] for i in kept) for row in plan.masks]
    rows = [row if any(row) else (True,) * len(kept) for row in rows]
    return recompose(plan, [plan.assignments[i] for i in kept], rows, context, **facts)


def _weigh(plan: Plan, index: int, weight: float, context: AgentContext) -> Plan:
    changed = plan.assignments[index].model_copy(update={"weight": weight, "weight_source": "user"})
    assignments = [changed if i == index else a for i, a in enumerate(plan.assignments)]
    total = strength((a.kind, a.weight) for a in assignments)
    note = f"you set weights that sum to {total:.2f}; above {STRENGTH_BUDGET} the picture may burn"
    warnings = [w for w in plan.warnings if not w.startswith("you set weights")]
    warnings += [note] if total > STRENGTH_BUDGET else []
    return recompose(plan, assignments, plan.masks, context, warnings=tuple(warnings))


def _rebase(plan: Plan, edit: Rebase, context: AgentContext) -> Plan:
    concepts = [concept for concept in plan.concepts if concept.id != WHOLE]
    return run(State(request=_request(plan, base=edit.base, family=edit.family), concepts=concepts), context)


def _pin(plan: Plan, adapter: str, context: AgentContext) -> Plan:
    """Add an adapter to a plan. If it is banned, lift the ban; if the plan is full, raise the cap, to 10 at most."""
    most = min(10, max(plan.max_adapters, len(plan.assignments) + 1))
    banned = tuple(b for b in plan.banned if b != adapter)
    return _replan(plan, context, set(), pinned=(adapter,), max_adapters=most, banned=banned)


def _remove(plan: Plan, words: str, context: AgentContext) -> Plan:
    added = {plain(word) for a in plan.assignments for word in a.trigger_words}
    return (_remove_trigger if plain(words) in added else _remove_words)(plan, words, context)


def _remove_trigger(plan: Plan, words: str, context: AgentContext) -> Plan:
    left = [tuple(word for word in a.trigger_words if plain(word) != plain(words)) for a in plan.assignments]
    assignments = [a.model_copy(update={"trigger_words": w}) for a, w in zip(plan.assignments, left, strict=True)]
    return recompose(plan, assignments, plan.masks, context)


def _remove_words(plan: Plan, words: str, context: AgentContext) -> Plan:
    """Cut words out of the prompt with the article, preposition or comma before them."""
    joint = r"(?:(?:^|[\s,]+)(?:and|with|wearing|in|on|of|a|an|the|his|her|its))*[\s,]*"
    cut = re.search(joint + r"\b" + re.escape(words) + r"\b", plan.prompt, re.IGNORECASE)
    prompt = (plan.prompt[: cut.start()] + plan.prompt[cut.end() :]).strip(" ,") if cut else ""
    if not prompt:
        raise BadRequest(f"{words!r} is not a part of the prompt that can be left out; the prompt is {plan.prompt!r}")
    concepts = _find_concepts(plan, prompt)
    left = {concept.id for concept in concepts}
    gone = {i for i, a in enumerate(plan.assignments) if a.concept_id not in left}
    negative = ", ".join(filter(None, [plan.negative_prompt, words]))
    return _drop(plan, gone, context, prompt=prompt, concepts=concepts, negative_prompt=negative)


def _find_concepts(plan: Plan, prompt: str) -> tuple[Concept, ...]:
    """Find the plan's concepts in a changed prompt and update their positions; drop those whose words are gone."""
    found = []
    at = 0
    for concept in sorted(plan.concepts, key=lambda c: c.start):
        if concept.id == WHOLE:
            found.append(whole_prompt(prompt))
            continue
        start = prompt.find(concept.text, at)
        if start >= 0:
            at = start + len(concept.text)
            found.append(concept.model_copy(update={"start": start, "end": at}))
    return tuple(found)


def _request(plan: Plan, **facts: Any) -> PlanRequest:
    """Make a request from the fields that a request and a plan share, changed by ``facts``."""
    names = PlanRequest.model_fields.keys() & {*Plan.model_fields, "images"}
    known = {name: getattr(plan, name) for name in names}
    return PlanRequest(**{**known, **facts})


def _replan(plan: Plan, context: AgentContext, gone: set[int], **facts: Any) -> Plan:
    """Run the planning graph again: pin the assignments that are not ``gone``, and keep a person's changes to them."""
    kept = [a for i, a in enumerate(plan.assignments) if i not in gone]
    cards = {card.id: card for card in context.cards([a.adapter_id for a in kept])}
    places = {concept.id: concept for concept in plan.concepts}
    pinned = [
        Choice(
            concept=places[a.concept_id],
            candidate=candidate_of(cards[a.adapter_id], score=a.score),
            reason=a.reason,
        )
        for a in kept
        if a.adapter_id in cards
    ]
    fresh = run(State(request=_request(plan, **facts), pinned=pinned), context)
    return _restore_changes(fresh, kept, context)


def _restore_changes(plan: Plan, before: Sequence[Assignment], context: AgentContext) -> Plan:
    """Restore a person's changes: the weights that they set and the trigger words that they removed."""
    known = {a.adapter_id: a for a in before}
    assignments = []
    for a in plan.assignments:
        old = known.get(a.adapter_id, a)
        words = tuple(word for word in a.trigger_words if word in old.trigger_words)
        assignments.append(a.model_copy(update={"trigger_words": words}))
    plan = recompose(plan, assignments, plan.masks, context)
    for index, assignment in enumerate(plan.assignments):
        old = known.get(assignment.adapter_id, assignment)
        if old.weight_source == "user":
            plan = _weigh(plan, index, old.weight, context)
    return plan
