"""Adapter cards in the database: write what sources state, read by id, hash or name.

Each batch is a transaction: an import that is killed keeps the batches it wrote and can be run again.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from psycopg.rows import dict_row

from stylus_gen.tools.card import Card
from stylus_gen.tools.errors import BadRequest
from stylus_gen.tools.store.batch import Batch, version_key_of
from stylus_gen.tools.store.database import Connection, Database
from stylus_gen.tools.store.names import find_ids
from stylus_gen.tools.store.places import WRITERS, paths_of
from stylus_gen.tools.store.provenance import to_card

BATCH = 200


@dataclass(frozen=True)
class Counts:
    """The outcomes of some cards: ``taken`` are new, ``merged`` joined a file known under another model.

    ``changed`` are the ids to index again; ``reuploads`` are pairs (model key of the card, model key kept).
    """

    taken: int = 0
    updated: int = 0
    merged: int = 0
    unchanged: int = 0
    changed: tuple[str, ...] = ()
    reuploads: tuple[tuple[str, str], ...] = ()

    def __add__(self, other: Counts) -> Counts:
        return Counts(
            self.taken + other.taken,
            self.updated + other.updated,
            self.merged + other.merged,
            self.unchanged + other.unchanged,
            tuple(dict.fromkeys(self.changed + other.changed)),
            self.reuploads + other.reuploads,
        )


def upsert_cards(db: Database, cards: Iterable[Card], *, source: str) -> Counts:
    """Write the cards of ``source``; fields with their own provenance keep it. An unchanged card is skipped.

    Empty fields never overwrite; of two sources the one with more authority wins (provenance.py).
    """
    counts = Counts()
    for batch in _batched(cards, BATCH):
        with db.pool.connection() as conn, conn.transaction():
            conn.execute("SELECT pg_advisory_xact_lock(%s)", (WRITERS,))
            counts += _upsert(conn, batch, source)
    return counts


def get_card(db: Database, key: str) -> Card:
    """Find one card by its id, a hash or its first 6 or more digits, its file name, or its exact name.

    A file name may include its folder and ``.safetensors``. A model's name or key means its newest version.
    Raises BadRequest if no card or several match.
    """
    card = find_card(db, key)
    if card is None:
        raise BadRequest(
            f"no adapter is called {key[:200]!r}: expected an id, 6 or more digits of a hash, or an exact name"
        )
    return card


def find_card(db: Database, key: str) -> Card | None:
    """Find a card as `get_card` does; None if no card matches. Raises BadRequest if several do."""
    ids = find_ids(db, key)
    if len(ids) > 1:
        names = "; ".join(_label(card) for card in get_cards(db, ids[:5]))
        raise BadRequest(
            f"{key[:200]!r} names {len(ids)} adapters ({names}): give more digits of the hash, or folder/name", key=key
        )
    return get_cards(db, ids)[0] if ids else None


def _label(card: Card) -> str:
    where = f" in {Path(card.path).parent.name!r}" if card.path else ""
    return f"{card.name} {card.version} = {card.id[:12]}{where}"


def get_cards(db: Database, ids: Sequence[str]) -> list[Card]:
    """Read the cards with these ids, in their order; unknown ids are left out."""
    with db.pool.connection() as conn, conn.cursor(row_factory=dict_row) as cursor:
        rows = cursor.execute("SELECT * FROM cards WHERE id = ANY(%s)", (list(ids),)).fetchall()
    cards = {row["id"]: to_card(row) for row in rows}
    return [cards[i] for i in ids if i in cards]


def count_cards(db: Database) -> int:
    """Count the adapters."""
    return sum(count_families(db).values())


def count_families(db: Database) -> dict[str, int]:
    """Count the adapters of each family, the largest first."""
    with db.pool.connection() as conn:
        rows = conn.execute(
            "SELECT family, count(*) FROM files JOIN versions ON key = version_key WHERE NOT retired "
            "GROUP BY 1 ORDER BY 2 DESC, 1"
        )
        return {family: count for family, count in rows}


def stale_ids(db: Database, limit: int) -> list[str]:
    """List adapters whose cards changed since they were last indexed, grouped by model."""
    return _ids(
        db,
        "SELECT id FROM files JOIN versions ON key = version_key WHERE stale ORDER BY model_key, id LIMIT %s",
        (limit,),
    )


def count_stale(db: Database) -> int:
    """Count what `stale_ids` would list."""
    with db.pool.connection() as conn:
        row = conn.execute("SELECT count(*) FROM files WHERE stale").fetchone()
    return row[0] if row else 0


def mark_indexed(conn: Connection, ids: Sequence[str]) -> None:
    """Record that the search index has the current state of these cards."""
    conn.execute("UPDATE files SET stale = false WHERE id = ANY(%s)", (list(ids),))


def path_of(db: Database, adapter_id: str) -> Path | None:
    """Return the path of an adapter's file on this machine; None if no file has its hash."""
    return paths_of(db, [adapter_id]).get(adapter_id)


def _ids(db: Database, query: Any, parameters: Any) -> list[str]:
    with db.pool.connection() as conn:
        return [row[0] for row in conn.execute(query, parameters)]


def _batched(cards: Iterable[Card], size: int) -> Iterator[list[Card]]:
    iterator = iter(cards)
    while batch := list(islice(iterator, size)):
        yield batch


def _upsert(conn: Connection, cards: list[Card], source: str) -> Counts:
    batch = Batch(conn, source)
    digests = [_digest(card) for card in cards]
    before = batch.read_digests([card.id for card in cards])
    changed = [
        (card, digest)
        for card, digest in zip(cards, digests, strict=True)
        if before.get((card.id, version_key_of(card))) != digest
    ]
    batch.load([card for card, _ in changed])
    outcomes = [batch.add(card, digest) for card, digest in changed]
    ids = batch.write()
    return Counts(
        taken=outcomes.count("taken"),
        updated=outcomes.count("updated"),
        merged=outcomes.count("merged"),
        unchanged=len(cards) - len(changed) + outcomes.count("unchanged"),
        changed=tuple(ids),
        reuploads=tuple(batch.reuploads),
    )


def _digest(card: Card) -> str:
    """Hash a card; the order of its sets does not matter."""
    values = card.model_dump(mode="json", exclude={"retired"} if card.shapes else {"retired", "shapes"})
    values["licence"]["commercial"] = sorted(values["licence"]["commercial"] or ())
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()
