"""Pins: adapters the user wants by name, checked before anything is spent. They need not have been found by search."""

from __future__ import annotations

from collections.abc import Sequence

from stylus_gen.agent.context import Cards
from stylus_gen.agent.request import PlanRequest
from stylus_gen.agent.state import WHOLE, State
from stylus_gen.tools.card import Card
from stylus_gen.tools.errors import BadRequest, PolicyRefused
from stylus_gen.tools.licence import forbids
from stylus_gen.tools.plan import Candidate, Concept
from stylus_gen.tools.prune import Choice, Rules, prune
from stylus_gen.tools.triggers import clean_text, plain
from stylus_gen.tools.weights import recommend_weight


def pin(request: PlanRequest, cards: Cards) -> list[Choice]:
    """Turn the pinned ids into choices for the whole prompt.

    Raises BadRequest for an id that is not in the catalogue or a pin that breaks a rule, PolicyRefused for one that the
    policy forbids.
    """
    known = {card.id: card for card in cards(request.pinned)} if request.pinned else {}
    if missing := [pinned for pinned in request.pinned if pinned not in known]:
        raise BadRequest(f"pinned, but not in the catalogue: {', '.join(missing)}; import it first, or unpin it")
    for card in known.values():
        if refusal := forbids(card, request.policy):
            raise PolicyRefused(f"{card.name!r} is pinned, but {refusal[1]}; unpin it or change the policy")
    prompt = request.prompt
    whole = Concept(id=WHOLE, text=prompt, start=0, end=len(prompt))
    choices = [
        Choice(concept=whole, candidate=candidate_of(known[pinned]), reason="you pinned it")
        for pinned in request.pinned
    ]
    rules = Rules(prompt, request.family, request.max_adapters, frozenset(request.pinned), frozenset(request.banned))
    if refused := prune(choices, rules).refused:
        raise BadRequest(f"{refused[0].name!r} is pinned, but {refused[0].reason}; unpin it")
    return choices


def rules_of(state: State) -> Rules:
    """Gather what the request fixes."""
    request = state.request
    return Rules(
        prompt=request.prompt,
        family=request.family,
        max_adapters=request.max_adapters,
        pinned=frozenset(choice.candidate.adapter_id for choice in state.pinned),
        banned=frozenset(request.banned),
    )


def candidate_of(card: Card) -> Candidate:
    """Write a card as the candidate that search would return for it."""
    weight, source = recommend_weight(card)
    return Candidate(
        adapter_id=card.id,
        model_key=card.model_key,
        name=card.name,
        version=card.version,
        kind=card.kind,
        family=card.family,
        score=1.0,
        evidence=("pinned",),
        summary=clean_text(card.description, 200),
        trigger_groups=tuple(map(tuple, card.trigger_groups)),
        weight=weight,
        weight_source=source,
        tags=tuple(card.tags),
        installed=card.path is not None,
    )


def bind_pins(state: State) -> list[Choice]:
    """Give each pin the concept it serves, now that there are concepts; else it stays with the whole prompt."""
    concepts = state.concepts or []
    return [c.model_copy(update={"concept": bind(c.candidate, concepts) or c.concept}) for c in state.pinned]


def bind(candidate: Candidate, concepts: Sequence[Concept]) -> Concept | None:
    """Find the concept that an adapter serves: the one whose words its name, triggers and tags share most."""
    own = set(
        plain(" ".join((candidate.name, *(w for g in candidate.trigger_groups for w in g), *candidate.tags))).split()
    )

    def shared(concept: Concept) -> float:
        words = set(plain(concept.text).split())
        return len(own & words) / len(words) if words else 0

    best = max(concepts, key=shared, default=None)
    return best if best is not None and shared(best) else None
