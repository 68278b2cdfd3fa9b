"""The search document of one model and family, made from its cards, in the form that search reads.

``keys`` are the entries of the inverted index: each word with its level, that is how prominent it is. ``forms`` are
misspellings of the names. ``body`` holds the fields as tokens; a mark of the field stands before each unit (a trigger
phrase, a tag, an example prompt). The module does not use the database.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from stylus_gen.tools.card import Card
from stylus_gen.tools.licence import mildest_level, unlicensed, unsafe
from stylus_gen.tools.search.words import Reading, joined, keys_of, misspellings, read
from stylus_gen.tools.stem import is_generic_name, stem_of

NAME, TRIGGER, TAG, FILE, DESCRIPTION, EXAMPLE, STEM = range(1, 8)
"""Fields, as marks in a body."""
FIELDS = 8

FORMAT = 1
"""Raise it whenever the content or numbering of documents changes: older indexes are then rebuilt."""

NAMED, USUAL, USED, DESCRIBED = range(4)
"""Levels: in the name or a trigger; a tag or in two example prompts; in one example prompt; in the description."""
MISSPELT = 4
"""The level of words with a letter dropped."""

# Limits of words per unit and units per field; 97 % of real cards are within them.
WORDS = {NAME: 32, TRIGGER: 24, TAG: 8, FILE: 16, DESCRIPTION: 160, EXAMPLE: 120, STEM: 16}
UNITS = {TRIGGER: 64, TAG: 32, FILE: 8, EXAMPLE: 12, STEM: 8}

# Embedded are a short form of the card and its first example prompts; more or longer ones bring little.
EMBEDDED_EXAMPLES = 4
EMBEDDED_LENGTH = 250  # characters, of one text
CARD_SHARE = 0.2


@dataclass(frozen=True)
class Document:
    """One row of ``search_documents`` without its vector. ``texts`` are embedded: the card, then its examples."""

    model_key: str
    family: str
    kind: str
    safe: bool
    nsfw_level: int
    commercial: bool
    strict: bool
    installed: bool
    creator: int
    downloads: int
    keys: list[int]
    forms: list[int]
    body: bytes
    texts: tuple[str, ...]


def make_document(cards: Sequence[Card]) -> Document:
    """Make the document of one model and family from its cards."""
    first = cards[0]
    units = list(_units(cards))
    keys, forms = _keys(units)
    return Document(
        model_key=first.model_key,
        family=first.family,
        kind=first.kind,
        safe=unsafe(first) is None,
        nsfw_level=mildest_level(first),
        commercial=unlicensed(first, "commercial") is None,
        strict=unlicensed(first, "strict") is None,
        installed=any(card.path for card in cards),
        creator=creator_number(first.creator),
        downloads=sum(card.stats.downloads for card in {c.version: c for c in cards}.values()),
        keys=keys,
        forms=forms,
        body=_body(units),
        texts=tuple(_texts(cards)),
    )


def creator_number(name: str) -> int:
    """Number a creator, 31 bits; 0 if unknown."""
    return crc32(name.encode()) >> 1 if name else 0


def _units(cards: Sequence[Card]) -> Iterator[tuple[int, Reading]]:
    for field, texts in _fields(cards):
        for text in list(dict.fromkeys(texts))[: UNITS.get(field, 1)]:
            reading = read(text, WORDS[field])
            if reading.words:
                yield field, reading


def _fields(cards: Sequence[Card]) -> Iterator[tuple[int, Iterable[str]]]:
    yield NAME, [cards[0].name]
    yield TRIGGER, chain.from_iterable(card.trigger_words for card in cards)
    yield TAG, cards[0].tags
    yield FILE, [card.version for card in cards]
    yield STEM, [stem for card in cards if not is_generic_name(stem := stem_of(card.file_name))]
    yield DESCRIPTION, [max((card.description for card in cards), key=len)]
    yield EXAMPLE, (example.prompt for card in cards for example in card.examples)


def _keys(units: Iterable[tuple[int, Reading]]) -> tuple[list[int], list[int]]:
    levels: dict[str, int] = {}
    named: set[str] = set()
    for field, reading in units:
        for word in {*reading.words, *(joined(reading.words) if field != DESCRIPTION else ())}:
            known = levels.get(word, DESCRIBED + 1)
            levels[word] = min(known, USUAL if field == EXAMPLE and known == USED else _LEVEL[field])
        if field in (NAME, TRIGGER):
            named.update(reading.words)
    forms = named.union(*map(misspellings, named))
    return keys_of(levels.items()), keys_of((form, MISSPELT) for form in forms)


_LEVEL = {NAME: NAMED, TRIGGER: NAMED, TAG: USUAL, FILE: NAMED, DESCRIPTION: DESCRIBED, EXAMPLE: USED, STEM: NAMED}


def _body(units: Iterable[tuple[int, Reading]]) -> bytes:
    return b"".join(field.to_bytes(4, "little") + reading.tokens.astype("<u4").tobytes() for field, reading in units)


def join_vectors(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """Join the embeddings of a document's texts to one unit vector: the examples' mean and a share of the card."""
    card, examples = vectors[0], vectors[1:].sum(axis=0)
    length = float(np.linalg.norm(examples))
    joint = CARD_SHARE * card + examples / length if length else card
    return joint / np.float32(np.linalg.norm(joint))  # type: ignore[no-any-return]


def _texts(cards: Sequence[Card]) -> Iterator[str]:
    card = cards[0]
    parts = (card.name, ", ".join(card.trigger_words)[:80], ", ".join(card.tags)[:80], card.description)
    yield ", ".join(part for part in parts if part)[:EMBEDDED_LENGTH]
    examples = dict.fromkeys(example.prompt for card in cards for example in card.examples)
    yield from (example[:EMBEDDED_LENGTH] for example in list(examples)[:EMBEDDED_EXAMPLES])
