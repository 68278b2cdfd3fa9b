"""Notions: what people ask adapters for, said in ten languages, with the English words that catalogues use. Offline.

It is no translator: 330 styles, clothes, creatures, places and things in `notions.tsv`, a line each, and the little
words of each language. The English is searched for and never drawn. Words match in their inflected forms, by a common
beginning; German ones within compounds too.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from functools import cache, lru_cache
from importlib import resources
from typing import NamedTuple

from stylus_gen.tools.lexicon import FUNCTION

FUNCTION_WORDS, NEGATION, STYLE = "*function", "*not", "*style"
"""Rows of the table that hold grammar: function words, words that negate, words that announce a style."""

# Scripts that tell the language; Japanese and Korean first, for they use Chinese characters too.
_SCRIPTS = {"ja": re.compile("[\u3040-\u30ff]"), "ko": re.compile("[\uac00-\ud7af]"),
            "zh": re.compile("[\u3400-\u9fff]"), "ru": re.compile("[\u0400-\u04ff]")}  # fmt: skip
LATIN = ("de", "fr", "es", "pt", "it", "pl")
_TOKEN = re.compile(r"[^\W\d_]+(?:-[^\W\d_]+)*|\d+")
_WORD = re.compile(r"[^\W\d_]+")


class Notion(NamedTuple):
    """A run of a prompt and what it asks for, in English."""

    start: int
    end: int
    english: tuple[str, ...]


@cache
def _table() -> dict[str, dict[str, tuple[str, ...]]]:
    """Read the table: language to row to forms."""
    lines = resources.files("stylus_gen.tools").joinpath("notions.tsv").read_text("utf-8").splitlines()
    languages = lines[0].split("\t")[1:]
    table: dict[str, dict[str, tuple[str, ...]]] = {language: {} for language in languages}
    for line in lines[1:]:
        english, *cells = line.split("\t")
        for language, cell in zip(languages, cells, strict=True):
            table[language][english] = tuple(form for form in cell.lower().split("|") if form)
    return table


@lru_cache(maxsize=256)
def languages_of(prompt: str) -> tuple[str, ...]:
    """Name the languages a prompt may be in, by its script or its function words; none for English."""
    for language, script in _SCRIPTS.items():
        if script.search(prompt):
            return (language,)
    words = [word.lower() for word in _WORD.findall(prompt)]
    english = sum(word in FUNCTION for word in words)
    said = {language: sum(word in function_words((language,)) for word in words) for language in LATIN}
    most = max(said.values())
    if most <= english:
        return ()
    return tuple(language for language in LATIN if said[language] >= max(1, most - 1))


@cache
def function_words(languages: tuple[str, ...]) -> frozenset[str]:
    """List the function words of some languages."""
    return frozenset(word for language in languages for word in _table()[language][FUNCTION_WORDS])


@lru_cache(maxsize=256)
def find_notions(prompt: str) -> tuple[Notion, ...]:
    """Find the notions a prompt says in another language, in reading order, the longest where they overlap."""
    found = [notion for language in languages_of(prompt) for notion in _notions(prompt, language)]
    kept: dict[tuple[int, int], list[str]] = {}
    for start, end, english in sorted(found, key=lambda n: (n.start - n.end, n.start)):
        if all((start, end) == place or end <= place[0] or place[1] <= start for place in kept):
            kept.setdefault((start, end), []).extend(english)
    return tuple(Notion(*place, tuple(dict.fromkeys(english))) for place, english in sorted(kept.items()))


def _notions(prompt: str, language: str) -> Iterator[Notion]:
    lower = "".join(char.lower() if len(char.lower()) == 1 else char for char in prompt)
    tokens = [(*match.span(), match[0]) for match in _TOKEN.finditer(lower)]
    for english, forms in _table()[language].items():
        if english.startswith("*"):
            continue
        for form in forms:
            places = _substrings(lower, form) if language in ("ja", "zh", "ko") else _phrases(tokens, form, language)
            yield from (Notion(start, end, (english,)) for start, end in places)


def _substrings(text: str, form: str) -> Iterator[tuple[int, int]]:
    yield from (match.span() for match in re.finditer(re.escape(form), text))


def _phrases(tokens: Sequence[tuple[int, int, str]], form: str, language: str) -> Iterator[tuple[int, int]]:
    words = _TOKEN.findall(form)
    for first in range(len(tokens) - len(words) + 1):
        run = tokens[first : first + len(words)]
        if all(_is_form(word, token[2], language) for word, token in zip(words, run, strict=True)):
            yield run[0][0], run[-1][1]


def _is_form(word: str, said: str, language: str) -> bool:
    """Tell whether what is said is a word of the table, inflected: it begins alike and is little longer."""
    if word == said:
        return True
    slavic = language in ("ru", "pl")
    if len(word) < (3 if slavic else 4) or said in function_words((language,)):
        return False
    if language == "de":
        compound = len(word) >= 5 and (said.startswith(word) or said.endswith(word))
        return compound or (said.startswith(word) and len(said) - len(word) <= 2)
    kept, longer = (max(4, len(word) - 2), 4) if slavic and len(word) > 4 else (max(4, len(word) - 1), 2)
    return said.startswith(word[:kept]) and len(said) - len(word) <= longer


# How far a negation reaches: to the end of its clause; in Japanese and Korean what stands before it is negated.
_CLAUSE_END = re.compile(r"[,.;!?，。；！？、\n]|$")


def foreign_negations(prompt: str) -> Iterator[tuple[int, int]]:
    """Yield the spans that a prompt in another language says are not wanted, the words that negate among them."""
    for language in languages_of(prompt):
        forms = "|".join(sorted(map(re.escape, _table()[language][NEGATION]), key=len, reverse=True))
        if language in ("ja", "ko"):
            for match in re.finditer(forms, prompt):
                before = max(prompt.rfind(mark, 0, match.start()) for mark in "、,。.，\n") + 1
                start = before + len(prompt[before : match.start()]) - len(prompt[before : match.start()].lstrip())
                yield start, match.end()
        else:
            pattern = forms if language == "zh" else rf"(?<!\w)(?:{forms})(?!\w)"
            for match in re.finditer(pattern, prompt, re.IGNORECASE):
                end = _CLAUSE_END.search(prompt, match.end())
                assert end
                yield match.start(), end.start()


def by_language() -> dict[str, int]:
    """Count the notions of each language, for tests and reports."""
    counts: dict[str, int] = defaultdict(int)
    for language, rows in _table().items():
        counts[language] = sum(bool(forms) and not english.startswith("*") for english, forms in rows.items())
    return dict(counts)
