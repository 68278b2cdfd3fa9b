"""A1111's formats: ``<lora:…>`` tags, and the ``parameters`` text that programs write into pictures and people paste.

This is the only grammar, reader and writer of both. Names and prompts come from strangers: whatever they contain, they
stay inside their own field. A picture's recipe (recipe.py) holds them unchanged; this text is for other programs.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

MAX_TAG_NAME = 80
"""Characters of a name inside a tag."""

_TAG = re.compile(r"<\s*(lora|lyco|hypernet)\s*:([^:<>]*)((?::[^:<>]*)*)>", re.IGNORECASE)
_OPENING = re.compile(r"<\s*(lora|lyco|hypernet)\s*:\s*", re.IGNORECASE)
_TAGS = re.compile(rf"(?:(?<![\s,])[\s,]+)?(?:{_OPENING.pattern}[^<>]*>[\s,]*)+", re.IGNORECASE)
_FIELD = re.compile(
    r'(\w[\w \-/]{1,60}):\s*("(?:\\.|[^\\"])*"|[^,\n]*)(?:[,\n]|$)'
)  # A1111's own, empty quotes allowed
# A field that only a program writes. People lose line breaks when they paste; within a line it must have its number.
_SETTINGS = re.compile(
    r"\n(?=(?:(?-i:Size|Model)|Steps|Sampler|Seed|CFG(?: scale)?|Clip skip|Model hash|Lora hashes): ?\S)"
    r"|(?:^|[\s,.])(?=(?:Steps|Seed|CFG scale|Clip skip): ?-?\d+(?:\.\d+)?\s?(?:,|$|\n)|Size: ?\d+x\d+)",
    re.IGNORECASE,
)
_NEGATIVE = re.compile(r"(^|[\s,.])(neg(?:ative)? prompt|(?<=\n)negative) ?[:：]", re.IGNORECASE)
_HEAD = re.compile(r"\A[\s,]*((?:positive )?prompt) ?[:：]", re.IGNORECASE)
_NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d{1,2})?", re.IGNORECASE)
_BLOCKS = re.compile(r"[A-Z][A-Z0-9_.]*|[^,]+(?:,[^,]+){2,}")
_HASHES = re.compile(r'Lora hashes: "([^"]*)"')


class Use(NamedTuple):
    """An adapter as a recipe names it.

    ``name`` is its file's name without ending, or its id. ``weight`` is ``None`` where the recipe has no number there.
    ``hash`` is its AutoV3 hash, or empty.
    """

    name: str
    weight: float | None
    hash: str = ""


class Tag(NamedTuple):
    """A ``<lora:name:value:…>`` tag as it is written."""

    name: str
    values: tuple[str, ...]


class Parts(NamedTuple):
    """The three parts of a ``parameters`` text. ``settings`` is its line of ``Name: value`` fields, unread."""

    prompt: str
    negative_prompt: str = ""
    settings: str = ""


def format_tag(name: str, weight: float | None) -> str:
    """Write a tag. The name is reduced to what can stand in it; a weight that is no number is written as ``?``."""
    return f"<lora:{_tag_name(name)}:{'?' if weight is None else f'{weight:g}'}>"


def find_tags(prompt: str) -> Iterator[Tag]:
    """Find the tags that load a LoRA or LyCORIS file."""
    for kind, name, rest in _TAG.findall(prompt):
        if kind.lower() != "hypernet":
            yield Tag(name.strip(), tuple(rest.split(":")[1:]))


def read_tags(prompt: str) -> list[Use]:
    """Read the adapters that a prompt loads by tags, in order."""
    return [Use(tag.name, _read_weight(tag.values)) for tag in find_tags(prompt)]


def without_tags(prompt: str) -> str:
    """Take the tags out of a prompt; the words around them stay separated as they were, by a comma or a space."""

    def joint(tags: re.Match[str]) -> str:
        if tags.start() == 0 or tags.end() == len(prompt):
            return ""
        return ", " if "," in _TAG.sub("", tags[0]) else " "

    return _TAGS.sub(joint, prompt)


def format_parameters(prompt: str, negative_prompt: str, fields: Sequence[tuple[str, str]], uses: Sequence[Use]) -> str:
    """Write a ``parameters`` text: prompt with its tags, negative prompt, and ``Name: value`` fields."""
    lines = [" ".join([_plain(prompt), *(format_tag(use.name, use.weight) for use in uses)])]
    if negative_prompt:
        lines.append(f"Negative prompt: {_plain(negative_prompt)}")
    hashes = ", ".join(f"{_tag_name(use.name)}: {use.hash}" for use in uses if use.hash)
    pairs = [*fields, ("Lora hashes", hashes)] if hashes else fields
    lines.append(", ".join(f"{name}: {_quote(value)}" for name, value in pairs))
    return "\n".join(lines)


def parse_parameters(text: str) -> dict[str, str]:
    """Read a ``parameters`` text's fields, as A1111 does; the prompts are under ``Prompt`` and ``Negative prompt``."""
    parts = split_parts(text)
    fields = {name: _unquote(value) for name, value in _FIELD.findall(parts.settings)}
    return {"Prompt": parts.prompt, "Negative prompt": parts.negative_prompt} | fields


def read_seed(settings: str) -> str:
    """Read the seed in a line of settings, as it is written; empty where there is none."""
    fields: dict[str, str] = {name.lower(): value.strip() for name, value in _FIELD.findall(settings)}
    return fields.get("seed", "")


def read_a1111(text: str) -> tuple[str, list[Use]]:
    """Read a prompt or a ``parameters`` text: the prompt without its tags, and the adapters."""
    parts = split_parts(text)
    hashes: dict[str, list[str]] = {}
    for pair in ",".join(_HASHES.findall(parts.settings)).split(","):
        name, _, digest = pair.partition(":")
        hashes.setdefault(name.strip(), []).append(digest.strip())
    uses = []
    for use in read_tags(parts.prompt):
        known = hashes.get(use.name, [""])  # files in two folders may share a name: their hashes follow one another
        uses.append(use._replace(hash=known.pop(0) if len(known) > 1 else known[0]))
    return " ".join(without_tags(parts.prompt).split()), uses


def split_parts(text: str) -> Parts:
    """Split a text into prompt, negative prompt and settings; a text that is only a prompt stays as it is."""
    above, settings = _cut(_SETTINGS, text)
    prompt, negative = _cut(_NEGATIVE, above)
    if not (settings or negative or len(prompt) < len(above)):
        return Parts(text)
    prompt = _HEAD.sub("", prompt)
    return Parts(prompt.strip(", \r\n\t"), negative.strip(", \r\n\t"), settings.strip())


def _cut(at: re.Pattern[str], text: str) -> tuple[str, str]:
    """Cut a text where a part begins: at the first match that begins a line, else at the first match."""
    found = list(at.finditer(text))
    first = next((match for match in found if "\n" in match[0]), found[0] if found else None)
    return (text[: first.start()], text[first.end() :]) if first else (text, "")


def _read_weight(values: Sequence[str]) -> float | None:
    """Read a tag's values: ``0.8``, ``0.8:0.6`` (text encoder, UNet), ``te=0.8:unet=0.6``, or nothing, which is 1.

    Where the two differ, the UNet's weight counts. Weights of single blocks (``0.8:lbw=MIDD``, ``0.8:1,0,0,1``) and
    other named values are ignored.
    """
    parts = [value.partition("=") for value in values]
    named = {name.strip().lower(): number for name, equals, number in parts if equals}
    unnamed = [name for name, equals, _ in parts if not equals]
    whole = [*unnamed[:1], *(part for part in unnamed[1:2] if not _BLOCKS.fullmatch(part.strip()))]
    weights = [*whole, *(named[name] for name in ("te", "unet") if name in named)] or ["1"]
    return float(weights[-1]) if all(_NUMBER.fullmatch(weight.strip()) for weight in weights) else None


def _tag_name(name: str) -> str:
    """Reduce a name to what can stand in a tag and in a list of hashes."""
    return re.sub(r"[^\w.+ -]", "_", name)[:MAX_TAG_NAME].strip() or "_"


def _plain(prompt: str) -> str:
    """Keep a prompt on its line, so that it names no adapter and begins no other part."""
    line = _HEAD.sub(r"\1 -", _OPENING.sub(r"(\1 ", " ".join(prompt.split())))
    return _NEGATIVE.sub(r"\1\2 -", line)


def _quote(value: str) -> str:
    return json.dumps(value, ensure_ascii=False) if re.search(r'[,:"\n\\]|^\s|\s$', value) else value


def _unquote(value: str) -> str:
    try:
        return str(json.loads(value)) if value.startswith('"') else value.strip()
    except ValueError:
        return value
