"""Ranking: which of the documents found come first, and how likely each is right: for the prompt, and for each concept.

For the prompt, the probabilities sum to at most 1: only one adapter is *the* one that was used. For a concept, each
adapter's probability is independent of the others: see decision.py.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stylus_gen.tools.card import Kind
from stylus_gen.tools.plan import Concept
from stylus_gen.tools.search import recall
from stylus_gen.tools.search.decision import UNKNOWN, Evidence, Place, chance, measure
from stylus_gen.tools.search.fusion import calibrate
from stylus_gen.tools.search.gather import Found
from stylus_gen.tools.search.names import Names, names_of, words_of
from stylus_gen.tools.store.database import Connection

SHORTLIST = 16
"""Documents of a concept that are looked at one by one, besides those that go by a name it says."""

Ranking = list[tuple[int, float]]
"""Numbers of documents in `Found`, each with its probability, best first."""


@dataclass(frozen=True)
class Title:
    """A model's kind and all it goes by."""

    kind: Kind
    names: Names


@dataclass(frozen=True)
class Looked:
    """What was found for a prompt and its concepts, the scores, each concept's shortlist, names, and concepts read.

    ``scores`` is (queries, documents), the prompt first; ``titles`` are by document id.
    """

    found: Found
    scores: NDArray[np.float32]
    lists: list[list[int]]
    titles: Mapping[int, Title]
    places: list[Place]


def shortlist(found: Found, scores: NDArray[np.float32], query: int) -> list[int]:
    """List the documents that a concept's decision looks at."""
    best = [int(i) for i in np.argsort(-scores[query], kind="stable")[:SHORTLIST] if np.isfinite(scores[query, i])]
    masks = found.query.masks[query]
    named = found.named[query - 1].union(*(ids for place, ids in found.misspelt.items() if masks[place]))
    return list(dict.fromkeys([*best, *(i for i, row in enumerate(found.rows) if row.id in named)]))


def rank_prompt(scores: NDArray[np.float32], limit: int) -> Ranking:
    """Rank documents for the prompt as a whole."""
    chances = calibrate(scores[0])
    return [(int(i), float(chances[i])) for i in np.argsort(-chances, kind="stable")[:limit] if chances[i] > 0]


def rank_concept(looked: Looked, query: int, limit: int) -> Ranking:
    """Rank the documents of one concept by the decision; what shares no word with it is left out."""
    place = looked.places[query - 1]
    chances = [(i, chance(features, tags=place.in_tags)) for i, features in measure_concept(looked, query)]
    return sorted(chances, key=lambda pair: -pair[1])[:limit]


def measure_concept(looked: Looked, query: int) -> list[tuple[int, tuple[float, ...]]]:
    """Measure the decision's features of each document on a concept's shortlist that shares a word with it."""
    place, chances = looked.places[query - 1], calibrate(looked.scores[0])
    measured = []
    for i in looked.lists[query - 1]:
        row = looked.found.rows[i]
        if title := looked.titles.get(row.id):
            scores = (float(looked.scores[query, i]), float(looked.scores[0, i]))
            said = Evidence(*scores, float(chances[i]), row.downloads)
            features = measure(place, title.names, title.kind, said)
            if features is not None:
                measured.append((i, features))
    return measured


def read_titles(conn: Connection, documents: Sequence[int]) -> dict[int, Title]:
    """Read the kinds and names of the models behind documents, by document id; all versions' trigger words count."""
    rows = conn.execute(
        """
        SELECT document.id, cards.kind, name, tags, trigger_groups
        FROM search_documents AS document JOIN cards USING (model_key, family)
        WHERE document.id = ANY(%s) AND NOT retired ORDER BY created_at DESC NULLS LAST, cards.id
        """,
        (list(documents),),
    )
    files: dict[int, list[Any]] = defaultdict(list)
    for document, *facts in rows:
        files[document].append(facts)
    return {document: _title(versions) for document, versions in files.items()}


def _title(versions: Sequence[Any]) -> Title:
    kind, name, tags, _ = versions[0]
    groups = tuple(tuple(group) for *_, version in versions for group in version)
    return Title(kind, names_of(name, groups, tuple(tags), kind))


def read_places(
    conn: Connection, found: Found, prompt: str, concepts: Sequence[Concept], titles: Mapping[int, Title]
) -> list[Place]:
    """Read the concepts, and how rare their words and those of the adapters' names are."""
    texts = [prompt, *(term for concept in concepts for term in concept.search_terms)]
    said = {word for text in texts for word in words_of(text)}
    words = said.union(*(title.names.naming for title in titles.values()))
    rarity = recall.count_rarity(conn, words, found.frequencies.total)
    return [Place(concept, prompt, lambda word: rarity.get(word, UNKNOWN)) for concept in concepts]
