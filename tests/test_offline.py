"""The offline planner through `plan_prompt`, with a small honest search."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from stylus_gen.agent.context import AgentContext
from stylus_gen.agent.graph import plan_prompt
from stylus_gen.agent.offline import OFFLINE
from stylus_gen.tools.card import Card
from stylus_gen.tools.plan import Candidate, Concept
from stylus_gen.tools.weights import STRENGTH_BUDGET
from tests.fixtures.cards import Cards, ask, card, names


def test_the_offline_planner_covers_concepts_and_explains_itself() -> None:
    plan = plan_prompt(ask(images=2), Cards().context())
    assert sorted(names(plan)) == ["Fox", "Snow", "Soft Watercolor"]
    assert plan.coverage.uncovered == ()
    assert plan.final_prompt == "deep snow, watercolor wash, a watercolor fox in the snow"
    assert plan.masks == ((True,) * 3,) * 2
    assert sum(a.weight for a in plan.assignments) <= STRENGTH_BUDGET
    assert plan.verdict.credits == ("Soft Watercolor by ada",)
    assert {r.name: r.code for r in plan.rejected}["Fox v2"] == "duplicate"
    assert all(a.reason for a in plan.assignments)
    assert plan.planner.name == "offline"
    assert plan.tokens.calls == 0


@pytest.mark.parametrize("prompt", ["a bowl of soup", "best quality, masterpiece", "🦊❄️", "一碗汤"])
def test_no_adapter_is_a_normal_answer(prompt: str) -> None:
    plan = plan_prompt(ask(prompt), Cards().context())
    assert plan.assignments == ()
    assert plan.final_prompt == prompt
    assert plan.masks == ((),)


def test_what_the_prompt_excludes_is_refused_and_the_plan_says_so() -> None:
    plan = plan_prompt(ask("a fox without snow, not the miku"), Cards().context())
    assert names(plan) == ["Fox"]
    assert [(r.name, r.code, r.reason) for r in plan.rejected[:2]] == [
        ("Snow", "banned", "the prompt excludes it: 'without snow'"),
        ("Miku", "banned", "the prompt excludes it: 'not the miku'"),
    ]


def test_an_adapter_that_holds_what_is_wanted_and_what_is_not_is_refused() -> None:
    cards = Cards([card("a", "Chibi Fox", "object", "fox"), card("b", "Red Fox", "object", "fox")])
    assert names(plan_prompt(ask("a fox, not chibi"), cards.context())) == ["Red Fox"]
    assert names(plan_prompt(ask("a fox, not red"), cards.context())) == ["Chibi Fox"]


def test_a_word_that_is_wanted_elsewhere_excludes_nothing() -> None:
    cards = Cards([card("a", "Zelphira", "character", "zelphira", "blue cloak")])
    assert names(plan_prompt(ask("zelphira without a blue cloak"), cards.context())) == ["Zelphira"]
    assert names(plan_prompt(ask("a fox, not zelphira"), cards.context())) == []


def test_the_words_that_negate_exclude_nothing_themselves() -> None:
    cards = Cards([card("a", "Don't Starve", "style", "starve"), card("b", "Anything Skills", "style", "skills")])
    for prompt in ("a fox, don't make it chibi", "a fox, anything but a hat"):
        assert {r.code for r in plan_prompt(ask(prompt), cards.context()).rejected} == {"low_score"}


def test_a_pinned_adapter_is_used_whatever_the_prompt_excludes() -> None:
    assert names(plan_prompt(ask("a fox without snow", pinned=("snow",)), Cards().context())) == ["Snow", "Fox"]


def test_the_same_request_gives_the_same_plan() -> None:
    first, second = (plan_prompt(ask(images=5, diversity=0.7, seed=3), Cards().context()) for _ in range(2))
    assert first.model_copy(update={"timings_ms": {}}) == second.model_copy(update={"timings_ms": {}})


def candidate(name: str, score: float, *triggers: str, kind: Any = "style") -> Candidate:
    facts = {"adapter_id": name, "model_key": name, "family": "sd15", "trigger_groups": (triggers,)}
    return Candidate(name=name, kind=kind, score=score, **facts)


@pytest.mark.parametrize(
    ("second", "chance", "chosen"),
    [
        (candidate("Zelphira", 0.02, "zelphira", kind="character"), 0.7, True),  # a concept names it
        (candidate("Zelphira", 0.02, "zelphira", kind="character"), 0.1, False),  # so do better ones
    ],
)
def test_an_adapter_that_a_concept_names_does_not_compete_with_the_whole_prompt_s_best(
    second: Candidate, chance: float, chosen: bool
) -> None:
    first = candidate("Wano Saga", 0.97, "wanostyle")

    def search(prompt: str, concepts: Sequence[Concept], *_: object) -> dict[str, list[Candidate]]:
        sure = second.model_copy(update={"score": chance})
        return {"prompt": [first, second], **{c.id: [sure] for c in concepts if c.text != "wanostyle"}}

    plan = plan_prompt(ask("1girl, wanostyle, zelphira, skirt"), AgentContext(search, lambda ids: [], OFFLINE))
    assert names(plan) == ["Wano Saga", second.name][: 1 + chosen]


@pytest.mark.parametrize(
    ("chance", "says"),
    [
        (0.4951, "49 %, below the 50 % that it needs"),
        (0.4999999, "49 %, below the 50 % that it needs"),
        (0.29, "29 %, below"),
        (0.001, "under 1 %, below"),
    ],
)
def test_a_chance_below_what_is_needed_never_reads_as_enough(chance: float, says: str) -> None:
    likely = candidate("Miku", chance, "miku", kind="character")
    context = AgentContext(lambda *_: {"prompt": [likely]}, lambda ids: [], OFFLINE)
    plan = plan_prompt(ask("1girl, miku, fox, snow"), context)
    [reason] = [a.reason for a in plan.assignments] + [r.reason for r in plan.rejected]
    assert reason.startswith(f"the chance that it is right is {says}")


@pytest.mark.parametrize(("chance", "says"), [(0.5, "right in 50 of 100"), (0.9999, "right in 99 of 100")])
def test_a_reason_says_what_was_found_and_how_often_such_cases_are_right(chance: float, says: str) -> None:
    likely = candidate("Miku", chance, "miku", kind="character").model_copy(update={"evidence": ("name 'miku'",)})
    context = AgentContext(lambda *_: {"prompt": [likely]}, lambda ids: [], OFFLINE)
    [assignment] = plan_prompt(ask("1girl, miku, fox, snow"), context).assignments
    assert assignment.reason == f"the prompt says 'miku', as its name does; {says} such cases"


def test_a_pinned_adapter_is_used_and_a_banned_one_is_not() -> None:
    plan = plan_prompt(ask(pinned=("miku",), banned=("fox", "fox2")), Cards().context())
    assert "Miku" in names(plan)
    assert not {"Fox", "Fox v2"} & set(names(plan))


def test_a_run_reads_each_card_once() -> None:
    catalogue = Cards()
    read: list[str] = []

    def cards(ids: Sequence[str]) -> list[Card]:
        read.extend(ids)
        return catalogue.cards(ids)

    plan = plan_prompt(ask(pinned=("miku",)), AgentContext(catalogue.search, cards, OFFLINE))
    assert sorted(read) == sorted(a.adapter_id for a in plan.assignments)
    assert len(read) > 1
