"""Gather candidates: turn a prompt and its concepts into queries, recall documents, compute their features.

The whole prompt is the first query; each concept is another one, over its own words.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import chain

import numpy as np
from numpy.typing import NDArray
from psycopg import sql

from stylus_gen.tools.plan import WHOLE, Concept
from stylus_gen.tools.plurals import other_numbers
from stylus_gen.tools.search import recall
from stylus_gen.tools.search.document import NAMED, TRIGGER
from stylus_gen.tools.search.embed import Embedder
from stylus_gen.tools.search.features import NAMES, Floats, Query, Shared, add_creator, measure, share
from stylus_gen.tools.search.fusion import WEIGHTS, fuse
from stylus_gen.tools.search.index import check_settings, vectors_of
from stylus_gen.tools.search.names import LONGEST, content_of, words_of
from stylus_gen.tools.search.names import key_of as name_key
from stylus_gen.tools.search.recall import DocumentRow, Frequencies
from stylus_gen.tools.search.words import Reading, joined, key_of, read, word_number
from stylus_gen.tools.store.database import Connection

MAX_WORDS = 400
"""Words read from a prompt; from a concept 32."""
MAX_CONCEPTS = 32
LONGEST_CONCEPT = 8
"""Words of a concept that is looked through for names; a longer one is a sentence, and its names are concepts too."""
EMBEDDED_LENGTH = 700
"""Characters of a prompt that are embedded."""

# Limits of documents: by the prompt's words, by each concept's words, by meaning, by creators of the best documents.
BY_WORDS = 900
BY_CONCEPT = 60
BY_MEANING = 60
BY_CREATORS = 120
OTHER_NUMBER = 0.6
"""The worth of a word that names an adapter in its other number: "dogs" for Dog."""
BY_NAMES = 300
BEST = 15
"""Documents whose creators are looked up: people's prompts resemble their own examples."""


@dataclass
class Found:
    """Documents and their features, (queries, documents, features).

    ``misspelt`` maps the position of a query word to the ids of documents with a name one typing error away; ``named``
    has, for each concept, the ids of the documents whose names it says.
    """

    queries: tuple[str, ...]
    query: Query
    vector: NDArray[np.float32]
    misspelt: Mapping[int, set[int]]
    frequencies: Frequencies
    named: Sequence[set[int]]
    rows: list[DocumentRow] = field(default_factory=list)
    shared: list[Shared] = field(default_factory=list)
    features: Floats = field(init=False)

    def __post_init__(self) -> None:
        self.features = np.zeros((len(self.queries), 0, len(NAMES)), np.float32)

    def add(self, rows: Iterable[DocumentRow]) -> None:
        """Add documents and compute the features of the new ones."""
        known = {row.id for row in self.rows}
        new = [row for i, row in {row.id: row for row in rows}.items() if i not in known]
        if not new:
            return
        shared = share([row.body for row in new], self.query)
        for place, ids in self.misspelt.items():
            # As if it were spelt correctly: a trigger word in the prompt.
            shared.tf[[row.id in ids for row in new], TRIGGER, place] = 1
        downloads = np.array([row.downloads for row in new], np.float32)
        features = measure(shared, self.query, recall.cosines(new, self.vector), downloads)
        self.features = np.concatenate([self.features, features], axis=1)
        self.rows += new
        self.shared.append(shared)

    def creators(self) -> set[int]:
        """Return the creators of the best documents so far."""
        best = np.argsort(-fuse(self.features[:1], WEIGHTS)[0])[:BEST]
        return {self.rows[i].creator for i in best} - {0}


def gather(
    conn: Connection, embedder: Embedder, prompt: str, concepts: Sequence[Concept], where: sql.Composable
) -> Found:
    """Find documents and compute their features. Raises what `check_settings` raises."""
    check_settings(conn, embedder)
    with ThreadPoolExecutor(1) as worker:
        # The embedding's arithmetic releases the interpreter lock meanwhile.
        embedding = worker.submit(vectors_of, embedder, [prompt[:EMBEDDED_LENGTH]])
        asked = concepts[:MAX_CONCEPTS]
        readings = [read(prompt, MAX_WORDS), *(read(" ; ".join(texts_of(concept)), 32) for concept in asked)]
        frequencies = recall.count_words(conn, {word for reading in readings for word in _sought(reading)})
        close = {
            word: rows
            for word in recall.unknown_words(frequencies, readings[0].words)
            if (rows := recall.by_misspelling(conn, where, word))
        }
        by_words = recall.by_keys(conn, where, _keys(frequencies, readings))
        keys = [_name_keys(concept) for concept in asked]
        by_names = recall.by_names(conn, where, set().union(*keys), BY_NAMES)
        vector = embedding.result()[0]
    query = _query(readings, frequencies, close.keys())
    misspelt = {
        int(np.searchsorted(query.words, word_number(word))): {row.id for row in rows} for word, rows in close.items()
    }
    named = [{document for document, own in by_names.items() if own & said} for said in keys]
    found = Found((WHOLE, *(concept.id for concept in asked)), query, vector, misspelt, frequencies, named)
    found.add(chain(by_words, *close.values(), recall.by_meaning(conn, where, vector, BY_MEANING)))
    found.add(recall.by_ids(conn, where, by_names.keys() - {row.id for row in found.rows}))
    found.add(recall.by_creators(conn, where, found.creators(), BY_CREATORS))
    add_creator(found.features, np.array([row.creator for row in found.rows]))
    return found


def texts_of(concept: Concept) -> tuple[str, ...]:
    """List what a concept is searched by: its words in the prompt, then others that mean the same."""
    return (concept.text, *concept.search_terms)


def _name_keys(concept: Concept) -> set[int]:
    """Number all that may be a name in a concept: each run of its words."""
    return {
        name_key(words[first : first + size])
        for words in map(words_of, texts_of(concept))
        if len(words) <= LONGEST_CONCEPT
        for first in range(len(words))
        for size in range(1, min(LONGEST, len(words) - first) + 1)
        if content_of(words[first : first + size])
    }


def _said(reading: Reading) -> set[str]:
    return {*reading.words, *joined(reading.words)}


def _sought(reading: Reading) -> set[str]:
    return _said(reading).union(*map(other_numbers, reading.words))


def _others(reading: Reading, frequencies: Frequencies) -> set[str]:
    return set().union(*(recall.others_of(frequencies, word) for word in reading.words)) - _said(reading)


def _keys(frequencies: Frequencies, readings: Sequence[Reading]) -> set[int]:
    keys: set[int] = set()
    for reading, budget in zip(readings, [BY_WORDS] + [BY_CONCEPT] * len(readings), strict=False):
        keys |= recall.choose_keys(frequencies, _said(reading), _others(reading, frequencies), budget)
    return keys


def _query(readings: Sequence[Reading], frequencies: Frequencies, misspelt: Collection[str]) -> Query:
    said = [_said(reading) for reading in readings]
    present = set().union(*said)
    others = [_others(reading, frequencies) for reading in readings]
    known = {word for word in present.union(*others) if frequencies.of(word)} | set(misspelt)
    words = sorted(known, key=word_number)
    idf = np.array([frequencies.idf(word) for word in words], np.float32)
    worth = np.array([1 if word in present else OTHER_NUMBER for word in words], np.float32)
    # A word whose own number no document has still counts.
    instead = {o for word in present if not frequencies.of(word) for o in recall.others_of(frequencies, word)}
    weighs = np.array([word in present or word in instead for word in words], bool)
    masks = np.array(
        [[word in part or word in other for word in words] for part, other in zip(said, others, strict=True)], bool
    )
    masks = masks.reshape(len(said), len(words))
    return Query(
        tokens=readings[0].tokens,
        words=np.array([word_number(word) for word in words], np.uint32),
        idf=idf,
        sole=np.array([1 / max(1, frequencies.documents.get(key_of(word, NAMED), 1)) for word in words], np.float32),
        worth=worth,
        masks=masks,
        said=masks @ (idf * weighs),
        texts=np.array(words, object),
    )
