"""Trigger words: the group that fits, the words that are missing, and where they go. Pure functions over strings.

Trigger words come from strangers: `clean_trigger` lets through what can be a caption and nothing that gives orders.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from functools import lru_cache

from stylus_gen.tools.lexicon import APPEARANCE, BOILERPLATE

MAX_LENGTH = 60
"""Characters. 97 in 100 real trigger words are shorter; what is longer is a whole prompt or an essay."""

MAX_WORDS = 6
"""Words taken from one group: a group is one concept's caption; the first ones name it."""

_USUAL = APPEARANCE | BOILERPLATE
_TAG = re.compile(r"<[^>]*>?")
_WEIGHT = re.compile(r":\s*-?\d+(?:\.\d+)?(?=\s*[)\]])")
_SYNTAX = re.compile(r"[()\[\]{}\\|]")
# What a caption never says, and a text that wants to be obeyed does.
_ORDER = re.compile(
    r"\b(?:(?:ignore|disregard|forget|override)\b.*\b(?:instructions?|previous|prior|above|rules?|prompts?)"
    r"|instructions?\b|system (?:prompt|message)|(?:choose|select|pick|prefer|use|keep|recommend) (?:me|this|only)\b"
    r"|always (?:choose|use|select|pick|keep|prefer|add)|you (?:are|must|should|will)\b|(?:at|with|set) weight\b"
    r"|weight\s*[:=]?\s*\d|as an? (?:ai|assistant|language model)\b|do not (?:use|choose|refuse))",
    re.IGNORECASE,
)


@lru_cache(maxsize=2048)  # a prompt is compared with hundreds of words
def plain(text: str) -> str:
    """Reduce a prompt or a word to what two spellings of it share: ``(Hatsune_Miku:1.2)`` becomes ``hatsune miku``."""
    text = _SYNTAX.sub(" ", _WEIGHT.sub("", text.casefold().replace("_", " ")))
    return " ".join(re.findall(r"[\w'+-]+", text))


def gives_orders(text: str) -> bool:
    """Tell whether a text addresses its reader instead of describing a picture."""
    return _ORDER.search(text) is not None


def clean_text(text: str, limit: int) -> str:
    """Strip a stranger's text of control characters, tags and line breaks, and cut it to ``limit`` characters."""
    if not text.isprintable():  # it holds what Unicode calls Other or Separator
        text = "".join(c if c.isprintable() else " " for c in text)
    text = " ".join(_TAG.sub(" ", text).split())
    return text if len(text) <= limit else text[: limit - 1].rstrip() + "…"


def clean_trigger(word: str) -> str:
    """Return a trigger word fit for a prompt, or an empty string where it is none (too long, markup, an order)."""
    text = clean_text(word, 10 * MAX_LENGTH).replace("<", "").replace(">", "").strip(" ,;.")
    return "" if len(text) > MAX_LENGTH or gives_orders(text) or not plain(text) else text


def has_words(prompt: str, words: str) -> bool:
    """Tell whether a prompt already says these words, however they are spelt there."""
    wanted = plain(words)
    if wanted.isascii():
        return bool(wanted) and f" {wanted} " in f" {plain(prompt)} "
    return wanted in plain(prompt)


def fit_group(groups: Iterable[Sequence[str]], prompt: str, concept: str = "") -> tuple[str, ...]:
    """Choose the trigger group that fits: the one that most of is in the prompt, then in the concept; else the first.

    Groups such as "1girl, solo" are no triggers unless there is nothing else. At most `MAX_WORDS` words, cleaned.
    Of 1,177 real prompts whose trigger words were cut out, the group so chosen has some of them back in 90 %.
    """
    cleaned = [tuple(dict.fromkeys(w for w in map(clean_trigger, group) if w))[:MAX_WORDS] for group in groups]
    usable = [group for group in cleaned if group]
    telling = [group for group in usable if not all(plain(w) in _USUAL for w in group)]

    def share(group: Sequence[str], text: str) -> float:
        return sum(has_words(text, word) for word in group) / len(group)

    return max(telling or usable, key=lambda group: (share(group, prompt), share(group, concept)), default=())


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
