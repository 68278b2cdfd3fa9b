"""JSON schemas for chat models: flat, no optional fields, every list and text with a maximum length.

The maximum matters on servers that constrain output to a grammar: a weak model would fill a list up to its token limit.
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
    """Describe an object with exactly these properties."""
    return {"type": "object", "properties": properties, "required": list(properties), "additionalProperties": False}


def array(items: Schema, most: int) -> Schema:
    """Describe a list of at most ``most`` items."""
    return {"type": "array", "items": items, "maxItems": most}


def text(most: int) -> Schema:
    """Describe a text of at most ``most`` characters."""
    return {"type": "string", "maxLength": most}


def choice(values: Iterable[str]) -> Schema:
    """Describe a text that is one of ``values``."""
    return {"type": "string", "enum": list(values)}
