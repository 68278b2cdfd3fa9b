"""The offline planner: the model's part played by rules, in the same graph, through the same tools. No key, no network.

It abstains by probability: search's score is an estimate of the chance that an adapter is right, and what is below a
threshold is left out. "No adapter" is a normal answer: adapters that are merely near make pictures worse than
none do (arXiv 2404.18928, table 1).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from langchain_core.messages import AIMessage

from stylus_gen.agent.pins import bind_pins, rules_of
from stylus_gen.agent.planner import Planner
from stylus_gen.agent.stage import stage_of
from stylus_gen.agent.state import WHOLE, State
from stylus_gen.tools.candidate import bind, is_named
from stylus_gen.tools.plan import Candidate, Rejection
from stylus_gen.tools.prune import Choice, overlap, prune, reject
from stylus_gen.tools.segment import is_tag_list, segment_prompt

NAMED, IN_TAGS, IN_SENTENCES = 0.15, 0.25, 0.8
"""Estimated chance below which an adapter is left out: where the prompt says its name or trigger words; where it does
not, in a tag list; and in sentences.

The first are low, because the score is the chance of being *the* adapter that was used, and others suit as well. Tag
lists are written by habit, and those of one adapter's users are alike; sentences are alike by accident. On captions of
photographs, which need no adapter, one threshold of 0.25 chooses one for every fourth, these for every seventeenth."""

NAMED_CHARACTER, CHARACTER = 0.3, 0.5
"""The same for characters, in any prompt: a wrong face spoils a picture, a missing one does not."""

TOLD = 0.05
"""Score for a single concept from which an adapter is taken to serve that concept."""

ROUNDING = 1e-6
"""Chance below which a float32 softmax says nothing."""

SEARCHED = 12
"""Concepts that are searched for; the whole prompt is searched for as well."""


def think(state: State, seconds: float) -> AIMessage:
    """Choose the next tool calls by rules."""
    step = {"segment": _segment, "search": _search, "judge": _judge, "mask": _mask}[stage_of(state)]
    calls = step(state)
    return AIMessage("", tool_calls=[{"name": n, "args": a, "id": f"{n}-{state.faults}"} for n, a in calls])


Calls = list[tuple[str, dict[str, Any]]]


def _segment(state: State) -> Calls:
    concepts = segment_prompt(state.request.prompt)
    spans = [{"text": concept.text, "kind": concept.kind} for concept in concepts]
    return [
        ("segment_prompt", {"concepts": spans}),
        ("search_adapters", {"concepts": _worth([c.text for c in concepts])}),
    ]


def _search(state: State) -> Calls:
    return [("search_adapters", {"concepts": _worth([concept.text for concept in state.concepts or ()])})]


def _worth(texts: Sequence[str]) -> list[str]:
    return list(texts[:SEARCHED])


def _judge(state: State) -> Calls:
    handles = {candidate.adapter_id: name for name, candidate in state.handles().items()}
    choices = rank(state)
    needed = {choice.candidate.adapter_id: threshold(choice.candidate, state.request.prompt) for choice in choices}
    likely = [choice for choice in choices if choice.candidate.score >= needed[choice.candidate.adapter_id]]
    pins = bind_pins(state)
    pruned = prune([*pins, *likely], rules_of(state))
    unlikely = [_too_unlikely(c, needed[c.candidate.adapter_id]) for c in choices if c not in likely]
    keep = [
        {"adapter": handles[c.candidate.adapter_id], "concept": c.concept.id, "reason": c.reason}
        for c in pruned.kept
        if c.candidate.adapter_id in handles and c.candidate.adapter_id not in state_pins(state)
    ]
    refuse = [_refuse(r, handles[r.adapter_id]) for r in [*pruned.refused, *unlikely] if r.adapter_id in handles]
    return [("prune_candidates", {"keep": keep, "refuse": refuse}), *_mask(state)]


def state_pins(state: State) -> set[str]:
    """List the pinned adapter ids."""
    return {choice.candidate.adapter_id for choice in state.pinned}


def _refuse(rejection: Rejection, handle: str) -> dict[str, Any]:
    return {"adapters": [handle], "code": rejection.code, "reason": rejection.reason}


def threshold(candidate: Candidate, prompt: str) -> float:
    """Say how likely a candidate must be to be chosen for a prompt."""
    if is_named(candidate, prompt):
        return NAMED_CHARACTER if candidate.kind == "character" else NAMED
    usual = IN_TAGS if is_tag_list(prompt) else IN_SENTENCES
    return max(usual, CHARACTER) if candidate.kind == "character" else usual


def _too_unlikely(choice: Choice, needed: float) -> Rejection:
    chance = choice.candidate.score
    return reject(choice, "low_score", f"the chance that it is right is {chance:.0%}, below {needed:.0%}")


def rank(state: State) -> list[Choice]:
    """Order the candidates by their chance, each once, with the concept it serves best."""
    found: dict[str, dict[str, Candidate]] = {}
    for place, candidates in (state.candidates or {}).items():
        for candidate in candidates:
            found.setdefault(candidate.adapter_id, {})[place] = candidate
    choices = [_choice(places, state) for places in found.values()]
    return _beside(sorted(choices, key=lambda choice: -choice.candidate.score), state.request.prompt)


def _beside(choices: Sequence[Choice], prompt: str) -> list[Choice]:
    """Judge each adapter that the prompt names as if likelier ones, named by other words of it, were out of question.

    Search's chance is that of being *the* adapter: a style and a character that a prompt both names share one sum.
    """
    named: list[Choice] = []
    judged = []
    for choice in choices:
        if not is_named(choice.candidate, prompt):
            judged.append(choice)
            continue
        others = [other for other in named if not overlap(other.concept, choice.concept)]
        rest = 1 - sum(other.candidate.score for other in others)
        chance = min(1.0, choice.candidate.score / max(rest, ROUNDING))
        named.append(choice)
        judged.append(_at(choice, chance, others) if others else choice)
    return judged


def _at(choice: Choice, chance: float, others: Sequence[Choice]) -> Choice:
    names = ", ".join(other.candidate.name[:40] for other in others[:2])
    return Choice(
        concept=choice.concept,
        candidate=choice.candidate.model_copy(update={"score": chance}),
        reason=f"beside {names}, {choice.reason.replace(f'{choice.candidate.score:.0%}', f'{chance:.0%}', 1)}",
    )


def _choice(found: Mapping[str, Candidate], state: State) -> Choice:
    best = max(found.values(), key=lambda candidate: candidate.score)
    served = max((place for place in found if place != WHOLE), key=lambda place: found[place].score, default=WHOLE)
    places = state.places()
    if served != WHOLE and found[served].score >= TOLD:
        concept = places[served]
    else:
        concept = bind(best, state.concepts or ()) or places[WHOLE]
    reason = f"the chance that it is right is {best.score:.0%} ({', '.join(best.evidence) or 'search'})"
    return Choice(concept=concept, candidate=best, reason=reason)


def _mask(state: State) -> Calls:
    return [("pick_masks", {"alternate": []})]


OFFLINE = Planner(name="offline", think=think)
