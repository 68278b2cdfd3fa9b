"""Servers and models that do not manage tool calls."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from stylus_gen.agent.graph import plan_prompt
from stylus_gen.agent.model.chat_model import open_planner
from stylus_gen.agent.model.modes import Modes
from tests.fixtures.cards import Cards, ask, names
from tests.fixtures.chat_server import Body, Handler, chat_server, message, status
from tests.fixtures.script import SEGMENT, keep, plan_with

pytestmark = pytest.mark.usefixtures("no_remote_models")


SPANS = json.dumps(SEGMENT[1])
KEPT = json.dumps(keep("A1")[1])


def test_a_server_that_refuses_tools_is_spoken_to_in_json_schema_and_this_is_remembered(tmp_path: Path) -> None:
    def serve(handler: Handler, body: Body) -> None:
        if "tools" in body:
            return status(400)(handler, body)
        judging = "candidates that search found" in body["messages"][0]["content"]
        return message(KEPT if judging else SPANS)(handler, body)

    modes = Modes(tmp_path / "models.json")
    with chat_server(serve) as (url, requests):
        first = plan_prompt(ask(), Cards().context(open_planner("openai:stub", base_url=url, modes=modes)))
        assert len(requests) == 3
        modes = Modes(tmp_path / "models.json")
        second = plan_prompt(ask(), Cards().context(open_planner("openai:stub", base_url=url, modes=modes)))
        assert len(requests) == 5
    assert names(first) == names(second) == ["Soft Watercolor"]
    assert first.planner.mode == second.planner.mode == "schema"
    asked = requests[-1]["response_format"]["json_schema"]["schema"]["properties"]["keep"]["items"]
    assert "A1" in asked["properties"]["adapter"]["enum"]


def test_a_server_that_knows_neither_is_asked_for_json_in_plain_words() -> None:
    def serve(handler: Handler, body: Body) -> None:
        if "tools" in body or "response_format" in body:
            return status(400)(handler, body)
        judging = "candidates that search found" in body["messages"][0]["content"]
        return message(f"Of course! ```json\n{KEPT if judging else SPANS}\n``` Enjoy.")(handler, body)

    plan, requests = plan_with(serve)
    assert names(plan) == ["Soft Watercolor"]
    assert plan.planner.mode == "json"
    assert len(requests) == 4


def test_a_model_that_writes_its_tool_call_as_text_is_asked_for_json() -> None:
    call = f'<tool_call>{{"name": "segment_prompt", "arguments": {SPANS}}}</tool_call>'
    plan, requests = plan_with(message(call), message(KEPT))
    assert names(plan) == ["Soft Watercolor"]
    assert plan.planner.mode == "schema"
    assert len(requests) == 2
