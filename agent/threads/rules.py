"""Rules that read a follow-up line into edits: "less of the style", "without the hat", "again with another seed"."""

from __future__ import annotations

import re
from collections.abc import Sequence
from random import Random

from stylus_gen.agent.threads.edit import Add, Ban, Count, Drop, Edit, Remove, Reseed, Weigh
from stylus_gen.tools.errors import BadRequest
from stylus_gen.tools.plan import MAX_IMAGES, Assignment, Plan
from stylus_gen.tools.text import plain

LESS, MORE = 0.7, 1.3
"""Factors by which "less" and "more" change a weight."""

MOST = 1.5
"""The highest weight that "more" sets."""

_WORDS = r"(?:the |a |an |any |that |this )?(.+)"
_COUNT = re.compile(r"\b(\d{1,2}) (?:images|pictures|versions|variants)\b")
_SEED = re.compile(r"\bseed\s*(?:=|to|of)?\s*(\d{1,10})\b")
_AGAIN = re.compile(r"\b(?:again|another seed|other seed|new seed|different seed|reroll|re-roll)\b")
_LESS = re.compile(rf"\b(?:less|weaker|lower|softer|reduce|tone down)\b(?: of)? ?{_WORDS}")
_MORE = re.compile(rf"\b(?:more|stronger|higher|increase)\b(?: of)? ?{_WORDS}")
_NEVER = re.compile(rf"^(?:ban|never(?: use)?|replace|another) {_WORDS}")
_WITHOUT = re.compile(rf"\b(?:without|no|remove|drop|leave out|not) {_WORDS}")
_ADD = re.compile(rf"^(?:add|also|and|with|now with|put) {_WORDS}")

_POLITE = frozenset(["please", "thanks", "thank", "you", "ok", "okay", "now", "yes", "hi", "hello"])

HINT = (
    "say for example: less of the style, more fox, without the hat, add a red scarf, ban NAME, 4 images, "
    "again with another seed"
)


def read_line(plan: Plan, text: str) -> list[Edit]:
    """Read a line as edits of a plan, clause by clause. Raises BadRequest for a line that is none."""
    edits: list[Edit] = []
    for clause in re.split(r"[,;.]|\bbut\b|\band then\b|\bthen\b", " ".join(text.split())):
        if set(clause.casefold().split()) - _POLITE:
            edits += _read_clause(plan, clause.strip())
    if not edits:
        raise BadRequest(f"the line is empty; {HINT}")
    return edits


def _read_clause(plan: Plan, clause: str) -> list[Edit]:
    line = clause.casefold()
    if match := _COUNT.search(line):
        if not 1 <= int(match[1]) <= MAX_IMAGES:
            raise BadRequest(f"{match[1]} images cannot be drawn: ask for 1 to {MAX_IMAGES}")
        return [Count(images=int(match[1]))]
    if match := _SEED.search(line):
        return [Reseed(seed=int(match[1]) % 2**32)]
    if (match := _NEVER.search(line)) and (meant := _meant(plan, match[1])):
        return [Ban(adapter=a.adapter_id) for a in meant]
    if _AGAIN.search(line):
        return [Reseed(seed=Random(plan.seed).getrandbits(32))]
    for pattern, factor in ((_LESS, LESS), (_MORE, MORE)):
        if match := pattern.search(line):
            return _scale(plan, match[1], factor)
    if match := _WITHOUT.search(line):
        return _leave_out(plan, match[1])
    if match := _ADD.search(line):
        return [Add(words=clause[match.start(1) :])]
    raise BadRequest(f"{clause!r} is not understood as a change to the plan; {HINT}")


def _scale(plan: Plan, what: str, factor: float) -> list[Edit]:
    meant = _meant(plan, what)
    if not meant:
        names = ", ".join(repr(a.name) for a in plan.assignments) or "none"
        raise BadRequest(f"no adapter of the plan is for {what!r}; its adapters are {names}")
    return [Weigh(adapter=a.adapter_id, weight=round(min(a.weight * factor, max(MOST, a.weight)), 2)) for a in meant]


def _leave_out(plan: Plan, what: str) -> list[Edit]:
    triggers = [word for a in plan.assignments for word in a.trigger_words]
    if any(re.search(rf"\b{re.escape(what)}\b", text, re.IGNORECASE) for text in (plan.prompt, *triggers)):
        return [Remove(words=what)]
    meant = _meant(plan, what)
    if not meant:
        raise BadRequest(f"neither the prompt nor an adapter of the plan mentions {what!r}; {HINT}")
    return [Drop(adapter=a.adapter_id) for a in meant]


def _meant(plan: Plan, what: str) -> Sequence[Assignment]:
    """Find the assignments that words mean: by name, by concept, by kind ("the style"), or all ("everything")."""
    wanted = set(plain(what).split())
    texts = {concept.id: concept.text for concept in plan.concepts}
    if wanted & {"everything", "all", "adapters"}:
        return plan.assignments
    by_kind = [a for a in plan.assignments if wanted & {a.kind, f"{a.kind}s"}]
    by_words = [a for a in plan.assignments if wanted & set(plain(f"{a.name} {texts[a.concept_id]}").split())]
    return by_words if by_words and not by_kind else by_kind
