"""What a planning run depends on and never saves: search, cards, the planner, the clock."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from stylus_gen.agent.planner import Planner
from stylus_gen.tools.card import Card
from stylus_gen.tools.plan import Candidate, Concept, Policy

Search = Callable[[str, Sequence[Concept], str, Policy, int], Mapping[str, Sequence[Candidate]]]
"""(prompt, concepts, family, policy, limit) to candidates by concept id, best first; `WHOLE`: the whole of it."""

Cards = Callable[[Sequence[str]], Sequence[Card]]
"""Adapter ids to their cards, in any order; unknown ids are left out."""

Names = Callable[[str], Sequence[Concept]]
"""A prompt to the names of adapters that it says, and notions in other languages, as concepts."""


def no_names(prompt: str) -> Sequence[Concept]:
    """Know no names, as where there is no catalogue."""
    return ()


def read_once(cards: Cards) -> Cards:
    """Keep the cards that were read, so that one run reads each once."""
    known: dict[str, Card] = {}

    def read(ids: Sequence[str]) -> list[Card]:
        if unread := [i for i in ids if i not in known]:
            known.update((card.id, card) for card in cards(unread))
        return [known[i] for i in ids if i in known]

    return read


@dataclass(frozen=True)
class AgentContext:
    """The dependencies of one run."""

    search: Search
    cards: Cards
    planner: Planner
    names: Names = no_names
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep
