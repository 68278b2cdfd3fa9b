"""Candidates: the adapters behind the best documents.

Of a model's versions search takes the one whose trigger words the prompt says, else an installed one, else the newest.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from stylus_gen.tools.candidate import candidate_of
from stylus_gen.tools.plan import Candidate
from stylus_gen.tools.store.adapters import get_cards
from stylus_gen.tools.store.database import Connection, Database
from stylus_gen.tools.text import has_words


class Version(NamedTuple):
    """A file that a document is made of."""

    document: int
    id: str
    trigger_groups: Sequence[Sequence[str]]
    installed: bool


def choose_versions(
    conn: Connection, documents: Sequence[int], prompt: str, *, installed_only: bool
) -> dict[int, Version]:
    """Choose for each document, by its id, the version that fits the prompt; a document without one is left out."""
    rows = conn.execute(
        """
        SELECT document.id, cards.id, trigger_groups, path IS NOT NULL,
               (SELECT hashed.path FROM file_hashes AS hashed WHERE hashed.path = cards.path)
        FROM search_documents AS document JOIN cards USING (model_key, family)
        WHERE document.id = ANY(%s) AND NOT retired AND (path IS NOT NULL OR NOT %s)
        ORDER BY created_at DESC NULLS LAST, cards.id
        """,
        (list(documents), installed_only),
    )
    versions: dict[int, list[Version]] = defaultdict(list)
    for row in rows:
        version = _version(*row)
        if version.installed or not installed_only:
            versions[version.document].append(version)
    return {document: _choose(files, prompt) for document, files in versions.items()}


def _choose(versions: Sequence[Version], prompt: str) -> Version:
    if len(versions) == 1:
        return versions[0]
    return max(versions, key=lambda version: (_says(prompt, version.trigger_groups), version.installed))


def _version(document: int, file_id: str, groups: Any, installed: bool, imported: str | None) -> Version:
    """Check whether a file that was imported is still there: it may have been deleted since."""
    return Version(document, file_id, groups, installed and (imported is None or os.path.isfile(imported)))


def make_candidates(db: Database, versions: Mapping[int, Version]) -> dict[int, Candidate]:
    """Read the versions' cards and make their candidates, by document; search sets score and evidence."""
    cards = {card.id: card for card in get_cards(db, [version.id for version in versions.values()])}
    return {
        document: candidate_of(cards[version.id]).model_copy(update={"installed": version.installed})
        for document, version in versions.items()
        if version.id in cards
    }


def _says(prompt: str, groups: Sequence[Sequence[str]]) -> bool:
    return any(has_words(prompt, word) for group in groups[:8] for word in group[:8])
