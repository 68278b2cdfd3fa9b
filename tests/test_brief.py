"""What a chat model is shown: few tokens, only what may be used, strangers' texts as data."""

from __future__ import annotations

import json

import pytest

from stylus_gen.agent.graph import plan_prompt
from stylus_gen.agent.model.chat_model import open_planner
from stylus_gen.agent.model.tokens import clip, count_tokens
from tests.fixtures.cards import Cards, ask, card, names
from tests.fixtures.chat_server import chat_server, message
from tests.fixtures.script import MASKS, SEARCH, SEGMENT, keep, plan_with

pytestmark = pytest.mark.usefixtures("no_remote_models")


def test_a_normal_prompt_takes_two_turns_and_few_tokens() -> None:
    plan, requests = plan_with(message(calls=[SEGMENT, SEARCH]), message(calls=[keep("A1"), MASKS]))
    assert names(plan) == ["Soft Watercolor"]
    assert plan.planner.name == "openai:stub"
    assert plan.planner.mode == "tools"
    assert plan.planner.prompt_version == "segment 1, prune 2"
    assert plan.tokens.calls == len(requests) == 2
    assert plan.tokens.prompt <= 3000
    assert [tool["function"]["name"] for tool in requests[1]["tools"]] == ["prune_candidates", "pick_masks"]


def test_a_model_is_not_shown_an_adapter_that_is_banned() -> None:
    turns = message(calls=[SEGMENT, SEARCH]), message(calls=[keep("A1"), MASKS])
    shown = [plan_with(*turns, banned=banned)[1][1]["messages"][1]["content"] for banned in ((), ("fox",))]
    assert ['"Fox"' in text for text in shown] == [True, False]
    assert ['"Fox v2"' in text for text in shown] == [True, True]


def test_a_model_is_not_offered_what_the_prompt_excludes() -> None:
    found = {"concepts": [{"text": "fox", "kind": "object"}, {"text": "snow", "kind": "background"}]}
    first = message(calls=[("segment_prompt", found), ("search_adapters", {"concepts": ["fox", "snow"]})])
    plan, asked = plan_with(first, message(calls=[keep("A1"), MASKS]), prompt="a fox without snow")
    assert [concept.text for concept in plan.concepts] == ["fox"]
    assert [r.name for r in plan.rejected[:1]] == ["Snow"]
    assert "Snow" not in json.dumps(asked[1])


@pytest.mark.parametrize("text", ["watercolor dreams", "水彩画の狐と雪", "a, b; c: (d) 1234", "x" * 99, "🦊🦊"])
def test_a_clipped_text_has_the_room_it_was_given(text: str) -> None:
    for room in range(20):
        assert count_tokens(clip(text, room)) <= room
        assert text.startswith(clip(text, room).removesuffix("…"))
    assert clip(text, 400) == text


def test_strangers_orders_reach_neither_the_model_nor_the_picture() -> None:
    obeys = [message(calls=[SEGMENT, SEARCH]), message(calls=[keep("A10"), MASKS])]
    plan, requests = plan_with(*obeys)
    assert [a.adapter_id for a in plan.assignments] == ["evil"]
    assert plan.assignments[0].weight <= 1
    assert plan.final_prompt == plan.prompt
    assert "previous instructions" not in json.dumps(requests)


def test_a_full_brief_stays_within_its_tokens() -> None:
    names = ("Watercolor 水彩画 " * 9, "fox_" * 30, "snow, 1.5! " * 20)
    crowd = [card(f"{i:064x}", names[i % 3], "style", "fox, " * 40, description="about " * 200) for i in range(90)]
    with chat_server(message(calls=[SEGMENT, SEARCH]), message(calls=[keep(), MASKS])) as (url, requests):
        plan_prompt(ask("fox, " * 150), Cards(crowd).context(open_planner("openai:stub", base_url=url)))
    cards = [line for line in requests[1]["messages"][1]["content"].splitlines() if line.startswith('["A')]
    assert 10 <= len(cards) <= 30  # two concepts and the prompt as a whole, at most ten each
    assert max(map(count_tokens, cards)) <= 60
    assert sum(count_tokens(json.dumps([r["messages"], r["tools"]], ensure_ascii=False)) for r in requests) <= 3200
