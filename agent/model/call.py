"""One call to a chat model with a time limit. Errors become: try again, ask in another form, or report to the user.

The clients raise OpenAI's error classes or, in litellm's case, subclasses of them.
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

# What the client libraries raise for an answer that breaks the protocol (no choices, null, incomplete JSON).
_BROKEN = (ValueError, TypeError, KeyError, IndexError, AttributeError, RecursionError, openai.APIError)


WAIT = 1.0
"""Seconds to wait after a server's error that names no time."""


class Refused(Exception):
    """The server does not accept this form of request (HTTP 400, 422, 501): use another form."""


def call_model(seconds: float, ask: Callable[[], Any]) -> AIMessage:
    """Call a model and wait at most ``seconds``.

    Raises ModelFailed if another try may help, Refused if another form may, and Unavailable if the user must act.
    """
    started = time.monotonic()
    try:
        answer = within(seconds, ask)
    except Exception as error:  # mapped by what to do next; other errors are raised unchanged
        if isinstance(error, TimeoutError) and time.monotonic() - started >= seconds:
            raise ModelFailed(f"the model did not answer within the remaining {seconds:.1f} s") from None
        raise _mapped(error) from error
    assert isinstance(answer, AIMessage), f"a chat model answered with {type(answer)}"
    return answer


def _mapped(error: Exception) -> Exception:
    if isinstance(error, openai.APITimeoutError):
        return ModelFailed("the model server did not answer in time")
    if isinstance(error, openai.APIConnectionError):
        if any(isinstance(cause, ConnectionRefusedError | socket.gaierror) for cause in _causes(error)):
            at = f"{error.request.url.host}:{error.request.url.port}"
            return Unavailable(f"no model server answers at {at}; start it, or set STYLUS_MODEL_BASE_URL")
        return ModelFailed("the connection to the model server failed before its answer was complete")
    if isinstance(error, openai.APIStatusError):
        return _by_status(error)
    if isinstance(error, _BROKEN):
        return ModelFailed("the model server's answer is not a chat completion")
    return error


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _by_status(error: openai.APIStatusError) -> Exception:
    code = error.status_code
    if code in (401, 403):
        return Unavailable(f"the model server rejects the key (HTTP {code}); set STYLUS_MODEL_API_KEY")
    if code == 404:
        return Unavailable("the model server does not know this model (HTTP 404); check STYLUS_MODEL and its base URL")
    if code in (400, 422, 501):
        return Refused(f"the model server rejects the request (HTTP {code})")
    reason = f"the model server answered HTTP {code}" + (": too many requests" if code == 429 else "")
    return ModelFailed(reason, _wait(error.response.headers.get("retry-after", "")))


def _wait(header: str) -> float:
    """Read the seconds of a Retry-After header; `WAIT` if it holds a date or nothing."""
    return float(header) if header.isdecimal() else WAIT
