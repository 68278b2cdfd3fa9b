"""The agent's view of a database: search and cards. The API and the evaluations build it here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from stylus_gen.agent.context import AgentContext
from stylus_gen.agent.planner import Planner
from stylus_gen.tools.card import Card
from stylus_gen.tools.plan import Candidate, Concept, Policy
from stylus_gen.tools.search import search_adapters
from stylus_gen.tools.search.concepts import named_concepts
from stylus_gen.tools.search.embed import Embedder
from stylus_gen.tools.store.adapters import get_cards
from stylus_gen.tools.store.database import Database, read_again


def agent_context(db: Database, embedder: Embedder, planner: Planner) -> AgentContext:
    """Connect the agent to a database. A read whose connection is lost is repeated once."""

    def search(
        prompt: str, concepts: Sequence[Concept], family: str, policy: Policy, limit: int
    ) -> Mapping[str, Sequence[Candidate]]:
        return read_again(
            lambda: search_adapters(db, embedder, prompt, concepts, family=family, policy=policy, limit=limit)
        )

    def cards(ids: Sequence[str]) -> list[Card]:
        return read_again(lambda: get_cards(db, ids))

    def names(prompt: str) -> list[Concept]:
        return read_again(lambda: named_concepts(db, prompt))

    return AgentContext(search, cards, planner, names)
