"""Candidates: the adapters behind the best documents, with what a planner must know of each.

Of a model's versions the one whose trigger words the prompt says is taken, else an installed one, else the newest.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Sequence
from typing import Any

from psycopg.rows import namedtuple_row

from stylus_gen.tools.plan import Candidate
from stylus_gen.tools.store.database import Connection
from stylus_gen.tools.triggers import clean_text, plain
from stylus_gen.tools.weights import DEFAULT_WEIGHT, KIND_WEIGHT

SUMMARY = 240
"""Characters, about 60 tokens."""

Versions = dict[tuple[str, str], list[Any]]


def read_versions(conn: Connection, model_keys: Collection[str], *, installed_only: bool) -> Versions:
    """Read the files of some models, newest first, by model and family."""
    with conn.cursor(row_factory=namedtuple_row) as cursor:
        rows = cursor.execute(
            """
            SELECT id, model_key, family, name, version, kind, tags, trigger_groups, weight, weight_source,
                   left(description, 400) AS description, path IS NOT NULL AS installed
            FROM cards WHERE model_key = ANY(%s) AND (path IS NOT NULL OR NOT %s)
            ORDER BY created_at DESC NULLS LAST, id
            """,
            (list(model_keys), installed_only),
        ).fetchall()
    versions: Versions = defaultdict(list)
    for row in rows:
        versions[row.model_key, row.family].append(row)
    return versions


def make_candidate(versions: Sequence[Any], prompt: str, score: float, evidence: tuple[str, ...]) -> Candidate:
    """Make a candidate of the version that fits the prompt."""
    said = f" {plain(prompt)} "
    row = max(versions, key=lambda v: (_says(said, v.trigger_groups), v.installed))
    weight, source = (row.weight, row.weight_source or "author") if row.weight is not None else _usual(row.kind)
    return Candidate(
        adapter_id=row.id,
        model_key=row.model_key,
        name=row.name,
        version=row.version,
        kind=row.kind,
        family=row.family,
        score=min(1.0, max(0.0, score)),
        evidence=evidence,
        summary=_summary(row),
        trigger_groups=tuple(tuple(group) for group in row.trigger_groups),
        weight=weight,
        weight_source=source,
        tags=tuple(row.tags),
        installed=row.installed,
    )


def _says(said: str, groups: Sequence[Sequence[str]]) -> bool:
    return any(f" {plain(word)} " in said for group in groups for word in group)


def _usual(kind: str) -> tuple[float, str]:
    known = {str(k): weight for k, weight in KIND_WEIGHT.items()}
    return (known[kind], "kind") if kind in known else (DEFAULT_WEIGHT, "default")


def _summary(row: Any) -> str:
    tags = ", ".join(row.tags[:8])
    return clean_text("; ".join(part for part in (row.kind, tags, row.description) if part), SUMMARY)
