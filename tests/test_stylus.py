"""`Stylus` in a process that serves many: threads share what is opened, calls bring their own arguments."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier
from typing import Any

import pytest

from stylus_gen import Budget, Policy, RenderSettings, Stylus
from stylus_gen.tools.errors import Unavailable
from stylus_gen.tools.search.embed import _load, minilm
from tests.fixtures.catalogue import write_catalogue

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
