"""What each error means at each door: an exit code, an HTTP status, and who sees it over MCP.

An error is looked up along its class's MRO, so a subclass needs no row. An exception that is no `StylusError` is a bug
and crashes.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

from stylus_gen.tools.errors import AdapterRejected, BadRequest, PolicyRefused, StylusError, Unavailable


class Outcome(NamedTuple):
    """One row of the table. ``mcp``: "tool" if the calling model reads it, "protocol" if only its host does."""

    exit_code: int
    http_status: int
    mcp: Literal["tool", "protocol"]


OUTCOMES: dict[type[StylusError], Outcome] = {
    BadRequest: Outcome(2, 400, "tool"),
    AdapterRejected: Outcome(3, 422, "tool"),
    Unavailable: Outcome(4, 503, "tool"),
    PolicyRefused: Outcome(6, 403, "tool"),
}


def outcome_of(error: type[StylusError]) -> Outcome:
    """Look up an error class, or the nearest class above it that has a row."""
    return next(OUTCOMES[cls] for cls in error.__mro__ if cls in OUTCOMES)
