"""Plans that a person changes: edits, follow-up lines, and threads that wait for an answer across processes."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.checkpoint.postgres import PostgresSaver
from psycopg.rows import dict_row

from stylus_gen.agent.graph import plan_prompt
from stylus_gen.agent.model.chat_model import open_planner
from stylus_gen.agent.threads.edit import Accept, Add, Ban, Count, Drop, Edit, Pin, Rebase, Remove, Weigh, edit_plan
from stylus_gen.agent.threads.thread import Threads, revise_plan
from stylus_gen.tools.errors import BadRequest
from stylus_gen.tools.plan import Budget, Plan, Policy
from tests.fixtures.cards import Cards, ask, names
from tests.fixtures.chat_server import Turn, chat_server, message, status

ROOT = Path(__file__).parent.parent
SHELF = Cards()
CONTEXT = SHELF.context()


@pytest.fixture
def plan() -> Plan:
    return plan_prompt(ask(images=2), CONTEXT)


def weight_of(plan: Plan, name: str) -> float:
    return next(a.weight for a in plan.assignments if a.name == name)


def test_a_dropped_adapter_leaves_with_its_trigger_words_and_its_mask(plan: Plan) -> None:
    edited = edit_plan(plan, Drop(adapter="Snow"), CONTEXT)
    assert names(edited) == [name for name in names(plan) if name != "Snow"]
    assert edited.final_prompt == "watercolor wash, a watercolor fox in the snow"
    assert edited.masks == ((True, True),) * 2
    assert len(edited.coverage.uncovered) == 1


def test_what_was_banned_or_dropped_stays_away_through_later_edits(plan: Plan) -> None:
    banned = edit_plan(edit_plan(plan, Ban(adapter="Fox"), CONTEXT), Drop(adapter="Snow"), CONTEXT)
    assert {"Fox", "Snow"}.isdisjoint(names(edit_plan(banned, Add(words="a scarf"), CONTEXT)))
    assert "Fox" in names(edit_plan(banned, Pin(adapter="fox"), CONTEXT))


def test_later_edits_keep_to_the_cap_of_the_request() -> None:
    plan = plan_prompt(ask(max_adapters=1), CONTEXT)
    assert len(names(edit_plan(plan, Add(words="hatsune miku"), CONTEXT))) == 1


@pytest.mark.parametrize(
    "edit", [Add(words="miku"), Pin(adapter="miku"), Ban(adapter="Fox"), Rebase(base="x", family="sd15")]
)
def test_an_edit_asks_again_for_all_that_was_asked_for(edit: Edit) -> None:
    wish = ask(
        images=3,
        seed=5,
        negative_prompt="blurry",
        max_adapters=9,
        diversity=1,
        banned=("ink",),
        policy=Policy(nsfw_level=2),
        budget=Budget(model_calls=3, tokens=99, seconds=5),
    )
    edited = edit_plan(plan_prompt(wish, CONTEXT), edit, CONTEXT)
    kept = ("images", "seed", "negative_prompt", "max_adapters", "diversity", "policy", "budget")
    assert {name: getattr(edited, name) for name in kept} == {name: getattr(wish, name) for name in kept}
    assert set(edited.banned) >= set(wish.banned)
    assert len(set(edited.masks)) == 3  # with diversity 1 the rows differ


def test_more_images_of_a_diverse_plan_are_diverse_and_the_first_stay() -> None:
    plan = plan_prompt(ask(images=2, diversity=1), CONTEXT)
    edited = edit_plan(plan, Count(images=6), CONTEXT)
    assert edited.masks == plan_prompt(ask(images=6, diversity=1), CONTEXT).masks
    assert edited.masks[:2] == plan.masks
    assert edit_plan(edited, Count(images=1), CONTEXT).masks == plan.masks[:1]


def test_a_slider_is_outside_the_budget_of_an_edit_too() -> None:
    plan = plan_prompt(ask("a fox, sharpness", pinned=("sharp",)), CONTEXT)
    assert "Sharpness" in names(plan)
    strong = edit_plan(plan, Weigh(adapter="Sharpness", weight=4), CONTEXT)
    assert not any("you set weights" in warning for warning in strong.warnings)
    heavy = edit_plan(strong, Weigh(adapter="Fox", weight=-2), CONTEXT)
    assert any("you set weights that sum to 2.00" in warning for warning in heavy.warnings)


def test_words_that_begin_the_prompt_go_with_their_article() -> None:
    plan = plan_prompt(ask("a fox, deep snow"), CONTEXT)
    assert edit_plan(plan, Remove(words="fox"), CONTEXT).prompt == "deep snow"


def test_more_of_a_weight_above_the_usual_most_does_not_lower_it(plan: Plan) -> None:
    heavy = edit_plan(plan, Weigh(adapter="Fox", weight=2.0), CONTEXT)
    assert weight_of(revise_plan(heavy, "more fox", CONTEXT), "Fox") == 2.0


@pytest.mark.parametrize("line", ["0 images", "99 images"])
def test_a_number_of_images_that_cannot_be_drawn_is_refused(plan: Plan, line: str) -> None:
    with pytest.raises(BadRequest, match="1 to 64"):
        revise_plan(plan, line, CONTEXT)


def test_a_weight_that_a_person_sets_stays_through_later_edits(plan: Plan) -> None:
    edited = edit_plan(plan, Weigh(adapter="Fox", weight=1.3), CONTEXT)
    edited = edit_plan(edited, Pin(adapter="miku"), CONTEXT)
    assert weight_of(edited, "Fox") == 1.3
    assert next(a for a in edited.assignments if a.name == "Fox").weight_source == "user"
    assert any("you set weights" in warning for warning in edited.warnings)


def test_a_pin_adds_an_adapter_and_keeps_the_others(plan: Plan) -> None:
    assert set(names(edit_plan(plan, Pin(adapter="miku"), CONTEXT))) == {*names(plan), "Miku"}


def test_a_ban_makes_room_for_the_next_best(plan: Plan) -> None:
    assert "Fox v2" in names(edit_plan(plan, Ban(adapter="Fox"), CONTEXT))


def test_another_base_chooses_adapters_anew_for_the_same_concepts(plan: Plan) -> None:
    edited = edit_plan(plan, Rebase(base="xl", family="sdxl"), CONTEXT)
    assert names(edited) == ["Fox XL"]
    assert edited.concepts == plan.concepts


def test_words_taken_out_of_the_prompt_take_their_adapter_with_them(plan: Plan) -> None:
    edited = edit_plan(plan, Remove(words="snow"), CONTEXT)
    assert edited.prompt == "a watercolor fox"
    assert edited.negative_prompt == "snow"
    assert "Snow" not in names(edited)


def test_a_trigger_word_can_be_taken_out_for_good(plan: Plan) -> None:
    assert plan.final_prompt.startswith("deep snow, watercolor wash, ")
    edited = revise_plan(plan, "without deep snow", CONTEXT)
    assert edited.final_prompt == "watercolor wash, a watercolor fox in the snow"
    assert names(edited) == names(plan)
    assert edit_plan(edited, Pin(adapter="miku"), CONTEXT).final_prompt.count("deep snow") == 0


def test_words_added_are_searched_for_and_the_rest_is_kept(plan: Plan) -> None:
    edited = edit_plan(plan, Add(words="miku"), CONTEXT)
    assert edited.prompt == "a watercolor fox in the snow, miku"
    assert set(names(edited)) == {*names(plan), "Miku"}


@pytest.mark.parametrize(
    ("edit", "names"), [(Drop(adapter="Whale"), "Whale"), (Remove(words="whale"), "whale"), (Pin(adapter="x"), "x")]
)
def test_an_edit_that_the_plan_does_not_allow_says_so(plan: Plan, edit: Edit, names: str) -> None:
    with pytest.raises(BadRequest, match=rf"\b{names}\b"):
        edit_plan(plan, edit, CONTEXT)


def test_less_of_the_style_lowers_the_style_only(plan: Plan) -> None:
    edited = revise_plan(plan, "a bit less of the style, please", CONTEXT)
    assert weight_of(edited, "Soft Watercolor") < weight_of(plan, "Soft Watercolor")
    assert weight_of(edited, "Fox") == weight_of(plan, "Fox")


def test_again_with_another_seed_changes_nothing_but_the_seed(plan: Plan) -> None:
    edited = revise_plan(plan, "again with another seed", CONTEXT)
    assert edited.seed != plan.seed
    assert edited == plan.model_copy(update={"seed": edited.seed})


@pytest.mark.parametrize(
    ("line", "left"),
    [
        ("without the snow", ["Fox", "Soft Watercolor"]),
        ("no fox", ["Snow", "Soft Watercolor"]),
        ("more fox, but 4 images", ["Fox", "Snow", "Soft Watercolor"]),
        ("seed 7", ["Fox", "Snow", "Soft Watercolor"]),
        ("add miku", ["Fox", "Miku", "Snow", "Soft Watercolor"]),
    ],
)
def test_a_follow_up_line_edits_the_plan(plan: Plan, line: str, left: list[str]) -> None:
    assert sorted(names(revise_plan(plan, line, CONTEXT))) == left


@pytest.mark.parametrize(
    ("line", "says"),
    [("", "for example"), ("what is the weather?", "for example"), ("less whale", "its adapters are")],
)
def test_a_line_that_is_no_edit_says_what_can_be_said(plan: Plan, line: str, says: str) -> None:
    with pytest.raises(BadRequest, match=says):
        revise_plan(plan, line, CONTEXT)


def test_a_model_reads_the_lines_that_the_rules_do_not(plan: Plan) -> None:
    change = {"action": "weight", "adapter": "A1", "number": 0.4, "words": ""}
    with chat_server(message(calls=[("edit_plan", {"edits": [change]})])) as (url, requests):
        context = SHELF.context(open_planner("openai:stub", base_url=url))
        edited = revise_plan(plan, "it looks too much like a real animal", context)
        assert revise_plan(plan, "seed 7", context).seed == 7
    assert edited.assignments[0].weight == 0.4
    assert len(requests) == 1
    assert "too much like a real animal" in requests[0]["messages"][1]["content"]


@pytest.mark.parametrize("answer", [message("no idea"), message(calls=[("edit_plan", {"edits": []})]), status(500)])
def test_a_line_that_the_model_does_not_read_either_is_an_error(plan: Plan, answer: Turn) -> None:
    with chat_server(answer) as (url, _), pytest.raises(BadRequest):
        revise_plan(plan, "what is the weather?", SHELF.context(open_planner("openai:stub", base_url=url)))


@pytest.fixture
def saver(database_url: str) -> Iterator[PostgresSaver]:
    with psycopg.connect(database_url, autocommit=True, row_factory=dict_row) as conn:
        saver = PostgresSaver(conn)
        saver.setup()
        yield saver


def test_a_thread_waits_and_goes_on_in_another_process(saver: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LANGGRAPH_STRICT_MSGPACK", "true")
    shown = Threads(saver, CONTEXT).plan("t1", ask(), approve=True)
    elsewhere = Threads(saver, Cards().context())  # nothing is shared but the database and the id
    assert elsewhere.waits("t1")
    assert elsewhere.read("t1") == shown
    dropped = elsewhere.answer("t1", Drop(adapter="Snow"))
    assert "Snow" not in names(dropped)
    assert elsewhere.waits("t1")
    assert elsewhere.answer("t1", Accept()) == dropped
    assert not elsewhere.waits("t1")


WAIT_TO_BE_KILLED = """
import sys, time
import psycopg
from langgraph.checkpoint.postgres import PostgresSaver
from psycopg.rows import dict_row
from stylus_gen.agent.context import AgentContext
from stylus_gen.agent.threads.thread import Threads, revise_plan
from tests.fixtures.cards import Cards, ask

url, moment = sys.argv[1:]

def wait():
    print("ready", flush=True)
    time.sleep(60)

class Stuck(Cards):
    def search(self, *args):
        while "request" not in saver.get_tuple({"configurable": {"thread_id": "t1"}}).checkpoint["channel_values"]:
            pass  # written down in a thread of its own
        wait()

with psycopg.connect(url, autocommit=True, row_factory=dict_row) as conn:
    cards = Stuck() if moment == "planning" else Cards()
    saver = PostgresSaver(conn)
    Threads(saver, cards.context()).plan("t1", ask(images=2), approve=True)
    wait()
"""


@pytest.mark.parametrize("moment", ["planning", "waiting"])
def test_a_thread_goes_on_after_its_process_was_killed(saver: Any, database_url: str, moment: str) -> None:
    command = [sys.executable, "-c", WAIT_TO_BE_KILLED, database_url, moment]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.kill()
    assert process.returncode == -signal.SIGKILL
    threads = Threads(saver, CONTEXT)  # nothing but the thread's id
    assert threads.waits("t1")
    assert sorted(names(threads.read("t1"))) == ["Fox", "Snow", "Soft Watercolor"]
    dropped = threads.answer("t1", Drop(adapter="Snow"))
    assert threads.answer("t1", Accept()) == dropped
    assert sorted(names(dropped)) == ["Fox", "Soft Watercolor"]
    assert dropped.images == 2


def test_a_refused_answer_leaves_the_thread_waiting() -> None:
    threads = Threads(InMemorySaver(), CONTEXT)
    plan = threads.plan("t1", ask(), approve=True)
    with pytest.raises(BadRequest, match="not in the plan"):
        threads.answer("t1", Drop(adapter="Whale"))
    assert threads.waits("t1")
    assert threads.read("t1") == plan
    assert "Fox" not in names(threads.answer("t1", Drop(adapter="Fox")))


def test_a_follow_up_edits_the_threads_plan_and_waits_again_if_it_waited() -> None:
    threads = Threads(InMemorySaver(), CONTEXT)
    first = threads.plan("free", ask())
    assert not threads.waits("free")
    assert threads.follow_up("free", "seed 7") == first.model_copy(update={"seed": 7})
    threads.plan("asked", ask(), approve=True)
    assert threads.follow_up("asked", "seed 7").seed == 7
    assert threads.waits("asked")


def test_a_thread_planned_before_starts_over() -> None:
    threads = Threads(InMemorySaver(), CONTEXT)
    threads.plan("t1", ask(), approve=True)
    assert names(threads.plan("t1", ask("a fox"))) == ["Fox"]
    assert not threads.waits("t1")


def test_a_line_that_is_not_understood_leaves_the_thread_as_it_was() -> None:
    threads = Threads(InMemorySaver(), CONTEXT)
    plan = threads.plan("t1", ask())
    with pytest.raises(BadRequest, match="for example"):
        threads.follow_up("t1", "what is the weather?")
    assert threads.read("t1") == plan


def test_a_thread_that_does_not_wait_takes_no_answer() -> None:
    threads = Threads(InMemorySaver(), CONTEXT)
    with pytest.raises(BadRequest, match="not waiting"):
        threads.answer("t1", Accept())
    with pytest.raises(BadRequest, match="no thread"):
        threads.follow_up("t1", "seed 7")
