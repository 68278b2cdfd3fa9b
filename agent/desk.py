"""The model's desk: what a chat model is told at each stage, as JSON data, and the schemas of what it may answer.

Short, because it is paid for on every call: few candidates, each in some fifty tokens. Strangers' words appear only as
JSON strings, cut to length, and not at all where they address the reader.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from itertools import zip_longest
from typing import Any, get_args

from stylus_gen.agent.schema import array, choice, function, record, text
from stylus_gen.agent.stage import OFFERED, stage_of
from stylus_gen.agent.state import WHOLE, State
from stylus_gen.tools.card import Kind
from stylus_gen.tools.plan import Candidate
from stylus_gen.tools.prune import PER_CONCEPT, STYLES
from stylus_gen.tools.triggers import clean_text, gives_orders

DESK = 3300
"""Bytes of all candidates together, about 1,100 tokens."""

NAME, TRIGGERS, ABOUT = 36, 32, 44
"""Bytes of one candidate's texts: with the rest of its line at most 60 tokens, also in scripts that cost more."""

COLUMNS = "Candidates, one JSON array a line: id, concepts, kind, name, triggers, p, about."

SPAN, REASON, CONCEPTS, REFUSED = 80, 100, 12, 12
"""Limits of an answer: characters of a span and of a reason, concepts, refused candidates in one group."""

_KINDS = [kind for kind in get_args(Kind) if kind not in ("slider", "accelerator")]
_CODES = ["not_relevant", "duplicate", "clash", "over_cap", "unasked"]


def brief(state: State) -> str:
    """Write what the model needs to know for the stage in hand."""
    facts: dict[str, Any] = {"prompt": state.request.prompt}
    if state.concepts is not None:
        facts["concepts"] = {concept.id: f"{concept.text} ({concept.kind})" for concept in state.concepts}
    lines = [json.dumps(facts, ensure_ascii=False)]
    if stage_of(state) == "judge":
        lines.append(f"At most {state.request.max_adapters} adapters, {PER_CONCEPT} a concept, {STYLES} styles.")
        if state.pinned:
            names = [quote(choice.candidate.name, NAME) for choice in state.pinned]
            lines.append(f"Already chosen by the user: {json.dumps(names, ensure_ascii=False)}")
        lines += [COLUMNS, *desk(state).values()]
    return "\n".join(lines)


def desk(state: State) -> dict[str, str]:
    """Lay out the candidates that fit on the desk, handle to line: each concept's best, then each second best, …"""
    handles = {candidate.adapter_id: (name, candidate) for name, candidate in state.handles().items()}
    asked: dict[str, list[str]] = {}
    for place, candidates in (state.candidates or {}).items():
        for candidate in candidates:
            asked.setdefault(candidate.adapter_id, []).append(place)
    pinned = {choice.candidate.adapter_id for choice in state.pinned}
    lines: dict[str, str] = {}
    room = DESK
    for candidate in _by_turns((state.candidates or {}).values()):
        name, best = handles[candidate.adapter_id]
        if name in lines or candidate.adapter_id in pinned:
            continue
        line = _line(name, best, asked[candidate.adapter_id])
        room -= len(line.encode())
        if room < 0:
            break
        lines[name] = line
    return lines


def _by_turns(rankings: Iterable[list[Candidate]]) -> Iterable[Candidate]:
    return (candidate for row in zip_longest(*rankings) for candidate in row if candidate is not None)


def _line(handle: str, candidate: Candidate, places: list[str]) -> str:
    triggers = ", ".join(word for group in candidate.trigger_groups for word in group)
    about = candidate.summary.removeprefix(f"{candidate.kind}; ")
    texts = [quote(candidate.name, NAME), quote(triggers, TRIGGERS), round(candidate.score, 2), quote(about, ABOUT)]
    facts = [handle, " ".join(places[:3]), candidate.kind, *texts]
    return json.dumps(facts, ensure_ascii=False, separators=(",", ":"))


def quote(told: str, limit: int) -> str:
    """Cut a stranger's text to length, and keep back one that gives orders: the whole of it, not only what is shown."""
    if gives_orders(told):
        return ""
    told = clean_text(told, limit)
    return told if len(told.encode()) <= limit else told.encode()[: limit - 3].decode(errors="ignore") + "…"


def schemas(state: State) -> list[dict[str, Any]]:
    """List the tools for this stage in OpenAI's form: flat, nothing optional, names and ids as enums."""
    return [_SCHEMAS[name](state) for name in OFFERED[stage_of(state)]]


def _segment(state: State) -> dict[str, Any]:
    span = record({"text": text(SPAN), "kind": choice(_KINDS)})
    return function("segment_prompt", "Name the concepts.", {"concepts": array(span, CONCEPTS)})


def _search(state: State) -> dict[str, Any]:
    return function("search_adapters", "Search for these, by text.", {"concepts": array(text(SPAN), CONCEPTS)})


def _prune(state: State) -> dict[str, Any]:
    adapter, concept = choice(desk(state)), choice(state.places())
    keep = record({"adapter": adapter, "concept": concept, "reason": text(REASON)})
    refuse = record({"adapters": array(adapter, REFUSED), "code": choice(_CODES), "reason": text(REASON)})
    lists = {"keep": array(keep, state.request.max_adapters), "refuse": array(refuse, len(_CODES))}
    return function("prune_candidates", "Keep or refuse.", lists)


def _masks(state: State) -> dict[str, Any]:
    concepts = choice([*(c.id for c in state.concepts or ()), WHOLE])
    return function("pick_masks", "Pick the masks.", {"alternate": array(concepts, CONCEPTS)})


_SCHEMAS = {
    "segment_prompt": _segment,
    "search_adapters": _search,
    "prune_candidates": _prune,
    "pick_masks": _masks,
}
