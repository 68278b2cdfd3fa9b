"""The brief: what a chat model reads at each stage, as JSON data, and the tools it may call.

Every call pays for it, so it is short: few candidates, each in at most sixty tokens. Text from strangers appears only
in JSON strings, cut to length; text that gives orders is left out.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import zip_longest
from typing import Any

from stylus_gen.agent.model.schema import Schema
from stylus_gen.agent.model.templates import read_template
from stylus_gen.agent.model.tokens import clip, count_tokens
from stylus_gen.agent.stage import OFFERED, stage_of
from stylus_gen.agent.state import State
from stylus_gen.agent.tools import TOOLS
from stylus_gen.tools.plan import Candidate
from stylus_gen.tools.prune import PER_CONCEPT, STYLES
from stylus_gen.tools.text import clean_text, gives_orders

TURNS = 3000
"""Estimated tokens of both questions of a normal prompt. Real tokenizers make 2,600 of them at most; a server's chat
template adds a hundred to each."""

CANDIDATE_TOKENS = 600, 1300
"""Tokens of all candidates together: how few there are for the longest prompt, how many for the shortest."""

CARD, NAME, TRIGGERS = 53, 14, 12
"""Tokens of a candidate's line, its name and its trigger words; the description has the rest. `count_tokens` may
be too low by six."""

LONGEST = 200
"""Characters of a stranger's text that are read."""

COLUMNS = "Candidates, one JSON array a line: id, concepts, kind, name, triggers, p, about."


def brief(state: State) -> str:
    """Write what the model needs to know in the current stage."""
    lines = [_facts(state)]
    if stage_of(state) == "prune":
        lines.append(f"At most {state.request.max_adapters} adapters, {PER_CONCEPT} a concept, {STYLES} styles.")
        if state.pinned:
            names = [quote(choice.candidate.name, NAME) for choice in state.pinned]
            lines.append(f"Already chosen by the user: {json.dumps(names, ensure_ascii=False)}")
        lines += [COLUMNS, *candidate_lines(state).values()]
    return "\n".join(lines)


def _facts(state: State) -> str:
    facts: dict[str, Any] = {"prompt": state.request.prompt}
    if state.concepts is not None:
        facts["concepts"] = {concept.id: f"{concept.text} ({concept.kind})" for concept in state.concepts}
    return json.dumps(facts, ensure_ascii=False)


def candidate_lines(state: State) -> dict[str, str]:
    """Write as many candidates as fit, handle to line: each concept's best first, then each second best, …"""
    candidates = list(open_candidates(state))
    handles = {best.adapter_id: (name, best) for name, best in state.handles().items()}
    asked: dict[str, list[str]] = {}
    for place, ranking in (state.candidates or {}).items():
        for candidate in ranking:
            asked.setdefault(candidate.adapter_id, []).append(place)
    lines: dict[str, str] = {}
    room = _room(state) if candidates else 0
    for candidate in candidates:
        name, best = handles[candidate.adapter_id]
        line = _line(name, best, asked[candidate.adapter_id])
        room -= count_tokens(line) + count_tokens(f'"{name}", ')  # its name is in the answer's schema too
        if room < 0:
            break
        lines[name] = line
    return lines


def open_candidates(state: State) -> Iterator[Candidate]:
    """Yield the candidates still open, each once: every concept's best first, then every second best, …"""
    seen = {choice.candidate.adapter_id for choice in state.pinned}
    for row in zip_longest(*(state.candidates or {}).values()):
        for candidate in row:
            if candidate is not None and candidate.adapter_id not in seen:
                seen.add(candidate.adapter_id)
                yield candidate


def _room(state: State) -> int:
    """Return how many tokens the candidates may have: `TURNS` less both questions."""
    asked = State(request=state.request)
    pruning = state.model_copy(update={"candidates": {}})
    texts = [read_template(name).text for name in ("segment", "prune")]
    texts += [_facts(asked), json.dumps(schemas(asked)), brief(pruning), json.dumps(schemas(pruning))]
    fewest, most = CANDIDATE_TOKENS
    return min(most, max(fewest, TURNS - sum(map(count_tokens, texts))))


def _line(handle: str, candidate: Candidate, places: list[str]) -> str:
    triggers = ", ".join(word for group in candidate.trigger_groups for word in group)
    about = candidate.summary.removeprefix(f"{candidate.kind}; ")
    texts = [quote(candidate.name, NAME), quote(triggers, TRIGGERS), round(candidate.score, 2)]
    facts = [handle, " ".join(places[:3]), candidate.kind, *texts]
    room = CARD - count_tokens(_row([*facts, ""]))
    return _row([*facts, quote(about, room)])


def _row(facts: list[Any]) -> str:
    return json.dumps(facts, ensure_ascii=False, separators=(",", ":"))


def quote(given: str, room: int) -> str:
    """Cut a stranger's text to ``room`` tokens; return nothing for a text that gives orders."""
    return "" if gives_orders(given) else clip(clean_text(given, LONGEST), room)


def schemas(state: State) -> list[Schema]:
    """Describe the tools of this stage to the model, in OpenAI's form."""
    shown = candidate_lines(state)
    return [TOOLS[name].describe(state, shown) for name in OFFERED[stage_of(state)]]
