"""Read trigger words and caption tags from the metadata that trainers write into a file's header. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from stylus_gen.tools.ingest.text import says_nothing
from stylus_gen.tools.text import plain

MAX_TAGS = 24  # the most frequent ones
MAX_DEPTH = 6  # of JSON in strings of JSON

_TRIGGER_KEY = re.compile(
    r"(?:.*\.|ss_|ot_)?(?:trigger|trained|activation|instance)[_ -]?(?:words?|phrases?|text|prompt|tokens?)?",
    re.IGNORECASE,
)
_FOLDER = re.compile(r"\d+[_ ](.+)")  # "<repeats>_<trigger> <class>", kohya's folder names
_QUOTED = re.compile(r"'([^']*)'|\"([^\"]*)\"")

Counts = dict[str, float]


def trained_words(metadata: dict[str, str]) -> list[str]:
    """List the stated trigger words, one group per entry; if there are none, infer them from the captions.

    Trainers without a field for them write tag frequencies such as ``{"1_trig": {"trig": 1}}``: a tag of every caption
    in a folder is a trigger word if it is the only tag or the folder is named after it.
    """
    stated = [entry for key, value in metadata.items() if _TRIGGER_KEY.fullmatch(key) for entry in _entries(value)]
    if not all(map(says_nothing, stated)):
        return stated
    folders = list(_folders(metadata))
    tokens = [t for t in _find(_loads(metadata.get("ss_datasets", "")), "class_tokens") if isinstance(t, str)]
    return [tag for name, counts in folders for tag in _inferred(name, counts)] or tokens


def trained_tags(metadata: dict[str, str]) -> list[str]:
    """List the most frequent tags of the training pictures, in that order."""
    total: Counts = {}
    for _, counts in _folders(metadata):
        for tag, count in counts.items():
            total[tag] = total.get(tag, 0) + count
    return sorted(total, key=lambda tag: -total[tag])[:MAX_TAGS]


def _entries(value: str) -> Iterator[str]:
    """Read a trigger field: a text, or a list of texts as JSON or as a Python literal."""
    parsed = _loads(value)
    if isinstance(parsed, list | dict):
        yield from _strings(parsed)
    elif isinstance(parsed, str):
        yield parsed
    elif value.startswith("[") and value.endswith("]") and (quoted := _QUOTED.findall(value)):
        yield from (single or double for single, double in quoted)
    else:
        yield value


def _strings(value: Any, depth: int = MAX_DEPTH) -> Iterator[str]:
    """List the texts in nested lists; an object stands for its keys, because its values are counts or settings."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, list | dict) and depth:
        for item in value:
            yield from _strings(item, depth - 1)


def _folders(metadata: dict[str, str]) -> Iterator[tuple[str, Counts]]:
    """List the folders of training pictures with their tag frequencies; trainers write them in several forms."""
    frequencies = _loads(metadata.get("ss_tag_frequency", ""))
    for value in [frequencies] if frequencies else _find(_loads(metadata.get("ss_datasets", "")), "tag_frequency"):
        yield from _counted("", value)


def _counted(name: str, value: Any, depth: int = MAX_DEPTH) -> Iterator[tuple[str, Counts]]:
    if isinstance(value, str):
        value = _loads(value)
    if isinstance(value, list) and all(isinstance(pair, list) and len(pair) == 2 for pair in value):
        value = {pair[0]: pair[1] for pair in value if isinstance(pair[0], str)}
    if isinstance(value, dict):
        counts = {tag.strip(): number for tag, count in value.items() if (number := _number(count)) and tag.strip()}
        if counts:
            yield name, counts
    inner = value.items() if isinstance(value, dict) else ((name, v) for v in value) if isinstance(value, list) else ()
    for key, item in inner if depth else ():
        if isinstance(item, dict | list) or (isinstance(item, str) and item.startswith(("{", "["))):
            yield from _counted(key, item, depth - 1)


def _number(value: Any) -> float:
    """Read a count; anything else is zero."""
    if isinstance(value, str) and value.isdecimal() and len(value) < 10:
        return float(value)
    is_count = isinstance(value, int | float) and not isinstance(value, bool) and value > 0
    return float(min(value, 2**53)) if is_count else 0


def _inferred(folder: str, counts: Counts) -> Iterator[str]:
    most = max(counts.values())
    named = _FOLDER.fullmatch(folder)
    name = f"{plain(named[1] if named else folder)} "
    for tag, count in counts.items():
        words = plain(tag)
        if words and count == most and (len(counts) == 1 or name.startswith(f"{words} ")):
            yield tag


def _find(value: Any, key: str, depth: int = MAX_DEPTH) -> Iterator[Any]:
    """Find all values of a key at any depth."""
    if isinstance(value, dict) and value.get(key):
        yield value[key]
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    for item in inner if depth else ():
        yield from _find(item, key, depth - 1)


def _loads(text: str) -> Any:
    """Parse JSON; None if it is invalid."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None
