"""Names: what an adapter goes by, as words in lower case, and the words of a prompt in the same form. Pure.

An adapter's name on its card is a title: "[Genshin Impact] Shogun Raiden (LoRA) v2", "StainedGlassAI",
"Hatsune Miku 初音ミク | 23 outfits". It is cut at brackets and bars, between scripts and at capitals, and what says
nothing (LoRA, v2, style) is left out. Accents, plurals, British spelling and zero-width characters make no difference.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal
from zlib import crc32

from stylus_gen.tools.everyday import is_everyday
from stylus_gen.tools.segment import is_generic

Words = tuple[str, ...]
Source = Literal["name", "trigger", "part", "tag"]
"""Where a name stands: in the adapter's name, its trigger words, one rare word of its name, its tags."""

LONGEST = 6
"""Words of a name; a longer trigger phrase is a prompt."""
# Of a card: groups of trigger words, words of a group, characters of one, tags.
GROUPS, GROUP, TRIGGER, TAGS = 8, 8, 60, 32

CJK = "\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af々"
WORD = re.compile(rf"[{CJK}]+|[^\W_{CJK}]+(?:['’][^\W_{CJK}]+)*")
_CAMEL = re.compile(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])|(?<=[A-Za-z])(?=AI\b)")
_CUT = re.compile(
    r"[|/\\()\[\]{}【】（）「」『』《》〈〉<>,，、;；:：•~+=&\"“”!！?？*#\U0001F000-\U0001FAFF⚡✨★☆]|\s[-–—]+\s?|\s?[-–—]+\s|[-–—]{2,}"
)
_SCRIPTS = re.compile(rf"(?<=[{CJK}])\s*(?=[^\W_{CJK}])|(?<=[^\W_{CJK}])\s*(?=[{CJK}])")
_BRACKETED = re.compile(r"[\[【(（「][^\])】）」]*[\])】）」]")
_VERSION = re.compile(r"\d+|v\d+[a-z]?")
_BRITISH = {"watercolour": "watercolor", "armour": "armor", "grey": "gray", "colour": "color", "jewellery": "jewelry"}
_SAY_NOTHING = """
    lora lo ra locon loha lycoris lokr version ver v sd sdxl xl pony sd15 beta alpha test wip new update updated final
    model the a an of and in for with by from to mb vae character concept style art artstyle clothing clothe outfit
    costume pose background edition collection pack set realistic anime game series ai trained training epoch experiment
    experimental original work general commission esthetic better simple make it based enhancement enhancer extended
"""
_EMPTY = frozenset(_SAY_NOTHING.split())


@dataclass(frozen=True)
class Names:
    """What an adapter goes by. ``own`` are the names of its first part, which is not a series."""

    names: tuple[Words, ...]
    triggers: tuple[Words, ...]
    tags: tuple[Words, ...]
    parts: tuple[str, ...]
    own: frozenset[Words]
    naming: frozenset[str]
    tagged: frozenset[str]
    content: frozenset[str]


def fold(text: str) -> str:
    """Reduce Latin letters to those without accents, leave out what has no width, keep other scripts as they are."""
    letters = []
    for char in unicodedata.normalize("NFKC", text):
        if unicodedata.category(char) != "Cf":
            bare = unicodedata.normalize("NFD", char)
            letters.append(bare[0] if bare[0].isascii() else char)
    return "".join(letters)


@lru_cache(maxsize=1 << 14)
def words_of(text: str) -> Words:
    """Read a text's words: in lower case, without accents, apostrophes and plurals."""
    folded = fold(text).replace("’", "'").replace("'s ", " ").replace("'", "")
    return tuple(singular(word.casefold()) for word in WORD.findall(folded))


def singular(word: str) -> str:
    """Take off an English plural, and British spelling."""
    if len(word) > 4 and word.isascii():
        if word.endswith("ies"):
            word = f"{word[:-3]}y"
        elif word.endswith(("ches", "shes", "sses", "xes")):
            word = word[:-2]
        elif word.endswith("s") and not word.endswith(("ss", "us", "is")):
            word = word[:-1]
    return _BRITISH.get(word, word)


def content_of(words: Iterable[str]) -> Words:
    """Leave out the words that say nothing in a name."""
    return tuple(word for word in words if word not in _EMPTY and not _VERSION.fullmatch(word))


@lru_cache(maxsize=1 << 13)
def names_of(name: str, triggers: tuple[tuple[str, ...], ...], tags: tuple[str, ...], kind: str) -> Names:
    """Read what an adapter goes by off its card."""
    names = tuple(dict.fromkeys(_names(name)))
    said = (trigger for group in triggers[:GROUPS] for trigger in group[:GROUP])
    phrases = (words_of(_spaced(t)) for t in said if len(t) <= TRIGGER and not is_generic(t))
    tagged = (words_of(tag) for tag in tags[:TAGS])
    called = tuple(dict.fromkeys(words for words in phrases if 0 < len(words) <= LONGEST))
    labels = tuple(dict.fromkeys(words for words in tagged if 0 < len(words) <= LONGEST))
    content = {word for words in names for word in content_of(words)}
    own = tuple(_own(name))
    return Names(
        names, called, labels,
        parts=tuple(_parts(own, kind)),
        own=frozenset(tuple(sorted(words)) for words in own),
        naming=frozenset(content.union(*called)),
        tagged=frozenset().union(*labels),
        content=frozenset(content),
    )  # fmt: skip


def key_of(words: Sequence[str]) -> int:
    """Number a name's words, whatever their order, as a signed 64-bit integer."""
    text = " ".join(sorted(words)).encode()
    number = crc32(text) << 32 | crc32(text, 1)
    return number - (1 << 64) if number >= 1 << 63 else number


def keys_of(names: Names) -> dict[int, Source]:
    """Number all an adapter goes by, each with where it stands; two or three words also as if they were one."""
    keys: dict[int, Source] = {}
    fields: tuple[tuple[Source, Iterable[Words]], ...] = (
        ("name", names.names),
        ("trigger", names.triggers),
        ("part", ((part,) for part in names.parts)),
        ("tag", names.tags),
    )
    for source, phrases in fields:
        for words in phrases:
            keys.setdefault(key_of(words), source)
            if 1 < len(words) <= 3:
                keys.setdefault(key_of(("".join(words),)), source)
    return keys


def _spaced(text: str) -> str:
    return _CAMEL.sub(" ", text)


def _segments(name: str) -> Iterator[str]:
    for part in _CUT.split(fold(name).replace("_", " ")):
        yield from (piece.strip(" .-") for piece in _SCRIPTS.split(part) if piece.strip(" .-"))


def _names(name: str) -> Iterator[Words]:
    for segment in _segments(name):
        for form in (segment, _spaced(segment)):
            words = words_of(form)
            content = content_of(words)
            if content:
                yield content
                if len(words) <= LONGEST:
                    yield words


def _own(name: str) -> Iterator[Words]:
    """Name the first part that is no bracket, and all outside brackets in Chinese or Japanese: those say it again."""
    first = True
    for segment in _segments(_BRACKETED.sub("|", name) or name):
        if first or re.search(f"[{CJK}]", segment):
            for form in (segment, _spaced(segment)):
                if content := content_of(words_of(form)):
                    yield content
        first = first and re.search(f"[{CJK}]", segment) is not None


def _parts(names: Sequence[Words], kind: str) -> Iterator[str]:
    """List rare single words of longer names: Goku, of Son Goku."""
    if kind not in ("character", "object", "concept", "unknown"):
        return
    for words in names:
        if 2 <= len(words) <= 3:
            yield from (w for w in words if len(w) >= 4 and w.isascii() and w.isalpha() and not is_everyday(w))
