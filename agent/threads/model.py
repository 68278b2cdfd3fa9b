"""How a chat model reads a follow-up line into edits: its input, its tool's schema, and the reader of its answer."""

from __future__ import annotations

import json
from collections.abc import Callable

from langchain_core.messages import AIMessage
from pydantic import BaseModel

from stylus_gen.agent.model.brief import NAME, quote
from stylus_gen.agent.model.schema import Schema, array, choice, function, record, text
from stylus_gen.agent.threads.edit import Add, Ban, Count, Drop, Edit, Remove, Reseed, Weigh
from stylus_gen.tools.errors import BadRequest
from stylus_gen.tools.plan import Plan

EDITS = 6
"""Edits that a model may make of one line."""

WORDS = 80
"""Characters of the words to add or remove, and of a concept as the model is shown it."""


class Change(BaseModel):
    """One edit as a model writes it: flat, with a value for every field whether it is used or not."""

    action: str
    adapter: str
    number: float
    words: str


class EditPlan(BaseModel):
    """The arguments of ``edit_plan``."""

    edits: list[Change]


def brief_plan(plan: Plan, line: str) -> str:
    """Write the plan and the line as the model gets them."""
    texts = {concept.id: concept.text for concept in plan.concepts}
    lines = [json.dumps({"prompt": plan.prompt, "images": plan.images, "seed": plan.seed}, ensure_ascii=False)]
    lines.append("Adapters, one JSON array a line: id, name, kind, concept, weight.")
    for handle, a in zip(_handles(plan), plan.assignments, strict=True):
        facts = [handle, quote(a.name, NAME), a.kind, texts[a.concept_id][:WORDS], a.weight]
        lines.append(json.dumps(facts, ensure_ascii=False))
    lines.append(json.dumps({"line": line}, ensure_ascii=False))
    return "\n".join(lines)


def edit_schema(plan: Plan) -> Schema:
    """Describe the tool ``edit_plan`` for a plan."""
    change = record(
        {
            "action": choice([*_EDITS]),
            "adapter": choice([*_handles(plan), ""]),
            "number": {"type": "number"},
            "words": text(WORDS),
        }
    )
    return function("edit_plan", "Change the plan.", {"edits": array(change, EDITS)})


def read_answer(plan: Plan, message: AIMessage) -> list[Edit]:
    """Read a model's answer as edits. Raises BadRequest for an answer that is no edit of this plan."""
    try:
        changes = [c for call in message.tool_calls for c in EditPlan.model_validate(call["args"]).edits]
        ids = {handle: a.adapter_id for handle, a in zip(_handles(plan), plan.assignments, strict=True)}
        edits = [_EDITS[change.action](change, ids) for change in changes]
    except (KeyError, ValueError, OverflowError) as error:  # pydantic's too; a number may be NaN or infinite
        raise BadRequest(f"the model's answer is no edit of this plan ({type(error).__name__})") from None
    if not edits:
        raise BadRequest("the model found no change to the plan in the line")
    return edits


def _handles(plan: Plan) -> list[str]:
    return [f"A{i}" for i in range(1, len(plan.assignments) + 1)]


_EDITS: dict[str, Callable[[Change, dict[str, str]], Edit]] = {
    "weight": lambda change, ids: Weigh(adapter=ids[change.adapter], weight=change.number),
    "drop": lambda change, ids: Drop(adapter=ids[change.adapter]),
    "ban": lambda change, ids: Ban(adapter=ids[change.adapter]),
    "remove": lambda change, ids: Remove(words=change.words),
    "add": lambda change, ids: Add(words=change.words),
    "seed": lambda change, ids: Reseed(seed=int(change.number)),
    "images": lambda change, ids: Count(images=int(change.number)),
}
"""The actions that a model may choose, and the edit that each one makes."""
