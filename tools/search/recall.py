"""Recall the documents to rank: by rare words, meaning, creators and near spellings, after the filters.

It reads the database and does not rank.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pgvector import HalfVector
from psycopg import sql

from stylus_gen.tools.everyday import is_everyday
from stylus_gen.tools.families import usable_families
from stylus_gen.tools.lexicon import APPEARANCE, BOILERPLATE
from stylus_gen.tools.plan import Policy
from stylus_gen.tools.plurals import other_numbers
from stylus_gen.tools.search.document import DESCRIBED, MISSPELT, NAMED, USED, USUAL
from stylus_gen.tools.search.index import COUNT
from stylus_gen.tools.search.nearest import distance
from stylus_gen.tools.search.words import SHORTEST_MISSPELT, key_of, misspellings
from stylus_gen.tools.store.database import Connection

LEVELS = (NAMED, USUAL, USED, DESCRIBED)
# The share of its idf that a word is worth at each level.
WORTH = {NAMED: 1.0, USUAL: 0.8, USED: 0.6, DESCRIBED: 0.3}

_LOOKS = APPEARANCE | BOILERPLATE

MAX_UNKNOWN = 5
"""Words that no document has and whose near spellings are looked up."""


class DocumentRow(NamedTuple):
    """A document as recall reads it; ``vector`` is pgvector's wire format."""

    id: int
    model_key: str
    family: str
    creator: int
    downloads: int
    body: bytes
    vector: bytes


LEARNT = 3507
"""Documents in the catalogue that fusion's weights were learned on: there a word of one document has an idf of 7.8. The
idf is scaled so that the rarest word of any catalogue, of fifty adapters or a million, has the same."""
FEW = 30
"""With fewer documents, frequencies say little about how rare a word is."""


@dataclass(frozen=True)
class Frequencies:
    """How many documents there are, and how many hold each key."""

    total: int
    documents: dict[int, int]

    def of(self, word: str) -> int:
        """Count the documents that have a word, at any level."""
        return sum(self.documents.get(key_of(word, level), 0) for level in LEVELS)

    def idf(self, word: str) -> float:
        """Compute BM25's inverse document frequency of a word, scaled to the catalogue of `LEARNT`."""
        return _idf(self.of(word), self.total) * _idf(1, LEARNT) / _idf(1, max(self.total, FEW))


def _idf(documents: int, total: int) -> float:
    documents = min(documents, total)
    return float(np.log(1 + (total - documents + 0.5) / (documents + 0.5)))


def count_words(conn: Connection, words: Iterable[str]) -> Frequencies:
    """Read the document frequencies of words at all levels."""
    keys = [COUNT, *(key_of(word, level) for word in words for level in LEVELS)]
    rows = conn.execute(
        "SELECT key, documents FROM search_keys WHERE key = ANY(%s) AND documents > 0", (keys,), binary=True
    )
    found: dict[int, int] = dict(rows.fetchall())
    return Frequencies(found.pop(COUNT, 0), found)


def count_rarity(conn: Connection, words: Collection[str], total: int) -> dict[str, float]:
    """Compute the inverse document frequency of words among names, trigger words and tags, singular and plural."""
    keys = {word: [key_of(form, level) for form in (word, f"{word}s") for level in (NAMED, USUAL)] for word in words}
    rows = conn.execute(
        "SELECT key, documents FROM search_keys WHERE key = ANY(%s) AND documents > 0",
        ([key for own in keys.values() for key in own],),
        binary=True,
    )
    counts: dict[int, int] = dict(rows.fetchall())
    held = {word: sum(counts.get(key, 0) for key in own) for word, own in keys.items()}
    return {word: math.log((total + 1) / (min(n, total) + 1)) for word, n in held.items() if n}


def choose_keys(frequencies: Frequencies, words: Collection[str], others: Collection[str], budget: int) -> set[int]:
    """Choose the keys with the highest idf whose documents fit into the budget.

    ``others`` are words in their other number; they are looked up in names only, after all ``words``.
    """
    offers = []
    for word, level in (*product(words, LEVELS), *product(others, (NAMED,))):
        key = key_of(word, level)
        if key in frequencies.documents:
            offers.append((word in words, WORTH[level] * frequencies.idf(word), key, frequencies.documents[key]))
    chosen: set[int] = set()
    for *_, key, documents in sorted(offers, reverse=True):
        if documents <= budget:
            chosen.add(key)
            budget -= documents
    return chosen


def filters(family: str | None, policy: Policy, kinds: Sequence[str] | None) -> sql.Composable:
    """Write the condition that everything returned must satisfy; ``family`` None is every family.

    The columns hold what tools/licence.py says of a document's first card.
    """
    clauses: list[sql.Composable] = [sql.SQL("safe"), sql.SQL("nsfw_level <= {}").format(policy.nsfw_level)]
    if family is not None:
        clauses.append(sql.SQL("family = ANY({})").format(list(usable_families(family))))
    if policy.profile != "personal":
        clauses.append(sql.Identifier(policy.profile))
    if policy.installed_only:
        clauses.append(sql.SQL("installed"))
    if kinds is not None:
        clauses.append(sql.SQL("kind = ANY({})").format(list(kinds)))
    return sql.SQL(" AND ").join(clauses)


def by_keys(conn: Connection, where: sql.Composable, keys: Collection[int]) -> list[DocumentRow]:
    """Read the documents that hold one of the keys."""
    return _overlapping(conn, where, "keys", keys, 10_000)


def by_misspelling(conn: Connection, where: sql.Composable, word: str) -> list[DocumentRow]:
    """Read documents with a name or trigger word one typing error away."""
    return _overlapping(conn, where, "forms", [key_of(form, MISSPELT) for form in misspellings(word) | {word}], 20)


def _overlapping(
    conn: Connection, where: sql.Composable, column: str, keys: Collection[int], limit: int
) -> list[DocumentRow]:
    if not keys:
        return []
    with conn.transaction():
        # Postgres estimates array comparisons as cheap as number comparisons, and would scan every row.
        conn.execute("SET LOCAL enable_seqscan = off")
        return _rows(
            conn, where, sql.SQL("{} && %s").format(sql.Identifier(column)), [sorted(keys), limit], sql.SQL("LIMIT %s")
        )


def by_creators(conn: Connection, where: sql.Composable, creators: Collection[int], limit: int) -> list[DocumentRow]:
    """Read documents of some creators, the most downloaded first."""
    condition = sql.SQL("creator = ANY(%s)")
    order = sql.SQL("ORDER BY downloads DESC LIMIT %s")
    return _rows(conn, where, condition, [sorted(creators), limit], order) if creators else []


def by_meaning(conn: Connection, where: sql.Composable, vector: NDArray[np.float32], limit: int) -> list[DocumentRow]:
    """Read the documents nearest to a vector: exact, or through the family's HNSW index if there is one."""
    order = sql.SQL("ORDER BY {} LIMIT %s").format(distance(len(vector)))
    return _rows(conn, where, sql.SQL("true"), [HalfVector(vector), limit], order)


def others_of(frequencies: Frequencies, word: str) -> set[str]:
    """List a word's other numbers that are names or trigger words; words for looks, such as lips, are too common."""
    others = other_numbers(word)
    if not _LOOKS.isdisjoint({word, *others}):
        return set()
    return {other for other in others if key_of(other, NAMED) in frequencies.documents}


def by_names(conn: Connection, where: sql.Composable, keys: Collection[int], limit: int) -> dict[int, set[int]]:
    """Name the documents that go by one of these names, the most downloaded first, each with its names' keys."""
    if not keys:
        return {}
    query = sql.SQL(
        "SELECT id, array_agg(DISTINCT key) FROM search_names JOIN search_documents USING (model_key, family) "
        "WHERE key = ANY(%s) AND {} GROUP BY id, downloads ORDER BY downloads DESC LIMIT %s"
    ).format(where)
    return {document: set(found) for document, found in conn.execute(query, (list(keys), limit))}


def by_ids(conn: Connection, where: sql.Composable, ids: Collection[int]) -> list[DocumentRow]:
    """Read documents by their ids."""
    return _rows(conn, where, sql.SQL("id = ANY(%s)"), [sorted(ids)], sql.SQL("")) if ids else []


def unknown_words(frequencies: Frequencies, words: Iterable[str]) -> list[str]:
    """List words, the longest first, that may be misspelt: no adapter is called so, and they are no English."""
    unknown = {
        word
        for word in words
        if len(word) >= SHORTEST_MISSPELT
        and not (frequencies.of(word) if is_everyday(word) else frequencies.documents.get(key_of(word, NAMED)))
        and not others_of(frequencies, word)
    }
    return sorted(unknown, key=lambda word: (-len(word), word))[:MAX_UNKNOWN]


def cosines(rows: Sequence[DocumentRow], vector: NDArray[np.float32]) -> NDArray[np.float32]:
    """Compute the cosine of each row's vector. As sent it is two 16-bit headers, then big-endian half floats."""
    if not rows:
        return np.zeros(0, np.float32)
    halves = np.frombuffer(b"".join(row.vector for row in rows), ">f2").reshape(len(rows), -1)
    return halves[:, 2:].astype(np.float32) @ vector


def _rows(
    conn: Connection,
    where: sql.Composable,
    condition: sql.Composable,
    parameters: list[Any],
    order: sql.Composable,
) -> list[DocumentRow]:
    # The vectors are serialised after the limit, for the remaining rows only: that costs more than comparing them.
    query = sql.SQL(
        "SELECT id, model_key, family, creator, downloads, body, halfvec_send(vector) "
        "FROM (SELECT * FROM search_documents WHERE {} AND {} {}) AS found"
    ).format(where, condition, order)
    return [DocumentRow(*row) for row in conn.execute(query, parameters, binary=True)]
