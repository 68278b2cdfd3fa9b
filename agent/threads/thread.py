"""Threads: a plan that waits until a person accepts or changes it. A checkpointer stores it, so any process can go on.

A small LangGraph graph around planning: plan, then show and change the plan until it is accepted. Its state is a
request and a plan, a few kilobytes, stored under the thread's id.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.graph import START, StateGraph
from langgraph.graph.state import CompiledStateGraph
from langgraph.runtime import Runtime
from langgraph.types import Command, StateSnapshot, interrupt
from pydantic import BaseModel, ConfigDict

from stylus_gen.agent.context import AgentContext
from stylus_gen.agent.graph import plan_prompt
from stylus_gen.agent.planner import ModelFailed
from stylus_gen.agent.request import PlanRequest
from stylus_gen.agent.threads.edit import Accept, Answer, Edit, edit_plan
from stylus_gen.agent.threads.model import read_answer
from stylus_gen.agent.threads.rules import read_line
from stylus_gen.tools.errors import BadRequest, PolicyRefused
from stylus_gen.tools.plan import Plan
from stylus_gen.tools.text import MAX_NAME, readable

RECURSION_LIMIT = 100
"""Supersteps of one turn; the graph waits for a person after two."""


SECONDS = 30.0
"""How long a chat model may take to read a line."""


class Thread(BaseModel):
    """A thread's state: the request, the current plan, whether a person must accept it, and why their last answer was
    refused."""

    model_config = ConfigDict(extra="forbid")

    request: PlanRequest
    approve: bool = False
    plan: Plan | None = None
    refused: str | None = None


STORED: list[type[Any] | tuple[str, str]] = [Plan, PlanRequest, Thread, ("stylus_gen.agent.threads", "Thread")]
"""Classes that a checkpoint may hold, also by the names that they had; see `MOVED` in this folder's ``__init__``."""

Update = dict[str, Any]


@dataclass(frozen=True)
class Threads:
    """Planning in threads. ``saver`` is a LangGraph checkpointer; one in Postgres outlives the process."""

    saver: BaseCheckpointSaver[Any]
    context: AgentContext

    def plan(self, thread_id: str, request: PlanRequest, *, approve: bool = False) -> Plan:
        """Plan in a thread; with ``approve`` it then waits for `answer`. A thread that has a plan starts over."""
        # The Nones are given because LangGraph keeps what an input leaves out.
        return self._go(thread_id, Thread(request=request, approve=approve, plan=None, refused=None))

    def answer(self, thread_id: str, edit: Edit) -> Plan:
        """Answer a waiting thread: `Accept` ends the wait; after any other edit it waits again.

        Raises BadRequest if the thread is not waiting, or for an edit that the plan does not allow, and still waits.
        """
        if not self.waits(thread_id):
            raise BadRequest(f"the thread {thread_id!r} is not waiting for an answer; plan in it first")
        plan = self._go(thread_id, Command(resume=edit.model_dump()))
        if refused := self._read(thread_id).refused:
            raise BadRequest(refused)
        return plan

    def follow_up(self, thread_id: str, text: str) -> Plan:
        """Change a thread's plan by a line such as "less of the style"; the rest of the plan is kept."""
        plan = revise_plan(self.read(thread_id), text, self.context)
        return self._go(thread_id, self._read(thread_id).model_copy(update={"plan": plan, "refused": None}))

    def read(self, thread_id: str) -> Plan:
        """Read a thread's current plan; planning that was interrupted is finished first.

        Raises BadRequest for a thread without a plan.
        """
        plan = self._read(thread_id).plan
        if plan is None:
            raise BadRequest(f"the thread {thread_id!r} holds no plan; plan in it first")
        return plan

    def waits(self, thread_id: str) -> bool:
        """Tell whether a thread waits for an answer."""
        return bool(self._resumed(thread_id).interrupts)

    def _read(self, thread_id: str) -> Thread:
        values = self._resumed(thread_id).values
        if not values:
            raise BadRequest(f"there is no thread {thread_id!r}; plan in it first")
        return Thread.model_validate(values)

    def _resumed(self, thread_id: str) -> StateSnapshot:
        """Read a thread's state; a turn whose process died is finished first."""
        state = self._graph.get_state(_config(thread_id))
        if state.values and state.next and not state.interrupts:
            self._invoke(thread_id, None)
            state = self._graph.get_state(_config(thread_id))
        return state

    def _go(self, thread_id: str, given: Thread | Command[Any]) -> Plan:
        self._invoke(thread_id, given)
        return self.read(thread_id)

    def _invoke(self, thread_id: str, given: Thread | Command[Any] | None) -> None:
        self._graph.invoke(given, _config(thread_id), context=self.context, version="v2")

    @cached_property
    def _graph(self) -> CompiledStateGraph[Thread, AgentContext, Thread, Thread]:
        return (
            StateGraph(Thread, context_schema=AgentContext)
            .add_node("plan", make_plan)
            .add_node("show", show_plan)
            .add_edge(START, "plan")
            .add_edge("plan", "show")
            .compile(checkpointer=self.saver)
        )


def _config(thread_id: str) -> Any:
    readable(thread_id, "the thread's name", MAX_NAME)
    return {"configurable": {"thread_id": thread_id}, "recursion_limit": RECURSION_LIMIT}


def make_plan(state: Thread, runtime: Runtime[AgentContext]) -> Update:
    """Plan, unless there is a plan."""
    return {} if state.plan else {"plan": plan_prompt(state.request, runtime.context)}


def show_plan(state: Thread, runtime: Runtime[AgentContext]) -> Command[Literal["show", "__end__"]]:
    """Wait for a person's answer if approval was asked for; change the plan and show it again until it is accepted."""
    if not state.approve or state.plan is None:
        return Command(goto="__end__")
    shown = {"plan": state.plan.model_dump(mode="json"), "refused": state.refused}
    answer: Answer = interrupt(shown, response_schema=Answer)
    if isinstance(answer.root, Accept):
        return Command(update={"refused": None}, goto="__end__")
    try:
        plan = edit_plan(state.plan, answer.root, runtime.context)
    except (BadRequest, PolicyRefused) as error:  # `answer` raises it again; the thread must keep waiting
        return Command(update={"refused": error.message}, goto="show")
    return Command(update={"plan": plan, "refused": None}, goto="show")


def revise_plan(plan: Plan, text: str, context: AgentContext) -> Plan:
    """Edit a plan as a follow-up line asks; a chat model, if there is one, reads what the rules cannot.

    Raises BadRequest for a line that is no edit.
    """
    readable(text, "the line")
    try:
        edits = read_line(plan, text)
    except BadRequest as error:
        edits = _ask_model(plan, text, context, error)
    for edit in edits:
        plan = edit_plan(plan, edit, context)
    return plan


def _ask_model(plan: Plan, text: str, context: AgentContext, unread: BadRequest) -> list[Edit]:
    if context.planner.revise is None or not text.strip():
        raise unread
    try:
        return read_answer(plan, context.planner.revise(plan, text, SECONDS))
    except ModelFailed as failed:
        raise BadRequest(f"{unread.message} (the model was asked as well: {failed})") from None
