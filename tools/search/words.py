"""Split prompts and cards into words and number them.

A word is a run of letters and digits; Chinese, Japanese and Korean have no spaces and are read as pairs of characters.
A token has 32 bits: 26 for the word, 6 for the gap before the next word (", " or "), (" or "_"), because people copy
prompts with their brackets and commas.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

GAP_BITS = 6
FIRST_TOKEN = 1 << GAP_BITS
"""Smaller numbers are not tokens; documents use them as marks."""

_CJK = "\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af"
_WORD = re.compile(rf"([{_CJK}]+|[^\W_{_CJK}]+)")
_WITHOUT_SPACES = re.compile(f"[{_CJK}]")
_MARKUP = re.compile(r"<[^<>]*>")
_PLAIN_GAPS = frozenset(("", " ", "_"))


@dataclass(frozen=True)
class Reading:
    """A text's words in order, and the token of each, uint32."""

    words: tuple[str, ...]
    tokens: NDArray[np.uint32]


def read(text: str, limit: int) -> Reading:
    """Read the first ``limit`` words of a text; markup (``<lora:…>``) and backslashes are skipped."""
    # n words rarely have more than 8 n characters; everything after 32 n is ignored.
    text = _MARKUP.sub(", ", unicodedata.normalize("NFKC", text[: 32 * limit]).casefold().replace("\\", ""))
    pieces = _WORD.split(text)  # gap, word, gap, word, … gap
    words, gaps = pieces[1::2], pieces[2::2]
    if _WITHOUT_SPACES.search(text):
        words, gaps = _split(words, gaps)
    words = words[:limit]
    return Reading(tuple(words), np.array([_token(*pair) for pair in zip(words, gaps, strict=False)], np.uint32))


def word_number(word: str) -> int:
    """Number a word: 26 bits of its CRC-32, never 0."""
    return crc32(word.encode()) >> GAP_BITS or 1


_STARTS = [crc32(bytes([level])) for level in range(8)]
"""The CRC-32 of each level, as start values. A start value of 1 would only turn a first "b" into a "c"."""


def key_of(word: str, level: int) -> int:
    """Number a word at a level, as a signed 32-bit integer, never 0: a key of the inverted index."""
    number = crc32(word.encode(), _STARTS[level]) or 1
    return number - (1 << 32) if number >= 1 << 31 else number


def keys_of(words: Iterable[tuple[str, int]]) -> list[int]:
    """Number many words at their levels as `key_of` does: sorted, without duplicates."""
    numbers = np.fromiter((crc32(word.encode(), _STARTS[level]) or 1 for word, level in words), np.uint32)
    return np.unique(numbers.view(np.int32)).tolist()  # type: ignore[no-any-return]


def joined(words: Iterable[str]) -> Iterator[str]:
    """Join each two neighbours: "wano style" is found as "wanostyle", and a pair is rarer than its words."""
    previous = ""
    for word in words:
        if previous:
            yield previous + word
        previous = word


def misspellings(word: str) -> set[str]:
    """Drop each letter in turn: two words that share a form are one typing error apart (Garbe's SymSpell)."""
    return {word[:i] + word[i + 1 :] for i in range(len(word))} if len(word) >= SHORTEST_MISSPELT else set()


SHORTEST_MISSPELT = 5
"""Letters; shorter words have too many neighbours."""


def _split(words: list[str], gaps: list[str]) -> tuple[list[str], list[str]]:
    """Split runs of a script without spaces into overlapping pairs of characters."""
    cut: list[tuple[str, str]] = []
    for word, gap in zip(words, gaps, strict=True):
        if len(word) > 2 and _WITHOUT_SPACES.match(word):
            pairs = [word[i : i + 2] for i in range(len(word) - 1)]
            cut += [(pair, "") for pair in pairs[:-1]] + [(pairs[-1], gap)]
        else:
            cut.append((word, gap))
    return [word for word, _ in cut], [gap for _, gap in cut]


@lru_cache(maxsize=1 << 16)
def _token(word: str, gap: str) -> int:
    gap = re.sub(r"\s+", " ", gap)
    code = 0 if gap in _PLAIN_GAPS else 1 + crc32(gap.encode()) % ((1 << GAP_BITS) - 1)
    return word_number(word) << GAP_BITS | code
