"""The offline planner: rules instead of a model, with the same graph and tools. It needs no key and no network.

It abstains by probability: search's score estimates the probability that an adapter is right, and candidates
below a threshold are left out. "No adapter" is a normal answer: a merely similar adapter makes a picture worse than
none (arXiv 2404.18928, table 1).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from langchain_core.messages import AIMessage

from stylus_gen.agent.pins import bind_pins, limits_of
from stylus_gen.agent.planner import Planner
from stylus_gen.agent.stage import stage_of
from stylus_gen.agent.state import State
from stylus_gen.tools.candidate import reasons
from stylus_gen.tools.concepts import join_concepts, overlap
from stylus_gen.tools.percent import percent
from stylus_gen.tools.plan import WHOLE, Candidate, Rejection
from stylus_gen.tools.prune import Choice, PlanLimits, Refusal, prune, reject
from stylus_gen.tools.segment import has_many_tags, is_habit, segment_prompt


class Thresholds(NamedTuple):
    """Estimated probability below which an adapter is left out.

    For a concept it is the probability that an adapter is right for its words. For the prompt as a whole, and for
    concepts in long lists of tags (``listed``), it is the probability of being *the* adapter that was used. Lists of
    tags, written by ``habit``, need little of it, because other adapters suit as well. Sentences (``other``) need much,
    because their likeness is accidental. Characters need more: a wrong face spoils a picture, a missing one does not.
    """

    concept: float = 0.5
    character: float = 0.6
    listed: float = 0.25
    habit: float = 0.2
    other: float = 0.95
    used_character: float = 0.5

    def of(self, candidate: Candidate, prompt: str) -> float:
        """Return the probability that a candidate needs for the prompt as a whole."""
        return self._used(candidate, self.habit if is_habit(prompt) else self.other)

    def of_concept(self, candidate: Candidate, prompt: str) -> float:
        """Return the probability that a candidate needs for a concept."""
        if has_many_tags(prompt):
            return self._used(candidate, self.listed)
        return self.character if candidate.kind == "character" else self.concept

    def _used(self, candidate: Candidate, needed: float) -> float:
        return max(needed, self.used_character) if candidate.kind == "character" else needed


THRESHOLDS = Thresholds()
"""Cross-validated by benchmarks/everyday_fit.py, see benchmarks/EVERYDAY.md."""

NEAR = 0.6
"""An adapter serves the shortest concept with this share of its best probability: "kimono" in "a red kimono"."""


def think(state: State, seconds: float) -> AIMessage:
    """Choose the next tool calls by rules."""
    step = {"segment": _segment, "search": _search, "prune": _prune, "mask": _mask}[stage_of(state)]
    return AIMessage("", tool_calls=[{"name": n, "args": a, "id": f"{n}-{state.faults}"} for n, a in step(state)])


Calls = list[tuple[str, dict[str, Any]]]


def _segment(state: State) -> Calls:
    concepts = join_concepts(state.request.prompt, segment_prompt(state.request.prompt), state.named)
    spans = [{"text": c.text, "kind": c.kind, "search_terms": list(c.search_terms)} for c in concepts]
    return [("segment_prompt", {"concepts": spans}), *_search(state.model_copy(update={"concepts": concepts}))]


def _search(state: State) -> Calls:
    return [("search_adapters", {"concepts": [concept.text for concept in state.concepts or ()]})]


def _prune(state: State) -> Calls:
    handles = {candidate.adapter_id: name for name, candidate in state.handles().items()}
    choices = rank(state)
    likely, refused = sift(choices, state.request.prompt)
    pruned = prune([*bind_pins(state), *likely], limits_of(state), [served])
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
            {"adapters": names, "code": "not_relevant", "reason": "search found it for a concept that does not name it"}
        )
    return [("prune_candidates", {"keep": keep, "refuse": refuse}), *_mask(state)]


def sift(choices: Sequence[Choice], prompt: str, at: Thresholds = THRESHOLDS) -> tuple[list[Choice], list[Rejection]]:
    """Separate the choices that are likely enough from the others."""
    likely: list[Choice] = []
    refused: list[Rejection] = []
    for choice in choices:
        chance, needed = choice.candidate.score, _needed(choice, prompt, at)
        if chance < needed:
            why = f"the chance that it is right is {percent(chance)}, below the {percent(needed)} that it needs"
            refused.append(reject(choice, "low_score", why))
        else:
            likely.append(choice)
    return likely, refused


def _needed(choice: Choice, prompt: str, at: Thresholds) -> float:
    whole = choice.concept.id == WHOLE
    return at.of(choice.candidate, prompt) if whole else at.of_concept(choice.candidate, prompt)


def served(choice: Choice, kept: Sequence[Choice], limits: PlanLimits) -> Refusal | None:
    """Refuse a second adapter for the same words. Pinned adapters and those of the whole prompt do not count."""
    for other in kept:
        apart = WHOLE in (choice.concept.id, other.concept.id) or other.candidate.adapter_id in limits.pinned
        if not apart and overlap(choice.concept, other.concept):
            return "duplicate", f"{other.candidate.name!r} is likelier for these words"
    return None


def rank(state: State, at: Thresholds = THRESHOLDS) -> list[Choice]:
    """Order the candidates by probability, each once: for the concept it serves best or for the whole prompt."""
    found: dict[str, dict[str, Candidate]] = {}
    for place, candidates in (state.candidates or {}).items():
        for candidate in candidates:
            found.setdefault(candidate.adapter_id, {})[place] = candidate
    return sorted((_choice(places, state, at) for places in found.values()), key=lambda choice: -choice.candidate.score)


def _choice(found: Mapping[str, Candidate], state: State, at: Thresholds) -> Choice:
    """Choose what an adapter is for: its likeliest concept, or the whole prompt if only that makes it likely."""
    places = state.places()
    named = {place: candidate for place, candidate in found.items() if place != WHOLE}
    best = max(named.values(), key=_score, default=None)
    whole = found.get(WHOLE)
    prompt = state.request.prompt
    unlikely = best is None or best.score < at.of_concept(best, prompt)
    if whole is not None and unlikely and (best is None or whole.score >= at.of(whole, prompt)):
        return Choice(concept=places[WHOLE], candidate=whole, reason=_reason(whole))
    assert best is not None
    near = [places[place] for place, candidate in named.items() if candidate.score >= NEAR * best.score]
    return Choice(concept=min(near, key=lambda c: c.end - c.start), candidate=best, reason=_reason(best))


def _reason(candidate: Candidate) -> str:
    return f"{reasons(candidate.evidence)}; right in {math.floor(100 * candidate.score)} of 100 such cases"


def _score(candidate: Candidate) -> float:
    return candidate.score


def _mask(state: State) -> Calls:
    return [("pick_masks", {"alternate": []})]


OFFLINE = Planner(name="offline", think=think)
