"""One call to a chat model: bounded in time, its errors sorted into try again, ask differently, and tell the user.

The clients' errors are OpenAI's classes, which litellm's subclass as well.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator
from typing import Any

import openai
from langchain_core.messages import AIMessage

from stylus_gen.agent.planner import ModelFailed
from stylus_gen.tools.deadline import within
from stylus_gen.tools.errors import Unavailable

# What the client libraries raise over an answer that is not what the protocol promises (no choices, null, half a JSON).
_BROKEN = (ValueError, TypeError, KeyError, IndexError, AttributeError, RecursionError, openai.APIError)


WAIT = 1.0
"""Seconds to wait after a server's error, where it does not say."""


class Refused(Exception):
    """The server does not take this form of question (HTTP 400, 422, 501): ask in another form."""


def call_model(seconds: float, ask: Callable[[], Any]) -> AIMessage:
    """Call a model and wait at most ``seconds``.

    Raises ModelFailed where another try may help, Refused, and Unavailable for the user.
    """
    started = time.monotonic()
    try:
        answer = within(seconds, ask)
    except Exception as error:  # sorted by what to do next; what is not the model's fault is raised as it is
        if isinstance(error, TimeoutError) and time.monotonic() - started >= seconds:
            raise ModelFailed(f"the model did not answer within the {seconds:.1f} s that were left") from None
        raise _sorted(error) from error
    assert isinstance(answer, AIMessage), f"a chat model answered with {type(answer)}"
    return answer


def _sorted(error: Exception) -> Exception:
    if isinstance(error, openai.APITimeoutError):
        return ModelFailed("the model server did not answer in time")
    if isinstance(error, openai.APIConnectionError):
        if any(isinstance(cause, ConnectionRefusedError | socket.gaierror) for cause in _causes(error)):
            at = f"{error.request.url.host}:{error.request.url.port}"
            return Unavailable(f"no model server answers at {at}; start it, or set STYLUS_MODEL_BASE_URL")
        return ModelFailed("the model server broke off in the middle of its answer")
    if isinstance(error, openai.APIStatusError):
        return _by_status(error)
    if isinstance(error, _BROKEN):
        return ModelFailed("the model server's answer was not a chat completion")
    return error


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _by_status(error: openai.APIStatusError) -> Exception:
    code = error.status_code
    if code in (401, 403):
        return Unavailable(f"the model server refuses the key (HTTP {code}); set STYLUS_MODEL_API_KEY")
    if code == 404:
        return Unavailable("the model server does not know this model (HTTP 404); check STYLUS_MODEL and its base URL")
    if code in (400, 422, 501):
        return Refused(f"the model server refuses the question (HTTP {code})")
    reason = f"the model server answered HTTP {code}" + (": too many requests" if code == 429 else "")
    return ModelFailed(reason, _wait(error.response.headers.get("retry-after", "")))


def _wait(asked: str) -> float:
    """Read how many seconds a busy server asks for; a date, or nothing, is taken as `WAIT`."""
    return float(asked) if asked.isdecimal() else WAIT
