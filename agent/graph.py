"""The agent, a LangGraph state machine: pin, then think and act in turn until the masks are picked, then compose.

A planner (a chat model or the offline rules) chooses tool calls; `act` runs them in order and sends mistakes back.
After the third mistake, or when the budget is spent, the offline planner goes on from there, and the plan says so.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import Any, Literal

from langchain_core.messages import AIMessage, AnyMessage, HumanMessage, ToolMessage
from langgraph.graph import END, START, StateGraph
from langgraph.graph.state import CompiledStateGraph
from langgraph.runtime import Runtime

from stylus_gen.agent.compose import compose
from stylus_gen.agent.context import AgentContext, read_once
from stylus_gen.agent.model.brief import open_candidates
from stylus_gen.agent.offline import OFFLINE
from stylus_gen.agent.pins import limits_of, pin
from stylus_gen.agent.planner import ModelFailed
from stylus_gen.agent.request import PlanRequest
from stylus_gen.agent.stage import next_calls, stage_of
from stylus_gen.agent.state import State
from stylus_gen.agent.tools import Fault, use_tool
from stylus_gen.tools.plan import Plan, Tokens
from stylus_gen.tools.prune import prune

FAULTS = 2
"""Mistakes and failed calls that a model may make in one plan; after one more, the offline planner goes on."""

RECURSION_LIMIT = 64
"""Supersteps; the last fence, behind the budget. LangGraph's own default is 10,007."""

Graph = CompiledStateGraph[State, AgentContext, State, State]
Update = dict[str, Any]


def plan_prompt(request: PlanRequest, context: AgentContext) -> Plan:
    """Plan a prompt.

    Raises BadRequest and PolicyRefused for what the caller can fix. Raises Unavailable if the catalogue cannot be
    reached, or if the model's server cannot be reached, refuses the key or refuses every form of question. `think`
    counts any other failure of a model as a mistake; after the third the plan is finished offline, with a warning.
    """
    return run(State(request=request), context)


def run(state: State, context: AgentContext) -> Plan:
    """Go on from any state to a plan. Steps that the state already holds are not repeated."""
    context = replace(context, cards=read_once(context.cards))
    config = {"recursion_limit": RECURSION_LIMIT}
    final = planning_graph().invoke(state, config, context=context, version="v2")  # type: ignore[call-overload]
    plan = final.value.plan
    assert isinstance(plan, Plan)
    return plan


@cache
def planning_graph() -> Graph:
    """Wire the nodes. LangGraph retries none: a failed model call is a fault, counted and bounded like any other."""
    return (
        StateGraph(State, context_schema=AgentContext)
        .add_node("pin", pin_adapters)
        .add_node("think", think)
        .add_node("act", act)
        .add_node("compose", compose_plan)
        .add_edge(START, "pin")
        .add_edge("pin", "think")
        .add_edge("think", "act")
        .add_conditional_edges("act", after_act)
        .add_edge("compose", END)
        .compile(checkpointer=False)
    )


def pin_adapters(state: State, runtime: Runtime[AgentContext]) -> Update:
    """Check the pinned adapters before a model is called; a new pin replaces a duplicate that the plan held."""
    pins = [*pin(state.request, runtime.context.cards), *state.pinned]
    kept = prune(pins, limits_of(state.model_copy(update={"pinned": pins}))).kept
    return {"pinned": list(kept), "named": list(runtime.context.names(state.request.prompt))}


def think(state: State, runtime: Runtime[AgentContext]) -> Update:
    """Ask the planner for the next tool calls; past the budget, or after too many faults, the offline one."""
    context = runtime.context
    started = context.clock()
    offline = context.planner.mode == "rules"
    reason = None if offline else state.fell_back or spent(state)
    planner = OFFLINE if reason else context.planner
    seconds = state.request.budget.seconds - state.seconds
    try:
        message = planner.think(state, seconds)
        mode = message.response_metadata.get("mode", state.mode)
        update: Update = {"exchange": [*state.exchange, message], "tokens": _add(state.tokens, message), "mode": mode}
    except ModelFailed as failed:
        note = HumanMessage(f"The last call failed: {failed}")
        faults = state.faults + 1
        if faults <= FAULTS:
            context.sleep(min(failed.wait, max(0, seconds - (context.clock() - started))))
        update = {"exchange": [note], "faults": faults, "tokens": _called(state.tokens)}
        reason = str(failed) if faults > FAULTS else None
    spent_ms = (context.clock() - started) * 1000
    return {**update, "fell_back": reason, "timings_ms": _lapse(state, "think", spent_ms)}


def spent(state: State) -> str | None:
    """Say which part of the budget is spent, or ``None``."""
    budget, tokens = state.request.budget, state.tokens
    if tokens.calls >= budget.model_calls:
        return f"the budget of {budget.model_calls} model calls is spent"
    if tokens.prompt + tokens.completion >= budget.tokens:
        return f"the budget of {budget.tokens:,} tokens is spent"
    if state.seconds >= budget.seconds:
        return f"the budget of {budget.seconds:g} seconds is spent"
    return None


def _called(tokens: Tokens) -> Tokens:
    return tokens.model_copy(update={"calls": tokens.calls + 1})


def _add(tokens: Tokens, message: AIMessage) -> Tokens:
    usage = message.usage_metadata
    if usage is None:  # the offline planner
        return tokens
    return Tokens(
        calls=tokens.calls + 1,
        prompt=tokens.prompt + usage["input_tokens"],
        completion=tokens.completion + usage["output_tokens"],
    )


def _lapse(state: State, name: str, milliseconds: float) -> dict[str, float]:
    return {**state.timings_ms, name: round(state.timings_ms.get(name, 0) + milliseconds, 3)}


def act(state: State, runtime: Runtime[AgentContext]) -> Update:
    """Run the tool calls in order on a growing state; stop at the first mistake and send it back."""
    message = state.exchange[-1]
    if not isinstance(message, AIMessage):
        return {}  # the call failed and was counted; think again
    before = stage_of(state)
    state, answers, fault = _run_calls(state, message, runtime.context)
    state = state if fault else _settle(state, runtime.context)
    update: Update = {name: getattr(state, name) for name in type(state).model_fields if name != "request"}
    if fault is None:
        return {**update, "exchange": []}
    fell_back = state.fell_back or (fault if state.faults + 1 > FAULTS else None)
    # The exchange of an earlier step is dropped; a tool's answer must follow the message that called it.
    earlier = state.exchange if before == stage_of(state) else [message]
    return {**update, "faults": state.faults + 1, "fell_back": fell_back, "exchange": [*earlier, *answers]}


def _settle(state: State, context: AgentContext) -> State:
    """Take the steps that need no decision: no candidates to prune, one image to mask."""
    if stage_of(state) == "prune" and not (any(open_candidates(state)) and state.request.max_adapters):
        state = state.model_copy(update=use_tool("prune_candidates", {"keep": []}, state, context)[0])
    if stage_of(state) == "mask" and (state.request.images == 1 or not state.assignments):
        state = state.model_copy(update=use_tool("pick_masks", {}, state, context)[0])
    return state


def _run_calls(state: State, message: AIMessage, context: AgentContext) -> tuple[State, list[AnyMessage], str | None]:
    fault: str | None = None
    if not message.tool_calls:
        fault = f"the answer called no tool, or not in valid JSON; call {next_calls(state)}"
        return state, [HumanMessage(fault)], fault
    answers: list[AnyMessage] = []
    for call in message.tool_calls:
        content, status = "not run: an earlier call failed", "error"
        if fault is None:
            started = context.clock()
            try:
                update, content = use_tool(call["name"], call["args"], state, context)
                lapse = _lapse(state, stage_of(state), (context.clock() - started) * 1000)
                state, status = state.model_copy(update={**update, "timings_ms": lapse}), "success"
            except Fault as mistake:
                content = fault = str(mistake)
        answers.append(ToolMessage(content, tool_call_id=call["id"] or "", status=status))
    return state, answers, fault


def after_act(state: State) -> Literal["think", "compose"]:
    """Go on until the masks are picked."""
    return "compose" if stage_of(state) == "done" else "think"


def compose_plan(state: State, runtime: Runtime[AgentContext]) -> Update:
    """Build the plan."""
    return {"plan": compose(state, runtime.context)}
