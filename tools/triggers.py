"""Trigger words: the group that fits, the words that are missing, and where they go. Pure functions over strings.

Trigger words come from strangers: `clean_trigger` lets through what can be a caption and nothing that gives orders.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from stylus_gen.tools.lexicon import APPEARANCE, BOILERPLATE
from stylus_gen.tools.text import MARKUP, clean_text, gives_orders, has_words, plain

MAX_LENGTH = 60
"""Characters. 97 in 100 real trigger words are shorter; what is longer is a whole prompt or an essay."""

MAX_WORDS = 6
"""Words taken from one group: a group is one concept's caption; the first ones name it."""

MAX_NESTED = 8
"""Brackets inside brackets that are taken off."""

_USUAL = APPEARANCE | BOILERPLATE
# Prompt syntax that parts words: A1111's BREAK and AND, extensions' region marks, edits "[a:b:0.5]", choices "{a|b}".
_PARTING = re.compile(r"\b(?:BREAK|ADD(?:COMM|BASE|COL|ROW))\b|(?<=[^A-Z\s])\s+AND\s+(?=[^A-Z\s])")
_EDIT = re.compile(r"\[([^\[\]:]*):([^\[\]:]*):[\s\d.]+\]")
_CHOICE = re.compile(r"[\[{][^\[\]{}|]*\|[^\[\]{}]*[\]}]")
_COMMA = re.compile(r"[,，、；\n]|;(?=\s)")
_WEIGHTED = re.compile(r"(?<!\\)[(（]([^()（）]*?)\s*[:：]\s*[-+]?\d*\.?\d+\s*[)）]")
_LOOSE_WEIGHT = re.compile(r"\s*[:：]\s*[-+]?(?:\d*\.?\d+(?=\s*[)）\]}])|\d*\.\d+$)")
_STRESS = re.compile(r"(?<=\))(?:\++|-+)(?=\s|$)")  # compel's "(zelda)++"
_BRACKET = re.compile(r"(?<!\\)[()（）\[\]{}]")
_WILDCARD = re.compile(r"__[\w/ -]+__")


def split_words(entry: str) -> list[str]:
    """Split a list of trigger words, prompt syntax taken off: ``(zelda:1.2)，BREAK [bow]`` is "zelda" and "bow".

    Brackets that belong to a name, as in "link (zelda)", stay.
    """
    entry = _EDIT.sub(r"\1,\2", _PARTING.sub(",", MARKUP.sub(",", entry)))
    entry = _CHOICE.sub(lambda choice: choice[0].replace("|", ","), entry)
    for _ in range(MAX_NESTED):
        entry, changed = _WEIGHTED.subn(r"\1", entry)
        if not changed:
            break
    words = (_bare(word) for word in _COMMA.split(entry))
    return [word for word in words if word and not _WILDCARD.fullmatch(word)]


def _bare(word: str) -> str:
    """Take weights and all brackets off a word but those inside a name: "((zelda" and "(zelda:1.2)" are "zelda"."""
    word = _STRESS.sub("", _LOOSE_WEIGHT.sub("", word.strip()))
    opened: list[int] = []
    dropped: set[int] = set()
    for found in _BRACKET.finditer(word):
        at = found.start()
        if found[0] in "(（":
            opened.append(at)
        elif found[0] in ")）" and opened:
            start = opened.pop()
            if not word[:start].strip("([{（ "):  # nothing stands before it: it stresses what is inside
                dropped |= {start, at}
        else:
            dropped.add(at)
    dropped.update(opened)
    return "".join(c for at, c in enumerate(word) if at not in dropped).strip()


def clean_trigger(word: str) -> str:
    """Return a trigger word fit for a prompt, or an empty string where it is none (too long, markup, an order)."""
    text = _bare(clean_text(word, 10 * MAX_LENGTH).replace("<", "").replace(">", "")).strip(" ,;.")
    return "" if len(text) > MAX_LENGTH or gives_orders(text) or not plain(text) else text


def fit_group(groups: Iterable[Sequence[str]], prompt: str, concept: str = "") -> tuple[str, ...]:
    """Choose the trigger group that fits: the one that most of is in the prompt, then in the concept; else the first.

    Groups such as "1girl, solo" are no triggers unless there is nothing else. At most `MAX_WORDS` words, cleaned.
    Of 1,177 real prompts whose trigger words were cut out, the group so chosen has some of them back in 90 %.
    """
    usable = [words for group in groups if (words := _clean_group(group))]
    telling = [group for group in usable if not all(plain(w) in _USUAL for w in group)]

    def share(group: Sequence[str], text: str) -> float:
        return sum(has_words(text, word) for word in group) / len(group)

    return max(telling or usable, key=lambda group: (share(group, prompt), share(group, concept)), default=())


def _clean_group(group: Sequence[str]) -> tuple[str, ...]:
    """Clean a group's words; an entry that gives orders is left out whole."""
    entries = (clean_text(entry, 10 * MAX_LENGTH) for entry in group)
    words = (clean_trigger(word) for entry in entries if not gives_orders(entry) for word in split_words(entry))
    return tuple(dict.fromkeys(word for word in words if word))[:MAX_WORDS]


def missing_words(prompt: str, words: Iterable[str]) -> tuple[str, ...]:
    """List the words that the prompt does not say yet, each once, none that another one contains."""
    missing: list[str] = []
    for word in words:
        if not has_words(prompt, word) and not any(has_words(other, word) for other in missing):
            missing.append(word)
    return tuple(missing)


def place_words(prompt: str, words: Iterable[str]) -> str:
    """Put the missing trigger words in front of a prompt.

    In front, because CLIP text encoders read 77 tokens and drop the end of a long tag list.
    """
    return ", ".join([*missing_words(prompt, words), prompt])
