"""Keep the search documents in the database up to date with the catalogue.

Each batch is a transaction: an import that is killed can be run again. The database counts the words
(sql/003_index.sql). Ranking is elsewhere. Migrations change the tables (tools/store/migrate.py); what the documents
contain is upgraded here, by raising `FORMAT`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pgvector import HalfVector
from psycopg.rows import dict_row

from stylus_gen.tools.card import Card
from stylus_gen.tools.errors import BadRequest, Unavailable
from stylus_gen.tools.progress import Progress
from stylus_gen.tools.search.document import FORMAT, Document, join_vectors, make_document
from stylus_gen.tools.search.embed import Embedder
from stylus_gen.tools.search.gazetteer import write_names
from stylus_gen.tools.store.adapters import count_stale, mark_indexed, stale_ids
from stylus_gen.tools.store.database import Connection, Database
from stylus_gen.tools.store.places import WRITERS
from stylus_gen.tools.store.provenance import to_card

BATCH = 64
STALE_BATCH = 1000
# The lock of a process that updates the whole index: two would embed the same texts.
INDEXERS = 0x57593
COUNT = 0
"""The key under which documents are counted."""

COLUMNS = {
    "model_key": "text", "family": "text", "kind": "text", "safe": "bool", "nsfw_level": "int2", "commercial": "bool",
    "strict": "bool", "installed": "bool", "creator": "int4", "downloads": "int8", "keys": "int4[]",
    "forms": "int4[]", "body": "bytea",
}  # fmt: skip


def update_index(db: Database, embedder: Embedder, progress: Progress) -> None:
    """Index what has changed, or everything if the index has an older format.

    Raises BadRequest when the catalogue was embedded by another embedder.
    """
    with _exclusive(db):
        with db.pool.connection() as conn, conn.transaction():
            record_embedder(conn, embedder)
            if _format(conn) != FORMAT:
                _empty(conn, embedder)
        _index_stale(db, embedder, progress)


def renew_index(db: Database, embedder: Embedder, progress: Progress) -> None:
    """Rebuild an index that is incomplete or whose format is not `FORMAT`; otherwise do nothing."""
    with db.pool.connection() as conn:
        row = conn.execute("SELECT format, complete FROM search_settings").fetchone()
    if row not in (None, (FORMAT, True)):
        update_index(db, embedder, progress)


def rebuild_index(db: Database, embedder: Embedder, progress: Progress) -> None:
    """Delete the index and build it from the catalogue. If it is interrupted, the next search continues it."""
    with _exclusive(db):
        with db.pool.connection() as conn, conn.transaction():
            _empty(conn, embedder)
        _index_stale(db, embedder, progress)


def index_cards(db: Database, embedder: Embedder, ids: Sequence[str], progress: Progress | None = None) -> int:
    """Index the models of these cards; return how many documents were written.

    A model that changes meanwhile is left for the next call. Raises BadRequest when the catalogue was embedded by
    another embedder.
    """
    keys = _model_keys(db, ids)
    written = 0
    for start in range(0, len(keys), BATCH):
        written += _index_batch(db, embedder, keys[start : start + BATCH])
        if progress:
            progress(min(start + BATCH, len(keys)), len(keys), "indexing")
    clean_index(db)
    return written


def _index_batch(db: Database, embedder: Embedder, model_keys: Sequence[str]) -> int:
    with db.pool.connection() as conn:
        seen = _states(conn, model_keys)
        groups = read_models(conn, model_keys)
    documents = [make_document(cards) for cards in groups]
    vectors = _embed(embedder, documents)
    with db.pool.connection() as conn, conn.transaction():
        record_embedder(conn, embedder)
        conn.execute("SELECT pg_advisory_xact_lock(%s)", (WRITERS,))
        now = _states(conn, model_keys)
        settled = [key for key in model_keys if key in now and now[key] == seen.get(key)]
        made = [pair for pair in zip(documents, vectors, strict=True) if pair[0].model_key in settled]
        write_documents(conn, settled, [document for document, _ in made], [vector for _, vector in made])
        write_names(conn, [cards for cards in groups if cards[0].model_key in settled])
        mark_indexed(conn, [file_id for key in settled for file_id, _ in now[key]])
    return len(made)


def _states(conn: Connection, model_keys: Sequence[str]) -> dict[str, set[tuple[str, str]]]:
    """Read each model's files and the transaction that last wrote each: a changed card rewrites all of them."""
    states: dict[str, set[tuple[str, str]]] = defaultdict(set)
    for key, file_id, writer in conn.execute(
        "SELECT model_key, id, files.xmin::text FROM files JOIN versions ON key = version_key "
        "WHERE model_key = ANY(%s)",
        (list(model_keys),),
    ):
        states[key].add((file_id, writer))
    return states


def _index_stale(db: Database, embedder: Embedder, progress: Progress) -> None:
    """Index a thousand cards at a time, so that a killed import keeps its work."""
    total, done = count_stale(db), 0
    while ids := stale_ids(db, STALE_BATCH):
        index_cards(db, embedder, ids, _share(progress, done, len(ids), total))
        done += len(ids)
    with db.pool.connection() as conn:
        conn.execute("DELETE FROM search_keys WHERE documents = 0")
        conn.execute("UPDATE search_settings SET complete = true")


def _share(progress: Progress, start: int, size: int, whole: int) -> Progress:
    """Report the progress of a part as that of the whole."""
    return lambda done, total, message: progress(min(start + size * done // max(total, 1), whole), whole, message)


@contextmanager
def _exclusive(db: Database) -> Iterator[None]:
    with db.pool.connection() as conn:
        conn.execute("SELECT pg_advisory_lock(%s)", (INDEXERS,))
        try:
            yield
        finally:
            conn.execute("SELECT pg_advisory_unlock(%s)", (INDEXERS,))


def _format(conn: Connection) -> int:
    row = conn.execute("SELECT format FROM search_settings").fetchone()
    return row[0] if row else FORMAT


def _empty(conn: Connection, embedder: Embedder) -> None:
    """Delete all documents and mark every card as changed, inside the caller's transaction."""
    conn.execute("SELECT pg_advisory_xact_lock(%s)", (WRITERS,))
    record_embedder(conn, embedder)
    conn.execute("TRUNCATE search_documents, search_keys, search_names")
    conn.execute("UPDATE files SET stale = true")
    conn.execute("UPDATE search_settings SET format = %s, complete = false", (FORMAT,))


def clean_index(db: Database) -> None:
    """Flush new entries into the inverted indexes: a search scans unflushed ones one by one."""
    with db.pool.connection() as conn:
        conn.execute("SELECT gin_clean_pending_list(i) FROM unnest(%s::regclass[]) AS i", (INVERTED,))


INVERTED = ["search_documents_keys", "search_documents_forms"]


def record_embedder(conn: Connection, embedder: Embedder) -> None:
    """Record the embedder, or check that it is the recorded one. Raises BadRequest if it is not."""
    conn.execute(
        "INSERT INTO search_settings (embedder, dim, format, complete) VALUES (%s, %s, %s, true) "
        "ON CONFLICT DO NOTHING",
        (embedder.name, embedder.dim, FORMAT),
    )
    row = conn.execute("SELECT embedder, dim FROM search_settings").fetchone()
    check_embedder(embedder, row)


def check_settings(conn: Connection, embedder: Embedder) -> None:
    """Raise BadRequest for an index of another embedder, Unavailable for another format or an incomplete index."""
    row = conn.execute("SELECT embedder, dim, format, complete FROM search_settings").fetchone()
    check_embedder(embedder, row)
    if row is not None and row[2:] != (FORMAT, True):
        raise Unavailable(
            f"the search index has format {row[2]}{'' if row[3] else ', not finished'}; this version of Stylus reads "
            f"format {FORMAT}: run `stylus index --rebuild`, or import something"
        )


def check_embedder(embedder: Embedder, row: Any) -> None:
    """Raise BadRequest if the embedder differs from the recorded ``(name, dim)``."""
    if row is not None and (row[0], row[1]) != (embedder.name, embedder.dim):
        raise BadRequest(
            f"the catalogue was embedded by {row[0]!r} ({row[1]} dimensions), not by {embedder.name!r} "
            f"({embedder.dim}): use that embedder, or index everything again in a new database",
            embedder=embedder.name,
        )


def vectors_of(embedder: Embedder, texts: Sequence[str]) -> NDArray[np.float32]:
    """Embed texts. Raises BadRequest if the result does not have the embedder's dimension."""
    rows = embedder.embed(texts)
    if rows.shape != (len(texts), embedder.dim):
        raise BadRequest(
            f"the embedder {embedder.name!r} gave {rows.shape} numbers for {len(texts)} texts; expected "
            f"{(len(texts), embedder.dim)}: correct its dim",
            embedder=embedder.name,
        )
    return rows


def _embed(embedder: Embedder, documents: Sequence[Document]) -> list[NDArray[np.float32]]:
    if not documents:
        return []
    rows = vectors_of(embedder, [text for document in documents for text in document.texts])
    ends = np.cumsum([len(document.texts) for document in documents])
    return [join_vectors(part) for part in np.split(rows, ends[:-1])]


def _model_keys(db: Database, ids: Sequence[str]) -> list[str]:
    with db.pool.connection() as conn:
        rows = conn.execute(
            "SELECT DISTINCT model_key FROM files JOIN versions ON key = version_key WHERE id = ANY(%s) ORDER BY 1",
            (list(ids),),
        )
        return [row[0] for row in rows]


def read_models(conn: Connection, model_keys: Sequence[str]) -> list[list[Card]]:
    """Read the models' cards, newest first, one list per model and family."""
    with conn.cursor(row_factory=dict_row) as cursor:
        rows = cursor.execute(
            "SELECT * FROM cards WHERE model_key = ANY(%s) AND NOT retired "
            "ORDER BY model_key, created_at DESC NULLS LAST, id",
            (list(model_keys),),
        ).fetchall()
    groups: dict[tuple[str, str], list[Card]] = defaultdict(list)
    for card in map(to_card, rows):
        groups[card.model_key, card.family].append(card)
    return list(groups.values())


def write_documents(
    conn: Connection, model_keys: Sequence[str], documents: Sequence[Document], vectors: Sequence[NDArray[np.float32]]
) -> None:
    """Replace the documents of these models, inside the caller's transaction."""
    conn.execute("DELETE FROM search_documents WHERE model_key = ANY(%s)", (list(model_keys),))
    names = ", ".join(COLUMNS)
    with conn.cursor().copy(f"COPY search_documents ({names}, vector) FROM STDIN (FORMAT BINARY)") as copy:
        copy.set_types([*COLUMNS.values(), "halfvec"])
        for document, vector in zip(documents, vectors, strict=True):
            copy.write_row([*(getattr(document, column) for column in COLUMNS), HalfVector(vector)])
