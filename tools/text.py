"""Text from outside, before anything is done with it: whether it can be worked on, and how it is shown."""

from __future__ import annotations

from stylus_gen.tools.errors import BadRequest

MAX_PROMPT = 5000
"""Characters. Of 1,500 real prompts the longest has 1,122."""

MAX_RECIPE = 50_000
"""Characters of a recipe that was pasted or that another program wrote: both prompts and the settings."""

MAX_NAME = 500
"""Characters of a name, a path or a hash that somebody gives to be looked up."""


def readable(text: object, what: str, most: int = MAX_PROMPT) -> str:
    """Give a text back if the database and the models can read it.

    Raises BadRequest, calling the text ``what``, where it is none, is longer than ``most`` characters, holds a NUL, or
    bytes that are no UTF-8 (lone surrogates).
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
    """Make a text safe for a terminal: control characters, line breaks and what turns text round become spaces."""
    said = str(text)
    return said if said.isprintable() else "".join(c if c.isprintable() else " " for c in said)
