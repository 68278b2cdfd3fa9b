"""Explanation: which evidence speaks for a candidate, in a few words."""

from __future__ import annotations

import numpy as np

from stylus_gen.tools.search.document import NAME, TRIGGER
from stylus_gen.tools.search.features import COLUMN, Shared
from stylus_gen.tools.search.gather import Found

# What is worth saying, from which value on.
SAID = {"tags": 0.1, "description": 0.1, "examples": 0.1, "creator": 0.15, "meaning": 0.4}


def explain(found: Found, query: int, document: int, family: str | None) -> tuple[str, ...]:
    """Say which evidence found a document: words of its name and triggers, then fields, likeness and family."""
    reasons = [
        *(f"trigger {text!r}" for text in _words(found, query, document, TRIGGER)),
        *(f"name {text!r}" for text in _words(found, query, document, NAME)),
        *(name for name, least in SAID.items() if found.features[query, document, COLUMN[name]] >= least),
    ]
    own = found.rows[document].family
    return (*reasons, f"partial: made for {own}") if family not in (None, own) else tuple(reasons)


def _words(found: Found, query: int, document: int, field: int) -> list[str]:
    """List the query's words that a field holds, in the prompt's order, as one text."""
    shared, row = _place(found, document)
    held = np.flatnonzero((shared.tf[row, field] > 0) & found.query.masks[query])
    words = [found.query.texts[i] for i in held]
    return [" ".join(words[:6])] if words else []


def _place(found: Found, document: int) -> tuple[Shared, int]:
    for shared in found.shared:
        if document < len(shared.lengths):
            return shared, document
        document -= len(shared.lengths)
    raise IndexError(document)
