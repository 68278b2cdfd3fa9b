"""Text from outside: whether it can be processed, how it is shown, and how two texts are compared."""

from __future__ import annotations

import re
from functools import lru_cache

from stylus_gen.tools.errors import BadRequest

MAX_PROMPT = 5000
"""Characters. Of 1,500 real prompts the longest has 1,122."""

MAX_RECIPE = 50_000
"""Characters of a recipe, pasted or written by another program: both prompts and the settings."""

MAX_NAME = 500
"""Characters of a name, a path or a hash that is looked up."""

MARKUP = re.compile(r"<[^>]*>?")
"""A tag of HTML or of prompt syntax, even one that is not closed."""

_WEIGHT = re.compile(r":\s*-?\d+(?:\.\d+)?(?=\s*[)\]])")
_SYNTAX = re.compile(r"[()\[\]{}\\|]")
# Phrases of texts that give orders to a model. Captions do not have them.
_ORDER = re.compile(
    r"\b(?:(?:ignore|disregard|forget|override)\b.*\b(?:instructions?|previous|prior|above|rules?|prompts?)"
    r"|instructions?\b|system (?:prompt|message)|(?:choose|select|pick|prefer|use|keep|recommend) (?:me|this|only)\b"
    r"|always (?:choose|use|select|pick|keep|prefer|add)|you (?:are|must|should|will)\b|(?:at|with|set) weight\b"
    r"|weight\s*[:=]?\s*\d|as an? (?:ai|assistant|language model)\b|do not (?:use|choose|refuse))",
    re.IGNORECASE,
)


def readable(text: object, what: str, most: int = MAX_PROMPT) -> str:
    """Return a text if the database and the models can read it.

    Raises BadRequest, calling the text ``what``, if it is not a string, has more than ``most`` characters, a NUL, or
    bytes that are not UTF-8 (lone surrogates).
    """
    if not isinstance(text, str):
        raise BadRequest(f"{what} is {type(text).__name__}; expected text")
    if len(text) > most:
        raise BadRequest(
            f"{what} has {len(text):,} characters and {most:,} are read at most; shorten it", characters=len(text)
        )
    if "\0" in text:
        raise BadRequest(f"{what} holds a NUL character; remove it")
    if not text.isascii() and any("\ud800" <= c <= "\udfff" for c in text):
        raise BadRequest(f"{what} holds bytes that are no text in UTF-8; remove them")
    return text


def printable(text: object) -> str:
    """Replace control characters, line breaks and marks that reverse the reading direction by spaces."""
    given = str(text)  # what is not printable is what Unicode calls Other or Separator
    return given if given.isprintable() else "".join(c if c.isprintable() else " " for c in given)


def clean_text(text: str, limit: int) -> str:
    """Strip a stranger's text of control characters, tags and line breaks, and cut it to ``limit`` characters."""
    text = " ".join(MARKUP.sub(" ", printable(text)).split())
    return text if len(text) <= limit else text[: limit - 1].rstrip() + "…"


@lru_cache(maxsize=2048)  # a prompt is compared with hundreds of words
def plain(text: str) -> str:
    """Normalise a prompt or a word so that spellings are equal: ``(Hatsune_Miku:1.2)`` becomes ``hatsune miku``."""
    text = _SYNTAX.sub(" ", _WEIGHT.sub("", text.casefold().replace("_", " ")))
    return " ".join(re.findall(r"[\w'+-]+", text))


def has_words(prompt: str, words: str) -> bool:
    """Tell whether a prompt has these words, in any spelling that `plain` makes equal."""
    wanted = plain(words)
    if wanted.isascii():
        return bool(wanted) and f" {wanted} " in f" {plain(prompt)} "
    return wanted in plain(prompt)


def gives_orders(text: str) -> bool:
    """Tell whether a text addresses its reader instead of describing a picture."""
    return _ORDER.search(text) is not None
