"""The offline planner: rules instead of a model, with the same graph and tools. It needs no key and no network.

It abstains by probability: search's score estimates the chance that an adapter is right, and candidates below a
threshold are left out. "No adapter" is a normal answer: a merely similar adapter makes a picture worse than none
(arXiv 2404.18928, table 1).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from langchain_core.messages import AIMessage

from stylus_gen.agent.pins import bind_pins, rules_of
from stylus_gen.agent.planner import Planner
from stylus_gen.agent.stage import stage_of
from stylus_gen.agent.state import State
from stylus_gen.tools.candidate import bind, is_named, reasons
from stylus_gen.tools.negation import affirmed
from stylus_gen.tools.percent import percent
from stylus_gen.tools.plan import WHOLE, Candidate, Rejection
from stylus_gen.tools.prune import Choice, prune, reject
from stylus_gen.tools.segment import is_tag_list, segment_prompt


class Thresholds(NamedTuple):
    """Estimated chance below which an adapter is left out.

    ``usual`` is low, because the score is the chance of being *the* adapter that was used, and others suit as well. But
    while tag lists are written by habit, and those of one adapter's users are alike, ``sentences`` are alike by
    accident. And a ``character`` needs more: a wrong face spoils a picture, a missing one does not.
    """

    usual: float = 0.2
    sentences: float = 0.9
    character: float = 0.5

    def of(self, candidate: Candidate, *, asked: bool) -> float:
        """Return the chance that a candidate needs; ``asked`` is the result of `is_asked`."""
        needed = self.usual if asked else self.sentences
        return max(needed, self.character) if candidate.kind == "character" else needed


THRESHOLDS = Thresholds()
"""Cross-validated by benchmarks/composer_fit.py, see benchmarks/COMPOSER.md."""

SEARCHED = 12
"""Concepts that are searched for; the whole prompt is searched for as well."""


def think(state: State, seconds: float) -> AIMessage:
    """Choose the next tool calls by rules."""
    step = {"segment": _segment, "search": _search, "prune": _prune, "mask": _mask}[stage_of(state)]
    return AIMessage("", tool_calls=[{"name": n, "args": a, "id": f"{n}-{state.faults}"} for n, a in step(state)])


Calls = list[tuple[str, dict[str, Any]]]


def _segment(state: State) -> Calls:
    concepts = segment_prompt(state.request.prompt)
    spans = [{"text": concept.text, "kind": concept.kind} for concept in concepts]
    return [("segment_prompt", {"concepts": spans}), *_search(state.model_copy(update={"concepts": concepts}))]


def _search(state: State) -> Calls:
    return [("search_adapters", {"concepts": [concept.text for concept in (state.concepts or ())[:SEARCHED]]})]


def _prune(state: State) -> Calls:
    handles = {candidate.adapter_id: name for name, candidate in state.handles().items()}
    choices = rank(state)
    likely, refused = _sift(choices, state.request.prompt)
    pruned = prune([*bind_pins(state), *likely], rules_of(state))
    pinned = {choice.candidate.adapter_id for choice in state.pinned}
    keep = [
        {"adapter": handles[c.candidate.adapter_id], "concept": c.concept.id, "reason": c.reason}
        for c in pruned.kept
        if c.candidate.adapter_id not in pinned
    ]
    refuse = [
        {"adapters": [handles[r.adapter_id]], "code": r.code, "reason": r.reason}
        for r in [*pruned.refused, *refused]
        if r.adapter_id in handles
    ]
    if unnamed := sorted(set(handles) - {choice.candidate.adapter_id for choice in choices}):
        names = [handles[adapter_id] for adapter_id in unnamed]
        refuse.append(
            {"adapters": names, "code": "not_relevant", "reason": "found for a concept that does not name it"}
        )
    return [("prune_candidates", {"keep": keep, "refuse": refuse}), *_mask(state)]


def is_asked(candidate: Candidate, prompt: str) -> bool:
    """Tell whether a prompt is a list of tags or names the candidate."""
    return is_tag_list(prompt) or is_named(candidate, affirmed(prompt))


def _sift(choices: Sequence[Choice], prompt: str) -> tuple[list[Choice], list[Rejection]]:
    """Separate the choices that are likely enough from the others."""
    likely: list[Choice] = []
    refused: list[Rejection] = []
    for choice in choices:
        chance = choice.candidate.score
        needed = THRESHOLDS.of(choice.candidate, asked=is_asked(choice.candidate, prompt))
        if chance >= needed:
            likely.append(choice)
        else:
            why = f"the chance that it is right is {percent(chance)}, below the {percent(needed)} that it needs"
            refused.append(reject(choice, "low_score", why))
    return likely, refused


def rank(state: State) -> list[Choice]:
    """Order the candidates by their chance, each once, with the concept it serves best."""
    found: dict[str, dict[str, Candidate]] = {}
    for place, candidates in (state.candidates or {}).items():
        for candidate in candidates:
            found.setdefault(candidate.adapter_id, {})[place] = candidate
    choices = [choice for places in found.values() if (choice := _choice(places, state))]
    return sorted(choices, key=lambda choice: -choice.candidate.score)


def _choice(found: Mapping[str, Candidate], state: State) -> Choice | None:
    """Take an adapter's best chance: for the prompt as a whole, or for a concept that names it; None if it has neither.

    For a whole prompt all adapters share one sum; a style and a character that two concepts name do not.
    """
    places = state.places()
    named = [place for place in found if place != WHOLE and is_named(found[place], places[place].text)]
    best = max((found[place] for place in (*named, WHOLE) if place in found), key=_score, default=None)
    if best is None:
        return None
    concept = places[max(named, key=lambda place: found[place].score)] if named else bind(best, state.concepts or ())
    reason = f"the chance that it is right is {percent(best.score)}: {reasons(best.evidence)}"
    return Choice(concept=concept or places[WHOLE], candidate=best, reason=reason)


def _score(candidate: Candidate) -> float:
    return candidate.score


def _mask(state: State) -> Calls:
    return [("pick_masks", {"alternate": []})]


OFFLINE = Planner(name="offline", think=think)
