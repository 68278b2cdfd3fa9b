"""The errors, named by what to do next. Each carries its facts; the message says what was given, expected, and to do.

The doors map them in one table, `stylus_gen/doors/errors.py`. Any other exception is a bug and crashes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pydantic import ValidationError
    from pydantic_core import ErrorDetails


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
    return "; ".join(each_fault(error)[:most])


def each_fault(error: ValidationError) -> list[str]:
    """Say what pydantic found wrong, a line for each field."""
    found = error.errors(include_url=False, include_input=False)
    return [": ".join(filter(None, (".".join(map(str, fault["loc"])), _sentence(fault)))) for fault in found]


def _sentence(fault: ErrorDetails) -> str:
    """Say one of pydantic's findings in plain words; those about a value of our own are written by us already."""
    facts = fault.get("ctx", {})
    if fault["type"] in _PLAIN:
        return _PLAIN[fault["type"]].format_map(facts)
    name = fault["type"].removesuffix("_type").removesuffix("_parsing").removesuffix("_from_float")
    return f"expected {_TYPES[name]}" if name in _TYPES else fault["msg"].removeprefix("Value error, ")


_TYPES = {
    "bool": "true or false",
    "dict": "an object",
    "float": "a number",
    "int": "a whole number",
    "list": "a list",
    "mapping": "an object",
    "model_attributes": "an object",
    "path": "a path",
    "string": "text",
    "tuple": "a list",
}
_PLAIN = {
    "extra_forbidden": "there is no such field",
    "finite_number": "expected a finite number",
    "greater_than": "expected more than {gt:g}",
    "greater_than_equal": "expected {ge:g} or more",
    "json_invalid": "expected JSON",
    "less_than": "expected less than {lt:g}",
    "less_than_equal": "expected {le:g} or less",
    "literal_error": "expected {expected}",
    "missing": "it is missing",
    "model_type": "expected an object with the fields of {class_name}",
    "string_pattern_mismatch": "expected text of the form {pattern}",
    "string_too_long": "expected at most {max_length} characters",
    "string_too_short": "expected at least {min_length} characters",
    "too_long": "expected at most {max_length} entries",
    "too_short": "expected at least {min_length} entries",
}
"""Pydantic's types of findings, in plain words, with the facts it gives."""
