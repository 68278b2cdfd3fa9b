"""What a trainer wrote into a file's header about words: the trigger words, and the tags of the captions. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from stylus_gen.tools.ingest.text import says_nothing
from stylus_gen.tools.text import plain

MAX_TAGS = 24  # of the captions' most frequent tags
MAX_DEPTH = 6  # of JSON inside JSON that is looked into

_TRIGGER_KEY = re.compile(
    r"(?:.*\.|ss_|ot_)?(?:trigger|trained|activation|instance)[_ -]?(?:words?|phrases?|text|prompt|tokens?)?",
    re.IGNORECASE,
)
_FOLDER = re.compile(r"\d+[_ ](.+)")  # "<repeats>_<trigger> <class>", as kohya's trainer reads it
_QUOTED = re.compile(r"'([^']*)'|\"([^\"]*)\"")

Counts = dict[str, float]


def trained_words(metadata: dict[str, str]) -> list[str]:
    """List what is said to trigger the adapter, a group an entry; else the words that the captions give away.

    Trainers that know of no field for it write ``{"1_trig": {"trig": 1}}`` as frequencies of tags: a tag that every
    caption of a folder has, and that the folder is named after, or that is its only one, is a trigger word.
    """
    said = [entry for key, value in metadata.items() if _TRIGGER_KEY.fullmatch(key) for entry in _entries(value)]
    if not all(map(says_nothing, said)):
        return said
    folders = list(_folders(metadata))
    tokens = [t for t in _find(_loads(metadata.get("ss_datasets", "")), "class_tokens") if isinstance(t, str)]
    return [tag for name, counts in folders for tag in _given_away(name, counts)] or tokens


def trained_tags(metadata: dict[str, str]) -> list[str]:
    """List the tags that most training pictures had, the most frequent first."""
    total: Counts = {}
    for _, counts in _folders(metadata):
        for tag, count in counts.items():
            total[tag] = total.get(tag, 0) + count
    return sorted(total, key=lambda tag: -total[tag])[:MAX_TAGS]


def _entries(value: str) -> Iterator[str]:
    """Read a trigger field: a text, or a list of them as JSON or as Python writes it."""
    told = _loads(value)
    if isinstance(told, list | dict):
        yield from _strings(told)
    elif isinstance(told, str):
        yield told
    elif value.startswith("[") and value.endswith("]") and (quoted := _QUOTED.findall(value)):
        yield from (single or double for single, double in quoted)
    else:
        yield value


def _strings(value: Any, depth: int = MAX_DEPTH) -> Iterator[str]:
    """List the texts in a list of lists; of an object its keys, whose values are counts or settings."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, list | dict) and depth:
        for item in value:
            yield from _strings(item, depth - 1)


def _folders(metadata: dict[str, str]) -> Iterator[tuple[str, Counts]]:
    """List folders of training pictures, each with its tags' frequencies, in whatever form they were written."""
    told = _loads(metadata.get("ss_tag_frequency", ""))
    for value in [told] if told else _find(_loads(metadata.get("ss_datasets", "")), "tag_frequency"):
        yield from _counted("", value)


def _counted(name: str, value: Any, depth: int = MAX_DEPTH) -> Iterator[tuple[str, Counts]]:
    if isinstance(value, str):
        value = _loads(value)
    if isinstance(value, list) and all(isinstance(pair, list) and len(pair) == 2 for pair in value):
        value = {pair[0]: pair[1] for pair in value if isinstance(pair[0], str)}
    if isinstance(value, dict):
        counts = {tag.strip(): number for tag, told in value.items() if (number := _number(told)) and tag.strip()}
        if counts:
            yield name, counts
    inner = value.items() if isinstance(value, dict) else ((name, v) for v in value) if isinstance(value, list) else ()
    for key, told in inner if depth else ():
        if isinstance(told, dict | list) or (isinstance(told, str) and told.startswith(("{", "["))):
            yield from _counted(key, told, depth - 1)


def _number(told: Any) -> float:
    """Read a count; what is none is zero."""
    if isinstance(told, str) and told.isdecimal() and len(told) < 10:
        return float(told)
    return float(min(told, 2**53)) if isinstance(told, int | float) and not isinstance(told, bool) and told > 0 else 0


def _given_away(folder: str, counts: Counts) -> Iterator[str]:
    most = max(counts.values())
    named = _FOLDER.fullmatch(folder)
    name = f"{plain(named[1] if named else folder)} "
    for tag, count in counts.items():
        words = plain(tag)
        if words and count == most and (len(counts) == 1 or name.startswith(f"{words} ")):
            yield tag


def _find(value: Any, key: str, depth: int = MAX_DEPTH) -> Iterator[Any]:
    """Find all values of a key, however deep."""
    if isinstance(value, dict) and value.get(key):
        yield value[key]
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    for item in inner if depth else ():
        yield from _find(item, key, depth - 1)


def _loads(text: str) -> Any:
    """Read JSON; what is none is None."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None
