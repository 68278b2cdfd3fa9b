"""Search by meaning: exact, or through the HNSW index of a family if there is one.

Exact search reads every vector of the family, which is fast up to about 100,000. There is one partial index per base
family, over all documents that work on it; rows that the filters reject are skipped during the scan (iterative scan).
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait

import numpy as np
from numpy.typing import NDArray
from pgvector import HalfVector
from psycopg import sql

from stylus_gen.tools.errors import BadRequest
from stylus_gen.tools.families import FAMILIES, usable_families
from stylus_gen.tools.progress import Progress
from stylus_gen.tools.store.database import Connection, Database

POLL = 0.5
"""Seconds between two reports of the server's progress."""


def distance(dim: int) -> sql.Composable:
    """Write the (negative) inner product with a parameter, as the indexes have it."""
    return sql.SQL("(vector::halfvec({})) <#> %s").format(dim)


def build_index(db: Database, family: str, progress: Progress) -> int:
    """Build or rebuild the index of all documents that work on a base family; return their number.

    Searches continue meanwhile, imports wait. Interrupting it keeps the old index. Raises BadRequest for an unknown
    family and for an empty catalogue.
    """
    if family not in FAMILIES:
        raise BadRequest(f"no family is called {family!r}; the families are {', '.join(FAMILIES)}")
    with db.pool.connection() as conn, db.pool.connection() as watch, ThreadPoolExecutor(1) as worker:
        row = conn.execute("SELECT dim FROM search_settings").fetchone()
        total = _count(conn, family)
        if row is None or not total:
            raise BadRequest(f"no adapter for {family} is in the catalogue: import some first")
        work = worker.submit(_create, conn, family, row[0], total)
        try:
            _watch(work, watch, conn.info.backend_pid, total, progress)
        except BaseException:
            conn.cancel_safe()
            raise
    return total


def recall_of(db: Database, family: str, vectors: Sequence[NDArray[np.float32]], k: int) -> float:
    """Compute the mean share of the exact k nearest documents that search by meaning finds."""
    shares = []
    with db.pool.connection() as conn:
        for vector in vectors:
            with conn.transaction():
                found = _ids(conn, family, vector, k)
                conn.execute("SET LOCAL enable_indexscan = off")
                nearest = _ids(conn, family, vector, k)
            shares.append(len(found & nearest) / max(1, len(nearest)))
    return float(np.mean(shares))


def sample_vectors(db: Database, family: str, n: int) -> list[NDArray[np.float32]]:
    """Read the vectors of documents that work on a family, evenly spread over the catalogue."""
    query = (
        "SELECT vector FROM (SELECT vector, row_number() OVER (ORDER BY id) AS row FROM search_documents "
        "WHERE family = ANY(%s)) numbered WHERE row %% %s = 0 LIMIT %s"
    )
    with db.pool.connection() as conn:
        step = max(1, _count(conn, family) // n)
        rows = conn.execute(query, (list(usable_families(family)), step, n)).fetchall()
    return [np.asarray(vector.to_numpy(), np.float32) for (vector,) in rows]


def _count(conn: Connection, family: str) -> int:
    condition = (list(usable_families(family)),)
    row = conn.execute("SELECT count(*) FROM search_documents WHERE family = ANY(%s)", condition).fetchone()
    return row[0] if row else 0


def _create(conn: Connection, family: str, dim: int, total: int) -> None:
    name, new = (sql.Identifier(f"search_documents_near_{family}{end}") for end in ("", "_new"))
    # A node is a vector of half floats, 2 m = 32 neighbours of 16 bytes, more on upper levels, and a header. If the
    # graph does not fit in memory, the rest is inserted ten times more slowly.
    megabytes = max(64, total * (2 * dim + 1000) // 2**20)
    with conn.transaction():
        conn.execute(sql.SQL("SET LOCAL maintenance_work_mem = {}").format(f"{megabytes}MB"))
        conn.execute(
            sql.SQL(
                "CREATE INDEX {} ON search_documents USING hnsw ((vector::halfvec({})) halfvec_ip_ops) "
                "WHERE family = ANY({})"
            ).format(new, dim, list(usable_families(family)))
        )
        # Last, because it blocks searches.
        conn.execute(sql.SQL("DROP INDEX IF EXISTS {}").format(name))
        conn.execute(sql.SQL("ALTER INDEX {} RENAME TO {}").format(new, name))


def _watch(work: Future[None], watch: Connection, pid: int, total: int, progress: Progress) -> None:
    while not wait([work], timeout=POLL).done:
        row = watch.execute("SELECT tuples_done FROM pg_stat_progress_create_index WHERE pid = %s", (pid,)).fetchone()
        progress(min(row[0], total) if row else 0, total, "building the index")
    work.result()
    progress(total, total, "building the index")


def _ids(conn: Connection, family: str, vector: NDArray[np.float32], k: int) -> set[int]:
    query = sql.SQL("SELECT id FROM search_documents WHERE family = ANY({}) ORDER BY {} LIMIT %s").format(
        list(usable_families(family)), distance(len(vector))
    )
    return {row[0] for row in conn.execute(query, (HalfVector(vector), k))}
