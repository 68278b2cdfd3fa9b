"""The door to chat models over real HTTP: opening one, keys, slow, broken and hostile servers."""

from __future__ import annotations

import time

import pytest

from stylus_gen.agent.graph import plan_prompt
from stylus_gen.agent.model.chat_model import open_planner
from stylus_gen.agent.request import Budget
from stylus_gen.tools.errors import BadRequest, Unavailable
from tests.fixtures.cards import Cards, ask, names
from tests.fixtures.chat_server import Body, Handler, Turn, chat_server, message, status
from tests.fixtures.script import MASKS, SEARCH, SEGMENT, keep, plan_with

pytestmark = pytest.mark.usefixtures("no_remote_models")


def raw(body: bytes) -> Turn:
    return lambda handler, _: handler.send(200, body)


DEEP = '{"a":' * 200_000


@pytest.mark.parametrize(
    "turn",
    [
        message(DEEP),
        message("{" * 2_000_000),
        message("{" * 40_000),
        message('{"a":' * 9_000),
        message('{"concepts":' + "[" * 500 + "]" * 500 + "}"),
        message(calls=[("segment_prompt", DEEP)]),
        message(calls=[("segment_prompt", '{"concepts":' + "[" * 500 + "]" * 500 + "}")]),
        message(calls=[("segment_prompt", {"concepts": [{"text": "fox", "kind": "object"}] * 50_000})]),
        message("x" * 5_000_000),
        raw(b"[" * 200_000),
        raw(b'{"choices":' * 200_000),
    ],
    ids=range(11),
)
def test_an_answer_that_is_too_long_or_too_deep_costs_no_time(turn: Turn) -> None:
    started = time.monotonic()
    plan, _ = plan_with(turn)
    assert time.monotonic() - started < 10
    assert plan.planner.name == "openai:stub, then offline"
    assert sorted(names(plan)) == ["Fox", "Snow", "Soft Watercolor"]


def test_a_busy_server_is_left_in_peace_as_long_as_it_asks() -> None:
    def busy(handler: Handler, body: Body) -> None:
        handler.send_response(429)
        handler.send_header("Retry-After", "7")
        handler.send_header("Content-Length", "0")
        handler.end_headers()

    cards = Cards()
    with chat_server(busy, message(calls=[SEGMENT, SEARCH]), message(calls=[keep("A1"), MASKS])) as (url, _):
        plan = plan_prompt(ask(), cards.context(open_planner("openai:stub", base_url=url)))
    assert cards.waits == [7]
    assert plan.planner.name == "openai:stub"


def test_a_model_that_stalls_is_left_when_the_seconds_are_spent() -> None:
    def drip(handler: Handler, body: Body) -> None:
        handler.send(200, b" ", length=1000)
        for _ in range(50):
            time.sleep(0.1)  # the server's slowness is what is tested; the client's read time-out never fires
            handler.wfile.write(b" ")

    started = time.monotonic()
    plan, _ = plan_with(drip, budget=Budget(seconds=0.5))
    assert time.monotonic() - started < 3
    assert any("0.5 seconds is spent" in warning for warning in plan.warnings)


@pytest.mark.parametrize(("code", "words"), [(401, "STYLUS_MODEL_API_KEY"), (404, "STYLUS_MODEL"), (400, "every form")])
def test_a_server_that_will_never_answer_is_an_error(code: int, words: str) -> None:
    with pytest.raises(Unavailable, match=words):
        plan_with(status(code))


def test_an_unreachable_server_is_an_error() -> None:
    with chat_server(status(500)) as (url, _):
        pass
    with pytest.raises(Unavailable, match="no model server answers"):
        plan_prompt(ask(), Cards().context(open_planner("openai:stub", base_url=url)))


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("gpt", "expected openai:NAME"),
        ("openai:gpt", "needs a key"),
        ("litellm:gpt", "pip install 'stylus-gen.litellm.'"),
    ],
)
def test_a_model_that_cannot_be_opened_is_an_error(name: str, words: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    monkeypatch.setattr("stylus_gen.agent.model.chat_model.remote_allowed", True)
    monkeypatch.setattr("importlib.util.find_spec", lambda package: None)
    with pytest.raises((BadRequest, Unavailable), match=words):
        open_planner(name)


def test_a_model_beyond_this_machine_can_be_made_impossible() -> None:
    with pytest.raises(Unavailable, match="switched off"):
        open_planner("openai:gpt", api_key="x")


def test_the_users_key_for_another_server_is_not_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "secret")
    seen = []

    def look(handler: Handler, body: Body) -> None:
        seen.append(handler.headers["Authorization"])
        message(calls=[SEGMENT, SEARCH])(handler, body)

    plan_with(look, message(calls=[keep(), MASKS]))
    assert seen == ["Bearer none"]
