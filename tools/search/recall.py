"""Recall: which documents are worth measuring, found by rare words first and by meaning, filtered before anything.

It reads the database and ranks nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pgvector import HalfVector
from psycopg import sql
from psycopg.rows import namedtuple_row

from stylus_gen.tools.families import usable_families
from stylus_gen.tools.plan import Policy
from stylus_gen.tools.search.document import NAMED, TOLD, USED, USUAL
from stylus_gen.tools.search.index import COUNT
from stylus_gen.tools.search.words import key_of
from stylus_gen.tools.store.database import Connection

BUDGET = 400
"""Documents that the words of a prompt may bring in, at most, before filters."""
PER_CONCEPT = 60
NEAREST = 60
"""Documents that meaning brings in."""
LEVELS = (NAMED, USUAL, USED, TOLD)
# What a word is worth at each level, of its idf.
WORTH = {NAMED: 1.0, USUAL: 0.8, USED: 0.6, TOLD: 0.3}


@dataclass(frozen=True)
class Frequencies:
    """How many documents there are, and how many hold each key."""

    total: int
    documents: dict[int, int]

    def idf(self, word: str) -> float:
        """BM25's inverse document frequency of a word; a word that nobody uses weighs nothing."""
        n = sum(self.documents.get(key_of(word, level), 0) for level in LEVELS)
        return float(np.log(1 + (self.total - n + 0.5) / (n + 0.5))) if n else 0.0


def count_words(conn: Connection, words: Sequence[str]) -> Frequencies:
    """Read the document frequencies of words at all levels."""
    keys = [COUNT, *(key_of(word, level) for word in words for level in LEVELS)]
    rows = conn.execute("SELECT key, documents FROM search_keys WHERE key = ANY(%s) AND documents > 0", (keys,))
    found = dict(rows.fetchall())
    return Frequencies(found.pop(COUNT, 0), found)


def choose_keys(frequencies: Frequencies, words: Sequence[str], budget: int) -> set[int]:
    """Choose the keys that say most, so that the documents they bring in stay within the budget."""
    offers = []
    for word in set(words):
        idf = frequencies.idf(word)
        for level in LEVELS:
            key = key_of(word, level)
            if key in frequencies.documents:
                offers.append((WORTH[level] * idf, key, frequencies.documents[key]))
    chosen: set[int] = set()
    for _, key, documents in sorted(offers, reverse=True):
        if documents <= budget:
            chosen.add(key)
            budget -= documents
    return chosen


def filters(family: str | None, policy: Policy, kinds: Sequence[str] | None) -> sql.Composable:
    """Write the WHERE clause that everything returned must satisfy; ``family`` None is every family."""
    clauses = [sql.SQL("safe"), sql.SQL("nsfw_level <= {}").format(policy.nsfw_level)]
    if family is not None:
        clauses.append(sql.SQL("family = ANY({})").format(list(usable_families(family))))
    if policy.profile != "personal":
        clauses.append(sql.SQL("commercial" if policy.profile == "commercial" else "strict"))
    if policy.installed_only:
        clauses.append(sql.SQL("installed"))
    if kinds is not None:
        clauses.append(sql.SQL("kind = ANY({})").format(list(kinds)))
    return sql.SQL(" AND ").join(clauses)


def find_documents(
    conn: Connection, keys: set[int], vector: NDArray[np.float32], where: sql.Composable, nearest: int = NEAREST
) -> list[Any]:
    """Read the documents that hold one of the keys, and the nearest by meaning."""
    query = sql.SQL(
        """
        WITH found AS (
            SELECT id FROM search_documents WHERE keys && %(keys)s AND {where}
            UNION
            (SELECT id FROM search_documents WHERE {where} ORDER BY vector <#> %(vector)s LIMIT %(nearest)s)
        )
        SELECT id, model_key, family, kind, creator, downloads, body, -(vector <#> %(vector)s) AS cosine
        FROM found JOIN search_documents USING (id)
        """
    ).format(where=where)
    parameters = {"keys": sorted(keys), "vector": HalfVector(vector), "nearest": nearest}
    with conn.cursor(row_factory=namedtuple_row, binary=True) as cursor:
        return cursor.execute(query, parameters).fetchall()
