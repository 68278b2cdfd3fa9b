"""A real server, with the roles and databases that its owner gives; an embedded one that was killed or damaged."""

from __future__ import annotations

import itertools
import json
import os
import shutil
import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import psutil
import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from stylus_gen.tools.card import Card
from stylus_gen.tools.errors import Unavailable
from stylus_gen.tools.store.adapters import count_cards, upsert_cards
from stylus_gen.tools.store.database import Database, open_database, read_again, start_server
from stylus_gen.tools.store.embedded import stop_server

_NUMBERS = itertools.count()


@pytest.fixture
def empty_url(postgres: str) -> Iterator[str]:
    """The URL of a database in which nothing was made yet."""
    name = f"empty_{next(_NUMBERS)}"
    with psycopg.connect(postgres, autocommit=True) as conn:
        conn.execute(f"CREATE DATABASE {name}")
        yield make_conninfo(postgres, dbname=name)
        conn.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def role(postgres: str) -> Iterator[str]:
    """A role that may connect and nothing else."""
    name = f"guest_{next(_NUMBERS)}"
    with psycopg.connect(postgres, autocommit=True) as conn:
        conn.execute(f"CREATE ROLE {name} LOGIN")
        yield name


def run(url: str, *statements: str) -> None:
    with psycopg.connect(url, autocommit=True) as conn:
        for statement in statements:
            conn.execute(statement)


def refusal(url: str, home: Path, **changes: str) -> str:
    with pytest.raises(Unavailable) as caught:
        open_database(make_conninfo(url, **changes), home).close()
    assert "\n" not in caught.value.message
    return caught.value.message


def test_a_role_that_may_not_create_extensions_is_told_what_to_run(empty_url: str, role: str, tmp_path: Path) -> None:
    run(empty_url, f"GRANT CREATE ON SCHEMA public TO {role}")
    said = refusal(empty_url, tmp_path, user=role)
    assert role in said and "a superuser run CREATE EXTENSION vector" in said
    run(empty_url, "CREATE EXTENSION vector")
    open_database(make_conninfo(empty_url, user=role), tmp_path).close()


def test_a_role_that_may_not_create_tables_is_told_what_to_grant(empty_url: str, role: str, tmp_path: Path) -> None:
    run(empty_url, "CREATE EXTENSION vector")
    said = refusal(empty_url, tmp_path, user=role)
    assert f'GRANT USAGE, CREATE ON SCHEMA public TO "{role}"' in said


def test_a_read_only_role_is_told_what_to_run(empty_url: str, role: str, tmp_path: Path) -> None:
    run(empty_url, "CREATE EXTENSION vector", f"GRANT CREATE ON SCHEMA public TO {role}")
    run(empty_url, f"ALTER ROLE {role} SET default_transaction_read_only = on")
    assert "SET default_transaction_read_only = off" in refusal(empty_url, tmp_path, user=role)


def test_a_role_without_rights_on_the_tables_is_told_what_to_grant(
    database_url: str, role: str, tmp_path: Path
) -> None:
    said = refusal(database_url, tmp_path, user=role)
    assert f'SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO "{role}"' in said


def test_a_role_that_only_reads_may_read_what_is_complete(database_url: str, role: str, tmp_path: Path) -> None:
    run(database_url, f"GRANT SELECT ON ALL TABLES IN SCHEMA public TO {role}")
    with open_database(make_conninfo(database_url, user=role), tmp_path) as db:
        assert count_cards(db) == 0
        with pytest.raises(Unavailable, match="GRANT SELECT, INSERT"):
            upsert_cards(db, [Card(id="a", model_key="m", name="Fox")], source="civitai")
    run(database_url, f"ALTER ROLE {role} SET default_transaction_read_only = on")
    with open_database(make_conninfo(database_url, user=role), tmp_path) as db:
        assert count_cards(db) == 0
        with pytest.raises(Unavailable, match="accepts writes"):
            upsert_cards(db, [Card(id="a", model_key="m", name="Fox")], source="civitai")


def test_an_extension_in_a_schema_that_nobody_looks_into_is_named(empty_url: str, role: str, tmp_path: Path) -> None:
    run(empty_url, "CREATE SCHEMA extensions", "CREATE EXTENSION vector SCHEMA extensions")
    run(empty_url, f"GRANT CREATE ON SCHEMA public TO {role}")
    said = refusal(empty_url, tmp_path, user=role)
    assert f'ALTER ROLE "{role}" SET search_path = public, extensions' in said
    run(empty_url, f"GRANT USAGE ON SCHEMA extensions TO {role}")
    run(empty_url, f"ALTER ROLE {role} SET search_path = public, extensions")
    open_database(make_conninfo(empty_url, user=role), tmp_path).close()


def test_a_database_or_role_that_is_not_there_is_told_from_a_server_that_is_not_there(
    postgres: str, role: str, tmp_path: Path
) -> None:
    for changes in ({"dbname": "nowhere"}, {"user": "nobody_here"}):
        said = refusal(postgres, tmp_path, **changes)
        assert "refuses the connection" in said and "does not exist" in said


@pytest.mark.parametrize("password", ["s3c@ret", "s3c/ret", "s3c/r@et", "s3c@r/et", "@s3c", "s3c%ret", "s3c@ret:99"])
def test_a_password_that_breaks_the_url_is_not_printed_in_part(tmp_path: Path, password: str) -> None:
    with pytest.raises(Unavailable) as caught:
        open_database(f"postgresql://me:{password}@127.0.0.1:9/adapters", tmp_path)
    assert "s3c" not in caught.value.message and "ret" not in caught.value.message
    assert "@ as %40" in caught.value.message


@pytest.mark.parametrize(
    "url", ["postgresql://me:p%40w@[::1]:9/a", "postgresql://h1:9,h2:9/a", "postgresql:///a?host=/nowhere@x"]
)
def test_a_url_that_can_be_read_in_one_way_is_tried(tmp_path: Path, url: str) -> None:
    with pytest.raises(Unavailable, match="no Postgres answers"):
        open_database(url, tmp_path)


def test_a_request_that_meets_a_connection_that_was_lost_is_made_again(db: Database) -> None:
    ends = ["SELECT pg_terminate_backend(pg_backend_pid())", "SELECT 1"]

    def read() -> object:
        with db.pool.connection() as conn:
            return conn.execute(ends.pop(0)).fetchone()

    assert read_again(read) == (1,)


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    """A home with a database of one card; its server is ended afterwards."""
    with open_database(None, tmp_path) as db:
        upsert_cards(db, [Card(id="a", model_key="m", name="Fox")], source="civitai")
    yield tmp_path
    stop_server(tmp_path / "postgres")


def server_of(home: Path) -> psutil.Process:
    return psutil.Process(int((home / "postgres" / "postmaster.pid").read_text().split()[0]))


def kill(home: Path) -> None:
    process = server_of(home)
    process.send_signal(signal.SIGKILL)
    for worker in psutil.process_iter():
        if worker.ppid() == process.pid:
            worker.kill()


def cards_in(home: Path) -> int:
    with open_database(None, home) as db:
        return count_cards(db)


def test_a_killed_server_is_started_again(home: Path) -> None:
    kill(home)
    assert cards_in(home) == 1


def test_a_server_that_is_killed_while_it_is_used_is_started_again(home: Path) -> None:
    with open_database(None, home) as db:
        assert count_cards(db) == 1
        kill(home)
        assert read_again(lambda: count_cards(db)) == 1


@pytest.mark.parametrize("text", ["", f"{os.getpid()}\n/\n1\n5432\n/tmp\n\n1\nready\n", "\xff" * 100])
def test_a_damaged_note_of_who_runs_is_put_right(home: Path, text: str) -> None:
    (home / "postgres" / "postmaster.pid").write_text(text)
    assert cards_in(home) == 1


@pytest.mark.parametrize("text", ["x", '{"a": "b"}', "[" * 100_000])
def test_a_damaged_list_of_users_is_put_right(home: Path, text: str) -> None:
    (home / "postgres" / ".handle_pids.json").write_text(text)
    assert cards_in(home) == 1
    assert json.loads((home / "postgres" / ".handle_pids.json").read_text()) == [os.getpid()]


@pytest.mark.parametrize("name", ["PG_VERSION", "postgresql.conf"])
def test_a_damaged_database_gets_a_sentence(home: Path, name: str) -> None:
    stop_server(home / "postgres")
    (home / "postgres" / name).write_text("x")
    with pytest.raises(Unavailable, match=r"did not start .*STYLUS_DATABASE_URL"):
        open_database(None, home)


def test_a_database_whose_making_was_cut_off_is_made_again(home: Path) -> None:
    stop_server(home / "postgres")
    shutil.rmtree(home / "postgres" / "base" / "5")
    assert cards_in(home) == 0


def test_threads_may_start_the_same_server(tmp_path: Path) -> None:
    found: list[str] = []
    threads = [threading.Thread(target=lambda: found.append(start_server(tmp_path / "postgres"))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    stop_server(tmp_path / "postgres")
    assert len(found) == 4 and len(set(found)) == 1
