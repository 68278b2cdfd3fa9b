"""Ask a chat model: one question, one answer, in a form that its server accepts.

Three modes: native tool calls; one JSON answer that the server forces into a schema; one JSON answer that the prompt
asks for. They are tried in this order, until the server accepts one and the model answers in it. The mode that worked
is stored under the model's name.
"""

from __future__ import annotations

import json
from collections.abc import MutableMapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage, ToolMessage
from langchain_core.messages.ai import UsageMetadata

from stylus_gen.agent.model.brief import brief, schemas
from stylus_gen.agent.model.call import Refused, call_model
from stylus_gen.agent.model.templates import prompt_version, read_template
from stylus_gen.agent.planner import ModelFailed, Planner
from stylus_gen.agent.stage import stage_of
from stylus_gen.agent.state import Mode, State
from stylus_gen.agent.threads.model import brief_plan, edit_schema
from stylus_gen.tools.errors import Unavailable
from stylus_gen.tools.plan import Plan

if TYPE_CHECKING:
    from langchain_core.language_models import BaseChatModel

NEXT: dict[Mode, Mode] = {"tools": "schema", "schema": "json"}
"""The mode to try after one that does not work."""

MAX_ANSWER = 50_000
"""Characters of an answer that are read: many times what `ANSWER_TOKENS` tokens make."""

MAX_DEPTH = 20

TRIES = 200
"""Braces of an answer that may begin its JSON object."""

ECHO = 600
"""Characters of a bad answer that are shown to the model again."""


@dataclass(frozen=True)
class Question:
    """A question to a model: its rules, the facts, the tools it may call, the mistakes so far."""

    rules: str
    facts: str
    tools: Sequence[dict[str, Any]]
    exchange: Sequence[BaseMessage] = ()


def chat_planner(model: BaseChatModel, name: str, modes: MutableMapping[str, Mode], key: str) -> Planner:
    """Make a planner of a chat model; ``modes`` stores under ``key`` the mode that worked."""

    def speak(mode: Mode | None, question: Question, seconds: float) -> AIMessage:
        answer = ask(model, mode or modes.get(key, "tools"), question, seconds)
        if answer.tool_calls:
            modes[key] = answer.response_metadata["mode"]
        return answer

    def think(state: State, seconds: float) -> AIMessage:
        template = read_template("prune" if stage_of(state) in ("prune", "mask") else "segment")
        return speak(state.mode, Question(template.text, brief(state), schemas(state), state.exchange), seconds)

    def revise(plan: Plan, line: str, seconds: float) -> AIMessage:
        question = Question(read_template("revise").text, brief_plan(plan, line), [edit_schema(plan)])
        return speak(None, question, seconds)

    return Planner(name=name, think=think, mode="tools", prompt_version=prompt_version(), revise=revise)


def ask(model: BaseChatModel, mode: Mode, question: Question, seconds: float) -> AIMessage:
    """Ask a question. The answer's ``response_metadata["mode"]`` is the mode for the next one.

    Raises ModelFailed if a retry may help, else Unavailable.
    """
    bound, messages = _put(model, mode, question)
    try:
        answer = call_model(seconds, lambda: bound.invoke(messages, timeout=seconds))
    except Refused as refused:
        if mode not in NEXT:
            raise Unavailable(f"{refused}, in every form; check STYLUS_MODEL and the server's log") from None
        return ask(model, NEXT[mode], question, seconds)
    _require_small(answer)
    native = [{**call, "id": call.get("id") or f"call-{i}"} for i, call in enumerate(answer.tool_calls)]
    calls = native or _parsed(answer.text, [tool["function"]["name"] for tool in question.tools])
    return AIMessage(
        answer.text[:ECHO] or ("" if calls else "(nothing)"),
        tool_calls=calls,
        usage_metadata=answer.usage_metadata or _estimate(messages, answer.text + json.dumps(calls)),
        response_metadata={"mode": mode if native or (calls and mode != "tools") else NEXT.get(mode, mode)},
    )


def _require_small(answer: AIMessage) -> None:
    """Refuse an answer that is too large or too deep, before it is read."""
    held = [call["args"] for call in answer.tool_calls]
    if len(answer.text) > MAX_ANSWER or not is_small(held, MAX_ANSWER, MAX_DEPTH):
        raise ModelFailed(f"the model's answer has more than {MAX_ANSWER:,} characters or {MAX_DEPTH} levels")


def is_small(value: Any, most: int, depth: int) -> bool:
    """Tell whether a JSON value has at most ``most`` characters, about, and ``depth`` levels; without recursion."""
    level, size = [value], 0
    for _ in range(depth):
        below: list[Any] = []
        for item in level:
            size += len(item) if isinstance(item, str) else 2
            if isinstance(item, dict):
                size += sum(map(len, item))
                below.extend(item.values())
            elif isinstance(item, list):
                below.extend(item)
        if not below or size > most:
            return size <= most
        level = below
    return False


def _put(model: BaseChatModel, mode: Mode, question: Question) -> tuple[Any, list[BaseMessage]]:
    facts = HumanMessage(question.facts)
    if mode == "tools":
        bound = model.bind_tools(question.tools, tool_choice="required")
        return bound, [SystemMessage(question.rules), facts, *question.exchange]
    schema = question.tools[0]["function"]["parameters"]
    only = f"{question.rules}\n\nAnswer with one JSON object of this schema and nothing else:\n{json.dumps(schema)}"
    bare: Any = model.bind(response_format=_response_format(schema)) if mode == "schema" else model
    return bare, [SystemMessage(only), facts, *map(_as_text, question.exchange)]


def _response_format(schema: dict[str, Any]) -> dict[str, Any]:
    return {"type": "json_schema", "json_schema": {"name": "answer", "schema": schema, "strict": True}}


def _as_text(message: BaseMessage) -> BaseMessage:
    """Write an exchange of tool calls as plain messages, for servers without tools."""
    if isinstance(message, AIMessage):
        return AIMessage(message.text or json.dumps([call["args"] for call in message.tool_calls])[:ECHO])
    return HumanMessage(message.text) if isinstance(message, ToolMessage) else message


def _parsed(text: str, names: Sequence[str]) -> list[Any]:
    """Read one JSON answer as calls of the tools of these names; nothing where there is no JSON object in it.

    Some models write a tool call as text: then its arguments are read.
    """
    args = _first_object(text)
    if args is None:
        return []
    args = next((args[key] for key in ("arguments", "parameters") if isinstance(args.get(key), dict)), args)
    first, *others = names
    calls = [(first, args)]
    if "search_adapters" in others:
        spans = args.get("concepts")
        texts = [s.get("text") for s in spans if isinstance(s, dict)] if isinstance(spans, list) else []
        calls.append(("search_adapters", {"concepts": texts}))
    if "pick_masks" in others:
        calls.append(("pick_masks", {"alternate": []}))
    return [{"name": name, "args": args, "id": name} for name, args in calls]


def _first_object(text: str) -> dict[str, Any] | None:
    decoder = json.JSONDecoder()
    start = text.find("{")
    for _ in range(TRIES):
        if start < 0:
            return None
        try:
            value, _ = decoder.raw_decode(text, start)
        except ValueError:
            start = text.find("{", start + 1)
        except RecursionError:
            return None
        else:
            return value if is_small(value, MAX_ANSWER, MAX_DEPTH) else None
    return None


def _estimate(messages: Sequence[BaseMessage], answer: str) -> UsageMetadata:
    """Estimate tokens, at four characters each, for servers that do not count them."""
    sent, got = sum(len(m.text) for m in messages) // 4, len(answer) // 4
    return UsageMetadata(input_tokens=sent, output_tokens=got, total_tokens=sent + got)
