"""What `stylus eval composer` measures, on the synthetic catalogue."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from stylus_gen.agent.offline import OFFLINE
from stylus_gen.context import agent_context
from stylus_gen.eval.composer import hidden, measure
from stylus_gen.eval.gold import Prompt, read_gold
from stylus_gen.eval.prices import LIST, cost, read_prices
from stylus_gen.tools.errors import BadRequest
from stylus_gen.tools.ingest import import_adapters
from stylus_gen.tools.plan import Policy, Tokens
from stylus_gen.tools.search.embed import minilm
from stylus_gen.tools.store.database import Database
from tests.fixtures.catalogue import write_catalogue

GOLD = [
    Prompt("1girl, wanostyle, standing", "1girl, standing", {"civitai-1": 0.7}),
    Prompt("zelphira in a garden", "in a garden", {"civitai-2": 0.8}),
    Prompt("mistyforest", "", {"civitai-6": 0.8}),
]


def quiet(done: int, total: int, message: str) -> None:
    pass


@pytest.fixture
def stocked(db: Database, tmp_path: Path) -> Database:
    import_adapters(db, write_catalogue(tmp_path), embedder=minilm(), progress=quiet)
    return db


def test_the_measurement_has_the_promised_form_and_breaks_no_rule(stocked: Database) -> None:
    result = measure(stocked, GOLD, planner=OFFLINE, embedder=minilm(), family="sd15", progress=quiet)
    assert list(result) == [
        "used_in_plan", "adapters_per_plan", "rule_breaks", "character_when_absent", "weight_mae", "empty_plans",
        "turns", "prompt_tokens", "completion_tokens", "usd", "seconds", "latency_ms", "n",
    ]  # fmt: skip
    assert result["used_in_plan"]["with_triggers"] == 1
    assert result["rule_breaks"] == 0
    assert result["character_when_absent"] == 0
    assert result["weight_mae"] == pytest.approx(0.033, abs=0.001)
    assert result["n"] == 3
    assert result["usd"] == 0


def test_what_is_no_prompt_is_counted_as_not_found(stocked: Database) -> None:
    odd = [Prompt(text, "", {"civitai-1": 0.7}) for text in ("", "fox " * 5000, "🦊❄️", "，。")]
    result = measure(stocked, odd, planner=OFFLINE, embedder=minilm(), family="sd15", progress=quiet)
    assert result["used_in_plan"] == {"with_triggers": 0, "without_triggers": 0}
    assert (result["empty_plans"], result["rule_breaks"], result["weight_mae"], result["n"]) == (1, 0, None, 4)


def test_an_empty_catalogue_gives_empty_plans(db: Database) -> None:
    result = measure(db, GOLD, planner=OFFLINE, embedder=minilm(), family="sd15", progress=quiet)
    assert result["empty_plans"] == 1


def test_money_is_counted_by_the_price_list_that_litellm_brings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "litellm").mkdir()
    (tmp_path / "litellm" / "__init__.py").write_text("raise AssertionError('imported')")
    prices = {"gpt-x": {"input_cost_per_token": 1e-6, "output_cost_per_token": 1e-5}}
    (tmp_path / "litellm" / LIST).write_text(json.dumps(prices))
    monkeypatch.syspath_prepend(tmp_path)
    read_prices.cache_clear()
    spent = Tokens(calls=2, prompt=2000, completion=100)
    assert cost("litellm:maker/gpt-x", spent) == pytest.approx(0.003)
    assert cost("openai:mine", spent) is None
    assert cost("offline", spent) == 0
    read_prices.cache_clear()


def test_a_hidden_adapter_is_not_found_until_it_is_shown_again(stocked: Database) -> None:
    search = agent_context(stocked, minilm(), OFFLINE).search

    def found() -> bool:
        return any(c.model_key == "civitai-1" for c in search("wanostyle", [], "sd15", Policy(), 10)["prompt"])

    assert found()
    with hidden(stocked, ["civitai-1"]):
        assert not found()
    assert found()


def test_gold_prompts_are_read_and_a_wrong_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "gold.jsonl"
    path.write_text(json.dumps({"prompt": "a b", "prompt_without_triggers": "a", "adapters": {"7": 0.5}}) + "\n")
    assert read_gold(path) == [Prompt("a b", "a", {"civitai-7": 0.5})]
    path.write_text('{"prompt": 1}\n')
    with pytest.raises(BadRequest, match="line 1 is not a gold prompt"):
        read_gold(path)
