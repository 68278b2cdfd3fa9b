"""The database: an embedded Postgres under a home folder, or a server by URL. It knows nothing of adapters.

It does not stop the embedded server on ``close``: the server stops by itself when the last process using it exits.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, NoReturn, Self, TypeVar

import psycopg
from pgvector.psycopg import register_vector
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict
from psycopg.types import TypeInfo
from psycopg_pool import ConnectionPool, PoolTimeout

from stylus_gen.tools.errors import Unavailable
from stylus_gen.tools.store.embedded import start_server
from stylus_gen.tools.store.migrate import migrate

__all__ = ["Connection", "Database", "Pool", "address", "open_database", "read_again", "start_server"]

Connection = psycopg.Connection[tuple[Any, ...]]

Read = TypeVar("Read")

CONNECT_SECONDS = 5
RETRY_SECONDS = 1.0  # how long the pool retries by itself; `Pool.getconn` then tries once more
PGVECTOR_MINIMUM = (0, 8)

_HOST = r"(?:\[[^\]/@]*\]|[^/@?:,\[\]]*)(?::\d*)?"
_URL = re.compile(rf"postgres(?:ql)?://(?:[^/@]*@)?{_HOST}(?:,{_HOST})*(?:/[^@?]*)?(?:\?.*)?", re.DOTALL)
"""An unambiguous URL. With an unescaped ``@`` or ``/`` in the password, part of the password would be the host."""

_DENIED = (psycopg.errors.InsufficientPrivilege, psycopg.errors.ReadOnlySqlTransaction)


class Pool(ConnectionPool[Connection]):
    """Autocommit connections. A server's failure is raised as `Unavailable`, not as psycopg's own error."""

    def getconn(self, timeout: float | None = None) -> Connection:
        """Take a working connection; a dead one is replaced. Raises Unavailable with the reason if there is none."""
        try:
            return super().getconn(CONNECT_SECONDS)
        except PoolTimeout:
            _connect(self.conninfo() if callable(self.conninfo) else str(self.conninfo)).close()
            return super().getconn(timeout)

    @contextmanager
    def connection(self, timeout: float | None = None) -> Iterator[Connection]:
        """Lend a connection for a ``with`` block; the pool replaces broken ones."""
        conn: Connection | None = None
        try:
            with super().connection(timeout) as conn:
                yield conn
        except _DENIED as error:
            assert conn is not None
            _deny(error, conn)
        except psycopg.OperationalError as error:
            raise Unavailable(
                f"the Postgres server failed in use ({_one_line(error)}); check that it runs and has disk "
                "space, then try again",
                lost=conn is not None and conn.broken,
            ) from error


def read_again(read: Callable[[], Read]) -> Read:
    """Call ``read``, and once more if the connection was lost because the server restarted."""
    try:
        return read()
    except Unavailable as error:
        if not error.facts.get("lost"):
            raise
        return read()


class Database:
    """A pool of connections to a migrated database. Close it, or use it in a ``with`` block."""

    def __init__(self, pool: Pool) -> None:
        self.pool = pool

    def close(self) -> None:
        """Close all connections."""
        self.pool.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def open_database(url: str | None, home: Path) -> Database:
    """Open and migrate the database at ``url``; without one, the embedded server under ``home/"postgres"``.

    Raises Unavailable if no server answers, it lacks pgvector 0.8, or the role may not create the tables. The message
    never contains the password.
    """

    def conninfo() -> str:
        """Return the server's URL; an embedded server that was killed is started again."""
        return url if url is not None else start_server(home / "postgres")

    with _connect(conninfo()) as conn:
        _prepare(conn)
    logging.getLogger("psycopg.pool").setLevel(logging.ERROR)  # `Pool` reports it
    pool = Pool(
        conninfo,
        min_size=1,
        max_size=8,
        open=False,
        reconnect_timeout=RETRY_SECONDS,
        kwargs={"autocommit": True, "connect_timeout": CONNECT_SECONDS},
        check=ConnectionPool.check_connection,
        configure=_configure,
    )
    pool.open()
    return Database(pool)


def address(url: str) -> str:
    """Return where a URL points, as ``host:port/database``, without user and password."""
    try:
        parts = conninfo_to_dict(url)
    except psycopg.ProgrammingError:
        return "a malformed URL"
    return f"{parts.get('host', 'localhost')}:{parts.get('port', 5432)}/{parts.get('dbname', '')}"


def _connect(url: str) -> Connection:
    if "://" in url and not _URL.fullmatch(url):
        raise Unavailable(_NO_URL)
    try:
        return psycopg.connect(url, autocommit=True, connect_timeout=CONNECT_SECONDS)
    except (psycopg.ProgrammingError, UnicodeError, ValueError):
        raise Unavailable(_NO_URL) from None  # psycopg's own message quotes the URL, password and all
    except psycopg.OperationalError as error:
        where, why = address(url), _one_line(error)
        if "FATAL" in why:
            raise Unavailable(
                f"the Postgres at {where} refuses the connection ({why}); correct the user, the password "
                "or the database in STYLUS_DATABASE_URL, or have the server's owner run CREATE DATABASE or GRANT "
                "CONNECT ON DATABASE there"
            ) from None
        raise Unavailable(
            f"no Postgres answers at {where} ({why}); start it, correct STYLUS_DATABASE_URL, "
            "or unset it to use the embedded server"
        ) from None


_NO_URL = (
    "STYLUS_DATABASE_URL is not a Postgres URL; expected postgresql://user:password@host:5432/database, with special "
    "characters in the password percent-encoded: @ as %40, / as %2F, : as %3A, % as %25"
)


def _prepare(conn: Connection) -> None:
    try:
        _require_pgvector(conn)
        migrate(conn)
    except _DENIED as error:
        _deny(error, conn)
    except psycopg.OperationalError as error:
        raise Unavailable(
            f"the Postgres server failed while creating the tables ({_one_line(error)}); check that it runs and has "
            "disk space, then try again"
        ) from error


def _deny(error: psycopg.Error, conn: Connection) -> NoReturn:
    """Raise Unavailable with what the server's owner must grant or run."""
    info = conn.info
    role, why = sql.Identifier(info.user).as_string(), str(error.diag.message_primary)
    if isinstance(error, psycopg.errors.ReadOnlySqlTransaction):
        to_do = (
            f"connect to a server that accepts writes, or have its owner run ALTER ROLE {role} "
            "SET default_transaction_read_only = off"
        )
    elif "vector" in why and "extension" in why:
        to_do = "have a superuser run CREATE EXTENSION vector in this database"
    else:
        to_do = (
            f"have its owner run GRANT USAGE, CREATE ON SCHEMA public TO {role} and GRANT SELECT, INSERT, UPDATE, "
            f"DELETE ON ALL TABLES IN SCHEMA public TO {role}"
        )
    raise Unavailable(f"the role {role} may not do this in the database {info.dbname!r} ({why}): {to_do}") from error


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
    hidden = conn.execute(
        "SELECT extnamespace::regnamespace::text FROM pg_extension "
        "WHERE extname = 'vector' AND to_regtype('halfvec') IS NULL"
    ).fetchone()
    if hidden is not None:
        role = sql.Identifier(conn.info.user).as_string()
        raise Unavailable(
            f"pgvector is in the schema {hidden[0]}, which the role {role} does not search; have its owner run "
            f"GRANT USAGE ON SCHEMA {hidden[0]} TO {role} and ALTER ROLE {role} SET search_path = public, {hidden[0]}"
        )


def _configure(conn: Connection) -> None:
    if TypeInfo.fetch(conn, "vector") is not None:
        register_vector(conn)
        # With an HNSW index, keep scanning past rows that the filters reject, with a longer list than pgvector's 40:
        # cards of one subject form clusters.
        conn.execute("SET hnsw.iterative_scan = relaxed_order")
        conn.execute("SET hnsw.ef_search = 200")
