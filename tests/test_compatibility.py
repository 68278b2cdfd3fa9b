"""What people have keeps working: tests/fixtures/v0 was made by version 0.1.0, before its modules were moved.

`database.sql.gz` is a `pg_dump --inserts` of the embedded server with the small world imported and two threads: "kept"
waits for approval, "open" does not. `plan.json` has two pictures, `first.png` and `second.png`.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psycopg
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from psycopg import sql
from psycopg.conninfo import make_conninfo

from stylus_gen.agent.request import PlanRequest
from stylus_gen.api import Stylus
from stylus_gen.tools.diffusion.recipe import read_recipe
from stylus_gen.tools.errors import BadRequest
from stylus_gen.tools.plan import Plan

SQL = Path(__file__).parent.parent / "sql"
V0 = Path(__file__).parent / "fixtures" / "v0"
PICTURES = (V0 / "first.png", V0 / "second.png")
FAR = 2  # of 255

RELEASED = {
    "001_catalogue.sql": "75cfc5681415d7d015398c43c66e8bdb62341ea3097dfabd74d3ddbe5d8b7952",
    "002_search.sql": "9211752a1ae12263d1b316fb7b08062cdc1c1952346e90534e4e4c083d5f57dc",
    "003_index.sql": "e9d3a8085761ba18b2728609e7da6d1522528caa6e231fd68adb24566e74dde8",
    "003_places.sql": "e99bd83ead250722df1038a4cf26e8b31ee630225c1075e0469f5720541b5a12",
    "004_source_digests.sql": "6fc248ad2b74638f790540ead4f8db4f13250f961f26d165e1aac6507e2e8eef",
}


@pytest.fixture
def old_url(postgres: str) -> Iterator[str]:
    """The URL of a database as version 0.1.0 left it."""
    dump = gzip.decompress((V0 / "database.sql.gz").read_bytes()).decode()
    statements = "\n".join(line for line in dump.splitlines() if not line.startswith("\\"))  # psql's own commands
    name = sql.Identifier("version_0")
    with psycopg.connect(postgres, autocommit=True) as server:
        server.execute(sql.SQL("CREATE DATABASE {}").format(name))
        url = make_conninfo(postgres, dbname="version_0")
        with psycopg.connect(url, autocommit=True) as conn:
            conn.execute(statements)  # type: ignore[call-overload]
        yield url
        server.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(name))


@pytest.fixture
def stylus(old_url: str, tmp_path: Path) -> Iterator[Stylus]:
    with Stylus(database_url=old_url, home=tmp_path, outputs=tmp_path / "outputs", steps=4) as stylus:
        yield stylus


def migrations() -> list[str]:
    return sorted(path.name for path in SQL.glob("*.sql"))


def names(plan: Plan) -> set[str]:
    return {assignment.name for assignment in plan.assignments}


def distance(one: Path, two: Path) -> int:
    """Give the largest difference of two pictures in any pixel, of 255."""
    first, second = (np.asarray(Image.open(path).convert("RGB"), dtype=np.int16) for path in (one, two))
    return int(np.abs(first - second).max())


def test_an_old_database_opens_and_is_searched(stylus: Stylus, old_url: str) -> None:
    assert stylus.search("a dog")[0].name == "Dog"
    assert stylus.check_index().sound
    assert stylus.card("penguin_world").name == "Penguin"
    with psycopg.connect(old_url) as conn:
        applied = [name for (name,) in conn.execute("SELECT name FROM migrations ORDER BY name")]
    assert applied == migrations()


def test_an_old_thread_that_waits_is_changed_and_accepted(stylus: Stylus, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        with pytest.raises(BadRequest, match="waits for approval"):
            stylus.accepted("kept")
        planned = stylus.threads.read("kept")
        assert (planned.prompt, planned.seed) == ("a penguin in watercolor style", 3)
        assert stylus.revise("kept", "seed 9") == planned.model_copy(update={"seed": 9})
        assert stylus.threads.waits("kept")
        accepted = stylus.revise("kept", "accept")
        assert stylus.accepted("kept") == accepted
    assert caplog.records == []


def test_an_old_thread_takes_a_follow_up_line(stylus: Stylus, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        planned = stylus.accepted("open")
        assert names(planned) == {"Apple"}
        assert names(stylus.revise("open", "without apple")) == set()
    assert caplog.records == []


@pytest.mark.parametrize("thread", ["kept", "open"])
def test_every_old_checkpoint_of_a_thread_is_read_without_a_warning(
    stylus: Stylus, thread: str, caplog: pytest.LogCaptureFixture
) -> None:
    """A checkpoint names the modules of the classes in it; those that were moved since must still be found."""
    graph = stylus.threads._graph
    with caplog.at_level(logging.WARNING):
        states = list(graph.get_state_history({"configurable": {"thread_id": thread}}))
    assert caplog.records == []
    values = [value for state in states for value in (state.values.get("request"), state.values.get("plan")) if value]
    assert {type(value) for value in values} == {PlanRequest, Plan}


def test_an_old_plan_is_drawn_and_old_pictures_are_made_again(stylus: Stylus) -> None:
    plan = stylus.read_plan(V0 / "plan.json")
    stylus.search("a dog")  # the small world's files lie elsewhere on this machine: they are imported again
    assert stylus.check(plan).findings == ()
    for old, new in zip(PICTURES, stylus.generate(plan).images, strict=True):
        again = stylus.replay(old)
        # 0 on the machine that drew them; another processor may round a sum otherwise.
        assert max(distance(old, new), distance(old, again.path)) <= FAR, again.differences


def with_recipe(path: Path, recipe: dict[str, Any]) -> Path:
    info = PngInfo()
    info.add_text("stylus_recipe", json.dumps(recipe))
    Image.new("RGB", (8, 8)).save(path, pnginfo=info)
    return path


def test_a_plan_and_a_recipe_of_this_schema_are_written_as_they_were_read() -> None:
    """Fails when a field is added or removed: `schema_version` grows then, and the older version is still read."""
    text = (V0 / "plan.json").read_text("utf-8")
    assert json.loads(Plan.model_validate_json(text).model_dump_json()) == json.loads(text)
    with Image.open(V0 / "first.png") as picture:
        assert read_recipe(V0 / "first.png").model_dump_json() == picture.info["stylus_recipe"]


@pytest.mark.parametrize("version", [2, 99])
def test_a_plan_and_a_recipe_of_a_newer_schema_get_a_sentence(stylus: Stylus, tmp_path: Path, version: int) -> None:
    plan = json.loads((V0 / "plan.json").read_text("utf-8"))
    recipe = read_recipe(V0 / "first.png").model_dump(mode="json")
    (tmp_path / "new.json").write_text(json.dumps(plan | {"schema_version": version, "mood": "new"}))
    newer = rf"a newer Stylus wrote this (plan|recipe) \(schema_version {version}; this one reads up to 1\): install"
    with pytest.raises(BadRequest, match=newer):
        stylus.read_plan(tmp_path / "new.json")
    with pytest.raises(BadRequest, match=newer):
        read_recipe(with_recipe(tmp_path / "new.png", recipe | {"schema_version": version, "mood": "new"}))
    with pytest.raises(BadRequest, match=newer):
        read_recipe(with_recipe(tmp_path / "b.png", recipe | {"plan": plan | {"schema_version": version}}))


def test_a_plan_without_a_schema_version_is_of_the_first(stylus: Stylus, tmp_path: Path) -> None:
    plan = json.loads((V0 / "plan.json").read_text("utf-8"))
    del plan["schema_version"]
    (tmp_path / "old.json").write_text(json.dumps(plan))
    assert stylus.read_plan(tmp_path / "old.json") == stylus.read_plan(V0 / "plan.json")


def test_a_released_migration_is_never_edited_and_new_ones_come_after_it() -> None:
    assert {name: hashlib.sha256((SQL / name).read_bytes()).hexdigest() for name in RELEASED} == RELEASED
    assert migrations()[: len(RELEASED)] == sorted(RELEASED)
    assert [name[:3] for name in migrations()] == [
        "001",
        "002",
        "003",
        *(f"{n:03}" for n in range(3, len(migrations()))),
    ]
