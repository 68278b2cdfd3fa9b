"""A1111's way of writing: ``<lora:…>`` tags, and the ``parameters`` text that galleries read and people paste.

Names and prompts come from strangers: whatever they contain, they stay inside their own field. The picture's recipe
(recipe.py) holds them unchanged; this text is for other programs.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple


class LoraTag(NamedTuple):
    """What the text says of one adapter: its file's name without ending, its weight, and its AutoV3 hash."""

    name: str
    weight: float
    hash: str


_TAG = re.compile(r"<\s*(lora|lyco|hypernet)\s*:", re.IGNORECASE)
_WHOLE_TAG = re.compile(r"(?:(?<!\s)\s+)?(?:<\s*(?:lora|lyco|hypernet)\s*:[^<>]*>\s*,?\s*)+", re.IGNORECASE)
_NEGATIVE = re.compile(r"(negative prompt)\s*:", re.IGNORECASE)
_FIELD = re.compile(r'(\w[\w \-/]{1,60}):\s*("(?:\\.|[^\\"])*"|[^,]*)(?:,|$)')  # A1111's own, empty quotes allowed
# A field that only a program writes. People lose line breaks when they paste; within a line it must have its number.
_SETTINGS = re.compile(
    r"\n(?=(?:Steps|Sampler|Seed|CFG scale|Size|Clip skip|Model(?: hash)?): ?\S)"
    r"|(?:^|[\s,.])(?=(?:Steps|Seed|CFG scale|Clip skip): ?-?\d+(?:\.\d+)?\s?(?:,|$|\n)|Size: ?\d+x\d+)"
)
_NEGATIVE_PART = re.compile(r"(?:^|[\s,.])negative prompt ?[:：]", re.IGNORECASE)
_PROMPT_HEAD = re.compile(r"\A\s*(?:positive )?prompt ?[:：]", re.IGNORECASE)
_LORA = re.compile(r"<\s*(?:lora|lyco)\s*:([^:<>]*)((?::[^:<>]*)*)>", re.IGNORECASE)
_NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)")
_BLOCKS = re.compile(r"[A-Z][A-Z0-9_.]*|[^,]+(?:,[^,]+){2,}")
_HASHES = re.compile(r'Lora hashes: "([^"]*)"')


@dataclass(frozen=True)
class Use:
    """An adapter as a recipe names it: a file's name or a hash, and its weight (``None``: it is no number).

    ``beside`` is the file's name that stands beside a hash: a hash that nobody knows hides no adapter that is known.
    """

    name: str
    weight: float | None
    beside: str = field(default="", compare=False)


class Parts(NamedTuple):
    """The three parts of such a text. ``settings`` is a line of ``Name: value`` fields as it was written."""

    prompt: str
    negative_prompt: str = ""
    settings: str = ""


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
    parts = split_parts(text)
    fields = {name: _unquote(value) for name, value in _FIELD.findall(parts.settings)}
    return {"Prompt": parts.prompt, "Negative prompt": parts.negative_prompt} | fields


def split_parts(text: str) -> Parts:
    """Split a text into prompt, negative prompt and settings; a text that is only a prompt stays as it is."""
    above, settings = _cut(_SETTINGS, text)
    prompt, negative = _cut(_NEGATIVE_PART, above)
    if not (settings or negative or len(prompt) < len(above)):
        return Parts(text)
    prompt = _PROMPT_HEAD.sub("", prompt)
    return Parts(prompt.strip(", \r\n\t"), negative.strip(", \r\n\t"), settings.strip())


def _cut(at: re.Pattern[str], text: str) -> tuple[str, str]:
    """Cut a text where a part begins: at the first that begins a line, else at the first of all."""
    found = list(at.finditer(text))
    first = next((match for match in found if "\n" in match[0]), found[0] if found else None)
    return (text[: first.start()], text[first.end() :]) if first else (text, "")


def read_a1111(text: str) -> tuple[str, list[Use]]:
    """Read a prompt or a picture's ``parameters`` text: the prompt without its ``<lora:…>`` tags, and the adapters.

    Where the text gives an adapter's hash, the hash is its name: file names change.
    """
    prompt = split_parts(text).prompt
    pairs = (pair.partition(":") for found in _HASHES.findall(text) for pair in found.split(","))
    hashes = {name.strip(): digest.strip() for name, _, digest in pairs}
    tags = [(name.strip(), _read_weight(rest)) for name, rest in _LORA.findall(prompt)]
    uses = [Use(hashes.get(name) or name, weight, beside=name if hashes.get(name) else "") for name, weight in tags]
    return " ".join(_LORA.sub(" ", prompt).split()), uses


def _read_weight(rest: str) -> float | None:
    """Read what follows an adapter's name: ``:0.8``, ``:0.8:0.6`` (text encoder, UNet), ``:te=0.8:unet=0.6``, nothing.

    The UNet's weight counts, where the two differ. Weights of single blocks (``:0.8:lbw=MIDD``, ``:0.8:1,0,0,1``) and
    other named values leave it as it is.
    """
    parts = [part.partition("=") for part in rest.split(":")[1:]]
    named = {name.strip().lower(): value for name, equals, value in parts if equals}
    unnamed = [name for name, equals, _ in parts if not equals]
    whole = [*unnamed[:1], *(value for value in unnamed[1:2] if not _BLOCKS.fullmatch(value.strip()))]
    weights = [*whole, *(named[name] for name in ("te", "unet") if name in named)] or ["1"]
    return float(weights[-1]) if all(_NUMBER.fullmatch(weight.strip()) for weight in weights) else None


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
