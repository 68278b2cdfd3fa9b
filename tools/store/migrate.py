"""Run the migrations ``sql/NNN_name.sql``, in the order of their names, once each.

Two are numbered 003: they were written at the same time, and a migration that databases have applied is never renamed.
The search documents have their own upgrade: `renew_index` in tools/search/index.py.
"""

from __future__ import annotations

import hashlib
from importlib import resources
from typing import Any

import psycopg

from stylus_gen.tools.errors import Unavailable

# Any constant will do; every process must use the same one.
LOCK = 0x57591

LEDGER = """
CREATE TABLE IF NOT EXISTS migrations (
    name text PRIMARY KEY,
    sha256 text NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT now()
)"""


def migrate(conn: psycopg.Connection[Any]) -> list[str]:
    """Apply the pending migrations, one transaction each, under an advisory lock; return their names.

    A migration may be pending although a later one was applied. Raises Unavailable if an applied file was edited.
    """
    applied = []
    for name, text in _files():
        if _is_applied(conn, name, text):
            continue  # needs no lock and no write: a read-only role can open a database that is up to date
        with conn.transaction():
            conn.execute("SELECT pg_advisory_xact_lock(%s)", (LOCK,))
            conn.execute(LEDGER)
            if not _is_applied(conn, name, text):
                conn.execute("INSERT INTO migrations (name, sha256) VALUES (%s, %s)", (name, _digest(text)))
                conn.execute(text)
                applied.append(name)
    return applied


def _files() -> list[tuple[str, str]]:
    folder = resources.files("stylus_gen.sql")
    names = sorted(f.name for f in folder.iterdir() if f.name.endswith(".sql"))
    return [(name, folder.joinpath(name).read_text("utf-8")) for name in names]


def _is_applied(conn: psycopg.Connection[Any], name: str, text: str) -> bool:
    if conn.execute("SELECT to_regclass('migrations')").fetchone() == (None,):
        return False
    row = conn.execute("SELECT sha256 FROM migrations WHERE name = %s", (name,)).fetchone()
    if row is not None and row[0] != _digest(text):
        raise Unavailable(
            f"migration {name!r} was edited after this database applied it; "
            "install the version that made the database, or make a new one and import again"
        )
    return row is not None


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
