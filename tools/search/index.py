"""The index: search documents in the database, brought up to date with the catalogue.

A batch is a transaction: an import that is killed can be run again. It knows nothing of ranking.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pgvector import HalfVector
from psycopg.rows import dict_row

from stylus_gen.tools.card import Card
from stylus_gen.tools.embed import Embedder
from stylus_gen.tools.errors import BadRequest
from stylus_gen.tools.search.document import Document, join_vectors, make_document
from stylus_gen.tools.store.database import Connection, Database
from stylus_gen.tools.store.merge import to_card

Progress = Callable[[int, int, str], None]

BATCH = 64
# Writers of the index take turns: document frequencies are sums.
WRITERS = 0x57593
COUNT = 0
"""The key under which documents are counted."""

COLUMNS = {
    "model_key": "text", "family": "text", "kind": "text", "safe": "bool", "nsfw_level": "int2", "commercial": "bool",
    "strict": "bool", "installed": "bool", "creator": "int4", "downloads": "int8", "summary": "text", "keys": "int4[]",
    "body": "bytea",
}  # fmt: skip


def index_cards(db: Database, embedder: Embedder, ids: Sequence[str], progress: Progress | None = None) -> int:
    """Bring the index up to date for the models of these cards; return how many documents were written.

    Raises BadRequest when the catalogue was embedded by another embedder.
    """
    keys = _model_keys(db, ids)
    written = 0
    for start in range(0, len(keys), BATCH):
        batch = keys[start : start + BATCH]
        documents = [make_document(cards) for cards in _groups(db, batch)]
        vectors = _embed(embedder, documents)
        with db.pool.connection() as conn, conn.transaction():
            claim(conn, embedder)
            write_documents(conn, batch, documents, vectors)
        written += len(documents)
        if progress:
            progress(min(start + BATCH, len(keys)), len(keys), "indexing")
    clean_index(db)
    return written


def clean_index(db: Database) -> None:
    """Sort what was written into the inverted index: every search reads what is not yet, one entry after the other."""
    with db.pool.connection() as conn:
        conn.execute("SELECT gin_clean_pending_list('search_documents_keys')")


def claim(conn: Connection, embedder: Embedder) -> None:
    """Record the embedder, or check that it is the one on record. Raises BadRequest if it is not."""
    conn.execute(
        "INSERT INTO search_settings (embedder, dim) VALUES (%s, %s) ON CONFLICT DO NOTHING",
        (embedder.name, embedder.dim),
    )
    row = conn.execute("SELECT embedder, dim FROM search_settings").fetchone()
    check_embedder(embedder, row)


def check_embedder(embedder: Embedder, row: Any) -> None:
    """Refuse an embedder that is not the one on record, ``(name, dim)``; no record refuses nothing."""
    if row is not None and (row[0], row[1]) != (embedder.name, embedder.dim):
        raise BadRequest(
            f"the catalogue was embedded by {row[0]!r} ({row[1]} dimensions), not by {embedder.name!r} "
            f"({embedder.dim}): use that embedder, or index everything again in a new database",
            embedder=embedder.name,
        )


def vectors_of(embedder: Embedder, texts: Sequence[str]) -> NDArray[np.float32]:
    """Embed texts. Raises BadRequest if what comes back is not of the embedder's own dimension."""
    rows = embedder.embed(texts)
    if rows.shape != (len(texts), embedder.dim):
        raise BadRequest(
            f"the embedder {embedder.name!r} gave {rows.shape} numbers for {len(texts)} texts; expected "
            f"{(len(texts), embedder.dim)}: state its true dimension",
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


def _groups(db: Database, model_keys: Sequence[str]) -> list[list[Card]]:
    """Read the models' cards, newest first, one list a model and family."""
    with db.pool.connection() as conn, conn.cursor(row_factory=dict_row) as cursor:
        rows = cursor.execute(
            "SELECT * FROM cards WHERE model_key = ANY(%s) ORDER BY model_key, created_at DESC NULLS LAST, id",
            (list(model_keys),),
        ).fetchall()
    groups: dict[tuple[str, str], list[Card]] = defaultdict(list)
    for card in map(to_card, rows):
        groups[card.model_key, card.family].append(card)
    return list(groups.values())


def write_documents(
    conn: Connection, model_keys: Sequence[str], documents: Sequence[Document], vectors: Sequence[NDArray[np.float32]]
) -> None:
    """Write the documents of these models, and nothing else of theirs; inside the caller's transaction."""
    conn.execute("SELECT pg_advisory_xact_lock(%s)", (WRITERS,))
    gone = conn.execute(
        "DELETE FROM search_documents WHERE model_key = ANY(%s) RETURNING keys", (list(model_keys),)
    ).fetchall()
    names = ", ".join(COLUMNS)
    with conn.cursor().copy(f"COPY search_documents ({names}, vector) FROM STDIN (FORMAT BINARY)") as copy:
        copy.set_types([*COLUMNS.values(), "halfvec"])
        for document, vector in zip(documents, vectors, strict=True):
            copy.write_row([*(getattr(document, column) for column in COLUMNS), HalfVector(vector)])
    added = [key for document in documents for key in (COUNT, *document.counted)]
    _count(conn, added, [key for (keys,) in gone for key in (COUNT, *keys)])


def _count(conn: Connection, added: Sequence[int], gone: Sequence[int]) -> None:
    """Change the numbers of documents. What is gone and was never counted, a misspelling, stays uncounted."""
    keys, place = np.unique(np.array([*added, *gone], np.int64), return_inverse=True)
    numbers = np.bincount(place[: len(added)], minlength=len(keys))
    numbers -= np.bincount(place[len(added) :], minlength=len(keys))
    conn.execute(
        """
        INSERT INTO search_keys (key, documents) SELECT * FROM unnest(%s::text::int[], %s::text::int[])
        ON CONFLICT (key) DO UPDATE SET documents = search_keys.documents + excluded.documents
        """,
        _columns(keys, numbers, numbers > 0),
    )
    conn.execute(
        """
        UPDATE search_keys SET documents = search_keys.documents + fewer.n
        FROM unnest(%s::text::int[], %s::text::int[]) AS fewer (key, n) WHERE search_keys.key = fewer.key
        """,
        _columns(keys, numbers, numbers < 0),
    )


def _columns(keys: NDArray[np.int64], numbers: NDArray[np.int64], chosen: NDArray[np.bool_]) -> list[str]:
    """Write two arrays as text, which is ten times faster than adapting lists of numbers."""
    return ["{" + ",".join(map(str, column[chosen].tolist())) + "}" for column in (keys, numbers)]
