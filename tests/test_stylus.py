"""`Stylus` in a process that serves many: threads share what is opened, calls bring their own arguments."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier
from typing import Any

import pytest

from stylus_gen import Budget, Policy, RenderSettings, Stylus
from stylus_gen.tools.errors import BadRequest, PolicyRefused, Unavailable
from stylus_gen.tools.search.embed import _load, minilm
from tests.fixtures.catalogue import write_catalogue
from tests.fixtures.loras import adapter, sha256

THREADS = 16


def all_at_once(ask: Callable[[], Any]) -> list[Any]:
    """Call from 16 threads that start together."""
    start = Barrier(THREADS)

    def run(_: int) -> Any:
        start.wait()
        return ask()

    with ThreadPoolExecutor(THREADS) as pool:
        return list(pool.map(run, range(THREADS)))


def test_sixteen_threads_open_one_database_one_planner_and_one_set_of_threads(database_url: str) -> None:
    with Stylus(database_url=database_url) as stylus:
        opened = all_at_once(lambda: (stylus.threads, stylus.database, stylus.embedder, stylus.planner))
    assert {len({id(thing) for thing in same}) for same in zip(*opened, strict=True)} == {1}


def test_sixteen_threads_load_one_base_and_import_the_small_world_once(database_url: str) -> None:
    messages: list[str] = []
    with Stylus(database_url=database_url, progress=lambda *report: messages.append(report[2])) as stylus:
        bases = all_at_once(lambda: stylus.pipeline)
        plans = all_at_once(lambda: stylus.plan("a penguin", seed=1))
    assert len({id(base) for base in bases}) == 1
    assert messages.count("loading base") == 1
    assert {tuple(a.name for a in plan.assignments) for plan in plans} == {("Penguin",)}


def test_sixteen_threads_read_the_embedder_s_weights_once() -> None:
    _load.cache_clear()
    all_at_once(lambda: minilm().embed(["a penguin"]))
    assert _load.cache_info().misses == 1


def test_what_cannot_be_opened_is_tried_again_by_the_next_call(tmp_path: Path) -> None:
    with Stylus(base=str(tmp_path / "base"), family="sd15") as stylus:
        for _ in range(2):
            with pytest.raises(Unavailable, match="base"):
                _ = stylus.pipeline


def test_a_call_s_own_policy_counts_before_the_settings(database_url: str, tmp_path: Path) -> None:
    with Stylus(database_url=database_url, family="sd15") as stylus:
        stylus.import_adapters(write_catalogue(tmp_path))
        commercial = Policy(profile="commercial")
        assert [c.name for c in stylus.search("mistyforest", limit=1)] == ["Misty Forest"]
        assert "Misty Forest" not in [c.name for c in stylus.search("mistyforest", policy=commercial)]
        assert stylus.plan("mistyforest").assignments
        assert not stylus.plan("mistyforest", policy=commercial).assignments
        recipe = "mistyforest <lora:misty_forest:0.8>"
        assert "licence" not in [f.code for f in stylus.check(recipe).findings]
        assert "licence" in [f.code for f in stylus.check(recipe, policy=commercial).findings]


def test_a_call_s_own_budget_counts_before_the_settings(database_url: str, tmp_path: Path) -> None:
    with Stylus(database_url=database_url, family="sd15", model_calls=5) as stylus:
        stylus.import_adapters(write_catalogue(tmp_path))
        assert stylus.plan("wanostyle").budget.model_calls == 5
        assert stylus.plan("wanostyle", budget=Budget(model_calls=2)).budget.model_calls == 2


def test_a_call_s_own_render_settings_and_progress_count_before_the_settings(database_url: str, tmp_path: Path) -> None:
    mine: list[str] = []
    other: list[str] = []

    with Stylus(
        database_url=database_url,
        outputs=tmp_path,
        steps=2,
        guidance=3.0,
        progress=lambda *report: other.append(report[2]),
    ) as stylus:
        plan = stylus.plan("a penguin", seed=1, progress=lambda *report: mine.append(report[2]))
        assert "indexing" in mine
        (usual,) = stylus.generate(plan).recipes
        other.clear()
        mine.clear()
        own = RenderSettings(steps=3)
        (chosen,) = stylus.generate(plan, render=own, progress=lambda *report: mine.append(report[2])).recipes
    assert (usual.settings.steps, usual.settings.guidance) == (2, 3.0)
    assert (chosen.settings.steps, chosen.settings.guidance) == (3, 3.0)
    assert mine
    assert not other


BLUE = {"ss_output_name": "blue_vase", "ss_base_model_version": "sd_v1"}


@pytest.fixture
def with_ghost(database_url: str, tmp_path: Path) -> Iterator[tuple[Stylus, str, str]]:
    """A catalogue after "blue_vase" was trained again and renamed; the ids of the retired and the live adapter."""
    path = adapter(tmp_path / "g" / "blue_vase.safetensors", BLUE)
    with Stylus(database_url=database_url, family="sd15") as stylus:
        stylus.import_adapters(tmp_path / "g")
        old = sha256(path)
        adapter(path, BLUE, fill=1)
        stylus.import_adapters(tmp_path / "g")
        new = path.rename(path.with_name("teal_vase.safetensors"))
        stylus.import_adapters(tmp_path / "g")
        yield stylus, old, sha256(new)


@pytest.mark.parametrize("name", ["blue_vase", "Blue_Vase", "blue_vase.safetensors", "g/blue_vase", "teal_vase"])
def test_a_live_adapter_wins_a_name_over_a_retired_one(with_ghost: tuple[Stylus, str, str], name: str) -> None:
    stylus, _, live = with_ghost
    assert stylus.card(name).id == live
    assert [a.adapter_id for a in stylus.plan("a table", pinned=name).assignments] == [live]
    assert stylus.plan("a table", pinned=name, policy=Policy(installed_only=True)).assignments


def test_a_retired_adapter_is_shown_but_cannot_be_pinned(with_ghost: tuple[Stylus, str, str]) -> None:
    stylus, old, live = with_ghost
    assert (stylus.card(old).retired, stylus.card(live).retired) == (True, False)
    for policy in (Policy(), Policy(installed_only=True)):
        with pytest.raises(BadRequest, match=r"'blue_vase' .* is pinned, but its file was deleted or replaced"):
            stylus.plan("a table", pinned=old, policy=policy)


def test_only_an_adapter_with_a_file_can_be_pinned_among_installed_ones(database_url: str, tmp_path: Path) -> None:
    path = adapter(tmp_path / "loras" / "vase.safetensors", BLUE)
    with Stylus(database_url=database_url, family="sd15", installed_only=True) as stylus:
        stylus.import_adapters(write_catalogue(tmp_path))
        stylus.import_adapters(tmp_path / "loras")
        assert stylus.plan("a table", pinned="vase").assignments
        path.unlink()
        for name in ("vase", "Misty Forest"):
            with pytest.raises(PolicyRefused, match="is pinned, but its file is not on this machine"):
                stylus.plan("a table", pinned=name)
            assert stylus.plan("a table", pinned=name, policy=Policy()).assignments
