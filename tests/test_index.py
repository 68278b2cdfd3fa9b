"""The search index stays what the cards would make it, whatever was imported, changed or killed on the way."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stylus_gen import Stylus
from stylus_gen.tools.card import Card, Example
from stylus_gen.tools.errors import Unavailable
from stylus_gen.tools.ingest.importer import import_adapters
from stylus_gen.tools.plan import Policy
from stylus_gen.tools.search import search_adapters
from stylus_gen.tools.search.audit import Audit, check_index
from stylus_gen.tools.search.document import FORMAT, make_document
from stylus_gen.tools.search.index import index_cards, rebuild_index, renew_index
from stylus_gen.tools.search.words import key_of
from stylus_gen.tools.store.adapters import count_stale
from stylus_gen.tools.store.database import Database
from tests.fixtures.catalogue import MODELS, model, write_catalogue
from tests.test_search import letters, names, stock

WORDS = ["cat", "bat", "zelphira", "wano style", "styles", "mistyforest", "kimonodx, obi", "カタカナ文字"]
"""Some differ in their first letter by one bit, as the numbers of a word's levels once did."""


def index_of(db: Database) -> tuple[list[Any], list[Any]]:
    """Read all documents, and all counts of words."""
    with db.pool.connection() as conn:
        documents = conn.execute(
            "SELECT model_key, family, kind, safe, installed, keys, forms, body, vector::text FROM search_documents "
            "ORDER BY model_key, family"
        ).fetchall()
        return documents, conn.execute("SELECT key, documents FROM search_keys ORDER BY key").fetchall()


def from_nothing(db: Database) -> tuple[list[Any], list[Any]]:
    rebuild_index(db, letters(), lambda *_: None)
    return index_of(db)


@st.composite
def steps(draw: st.DrawFn) -> tuple[list[dict[str, Any]], int]:
    """An import of some models, new, changed or with another's file, and after how many reports it is killed."""
    models = [
        model(
            number,
            draw(st.sampled_from(WORDS)),
            tags=draw(st.lists(st.sampled_from(["style", "character", "bat"]), max_size=2)),
            triggers=[draw(st.sampled_from(WORDS))],
            base=draw(st.sampled_from(["SD 1.5", "SDXL 1.0"])),
            description=draw(st.sampled_from(WORDS)),
            file=f"file{draw(st.integers(1, 5))}",
            poi=draw(st.booleans()),
        )
        for number in draw(st.lists(st.integers(1, 5), min_size=1, max_size=5, unique=True))
    ]
    return models, draw(st.sampled_from([1, 2, 3, 99]))


def killed_after(reports: int) -> Callable[..., None]:
    left = iter(range(reports))

    def report(*_: Any) -> None:
        if next(left, None) is None:
            raise KeyboardInterrupt

    return report


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(sequence=st.lists(steps(), min_size=1, max_size=4))
def test_after_any_imports_changes_and_kills_the_index_equals_one_built_from_nothing(
    db: Database, tmp_path: Path, sequence: list[tuple[list[dict[str, Any]], int]]
) -> None:
    for models, reports in sequence:
        path = write_catalogue(tmp_path, models)
        try:
            import_adapters(db, path, embedder=letters(), progress=killed_after(reports))
        except KeyboardInterrupt:
            assert check_index(db, lambda *_: None)[1:5] == (0, 0, 0, 0)
    stock(db, tmp_path, sequence[-1][0])
    kept = index_of(db)
    assert check_index(db, lambda *_: None) == Audit(documents=len(kept[0]))
    assert kept == from_nothing(db)


def test_importing_again_with_nothing_changed_but_a_flag_keeps_the_count_of_every_word(
    db: Database, tmp_path: Path
) -> None:
    stock(db, tmp_path, MODELS)
    before = index_of(db)
    for flag in (True, False):
        stock(db, tmp_path, [{**m, "allowDerivatives": flag} for m in MODELS])
    assert index_of(db)[1] == before[1]


def test_a_deleted_model_takes_its_words_along(db: Database, tmp_path: Path) -> None:
    stock(db, tmp_path, MODELS[:2])
    one = index_of(db)
    stock(db, tmp_path, MODELS[:3])
    with db.pool.connection() as conn:
        conn.execute("DELETE FROM files USING versions WHERE key = version_key AND model_key = %s", (one_key(db),))
        conn.execute("DELETE FROM versions WHERE model_key = %s", (one_key(db),))
        conn.execute("DELETE FROM models WHERE key = %s", (one_key(db),))
    stock(db, tmp_path, MODELS[:2])
    assert check_index(db, lambda *_: None).sound
    assert sum(n for _, n in index_of(db)[1]) == sum(n for _, n in one[1])


def one_key(db: Database) -> str:
    with db.pool.connection() as conn:
        row = conn.execute("SELECT key FROM models WHERE name = 'Watercolor Dreams'").fetchone()
    return row[0] if row else ""


def test_words_that_differ_in_a_bit_have_other_numbers_at_every_level() -> None:
    words = [f"{chr(97 + i)}at" for i in range(26)] + [f"ca{chr(97 + i)}" for i in range(26) if i != 19]
    assert len({key_of(word, level) for word in words for level in range(5)}) == 5 * len(words)


def test_a_card_that_changes_while_it_is_indexed_is_indexed_again(db: Database, tmp_path: Path) -> None:
    stock(db, tmp_path, MODELS)
    changed = [model(1, "Wano Saga Style", tags=["style"], triggers=["newtrigger"])]

    def killed(_: Any) -> Any:
        raise KeyboardInterrupt

    def meanwhile(texts: Any) -> Any:
        with pytest.raises(KeyboardInterrupt):  # another process writes the cards and is killed before it indexes
            stock(db, tmp_path, changed, replace(letters(), embed=killed))
        return letters().embed(texts)

    with db.pool.connection() as conn:
        ids = [row[0] for row in conn.execute("SELECT id FROM files")]
    index_cards(db, replace(letters(), embed=meanwhile), ids)
    assert count_stale(db) == 1
    stock(db, tmp_path, [MODELS[1]])
    assert names(db, "newtrigger")[0] == "Wano Saga Style"


def make_old(db: Database) -> None:
    """Leave the database as a version of another format would have."""
    with db.pool.connection() as conn:
        conn.execute("UPDATE search_settings SET format = 0")
        conn.execute("UPDATE search_documents SET body = ''")


def test_an_index_of_another_format_is_not_read(db: Database, tmp_path: Path) -> None:
    stock(db, tmp_path, MODELS)
    make_old(db)
    with pytest.raises(Unavailable, match=r"format 0; .* reads format \d+: run `stylus index --rebuild`"):
        search_adapters(db, letters(), "wanostyle", [], family="sd15", policy=Policy())


def test_an_index_of_another_format_builds_itself_anew_and_goes_on_where_it_was_killed(
    db: Database, tmp_path: Path
) -> None:
    stock(db, tmp_path, MODELS)
    good = index_of(db)
    make_old(db)
    seen: list[tuple[int, int, str]] = []

    def killed(*report: Any) -> None:
        seen.append(report)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        renew_index(db, letters(), killed)
    assert seen == [(8, 8, "indexing")]
    with pytest.raises(Unavailable, match="not finished"):
        names(db, "wanostyle")
    renew_index(db, letters(), lambda *_: None)
    assert index_of(db) == good


def test_a_database_made_before_the_index_had_a_format_is_indexed_by_the_first_search(
    database_url: str, tmp_path: Path
) -> None:
    seen: list[str] = []
    with Stylus(database_url=database_url, family="sd15", progress=lambda *report: seen.append(report[2])) as stylus:
        stylus.import_adapters(write_catalogue(tmp_path))
        forget_format(database_url)
    seen.clear()
    with Stylus(database_url=database_url, family="sd15", progress=lambda *report: seen.append(report[2])) as stylus:
        assert stylus.search("wanostyle")[0].name == "Wano Saga Style"
        assert set(seen) == {"indexing"}
        assert stylus.check_index().sound


def forget_format(url: str) -> None:
    """Take back what the migration 003_index made."""
    with psycopg.connect(url, autocommit=True) as conn:
        conn.execute("ALTER TABLE search_settings DROP COLUMN format, DROP COLUMN complete")
        conn.execute("ALTER TABLE search_documents DROP COLUMN forms")
        conn.execute("DROP FUNCTION count_search_keys CASCADE")
        conn.execute("UPDATE files SET stale = false")
        conn.execute("DELETE FROM migrations WHERE name = '003_index.sql'")


@pytest.mark.parametrize(
    ("damage", "fault"),
    [
        ("DELETE FROM search_documents WHERE model_key = 'civitai-1'", {"missing": 1}),
        ("UPDATE search_documents SET downloads = 77 WHERE model_key = 'civitai-1'", {"different": 1}),
        ("UPDATE search_keys SET documents = documents + 1 WHERE key = 0", {"miscounted": 1}),
        ("UPDATE versions SET family = 'sdxl' WHERE model_key = 'civitai-1'", {"missing": 1, "surplus": 1}),
    ],
)
def test_the_audit_finds_what_is_wrong_and_a_rebuild_mends_it(
    db: Database, tmp_path: Path, damage: Any, fault: dict[str, int]
) -> None:
    stock(db, tmp_path, MODELS)
    with db.pool.connection() as conn:
        conn.execute(damage)
    found = check_index(db, lambda *_: None)
    assert not found.sound
    assert {name: n for name, n in found._asdict().items() if n and name not in ("documents", "current")} == fault
    rebuild_index(db, letters(), lambda *_: None)
    assert check_index(db, lambda *_: None) == Audit(documents=8)


def test_a_document_that_takes_another_form_takes_another_format_number() -> None:
    card = Card(
        id="a",
        model_key="m",
        name="Wano Style",
        kind="style",
        tags=["ink"],
        trigger_groups=[["wanostyle", "カタカナ"]],
        description="Ink lines, and more ink.",
        file_name="wano_v2.safetensors",
        examples=[Example(prompt="a fox, (wanostyle:1.2)")],
    )
    document = make_document([card])
    form = repr((document.keys, document.forms, document.body, document.texts)).encode()
    assert (FORMAT, sha256(form).hexdigest()[:12]) == (1, "b9d74e4dd27f"), (
        "databases in use hold the old form: raise FORMAT"
    )
