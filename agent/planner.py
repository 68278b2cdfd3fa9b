"""The planner: a chat model or the offline rules, with the same interface."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from langchain_core.messages import AIMessage

from stylus_gen.agent.state import Mode, State
from stylus_gen.tools.plan import Plan

Think = Callable[[State, float], AIMessage]
"""(state, seconds left) to a message with the next tool calls. Raises `ModelFailed` if no answer came."""


Revise = Callable[[Plan, str, float], AIMessage]
"""(plan, a person's line, seconds) to a message that calls ``edit_plan``. The offline planner has none."""


@dataclass(frozen=True)
class Planner:
    """A name, the function that plans, how the model is called, its prompts' version, the function that reads edits."""

    name: str
    think: Think
    mode: Mode = "rules"
    prompt_version: str | None = None
    revise: Revise | None = None


class ModelFailed(Exception):
    """A call to the model failed, and a retry may succeed: rate limit, server error, time-out, broken answer.

    ``wait``: seconds to wait before the retry.
    """

    def __init__(self, message: str, wait: float = 0) -> None:
        super().__init__(message)
        self.wait = wait
