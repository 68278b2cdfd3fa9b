"""Compute features: for each candidate and query, how well the document matches. Pure arithmetic over tokens.

A query is a set of the prompt's words: all of them, or those of one concept. All candidates and queries are computed
at once, from the tokens that candidate and prompt share.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stylus_gen.tools.search.document import DESCRIPTION, EXAMPLE, FIELDS, NAME, STEM, TAG, TRIGGER
from stylus_gen.tools.search.words import FIRST_TOKEN, GAP_BITS

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]
Flags = NDArray[np.bool_]

NAMES = (
    "tags", "description", "examples", "fields", "trigger share", "name share", "own name", "own trigger", "said",
    "likeness", "phrasing", "meaning", "shown", "downloads", "creator",
)  # fmt: skip
"""The features, in the columns' order; the last one depends on other candidates and is set by `add_creator`."""
COLUMN = {name: column for column, name in enumerate(NAMES)}

# BM25's saturation and length norm; documents differ more in the number of examples than in their content.
K1 = 1.2
B = np.array([0.75, 0.75, 0.75, 0.75, 0.75, 0.75, 0.4, 0.75], np.float32)
# Mean number of words in each field over the real cards, for BM25's length norm.
MEAN_WORDS = np.array([1, 4, 7, 8, 6, 60, 110, 4], np.float32)
# BM25F's weights, fields in document.py's order.
FIELD_WEIGHT = np.array([0, 3, 3, 1.5, 0, 0.5, 2.0, 3], np.float32)
NAMING = (NAME, TRIGGER)
"""The fields in which a word may match in its other number (singular or plural), sorted."""
UNSHARED = 5.0
"""The idf of an example's words that the prompt lacks, in the Jaccard similarity."""


@dataclass(frozen=True)
class Query:
    """A prompt as numbers: its tokens and its sorted words, each with its idf and 1 / (adapters with that name).

    The first query is the whole prompt. ``masks`` is (queries, words); ``texts`` are the words as text. The other
    number of a word ("dog" for a prompt with "dogs") is also a word: it has less ``worth``, and matches only names and
    trigger words. ``said`` is the total idf of each query.
    """

    tokens: NDArray[np.uint32]
    words: NDArray[np.uint32]
    idf: Floats
    sole: Floats
    worth: Floats
    masks: Flags
    said: Floats
    texts: NDArray[np.object_]


@dataclass(frozen=True)
class Shared:
    """What documents share with a prompt, unit by unit (a trigger phrase, an example…) and field by field."""

    document: Ints  # (units,)
    field: Ints  # (units,)
    length: Ints  # (units,) words
    words: Floats  # (units, query words): 1 where shared
    exact: Floats  # (units,) idf of the shared tokens, the gap after the word compared too
    pairs: Floats  # (units,) idf of shared neighbours
    tf: Floats  # (documents, FIELDS, query words)
    lengths: Floats  # (documents, FIELDS)


def share(bodies: Sequence[bytes], query: Query) -> Shared:
    """Find what bodies and a prompt share, token by token."""
    stream = np.frombuffer(b"".join(bodies), "<u4")
    starts = np.flatnonzero(stream < FIRST_TOKEN)
    unit_of = np.cumsum(stream < FIRST_TOKEN) - 1
    document = np.repeat(np.arange(len(bodies)), [len(body) // 4 for body in bodies])[starts]
    field = stream[starts].astype(np.int64)
    length = np.diff(starts, append=len(stream)) - 1
    at, place = _shared_tokens(stream, query.words)
    spoken = (query.worth[place] == 1) | _among(field[unit_of[at]], np.array(NAMING))
    at, place = at[spoken], place[spoken]
    unit = unit_of[at]
    words = np.zeros((len(starts), len(query.words)), np.float32)
    words[unit, place] = 1
    shape = (len(bodies), FIELDS, len(query.words))
    counts = (field != STEM) | (words.sum(1) >= length)  # a stem is a name only as a whole: its parts are often generic
    flat = ((document[unit] * FIELDS + field[unit]) * shape[2] + place)[counts[unit]]
    lengths = np.bincount(document * FIELDS + field, length, shape[0] * FIELDS)
    exact = _among(stream[at], np.unique(query.tokens))
    first = np.flatnonzero((np.diff(at) == 1) & _among(_pair(place[:-1], place[1:]), _pairs_of(query)))
    of_pair = query.idf[place[first]] + query.idf[place[first + 1]] if len(first) else np.zeros(0)
    return Shared(
        document, field, length, words,
        exact=np.bincount(unit[exact], query.idf[place[exact]], len(starts)).astype(np.float32),
        pairs=np.bincount(unit[first], of_pair, len(starts)).astype(np.float32),
        tf=np.bincount(flat, minlength=int(np.prod(shape))).reshape(shape).astype(np.float32),
        lengths=lengths.reshape(shape[0], FIELDS).astype(np.float32),
    )  # fmt: skip


def measure(shared: Shared, query: Query, cosine: Floats, downloads: Floats) -> Floats:
    """Compute the features of documents for each query, except the creator's: (queries, documents, features).

    Likeness, phrasing and meaning belong to the whole prompt; for a concept they are zero.
    """
    idf = query.masks * query.idf * query.worth
    features = np.zeros((len(idf), len(cosine), len(NAMES)), np.float32)
    for column, values in enumerate((*_bm25(shared, idf), *_phrases(shared, query))):
        features[:, :, column] = values
    features[0, :, COLUMN["likeness"]], features[0, :, COLUMN["phrasing"]] = _examples(shared, query)
    features[0, :, COLUMN["meaning"]] = cosine
    shown = np.bincount(shared.document[shared.field == EXAMPLE], minlength=len(cosine))
    features[:, :, COLUMN["shown"]] = np.log1p(shown)
    features[:, :, COLUMN["downloads"]] = np.log10(1 + downloads)
    return features


def add_creator(features: Floats, creator: Ints) -> None:
    """Set each candidate's creator feature: the best likeness among the creator's candidates, or its own if unknown."""
    if not len(creator):
        return
    _, group = np.unique(np.where(creator == 0, -1 - np.arange(len(creator)), creator), return_inverse=True)
    best = np.zeros(int(group.max()) + 1, np.float32)
    np.maximum.at(best, group, features[0, :, COLUMN["likeness"]])
    features[0, :, COLUMN["creator"]] = best[group]


def _shared_tokens(stream: NDArray[np.uint32], words: NDArray[np.uint32]) -> tuple[Ints, Ints]:
    """Find the tokens of known words: their positions in the stream, and which words they are."""
    if not len(words):
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    # A table over 16 bits of the word rejects most tokens before the binary search.
    table = np.zeros(1 << 16, bool)
    table[words & 0xFFFF] = True
    at = np.flatnonzero(table[(stream >> GAP_BITS) & 0xFFFF] & (stream >= FIRST_TOKEN))
    wanted = stream[at] >> GAP_BITS
    place = np.minimum(np.searchsorted(words, wanted), len(words) - 1)
    known = words[place] == wanted
    return at[known], place[known]


def _among(values: NDArray[Any], known: NDArray[Any]) -> Flags:
    if not len(known):
        return np.zeros(len(values), bool)
    found: Flags = known[np.minimum(np.searchsorted(known, values), len(known) - 1)] == values
    return found


def _pair(a: Ints, b: Ints) -> Ints:
    return a << 20 | b


def _pairs_of(query: Query) -> Ints:
    place = np.searchsorted(query.words, query.tokens >> GAP_BITS)
    return np.unique(_pair(place[:-1], place[1:]))


def _bm25(shared: Shared, idf: Floats) -> list[Floats]:
    """BM25 of three fields, then BM25F over all (Robertson & Zaragoza 2009): each (queries, documents)."""
    norm = 1 - B + B * shared.lengths / MEAN_WORDS
    scores = []
    for field in (TAG, DESCRIPTION, EXAMPLE):
        tf = shared.tf[:, field]
        scores.append(idf @ (tf * (K1 + 1) / (tf + K1 * norm[:, field, None])).T)
    weighted = np.einsum("dfw,df->dw", shared.tf, FIELD_WEIGHT / norm)
    return [*scores, idf @ (weighted * (K1 + 1) / (weighted + K1)).T]


def _phrases(shared: Shared, query: Query) -> list[Floats]:
    """Compute how the prompt names the adapter: five features, each (queries, documents).

    The share of its trigger phrases that the prompt contains in full; the share of the name's words in the prompt; how
    unique the name, and a complete trigger phrase or file stem, is to this adapter (1: no other adapter has it); and
    the share, in idf, that such a word has of the prompt: in "a fox, techpunkmask" it is half.
    """
    documents = len(shared.lengths)
    masks = query.masks.astype(np.float32)
    owner, words, full = _said_in_full(shared, masks, TRIGGER)
    phrases = np.maximum(np.bincount(owner, minlength=documents), 1)
    share = np.stack([np.bincount(owner, row, documents) for row in full]) / phrases
    name = (shared.tf[:, NAME] > 0).astype(np.float32)
    named = np.minimum((masks * query.worth) @ name.T / np.maximum(shared.lengths[:, NAME], 1), 1)
    own, telling = query.sole * query.worth, query.sole * query.worth * query.idf
    own_name, telling_name = (named * _best_word(name, masks * weight) for weight in (own, telling))
    own_trigger, telling_trigger = (
        _best_unit(full * _best_word(words, masks * weight), owner, documents) for weight in (own, telling)
    )
    files, stems, full = _said_in_full(shared, masks, STEM)
    soles = full * _best_word(stems, masks * own)
    own_stem, telling_stem = (_best_unit(v, files, documents) for v in (soles, soles * ((masks * query.idf) @ stems.T)))
    whole = query.said[:, None] + 1e-9
    said = np.maximum(np.maximum(telling_name, telling_trigger), telling_stem) / whole
    return [share, named, own_name, np.maximum(own_trigger, own_stem), said]


def _said_in_full(shared: Shared, masks: Floats, field: int) -> tuple[Ints, Floats, Flags]:
    """List a field's phrases: their documents, their words, and (queries, phrases) whether the query has them all."""
    at = np.flatnonzero(shared.field == field)
    words = shared.words[at]
    said = masks @ words.T
    return shared.document[at], words, (said >= shared.length[at]) & (said > 0)


def _best_unit(values: Any, owner: Ints, documents: int) -> Floats:
    """Take each document's largest value: (queries, units), grouped by document, to (queries, documents)."""
    best = np.zeros((len(values), documents), np.float32)
    if len(owner):
        starts = np.flatnonzero(np.diff(owner, prepend=-1))
        best[:, owner[starts]] = np.maximum.reduceat(values, starts, axis=1)
    return best


def _best_word(held: Floats, weights: Floats) -> Floats:
    """Take, for each query, the largest weight among the words of each row: (queries, rows)."""
    return np.stack([(held[:, known] * row[known]).max(axis=1, initial=0) for row in weights for known in (row > 0,)])


def _examples(shared: Shared, query: Query) -> Floats:
    """Compute the prompt's Jaccard similarity to the nearest example: by words, tokens and pairs; by pairs alone.

    Tokens include the gaps after the words: people who copy a prompt copy its brackets.
    """
    at = np.flatnonzero(shared.field == EXAMPLE)
    unshared = UNSHARED * np.maximum(shared.length[at] - shared.words[at].sum(1), 0)
    whole = query.said[0] + unshared + 1e-9
    neighbours = shared.pairs[at] / 2
    with np.errstate(invalid="ignore"):  # BLAS may set the flag for padding lanes; all numbers here are finite
        likeness = shared.words[at] @ query.idf + shared.exact[at] + neighbours
    return _best_unit(np.stack([likeness, neighbours]) / whole, shared.document[at], len(shared.lengths))
