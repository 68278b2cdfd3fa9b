from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path

import psycopg
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from psycopg import sql

from stylus_gen.tools.card import Card, Example, Licence, Stats
from stylus_gen.tools.errors import BadRequest, Unavailable
from stylus_gen.tools.store import migrate as migrations
from stylus_gen.tools.store.adapters import (
    count_cards,
    count_families,
    count_stale,
    get_card,
    get_cards,
    mark_indexed,
    path_of,
    stale_ids,
    upsert_cards,
)
from stylus_gen.tools.store.database import Database, open_database
from stylus_gen.tools.store.migrate import migrate
from stylus_gen.tools.store.provenance import join_cards

SHA = "ab" * 32
OTHER = "cd" * 32


def card(sha: str = SHA, **fields: object) -> Card:
    return Card.model_validate({"id": sha, "sha256": sha, "model_key": "civitai-1", "name": "Fox", **fields})


def test_a_card_comes_back_as_it_went_in(db: Database) -> None:
    stated = card(
        version_key="civitai-2",
        aliases={"autov1": "12345678", "autov2": SHA[:10], "autov3": "0123456789ab", "crc32": "deadbeef"},
        version="v2",
        description="a fox\nin two lines, 狐 🦊 'quoted' \"twice\" %s ; DROP TABLE files; --",
        tags=["animal", "fox"],
        creator="somebody",
        base_model="SD 1.5",
        family="sd15",
        kind="object",
        trigger_groups=[["fox", "red fur"], ["vixen"]],
        weight=0.7,
        weight_source="examples",
        weight_min=0.5,
        weight_max=0.9,
        licence=Licence(credit_required=True, commercial=frozenset({"image"}), derivatives=False, name="x"),
        nsfw_level=4,
        poi=True,
        minor=True,
        stats=Stats(downloads=5_000_000_000, likes=3, rating=4.5),
        examples=[Example(prompt="a fox", weight=0.7), Example(prompt="a vixen")],
        file_name="fox.safetensors",
        file_size=2**33,
        path="/nowhere/fox.safetensors",
        created_at="2023-01-01T16:10:50.989Z",
    )
    counts = upsert_cards(db, [stated], source="civitai")
    assert (counts.taken, counts.changed) == (1, (SHA,))
    found = get_card(db, SHA)
    assert found.model_copy(update={"provenance": {}}) == stated
    assert found.provenance["licence"] == found.provenance["stats"] == found.provenance["tags"] == "civitai"


def test_telling_the_same_again_changes_nothing(db: Database) -> None:
    stated = card(licence=Licence(commercial=frozenset({"image", "rent", "sell"})))
    upsert_cards(db, [stated], source="civitai")
    with db.pool.connection() as conn:
        mark_indexed(conn, [SHA])
    counts = upsert_cards(db, [stated, stated], source="civitai")
    assert (counts.unchanged, counts.taken, counts.changed) == (2, 0, ())
    assert (count_cards(db), count_stale(db)) == (1, 0)


def test_what_changed_must_be_indexed_again(db: Database) -> None:
    upsert_cards(db, [card(), card(OTHER, version_key="civitai-9")], source="civitai")
    with db.pool.connection() as conn:
        mark_indexed(conn, stale_ids(db, 10))
    counts = upsert_cards(db, [card(tags=["new"])], source="civitai")
    assert counts.updated == 1
    # The tags are the model's, so the model's other file has changed too.
    assert stale_ids(db, 10) == [SHA, OTHER]
    assert get_card(db, OTHER).tags == ["new"]


def test_nothing_said_never_overwrites_something(db: Database) -> None:
    full = card(description="a fox", tags=["animal"], weight=0.7, weight_source="author", family="sd15", kind="object")
    upsert_cards(db, [full], source="civitai")
    upsert_cards(db, [card(name="Fox, taken down")], source="civitai")
    found = get_card(db, SHA)
    assert found.name == "Fox, taken down"
    assert (found.description, found.tags, found.weight, found.family) == ("a fox", ["animal"], 0.7, "sd15")


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 2, 0), (1, 0, 2)])
def test_the_source_with_more_authority_is_believed_in_whatever_order_they_come(
    db: Database, order: tuple[int, int, int]
) -> None:
    stated = [
        (card(model_key="file-ab", name="fox_v2_final", creator="header's"), "header"),
        (card(model_key="file-ab", name="", trigger_groups=[["fx"]], description="typed"), "a1111"),
        (card(name="Fox", trigger_groups=[["fox"]], base_model="SD 1.5"), "civitai"),
    ]
    for n in order:
        upsert_cards(db, [stated[n][0]], source=stated[n][1])
    found = get_card(db, SHA)
    assert (found.model_key, found.name, found.trigger_groups) == ("civitai-1", "Fox", [["fox"]])
    assert (found.creator, found.description) == ("header's", "typed")
    assert {found.provenance[f] for f in ("name", "creator", "description")} == {"civitai", "header", "a1111"}
    assert count_cards(db) == 1


FIELDS = st.fixed_dictionaries(
    {},
    optional={
        "name": st.sampled_from(["", "a", "b"]),
        "description": st.sampled_from(["x", "y"]),
        "tags": st.sampled_from([["t"], ["u", "v"]]),
        "poi": st.booleans(),
        "nsfw_level": st.sampled_from([1, 4, 16, 31, 32]),
        "weight": st.sampled_from([0.5, 1.0]),
        "weight_source": st.just("author"),
        "family": st.sampled_from(["sd15", "sdxl", "pony", "unknown"]),
    },
)


@settings(max_examples=60, deadline=None)
@given(stated=st.lists(FIELDS, min_size=4, max_size=4), order=st.permutations(range(4)))
def test_joining_sources_does_not_depend_on_their_order(stated: list[dict[str, object]], order: list[int]) -> None:
    sources = ("header", "a1111", "lora-manager", "civitai")
    cards = [
        (card(**{"name": "", **fields, "weight_source": "author" if "weight" in fields else None}), source)
        for fields, source in zip(stated, sources, strict=True)
    ]
    assert join_cards(cards) == join_cards([cards[n] for n in order])


def test_the_stricter_source_decides_about_safety(db: Database) -> None:
    upsert_cards(db, [card(poi=True, nsfw_level=8)], source="header")
    upsert_cards(db, [card(nsfw_level=31)], source="civitai")
    found = get_card(db, SHA)
    assert (found.poi, found.nsfw_level) == (True, 8)


def test_a_weight_that_people_used_outlasts_one_that_the_author_wrote(db: Database) -> None:
    upsert_cards(db, [card(weight=0.6, weight_source="user")], source="a1111")
    upsert_cards(db, [card(weight=0.9, weight_source="author", weight_min=0.8, weight_max=1.0)], source="civitai")
    found = get_card(db, SHA)
    assert (found.weight, found.weight_source, found.weight_max) == (0.6, "user", 1.0)


def test_tensors_are_believed_against_whoever_names_another_family(db: Database) -> None:
    upsert_cards(db, [card(family="sdxl", shapes=["sdxl"], provenance={"family": "tensors"})], source="header")
    upsert_cards(db, [card(family="sd15")], source="civitai")
    assert get_card(db, SHA).family == "sdxl"
    upsert_cards(db, [card(family="pony", version="v2")], source="civitai")
    assert get_card(db, SHA).family == "pony"  # SDXL-shaped: the site may well know better


def test_the_same_file_under_two_models_is_one_card(db: Database) -> None:
    original = card(version_key="civitai-10", description="mine", licence=Licence(commercial=frozenset()))
    reupload = card(
        model_key="civitai-2",
        version_key="civitai-20",
        name="Stolen fox",
        description="ours",
        creator="thief",
        licence=Licence(commercial=frozenset({"sell"})),
    )
    counts = upsert_cards(db, [original, reupload], source="civitai")
    assert (counts.taken, counts.merged) == (1, 1)
    assert counts.reuploads == (("civitai-2", "civitai-1"),)
    found = get_card(db, SHA)
    assert (found.name, found.description, found.creator) == ("Fox", "mine", "thief")
    assert found.licence.commercial == frozenset()
    assert upsert_cards(db, [original, reupload], source="civitai").unchanged == 2


def test_a_card_without_sha256_is_found_again_by_another_hash(db: Database) -> None:
    unhashed = Card(id="civitai-5", model_key="civitai-1", name="Fox", aliases={"autov2": SHA[:10]}, tags=["animal"])
    upsert_cards(db, [unhashed], source="civitai")
    counts = upsert_cards(db, [card(model_key="file-ab", name="fox", path="/x/fox.safetensors")], source="header")
    assert (counts.merged, count_cards(db)) == (1, 1)
    found = get_card(db, SHA)
    assert (found.id, found.name, found.tags) == (SHA, "Fox", ["animal"])
    assert upsert_cards(db, [unhashed], source="civitai").unchanged == 1


def test_files_with_equal_short_hashes_stay_two(db: Database) -> None:
    shared = {"crc32": "deadbeef", "autov1": "12345678", "autov3": "0123456789ab"}
    upsert_cards(db, [card(aliases=shared), card(OTHER, version_key="civitai-9", aliases=shared)], source="civitai")
    assert count_cards(db) == 2


def test_a_file_takes_along_what_was_typed_when_it_joins_its_model(db: Database) -> None:
    upsert_cards(
        db, [card(model_key="file-ab", version_key="file-ab", weight=0.4, weight_source="user")], source="a1111"
    )
    upsert_cards(db, [card(version_key="civitai-10", name="Fox", tags=["animal"])], source="civitai")
    found = get_card(db, SHA)
    assert (found.version_key, found.weight, found.tags) == ("civitai-10", 0.4, ["animal"])
    with db.pool.connection() as conn:
        assert conn.execute("SELECT key FROM models").fetchall() == [("civitai-1",)]
        assert conn.execute("SELECT key FROM versions").fetchall() == [("civitai-10",)]


def test_a_card_is_found_by_id_hash_prefix_alias_name_and_stem(db: Database) -> None:
    stated = card(aliases={"crc32": "deadbeef", "blake3": "ee" * 32}, file_name="red_fox_v2.safetensors")
    upsert_cards(db, [stated, card(OTHER, model_key="civitai-2", name="Crow")], source="civitai")
    for key in (
        SHA,
        SHA[:10].upper(),
        SHA[:6],
        "DEADBEEF",
        "ee" * 20,
        "Fox",
        "fox",
        "red_fox_v2",
        "civitai-1",
        " Fox ",
    ):
        assert get_card(db, key).id == SHA, key


def test_a_name_stands_for_its_models_newest_version(db: Database) -> None:
    old = card(version_key="civitai-10", version="v1", created_at="2023-01-01")
    new = card(OTHER, version_key="civitai-11", version="v2", created_at="2023-06-01")
    upsert_cards(db, [new, old], source="civitai")
    assert get_card(db, "Fox").version == "v2"


def test_what_is_ambiguous_or_unknown_is_said(db: Database) -> None:
    upsert_cards(db, [card(), card(OTHER, model_key="civitai-2", name="Fox")], source="civitai")
    with pytest.raises(BadRequest, match=r"'Fox' names 2 adapters .*more digits of the hash"):
        get_card(db, "Fox")
    for key in ("Wolf", "abab", "", "'; DROP TABLE files; --", "%"):
        with pytest.raises(BadRequest, match="no adapter is called"):
            get_card(db, key)


def test_cards_come_in_the_order_asked_for_and_families_are_counted(db: Database) -> None:
    upsert_cards(db, [card(family="sd15"), card(OTHER, version_key="x", family="sdxl")], source="civitai")
    assert [c.id for c in get_cards(db, [OTHER, "nobody", SHA])] == [OTHER, SHA]
    assert count_families(db) == {"sd15": 1, "sdxl": 1}


def test_a_path_is_given_only_while_the_file_is_there(db: Database, tmp_path: Path) -> None:
    file = tmp_path / "fox.safetensors"
    file.touch()
    upsert_cards(db, [card(path=str(file))], source="header")
    assert path_of(db, SHA) == file
    file.unlink()
    assert path_of(db, SHA) is None
    assert path_of(db, "nobody") is None


def test_a_batch_that_fails_leaves_those_before_it(db: Database) -> None:
    def stream() -> object:
        yield from (card(f"{n:064x}", version_key=f"v{n}") for n in range(450))
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        upsert_cards(db, stream(), source="civitai")  # type: ignore[arg-type]
    assert count_cards(db) == 400
    again = upsert_cards(db, (card(f"{n:064x}", version_key=f"v{n}") for n in range(450)), source="civitai")
    assert (again.unchanged, again.taken) == (400, 50)


def test_two_imports_at_once_take_every_card_once(db: Database) -> None:
    cards = [card(f"{n:064x}", version_key=f"v{n}", model_key=f"m{n % 7}") for n in range(300)]
    taken: list[int] = []
    threads = [
        threading.Thread(target=lambda cards=batch: taken.append(upsert_cards(db, cards, source="civitai").taken))
        for batch in (cards, cards[::-1])
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (sum(taken), count_cards(db)) == (300, 300)


def test_migrations_run_once_and_an_edited_one_is_an_error(db: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    with db.pool.connection() as conn:
        assert migrate(conn) == []
        monkeypatch.setattr(migrations, "_files", lambda: [("001_catalogue.sql", "SELECT 1")])
        with pytest.raises(Unavailable, match=r"'001_catalogue.sql' was edited after"):
            migrate(conn)
        monkeypatch.setattr(migrations, "_files", lambda: [("900_new.sql", "CREATE TABLE a (); CREATE TABLE a ()")])
        with pytest.raises(psycopg.errors.DuplicateTable):
            migrate(conn)
        assert conn.execute("SELECT to_regclass('a')").fetchone() == (None,)


@pytest.mark.parametrize("first", ["003_index.sql", "003_places.sql"])
def test_a_database_that_has_either_migration_003_alone_gets_the_other_and_the_later_ones(
    postgres: str, monkeypatch: pytest.MonkeyPatch, first: str
) -> None:
    name = first.removesuffix(".sql")
    files = migrations._files()
    with psycopg.connect(postgres, autocommit=True) as conn:
        conn.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    with psycopg.connect(psycopg.conninfo.make_conninfo(postgres, dbname=name), autocommit=True) as conn:
        monkeypatch.setattr(migrations, "_files", lambda: [f for f in files if f[0] < "003" or f[0] == first])
        assert migrate(conn) == ["001_catalogue.sql", "002_search.sql", first]
        monkeypatch.setattr(migrations, "_files", lambda: files)
        assert migrate(conn) == [f for f, _ in files if f > "003" and f != first]
        assert migrate(conn) == []


def test_many_processes_may_open_a_new_database_at_once(postgres: str, tmp_path: Path) -> None:
    with psycopg.connect(postgres, autocommit=True) as conn:
        conn.execute("CREATE DATABASE fresh")
    url = psycopg.conninfo.make_conninfo(postgres, dbname="fresh")
    errors: list[BaseException] = []

    def open_it() -> None:
        try:
            open_database(url, tmp_path).close()
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=open_it) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []


def test_a_server_that_does_not_answer_is_named_without_its_password(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with pytest.raises(Unavailable) as caught:
        open_database(f"postgresql://me:s3cret@127.0.0.1:{port}/adapters", tmp_path)
    message = caught.value.message
    assert f"127.0.0.1:{port}/adapters" in message and "STYLUS_DATABASE_URL" in message
    assert "s3cret" not in message and "\n" not in message


def test_a_url_that_is_none_is_refused_without_being_shown(tmp_path: Path) -> None:
    for url in ("mysql://me:s3cret@host/db", "host=x password=s3cret bogus=1", ""):
        with pytest.raises(Unavailable) as caught:
            open_database(url, tmp_path)
        assert "s3cret" not in str(caught.value)


def test_a_server_without_pgvector_gets_the_way_to_install_it(
    database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stylus_gen.tools.store.database.PGVECTOR_MINIMUM", (99, 0))
    with pytest.raises(Unavailable, match=r"has pgvector 0\.8\.\d+; pgvector >= 0.8 is needed"):
        open_database(database_url, tmp_path)


def test_an_embedded_server_that_cannot_start_says_where_to_look(tmp_path: Path) -> None:
    (tmp_path / "postgres").write_text("in the way")
    with pytest.raises(Unavailable, match=r"did not start .*STYLUS_DATABASE_URL"):
        open_database(None, tmp_path)
    assert os.listdir(tmp_path) == ["postgres"]


def test_the_embedded_server_outlives_a_killed_process_with_its_data_and_stops_with_the_last(tmp_path: Path) -> None:
    code = """
import os, signal, sys
from pathlib import Path
from stylus_gen.tools.card import Card
from stylus_gen.tools.store.adapters import count_cards, upsert_cards
from stylus_gen.tools.store.database import open_database
with open_database(None, Path(sys.argv[1])) as db:
    print(count_cards(db), flush=True)
    upsert_cards(db, [Card(id="a", model_key="m", name="Fox")], source="civitai")
    if sys.argv[2] == "die":
        os.kill(os.getpid(), signal.SIGKILL)
"""
    home = tmp_path / "not" / "there" / "yet"
    runs = [
        subprocess.run([sys.executable, "-c", code, str(home), how], capture_output=True, text=True, check=False)
        for how in ("die", "live")
    ]
    assert [(run.returncode, run.stdout) for run in runs] == [(-signal.SIGKILL, "0\n"), (0, "1\n")], runs
    assert not (home / "postgres" / "postmaster.pid").exists()


def test_a_server_that_goes_away_in_use_is_unavailable_and_the_next_call_finds_it_again(db: Database) -> None:
    with pytest.raises(Unavailable, match="failed in use"), db.pool.connection() as conn:
        conn.execute("SELECT pg_terminate_backend(pg_backend_pid())")
    assert count_cards(db) == 0


def test_a_home_that_cannot_be_written_is_named_with_the_setting(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(BadRequest, match="STYLUS_HOME"):
        open_database(None, tmp_path / "file" / "home")


def test_a_file_s_name_counts_before_another_s_title_and_before_the_beginning_of_a_hash(db: Database) -> None:
    upsert_cards(
        db,
        [
            card(name="last", file_name="Owl.safetensors", model_key="m1"),
            card(OTHER, model_key="m2", name="Owl"),
            card("ef" * 32, model_key="m3", name="x", file_name="ababab.safetensors"),
        ],
        source="civitai",
    )
    assert get_card(db, "owl").id == SHA
    assert get_card(db, "ababab").id == "ef" * 32


def test_a_file_is_called_by_its_name_with_its_suffix_or_its_folder(db: Database) -> None:
    upsert_cards(
        db,
        [
            card(model_key="m1", name="A", file_name="fox.safetensors", path="/loras/red/fox.safetensors"),
            card(OTHER, model_key="m2", name="B", file_name="fox.safetensors", path="/loras/arctic/fox.safetensors"),
            card("ef" * 32, model_key="m3", name="Fate/Zero", file_name="saber.safetensors"),
        ],
        source="folder",
    )
    assert get_card(db, "red/fox").id == get_card(db, "Red\\FOX.SafeTensors").id == SHA
    assert get_card(db, "loras/arctic/fox").id == OTHER
    assert get_card(db, "somebody's/saber.safetensors").id == get_card(db, "fate/zero").id == "ef" * 32
    with pytest.raises(BadRequest, match=r"'fox' names 2 adapters \(A  = abab.* in 'red'; B .* in 'arctic'\).*folder"):
        get_card(db, "fox")


def test_a_hash_prefers_the_file_that_is_here(db: Database) -> None:
    shared = {"autov3": "0123456789ab"}
    here = card(OTHER, model_key="m2", version_key="v9", aliases=shared, path="/x/fox.safetensors")
    upsert_cards(db, [card(aliases=shared), here], source="civitai")
    assert get_card(db, "0123456789ab").id == OTHER
