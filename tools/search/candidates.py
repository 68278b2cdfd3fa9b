"""Candidates: the adapters behind the best documents, with what a planner must know of each.

Of a model's versions the one whose trigger words the prompt says is taken, else an installed one, else the newest.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Collection, Sequence
from typing import Any, get_args

from psycopg.rows import namedtuple_row

from stylus_gen.tools.card import WeightSource
from stylus_gen.tools.plan import Candidate
from stylus_gen.tools.store.database import Connection
from stylus_gen.tools.text import has_words
from stylus_gen.tools.weights import usual_weight

Versions = dict[int, list[Any]]


def read_versions(conn: Connection, documents: Collection[int], *, installed_only: bool) -> Versions:
    """Read the files that some documents are made of, newest first, by the document's id."""
    with conn.cursor(row_factory=namedtuple_row) as cursor:
        rows: list[Any] = cursor.execute(
            """
            SELECT document.id AS document, summary, cards.id, model_key, family, name, version, cards.kind, tags,
                   trigger_groups, weight, weight_source, path IS NOT NULL AS installed,
                   (SELECT hashed.path FROM file_hashes AS hashed WHERE hashed.path = cards.path) AS imported
            FROM search_documents AS document JOIN cards USING (model_key, family)
            WHERE document.id = ANY(%s) AND NOT retired AND (path IS NOT NULL OR NOT %s)
            ORDER BY created_at DESC NULLS LAST, cards.id
            """,
            (list(documents), installed_only),
        ).fetchall()
    versions: Versions = defaultdict(list)
    for row in map(_look, rows):
        if row.installed or not installed_only:
            versions[row.document].append(row)
    return versions


def _look(row: Any) -> Any:
    """See whether a file that was imported is still there: it may have been deleted since."""
    return row._replace(installed=row.installed and (row.imported is None or os.path.isfile(row.imported)))


def make_candidate(versions: Sequence[Any], prompt: str) -> Candidate:
    """Make a candidate, its score still to be set, of the version that fits the prompt."""
    row = versions[0]
    if len(versions) > 1:
        row = max(versions, key=lambda version: (_says(prompt, version.trigger_groups), version.installed))
    source = row.weight_source if row.weight_source in get_args(WeightSource) else None
    weight, source = usual_weight(row.kind, row.weight, source)
    return Candidate(
        adapter_id=row.id,
        model_key=row.model_key,
        name=row.name,
        version=row.version,
        kind=row.kind,
        family=row.family,
        score=0,
        summary=row.summary,
        trigger_groups=tuple(tuple(group) for group in row.trigger_groups),
        weight=weight,
        weight_source=source,
        tags=tuple(row.tags),
        installed=row.installed,
    )


def _says(prompt: str, groups: Sequence[Sequence[str]]) -> bool:
    return any(has_words(prompt, word) for group in groups[:8] for word in group[:8])
