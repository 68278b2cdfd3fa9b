"""Edits: a person's changes to a plan make a new plan, and what they do not touch stays as it was.

Weights, drops, seeds and the number of images are arithmetic. A pin, a ban, a new base or new words go back into the
graph with everything else pinned, so that only what is open is searched and judged.
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
    """The plan is good as it is."""

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
    """Use this adapter (its id)."""

    action: Literal["pin"] = "pin"
    adapter: str


class Ban(Record):
    """Never use this adapter; another may take its place."""

    action: Literal["ban"] = "ban"
    adapter: str


class Rebase(Record):
    """Draw with another base model; adapters are chosen anew, the concepts are kept."""

    action: Literal["base"] = "base"
    base: str
    family: Family


class Reseed(Record):
    """Draw again with another seed."""

    action: Literal["seed"] = "seed"
    seed: int = Field(ge=0, le=2**32 - 1)


class Count(Record):
    """Draw so many images."""

    action: Literal["images"] = "images"
    images: int = Field(ge=1, le=MAX_IMAGES)


class Remove(Record):
    """Take words out of the prompt, and the adapters that served them; or a trigger word that the plan added."""

    action: Literal["remove"] = "remove"
    words: str = Field(min_length=1)


class Add(Record):
    """Put words at the end of the prompt, and look for adapters for them."""

    action: Literal["add"] = "add"
    words: str = Field(min_length=1)


Edit = Accept | Drop | Weigh | Pin | Ban | Rebase | Reseed | Count | Remove | Add


class Answer(RootModel[Annotated[Edit, Field(discriminator="action")]]):
    """What a person answers when shown a plan: one edit."""


def edit_plan(plan: Plan, edit: Edit, context: AgentContext) -> Plan:
    """Apply one edit.

    Raises BadRequest for an adapter that is not in the plan or words that are not in the prompt; for a pin or new words
    what `plan_prompt` raises.
    """
    match edit:
        case Accept():
            return plan
        case Drop():
            gone = _find(plan, edit.adapter)
            return _without(plan, {gone}, context, banned=(*plan.banned, plan.assignments[gone].adapter_id))
        case Weigh():
            return _weigh(plan, _find(plan, edit.adapter), edit.weight, context)
        case Reseed():
            return plan.model_copy(update={"seed": edit.seed})
        case Count():
            return plan.model_copy(update={"masks": _rows(plan, edit.images)})
        case Remove():
            added = {plain(word) for a in plan.assignments for word in a.trigger_words}
            return (_untrigger if plain(edit.words) in added else _remove)(plan, edit.words, context)
        case Rebase():
            concepts = [concept for concept in plan.concepts if concept.id != WHOLE]
            request = _request(plan, base=edit.base, family=edit.family)
            return run(State(request=request, concepts=concepts), context)
        case Pin():
            more = len(plan.assignments) + 1
            cap, banned = min(10, max(plan.max_adapters, more)), tuple(b for b in plan.banned if b != edit.adapter)
            return _replan(plan, context, set(), pinned=(edit.adapter,), max_adapters=cap, banned=banned)
        case Ban():
            gone = _find(plan, edit.adapter)
            return _replan(plan, context, {gone}, banned=(*plan.banned, plan.assignments[gone].adapter_id))
        case Add():
            return _replan(plan, context, set(), prompt=f"{plan.prompt}, {edit.words}")
        case _:
            assert_never(edit)


def _rows(plan: Plan, images: int) -> tuple[MaskRow, ...]:
    """Keep the first rows; more of them are drawn where the plan draws its rows, and else the rows repeat."""
    if plan.diversity:
        more = pick_masks(plan.assignments, images=images, seed=plan.seed, diversity=plan.diversity)
    else:
        more = tuple(plan.masks[i % plan.images] for i in range(images))
    return (*plan.masks[:images], *more[plan.images :])


def _find(plan: Plan, adapter: str) -> int:
    """Find an assignment by the adapter's id or name."""
    for index, assignment in enumerate(plan.assignments):
        if adapter == assignment.adapter_id or adapter.casefold() == assignment.name.casefold():
            return index
    names = ", ".join(repr(a.name) for a in plan.assignments) or "none"
    raise BadRequest(f"{adapter!r} is not in the plan; its adapters are {names}", adapter=adapter)


def _without(plan: Plan, gone: set[int], context: AgentContext, **facts: Any) -> Plan:
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


def _untrigger(plan: Plan, words: str, context: AgentContext) -> Plan:
    left = [tuple(word for word in a.trigger_words if plain(word) != plain(words)) for a in plan.assignments]
    assignments = [a.model_copy(update={"trigger_words": w}) for a, w in zip(plan.assignments, left, strict=True)]
    return recompose(plan, assignments, plan.masks, context)


def _remove(plan: Plan, words: str, context: AgentContext) -> Plan:
    """Cut words out of the prompt with what joined them to it: an article, a preposition, a comma."""
    joint = r"(?:(?:^|[\s,]+)(?:and|with|wearing|in|on|of|a|an|the|his|her|its))*[\s,]*"
    cut = re.search(joint + r"\b" + re.escape(words) + r"\b", plan.prompt, re.IGNORECASE)
    prompt = (plan.prompt[: cut.start()] + plan.prompt[cut.end() :]).strip(" ,") if cut else ""
    if not prompt:
        raise BadRequest(f"{words!r} is not a part of the prompt that can be left out; the prompt is {plan.prompt!r}")
    concepts = _replace(plan, prompt)
    left = {concept.id for concept in concepts}
    gone = {i for i, a in enumerate(plan.assignments) if a.concept_id not in left}
    negative = ", ".join(filter(None, [plan.negative_prompt, words]))
    return _without(plan, gone, context, prompt=prompt, concepts=concepts, negative_prompt=negative)


def _replace(plan: Plan, prompt: str) -> tuple[Concept, ...]:
    """Find the plan's concepts in a changed prompt: those whose words are gone are left out, the rest keep their id."""
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
    """Ask again for what the plan was asked for: whatever a request and a plan have in common."""
    names = PlanRequest.model_fields.keys() & {*Plan.model_fields, "images"}
    known = {name: getattr(plan, name) for name in names}
    return PlanRequest(**{**known, **facts})


def _replan(plan: Plan, context: AgentContext, gone: set[int], **facts: Any) -> Plan:
    """Go back into the graph with what stays pinned; weights that a person set stay set."""
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
    return _keep_changes(fresh, kept, context)


def _keep_changes(plan: Plan, before: Sequence[Assignment], context: AgentContext) -> Plan:
    """Keep the weights that a person set, and leave out the trigger words that they took out."""
    known = {a.adapter_id: a for a in before}
    said = [
        a.model_copy(
            update={"trigger_words": tuple(w for w in a.trigger_words if w in known[a.adapter_id].trigger_words)}
        )
        if a.adapter_id in known
        else a
        for a in plan.assignments
    ]
    plan = recompose(plan, said, plan.masks, context)
    for index, assignment in enumerate(plan.assignments):
        old = known.get(assignment.adapter_id)
        if old and old.weight_source == "user":
            plan = _weigh(plan, index, old.weight, context)
    return plan
