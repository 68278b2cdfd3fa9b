"""Pins: adapters that the user demands by name. Checked before a model is called; search need not find them."""

from __future__ import annotations

import os

from stylus_gen.agent.context import Cards
from stylus_gen.agent.request import PlanRequest
from stylus_gen.agent.state import State
from stylus_gen.tools.candidate import bind, candidate_of
from stylus_gen.tools.card import Card
from stylus_gen.tools.errors import BadRequest, PolicyRefused
from stylus_gen.tools.licence import forbids
from stylus_gen.tools.negation import affirmed
from stylus_gen.tools.plan import Policy, whole_prompt
from stylus_gen.tools.prune import Choice, PlanLimits, prune


def pin(request: PlanRequest, cards: Cards) -> list[Choice]:
    """Turn the pinned ids into choices for the whole prompt.

    Raises BadRequest for an id that is not in the catalogue, an adapter whose file is gone or a pin that breaks a rule,
    PolicyRefused for one that the policy forbids.
    """
    known = {card.id: card for card in cards(request.pinned)} if request.pinned else {}
    if missing := [pinned for pinned in request.pinned if pinned not in known]:
        raise BadRequest(f"pinned, but not in the catalogue: {', '.join(missing)}; import it first, or unpin it")
    for card in known.values():
        _require_usable(card, request.policy)
    whole = whole_prompt(request.prompt)
    choices = [
        Choice(concept=whole, candidate=candidate_of(known[pinned]), reason="you pinned it")
        for pinned in request.pinned
    ]
    limits = PlanLimits(
        request.prompt, request.family, request.max_adapters, frozenset(request.pinned), frozenset(request.banned)
    )
    if refused := prune(choices, limits).refused:
        raise BadRequest(f"{refused[0].name!r} is pinned, but {refused[0].reason}; unpin it")
    return choices


def _require_usable(card: Card, policy: Policy) -> None:
    if card.retired:
        raise BadRequest(
            f"{card.name!r} ({card.id[:12]}) is pinned, but its file was deleted or replaced; import the folder where "
            "it is now, or unpin it"
        )
    if refusal := forbids(card, policy):
        raise PolicyRefused(f"{card.name!r} is pinned, but {refusal[1]}; unpin it or change the policy")
    if policy.installed_only and not (card.path and os.path.isfile(card.path)):
        raise PolicyRefused(
            f"{card.name!r} is pinned, but its file is not on this machine and only installed adapters are allowed; "
            "import the folder where it is, or unpin it"
        )


def limits_of(state: State) -> PlanLimits:
    """Make the limits of a request."""
    request = state.request
    return PlanLimits(
        prompt=affirmed(request.prompt),
        family=request.family,
        max_adapters=request.max_adapters,
        pinned=frozenset(choice.candidate.adapter_id for choice in state.pinned),
        banned=frozenset(request.banned),
    )


def bind_pins(state: State) -> list[Choice]:
    """Bind each pin to the concept it serves; one that serves none stays with the whole prompt."""
    concepts = state.concepts or []
    return [c.model_copy(update={"concept": bind(c.candidate, concepts) or c.concept}) for c in state.pinned]
