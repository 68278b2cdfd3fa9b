"""Search: for a prompt and each of its concepts, the adapters that are probably right, with the evidence for each.

Filters come first, in SQL; recall.py finds what is worth measuring, features.py measures, fusion.py judges.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from stylus_gen.tools.embed import Embedder
from stylus_gen.tools.errors import BadRequest
from stylus_gen.tools.plan import Candidate, Concept, Policy
from stylus_gen.tools.search.candidates import make_candidate, read_versions
from stylus_gen.tools.search.document import VECTOR_TEXT
from stylus_gen.tools.search.features import NAMES, Facts, Floats, Query, measure, share
from stylus_gen.tools.search.fusion import calibrate, fuse
from stylus_gen.tools.search.index import check_embedder
from stylus_gen.tools.search.recall import (
    BUDGET,
    PER_CONCEPT,
    Frequencies,
    choose_keys,
    count_words,
    filters,
    find_documents,
)
from stylus_gen.tools.search.words import Reading, joined, read, word_number
from stylus_gen.tools.store.database import Connection, Database

PROMPT = "prompt"
"""The key of the whole prompt's ranking."""
MAX_WORDS = 400
"""Words read of a prompt."""
MAX_CONCEPTS = 32


@dataclass(frozen=True)
class Evidence:
    """What was found and measured: documents, features (queries, documents, features), the queries' names."""

    documents: list[Any]
    features: Floats
    queries: tuple[str, ...]


def search_adapters(
    db: Database,
    embedder: Embedder,
    prompt: str,
    concepts: Sequence[Concept],
    *,
    family: str | None,
    policy: Policy,
    limit: int = 10,
    kinds: Sequence[str] | None = None,
) -> dict[str, list[Candidate]]:
    """Rank adapters for each concept, by its id, and for the whole prompt, under ``"prompt"``; best first.

    A score is the estimated probability that the adapter is right. ``family`` None searches all families.
    Raises BadRequest if there is no prompt, or the catalogue was embedded by another embedder.
    """
    if not prompt.strip():
        raise BadRequest("the prompt is empty: say what the picture should show")
    with db.pool.connection() as conn:
        evidence = gather(conn, embedder, prompt, concepts, family=family, policy=policy, kinds=kinds)
        probabilities = calibrate(fuse(evidence.features))
        best = {
            name: [int(i) for i in np.argsort(-row, kind="stable")[:limit]]
            for name, row in zip(evidence.queries, probabilities, strict=True)
        }
        wanted = {evidence.documents[i].model_key for chosen in best.values() for i in chosen}
        versions = read_versions(conn, wanted, installed_only=policy.installed_only)
    found: dict[str, list[Candidate]] = {}
    for q, (name, chosen) in enumerate(best.items()):
        found[name] = []
        for i in chosen:
            document = evidence.documents[i]
            if files := versions.get((document.model_key, document.family)):
                why = _why(evidence.features[q, i], document.family, family)
                found[name].append(make_candidate(files, prompt, float(probabilities[q, i]), why))
    return found


def gather(
    conn: Connection,
    embedder: Embedder,
    prompt: str,
    concepts: Sequence[Concept],
    *,
    family: str | None,
    policy: Policy,
    kinds: Sequence[str] | None = None,
) -> Evidence:
    """Find the documents worth measuring and measure them."""
    check_embedder(embedder, conn.execute("SELECT embedder, dim FROM search_settings").fetchone())
    whole = read(prompt, MAX_WORDS)
    parts = [read(concept.text, 64) for concept in concepts[:MAX_CONCEPTS]]
    words = sorted({*whole.words, *(word for part in parts for word in part.words)})
    offers = [*words, *joined(whole.words)]
    frequencies = count_words(conn, offers)
    keys = choose_keys(frequencies, [*whole.words, *joined(whole.words)], BUDGET)
    for part in parts:
        keys |= choose_keys(frequencies, part.words, PER_CONCEPT)
    vector = embedder.embed([prompt[:VECTOR_TEXT]])[0]
    documents = find_documents(conn, keys, vector, filters(family, policy, kinds))
    query = _query(whole, parts, words, frequencies)
    facts = Facts(*(np.array([getattr(d, f) for d in documents]) for f in ("creator", "downloads", "cosine")))
    features = measure(share([d.body for d in documents], query), query, facts)
    return Evidence(documents, features, (PROMPT, *(concept.id for concept in concepts[:MAX_CONCEPTS])))


def _query(whole: Reading, parts: Sequence[Reading], words: Sequence[str], frequencies: Frequencies) -> Query:
    numbers = np.array([word_number(word) for word in words], np.uint32)
    order = np.argsort(numbers)
    masks = np.array([[word in set(part.words) for word in words] for part in (whole, *parts)], bool)
    masks = masks.reshape(1 + len(parts), len(words))
    idf = np.array([frequencies.idf(word) for word in words])
    return Query(whole.tokens, numbers[order], idf[order], masks[:, order])


def _why(features: Floats, own: str, family: str | None) -> tuple[str, ...]:
    reasons = [name for name, value in zip(NAMES, features, strict=True) if value > 0 and name in _SAID]
    if family is not None and own != family:
        reasons.append(f"partial: made for {own}")
    return tuple(reasons)


_SAID = ("name", "trigger phrase", "tags", "examples", "meaning")
