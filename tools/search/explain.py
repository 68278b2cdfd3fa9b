"""Explanation: the evidence for a candidate, in a few words."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from stylus_gen.tools.candidate import PARTIAL
from stylus_gen.tools.search.document import NAME, STEM, TRIGGER
from stylus_gen.tools.search.features import COLUMN, Shared
from stylus_gen.tools.search.gather import Found

# The least value of each feature that is named as evidence.
SAID = {"tags": 0.1, "description": 0.1, "examples": 0.1, "creator": 0.15, "meaning": 0.4}
_COLUMNS = [COLUMN[name] for name in SAID]
_LEAST = list(SAID.values())
WORDS = 6


def explain(found: Found, query: int, documents: Sequence[int], family: str | None) -> list[tuple[str, ...]]:
    """List the evidence for each document: words of its name and triggers, then features, then its family."""
    measured = found.features[query][np.ix_(documents, _COLUMNS)]
    reasons = []
    for document, values in zip(documents, (measured >= _LEAST).tolist(), strict=True):
        own = found.rows[document].family
        reasons.append(
            (
                *_words(found, query, document),
                *(name for name, enough in zip(SAID, values, strict=True) if enough),
                *((f"{PARTIAL}{own}",) if family not in (None, own) else ()),
            )
        )
    return reasons


def _words(found: Found, query: int, document: int) -> Iterator[str]:
    """Quote the query's words in the triggers, the name and the file's stem; mark near spellings."""
    shared, row = _place(found, document)
    said = found.query.masks[query]
    for name, field in (("trigger", TRIGGER), ("name", NAME), ("file", STEM)):
        places = np.flatnonzero(said & (shared.tf[row, field] > 0))[:WORDS]
        if len(places):
            nearly = "nearly " if found.misspelt.keys() & set(places.tolist()) else ""
            yield f"{nearly}{name} {' '.join(found.query.texts[places])!r}"


def _place(found: Found, document: int) -> tuple[Shared, int]:
    for shared in found.shared:
        if document < len(shared.lengths):
            return shared, document
        document -= len(shared.lengths)
    raise IndexError(document)
