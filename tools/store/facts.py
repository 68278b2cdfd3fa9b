"""Facts of a database for whoever checks an installation."""

from __future__ import annotations

from typing import NamedTuple

from stylus_gen.tools.store.database import Database


class Facts(NamedTuple):
    """The versions of the server and of pgvector, the cards of each family, and how many cards have a file here."""

    server: str
    pgvector: str
    families: dict[str, int]
    installed: int


def read_facts(db: Database) -> Facts:
    """Read them. The largest family comes first."""
    with db.pool.connection() as conn:
        (server,) = conn.execute("SHOW server_version").fetchone() or ("?",)
        query = "SELECT extversion FROM pg_extension WHERE extname = 'vector'"
        (pgvector,) = conn.execute(query).fetchone() or ("?",)
        families = conn.execute("SELECT family, count(*) FROM cards GROUP BY 1 ORDER BY 2 DESC").fetchall()
        (installed,) = conn.execute("SELECT count(*) FROM cards WHERE path IS NOT NULL").fetchone() or (0,)
    return Facts(server, pgvector, dict(families), installed)
