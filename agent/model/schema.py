"""JSON schemas as models are shown them: flat, nothing optional, every list and text bounded.

Bounded, because a server that holds a weak model to a grammar lets it write until it is cut.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

Schema = dict[str, Any]


def function(name: str, description: str, properties: Schema) -> Schema:
    """Describe a tool in OpenAI's form."""
    parameters = record(properties)
    return {"type": "function", "function": {"name": name, "description": description, "parameters": parameters}}


def record(properties: Schema) -> Schema:
    """An object with just these properties."""
    return {"type": "object", "properties": properties, "required": list(properties), "additionalProperties": False}


def array(items: Schema, most: int) -> Schema:
    """A list of at most so many."""
    return {"type": "array", "items": items, "maxItems": most}


def text(most: int) -> Schema:
    """A text of at most so many characters."""
    return {"type": "string", "maxLength": most}


def choice(values: Iterable[str]) -> Schema:
    """One of these texts."""
    return {"type": "string", "enum": list(values)}
