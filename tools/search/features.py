"""Evidence in numbers: for each candidate and each query, how well its document answers. Pure arithmetic over tokens.

A query is a set of the prompt's words: all of them, or those of one concept. Everything is computed from the tokens
that candidate and prompt share, for all candidates and queries at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stylus_gen.tools.search.document import DESCRIPTION, EXAMPLE, FIELDS, NAME, TAG, TRIGGER
from stylus_gen.tools.search.words import FIRST_TOKEN, GAP_BITS

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

K1 = 1.2
B = {EXAMPLE: 0.4}
B_OTHER = 0.75
# Mean number of words in each field over the real cards, for BM25's length norm.
MEAN_WORDS = np.array([1, 4, 7, 8, 6, 60, 110], dtype=float)
# BM25F's weights, fields in document.py's order.
FIELD_WEIGHT = np.array([0, 3, 3, 1.5, 0, 0.5, 2.0])
UNSEEN_IDF = 5.0
"""What a word of an example that the prompt does not share weighs in the Jaccard similarity."""


@dataclass(frozen=True)
class Query:
    """A prompt as numbers: its tokens; its words, sorted, with their idf; which words each query holds (bool)."""

    tokens: NDArray[np.uint32]
    words: NDArray[np.uint32]
    idf: Floats
    masks: NDArray[np.bool_]  # (queries, words); the first query is the whole prompt


@dataclass(frozen=True)
class Shared:
    """What candidates share with the prompt: for each unit (a tag, an example) the words it holds."""

    document: Ints  # (units,)
    field: Ints  # (units,)
    length: Ints  # (units,) words
    words: NDArray[np.float32]  # (units, query words): 1 where shared
    raw: Floats  # (units,) idf of the shared tokens, gaps compared too
    pairs: Floats  # (units,) idf of shared neighbours
    tf: Floats  # (documents, FIELDS, query words)
    lengths: Floats  # (documents, FIELDS)


def share(bodies: Sequence[bytes], query: Query) -> Shared:
    """Compare bodies with a prompt, token by token."""
    stream = np.frombuffer(b"".join(bodies), "<u4")
    marks = stream < FIRST_TOKEN
    starts = np.flatnonzero(marks)
    unit = np.cumsum(marks) - 1
    document = np.repeat(np.arange(len(bodies)), [len(body) // 4 for body in bodies])[starts]
    field = stream[starts].astype(np.int64)
    length = np.diff(starts, append=len(stream)) - 1
    place, known = _look_up(stream >> GAP_BITS, query.words)
    at = np.flatnonzero(known & ~marks)
    words = np.zeros((len(starts), len(query.words)), np.float32)
    words[unit[at], place[at]] = 1
    size = (len(bodies), FIELDS, len(query.words))
    flat = (document[unit[at]] * FIELDS + field[unit[at]]) * size[2] + place[at]
    tf = np.bincount(flat, minlength=int(np.prod(size))).reshape(size).astype(float)
    lengths = np.bincount(document * FIELDS + field, length, size[0] * FIELDS).reshape(size[0], FIELDS)
    raw_at = at[_in(stream[at], np.unique(query.tokens))]
    next_at = at[:-1][(np.diff(at) == 1)]
    pair_at = next_at[_in(_pair(place[next_at], place[next_at + 1]), np.unique(_prompt_pairs(query)))]
    return Shared(
        document, field, length, words,
        raw=np.bincount(unit[raw_at], query.idf[place[raw_at]], len(starts)),
        pairs=np.bincount(unit[pair_at], query.idf[place[pair_at]] + query.idf[place[pair_at + 1]], len(starts)),
        tf=tf, lengths=lengths,
    )  # fmt: skip


def _look_up(values: NDArray[np.uint32], sorted_words: NDArray[np.uint32]) -> tuple[Ints, NDArray[np.bool_]]:
    place = np.minimum(np.searchsorted(sorted_words, values), max(0, len(sorted_words) - 1))
    return place, sorted_words[place] == values if len(sorted_words) else np.zeros(len(values), bool)


def _in(values: NDArray[np.generic], among: NDArray[np.generic]) -> NDArray[np.bool_]:
    if not len(among):
        return np.zeros(len(values), bool)
    return among[np.minimum(np.searchsorted(among, values), len(among) - 1)] == values  # type: ignore[no-any-return]


def _pair(a: Ints, b: Ints) -> Ints:
    return a << 20 | b


def _prompt_pairs(query: Query) -> Ints:
    place, _ = _look_up(query.tokens >> GAP_BITS, query.words)
    return _pair(place[:-1], place[1:])


NAMES = (
    "name", "trigger", "tags", "description", "examples", "fields", "trigger phrase", "trigger share", "name share",
    "trigger words", "example", "phrasing", "creator", "meaning", "shown", "downloads",
)  # fmt: skip
"""The features, in the columns' order."""


@dataclass(frozen=True)
class Facts:
    """What is known of each candidate besides its body: arrays over the candidates."""

    creator: Ints
    downloads: Ints
    cosine: Floats


def measure(shared: Shared, query: Query, facts: Facts) -> Floats:
    """Measure every candidate against every query: (queries, candidates, features).

    Examples, phrasing and meaning are of the prompt as a whole; for a concept they are zero.
    """
    idf = query.masks * query.idf
    jaccard, phrasing = _examples(shared, query)
    of_prompt = (jaccard, phrasing, _by_creator(jaccard, facts.creator), facts.cosine)
    prior = (np.log1p(_count(shared, EXAMPLE)), np.log10(1 + facts.downloads))
    first = (np.arange(len(idf)) == 0)[:, None]
    columns = [
        *_bm25(shared, idf),
        *_phrases(shared, query, idf),
        *(first * column for column in of_prompt),
        *(np.broadcast_to(column, (len(idf), len(column))) for column in prior),
    ]
    return np.stack(columns, axis=-1)


def _bm25(shared: Shared, idf: Floats) -> list[Floats]:
    """BM25 of each field, then BM25F over all (Robertson & Zaragoza 2009): each (queries, documents)."""
    norm = np.stack(
        [1 - B.get(f, B_OTHER) + B.get(f, B_OTHER) * shared.lengths[:, f] / MEAN_WORDS[f] for f in range(FIELDS)], 1
    )
    scores = []
    for field in (NAME, TRIGGER, TAG, DESCRIPTION, EXAMPLE):
        tf = shared.tf[:, field]
        scores.append(idf @ (tf * (K1 + 1) / (tf + K1 * norm[:, field, None])).T)
    weighted = np.einsum("dfw,df->dw", shared.tf, FIELD_WEIGHT / norm)
    return [*scores, idf @ (weighted * (K1 + 1) / (weighted + K1)).T]


def _phrases(shared: Shared, query: Query, idf: Floats) -> list[Floats]:
    """Trigger phrases said in full, and how much of the name and of the trigger words is said: (queries, documents)."""
    documents = len(shared.lengths)
    at = np.flatnonzero(shared.field == TRIGGER)
    owner, words = shared.document[at], shared.words[at]
    said = query.masks.astype(np.float32) @ words.T
    full = (said >= shared.length[at]) & (said > 0)
    best = np.zeros((len(idf), documents))
    np.maximum.at(best.T, owner, (full * (idf @ words.T)).T)
    share = np.stack([np.bincount(owner, row, documents) for row in full.astype(float)])
    share /= np.maximum(np.bincount(owner, minlength=documents), 1)
    said_words = (shared.tf > 0).astype(np.float32)
    named, triggered = (
        (query.masks @ said_words[:, field].T) / np.maximum(shared.lengths[:, field], 1) for field in (NAME, TRIGGER)
    )
    return [best, share, named, triggered]


def _examples(shared: Shared, query: Query) -> tuple[Floats, Floats]:
    """Jaccard similarity of the prompt with the nearest example: by tokens, gaps and all; and by neighbours."""
    documents = len(shared.lengths)
    at = np.flatnonzero(shared.field == EXAMPLE)
    idf_of_prompt = query.idf.sum()
    unseen = UNSEEN_IDF * np.maximum(shared.length[at] - shared.words[at].sum(1), 0)
    best = []
    for common in (shared.raw[at], shared.pairs[at] / 2):
        near = np.zeros(documents)
        np.maximum.at(near, shared.document[at], common / (idf_of_prompt + unseen + 1e-9))
        best.append(near)
    return best[0], best[1]


def _by_creator(values: Floats, creator: Ints) -> Floats:
    """Give each candidate the best value among its creator's; who has no creator stands alone."""
    _, group = np.unique(np.where(creator == 0, -1 - np.arange(len(creator)), creator), return_inverse=True)
    best = np.zeros(len(values))
    np.maximum.at(best, group, values)
    return best[group]  # type: ignore[no-any-return]


def _count(shared: Shared, field: int) -> Ints:
    return np.bincount(shared.document[shared.field == field], minlength=len(shared.lengths))
