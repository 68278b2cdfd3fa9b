"""Who plays the model's part in the graph: a chat model or the offline rules, both the same shape."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from langchain_core.messages import AIMessage

from stylus_gen.agent.state import Mode, State
from stylus_gen.tools.plan import Plan

Think = Callable[[State, float], AIMessage]
"""(state, seconds left) to a message with the next tool calls. Raises `ModelFailed` where no answer came."""


Revise = Callable[[Plan, str, float], AIMessage]
"""(plan, a person's line, seconds) to a message that calls ``edit_plan``. The offline rules have none."""


@dataclass(frozen=True)
class Planner:
    """A name, the function, how it is spoken to, the version of its prompts, and how it reads follow-up lines."""

    name: str
    think: Think
    mode: Mode = "rules"
    prompt_version: str | None = None
    revise: Revise | None = None


class ModelFailed(Exception):
    """A call to the model came to nothing, and another may not: rate limit, server error, time-out, broken answer.

    ``wait`` is how many seconds to leave the server in peace.
    """

    def __init__(self, message: str, wait: float = 0) -> None:
        super().__init__(message)
        self.wait = wait
