"""The state machine: turns, mistakes sent back, budgets, and the offline planner when a model fails."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from langchain_core.messages import AIMessage

from stylus_gen.agent.graph import plan_prompt
from stylus_gen.agent.model.chat_model import open_planner
from stylus_gen.agent.planner import Planner
from stylus_gen.agent.request import Budget
from stylus_gen.agent.state import State
from stylus_gen.tools.card import Card
from stylus_gen.tools.weights import STRENGTH_BUDGET
from tests.fixtures.cards import CARDS, Cards, ask, names
from tests.fixtures.chat_server import Turn, chat_server, half, message, status
from tests.fixtures.script import MASKS, SEARCH, SEGMENT, keep, plan_with

pytestmark = pytest.mark.usefixtures("no_remote_models")


def test_a_model_without_parallel_calls_takes_three_turns_for_one_image() -> None:
    plan, requests = plan_with(
        message(calls=[SEGMENT]), message(calls=[SEARCH]), message(calls=[keep("A1")]), message(calls=[MASKS])
    )
    assert names(plan) == ["Soft Watercolor"]
    assert len(requests) == 3


def test_a_mistake_is_sent_back_with_its_fix() -> None:
    plan, requests = plan_with(
        message(calls=[SEGMENT, SEARCH]), message(calls=[keep("A2", "A3")]), message(calls=[keep("A2"), MASKS])
    )
    assert names(plan) == ["Fox"]
    told = requests[2]["messages"][-1]
    assert told["role"] == "tool"
    assert "A3" in told["content"]
    assert "the same name as 'Fox'" in told["content"]


def test_a_mistake_after_a_good_call_follows_the_message_that_made_it() -> None:
    lost = ("search_adapters", {"concepts": ["whale"]})
    plan, requests = plan_with(message(calls=[SEGMENT, lost]), message(calls=[SEARCH]), message(calls=[keep("A1")]))
    assert names(plan) == ["Soft Watercolor"]
    told = requests[1]["messages"][2:]
    assert [m["role"] for m in told] == ["assistant", "tool", "tool"]
    assert [call["id"] for call in told[0]["tool_calls"]] == [m["tool_call_id"] for m in told[1:]]
    assert len(requests[2]["messages"]) == 2


@pytest.mark.parametrize(("cards", "pinned"), [([], ()), (CARDS[:1], ("wash",))])
def test_a_model_is_not_asked_where_nothing_was_found(cards: list[Card], pinned: tuple[str, ...]) -> None:
    with chat_server(message(calls=[SEGMENT, SEARCH])) as (url, requests):
        context = Cards(cards).context(open_planner("openai:stub", base_url=url))
        plan = plan_prompt(ask(pinned=pinned), context)
    assert [a.adapter_id for a in plan.assignments] == list(pinned)
    assert len(requests) == 1


@pytest.mark.parametrize(
    ("script", "why"),
    [
        ([message("I would rather talk about the weather.")], "called no tool"),
        ([message(calls=[("segment_prompt", '{"concepts": [')])], "called no tool"),
        ([message(calls=[("fly_away", {})])], "no tool 'fly_away'"),
        ([message(calls=[("segment_prompt", {"concepts": [{"text": "whale", "kind": "object"}]})])], "'whale'"),
        ([message(calls=[SEGMENT, SEARCH]), message(calls=[keep("A99")])], "no candidate is called 'A99'"),
        ([message(calls=[SEGMENT, SEARCH]), message(calls=[SEGMENT])], "cannot be called now"),
        ([message(calls=[SEGMENT, SEARCH]), message(calls=[("prune_candidates", {"keep": 3})])], "keep:"),
        ([message(calls=[SEGMENT, SEARCH]), message(calls=[keep("A1", concept="c7")])], "'c7'"),
        ([message(calls=[SEGMENT, SEARCH]), message(calls=[keep("A2", "A3")])], "break a rule"),
        ([status(429)], "too many requests"),
        ([status(500)], "HTTP 500"),
        ([half], "before its answer was complete"),
    ],
)
def test_a_model_that_fails_three_times_hands_over_to_the_offline_planner(script: list[Turn], why: str) -> None:
    plan, requests = plan_with(*script)
    # Snow is found for the prompt as a whole alone where the model has named the concepts: not enough for a sentence.
    assert {"Fox", "Soft Watercolor"} <= set(names(plan)) <= {"Fox", "Snow", "Soft Watercolor"}
    assert plan.planner.name == "openai:stub, then offline"
    assert any(why in warning for warning in plan.warnings)
    assert len(requests) <= 4


@pytest.mark.parametrize(
    ("budget", "why"),
    [
        (Budget(model_calls=1), "1 model calls is spent"),
        (Budget(tokens=50), "50 tokens is spent"),
    ],
)
def test_a_spent_budget_hands_over_to_the_offline_planner(budget: Budget, why: str) -> None:
    plan, requests = plan_with(message(calls=[SEGMENT, SEARCH]), message(calls=[keep("A1"), MASKS]), budget=budget)
    assert len(requests) == 1
    assert any(why in warning for warning in plan.warnings)


def fuzzing(draw: st.DataObject) -> Planner:
    handles, places = st.sampled_from([f"A{i}" for i in range(1, 12)]), st.sampled_from(["c1", "c2", "c3", "prompt"])
    words = st.sampled_from(["watercolor", "fox", "snow", "whale", ""])
    kept = st.fixed_dictionaries({"adapter": handles, "concept": places, "reason": st.text(max_size=20)})
    args = {
        "segment_prompt": st.fixed_dictionaries(
            {"concepts": st.lists(st.fixed_dictionaries({"text": words, "kind": st.sampled_from(["style", "object"])}))}
        ),
        "search_adapters": st.fixed_dictionaries({"concepts": st.lists(words)}),
        "prune_candidates": st.fixed_dictionaries({"keep": st.lists(kept, max_size=6), "refuse": st.just([])}),
        "pick_masks": st.fixed_dictionaries({"alternate": st.lists(places)}),
        "fly": st.just({}),
    }
    call = st.sampled_from(sorted(args)).flatmap(
        lambda name: st.fixed_dictionaries(
            {"name": st.just(name), "args": args[name] | st.just({}), "id": st.just("1")}
        )
    )

    def think(state: State, seconds: float) -> AIMessage:
        return AIMessage("", tool_calls=draw.draw(st.lists(call, max_size=4)))

    return Planner("fuzz", think, mode="tools")


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_no_planner_makes_a_plan_that_breaks_a_rule(data: st.DataObject) -> None:
    plan = plan_prompt(ask(images=3, diversity=0.5), Cards().context(fuzzing(data)))
    chosen = plan.assignments
    assert len(chosen) <= 4
    assert len({a.model_key for a in chosen}) == len(chosen)
    assert sum(a.kind == "style" for a in chosen) <= 2
    assert all(sum(a.concept_id == c.id for a in chosen) <= 2 for c in plan.concepts)
    assert not {"xl", "sharp"} & {a.adapter_id for a in chosen}
    assert sum(a.weight for a in chosen) <= STRENGTH_BUDGET
    assert not {"fox", "fox2"} <= {a.adapter_id for a in chosen}
    assert len({a.concept_id for a in chosen if a.kind == "character"}) == sum(a.kind == "character" for a in chosen)
    assert {any(row) for row in plan.masks} == {bool(chosen)}
    assert "instructions" not in plan.final_prompt
