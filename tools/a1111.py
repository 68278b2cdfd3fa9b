"""The ``parameters`` text that A1111 writes into pictures and that galleries read: made, and taken apart.

Names and prompts come from strangers: whatever they contain, they stay inside their own field. The picture's recipe
(recipe.py) holds them unchanged; this text is for other programs.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import NamedTuple


class LoraTag(NamedTuple):
    """What the text says of one adapter: its file's name without ending, its weight, and its AutoV3 hash."""

    name: str
    weight: float
    hash: str


_TAG = re.compile(r"<\s*(lora|lyco|hypernet)\s*:", re.IGNORECASE)
_WHOLE_TAG = re.compile(r"\s*<\s*(?:lora|lyco|hypernet)\s*:[^<>]*>\s*,?", re.IGNORECASE)
_NEGATIVE = re.compile(r"(negative prompt)\s*:", re.IGNORECASE)
_FIELD = re.compile(r'\s*(\w[\w \-/]+):\s*("(?:\\.|[^\\"])*"|[^,]*)(?:,|$)')  # A1111's own, empty quotes allowed


def format_parameters(
    prompt: str, negative_prompt: str, fields: Sequence[tuple[str, str]], loras: Sequence[LoraTag]
) -> str:
    """Write the text: prompt with its ``<lora:name:weight>`` tags, negative prompt, and ``Name: value`` fields."""
    tags = "".join(f" <lora:{tag_name(lora.name)}:{lora.weight:g}>" for lora in loras)
    lines = [_plain(prompt) + tags]
    if negative_prompt:
        lines.append(f"Negative prompt: {_plain(negative_prompt)}")
    hashes = ", ".join(f"{tag_name(lora.name)}: {lora.hash}" for lora in loras)
    pairs = [*fields, ("Lora hashes", hashes)] if hashes else fields
    lines.append(", ".join(f"{name}: {_quote(value)}" for name, value in pairs))
    return "\n".join(lines)


def parse_parameters(text: str) -> dict[str, str]:
    """Take such a text apart, as A1111 does; the prompts come under ``Prompt`` and ``Negative prompt``."""
    *lines, last = text.strip().split("\n")
    pairs = _FIELD.findall(last)
    if len(pairs) < 3:
        lines, pairs = [*lines, last], []
    start = next((i for i, line in enumerate(lines) if line.startswith("Negative prompt:")), len(lines))
    negative = "\n".join(lines[start:]).removeprefix("Negative prompt:").strip()
    fields = {name: _unquote(value) for name, value in pairs}
    return {"Prompt": "\n".join(lines[:start]).strip(), "Negative prompt": negative} | fields


def without_tags(prompt: str) -> str:
    """Take the ``<lora:…>`` tags out of a prompt, each with the comma that follows it."""
    return _WHOLE_TAG.sub(" ", prompt).strip() if _WHOLE_TAG.search(prompt) else prompt


def tag_name(name: str) -> str:
    """Reduce a name to what can stand inside ``<lora:…:…>`` and a hash list, in at most 80 characters."""
    return re.sub(r"[^\w.+ -]|\s", "_", name)[:80].strip() or "_"


def _plain(prompt: str) -> str:
    """Keep a prompt on its line, and from claiming adapters or another field."""
    return _NEGATIVE.sub(r"\1 -", _TAG.sub(r"(\1 ", " ".join(prompt.split())))


def _quote(value: str) -> str:
    return json.dumps(value, ensure_ascii=False) if re.search(r'[,:"\n\\]|^\s|\s$', value) else value


def _unquote(value: str) -> str:
    try:
        return str(json.loads(value)) if value.startswith('"') else value.strip()
    except ValueError:
        return value
