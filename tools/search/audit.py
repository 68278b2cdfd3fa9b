"""Check that the search index matches the cards. It repairs nothing; `rebuild_index` does."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from psycopg.rows import dict_row

from stylus_gen.tools.progress import Progress
from stylus_gen.tools.search.document import FORMAT, Document, make_document
from stylus_gen.tools.search.index import COLUMNS, read_models
from stylus_gen.tools.store.database import Connection, Database

BATCH = 256

_ADAPTERS = "(SELECT DISTINCT model_key FROM versions UNION SELECT model_key FROM search_documents)"
_WAITING = "SELECT model_key FROM versions JOIN files ON version_key = key WHERE stale"
_MISCOUNTED = """
    SELECT count(*)
    FROM (SELECT key, count(*) AS documents FROM search_documents, unnest(keys || 0) AS key GROUP BY key) AS held
    FULL JOIN (SELECT * FROM search_keys WHERE documents <> 0) AS counted USING (key)
    WHERE held.documents IS DISTINCT FROM counted.documents
"""


class Audit(NamedTuple):
    """Numbers of documents: in the index, missing, different, surplus; and of words with a wrong count.

    ``waiting`` documents belong to cards that changed and are not indexed yet; they are not compared.
    """

    documents: int = 0
    missing: int = 0
    different: int = 0
    surplus: int = 0
    miscounted: int = 0
    waiting: int = 0
    current: bool = True

    def faults(self) -> dict[str, int]:
        """Return what is wrong, with its number."""
        return {
            "documents missing": self.missing,
            "documents different from their cards": self.different,
            "documents too many": self.surplus,
            "words with a wrong count": self.miscounted,
            "index of another format, or not finished": int(not self.current),
        }

    @property
    def sound(self) -> bool:
        """Say whether search can rely on the index."""
        return not any(self.faults().values())


def check_index(db: Database, progress: Progress) -> Audit:
    """Compare the index with the catalogue: all fields of all documents except vectors, and the word counts."""
    with db.pool.connection() as conn, conn.transaction():
        conn.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        keys = _column(conn, f"SELECT model_key FROM {_ADAPTERS} AS adapters EXCEPT {_WAITING} ORDER BY 1")
        totals = dict.fromkeys(("missing", "different", "surplus"), 0)
        for start in range(0, len(keys), BATCH):
            for name, number in _compare(conn, keys[start : start + BATCH]).items():
                totals[name] += number
            progress(min(start + BATCH, len(keys)), len(keys), "checking the index")
        settings = conn.execute("SELECT format, complete FROM search_settings").fetchone()
        return Audit(
            documents=_column(conn, "SELECT count(*) FROM search_documents")[0],
            miscounted=_column(conn, _MISCOUNTED)[0],
            waiting=_column(conn, f"SELECT count(*) FROM ({_WAITING}) AS waiting")[0],
            current=settings in (None, (FORMAT, True)),
            **totals,
        )


def _compare(conn: Connection, model_keys: Sequence[str]) -> dict[str, int]:
    wanted = {(d.model_key, d.family): d for d in map(make_document, read_models(conn, model_keys))}
    with conn.cursor(row_factory=dict_row) as cursor:
        query = f"SELECT {', '.join(COLUMNS)} FROM search_documents WHERE model_key = ANY(%s)"
        held = {(row["model_key"], row["family"]): row for row in cursor.execute(query, (list(model_keys),))}
    return {
        "missing": len(wanted.keys() - held.keys()),
        "different": sum(_differs(wanted[key], held[key]) for key in wanted.keys() & held.keys()),
        "surplus": len(held.keys() - wanted.keys()),
    }


def _differs(document: Document, row: dict[str, Any]) -> bool:
    return any(getattr(document, column) != row[column] for column in COLUMNS)


def _column(conn: Connection, query: Any) -> list[Any]:
    return [row[0] for row in conn.execute(query)]
