"""The errors, named by what to do next. Each carries its facts; the message says what was given, expected, and to do.

The doors map them in one table, `stylus_gen/doors/errors.py`. Any other exception is a bug and crashes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pydantic import ValidationError


class StylusError(Exception):
    """Say what was given, what was expected and what to do."""

    def __init__(self, message: str, **facts: object) -> None:
        super().__init__(message)
        self.message = message
        self.facts = facts


class BadRequest(StylusError):
    """The caller can fix it: an argument is wrong."""


class AdapterRejected(StylusError):
    """This adapter file will not be used, and why."""


class Unavailable(StylusError):
    """A server, file, model or device is missing; the message says how to get it."""


class PolicyRefused(StylusError):
    """Licence or safety policy forbids it."""


def faults(error: ValidationError, most: int = 5) -> str:
    """Say in one line what pydantic found wrong, field by field; never what was given, which may be a secret."""
    found = error.errors(include_url=False, include_input=False)[:most]
    return "; ".join(": ".join(filter(None, (".".join(map(str, f["loc"])), f["msg"]))) for f in found)
