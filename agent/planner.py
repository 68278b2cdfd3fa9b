"""Who plays the model's part in the graph: a chat model or the offline rules, both the same shape."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from langchain_core.messages import AIMessage

from stylus_gen.agent.state import Mode, State

Think = Callable[[State, float], AIMessage]
"""(state, seconds left) to a message with the next tool calls. Raises `ModelFailed` where no answer came."""


@dataclass(frozen=True)
class Planner:
    """A name, the function, how it is spoken to, and the version of its prompts."""

    name: str
    think: Think
    mode: Mode = "rules"
    prompt_version: str | None = None


class ModelFailed(Exception):
    """A call to the model came to nothing, and another may not: rate limit, server error, time-out, broken answer.

    ``wait`` is how many seconds to leave the server in peace.
    """

    def __init__(self, message: str, wait: float = 0) -> None:
        super().__init__(message)
        self.wait = wait
