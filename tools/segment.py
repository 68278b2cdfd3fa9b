"""Segmentation by rules: from a prompt to the concepts that an adapter could serve, as spans with kinds.

It reads booru tag lists, sentences, and the mixtures people really write: the text is cut at commas, each part is a tag
or a clause, and quality boilerplate ("masterpiece, 8k"), plain looks ("long hair") and what the prompt negates are left
out, because no adapter should be searched for them. It knows English function words and no grammar; text in another
language is split at its punctuation. `place_concepts` does the same for spans that a chat model names.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence

from stylus_gen.tools import lexicon
from stylus_gen.tools.card import Kind
from stylus_gen.tools.errors import BadRequest
from stylus_gen.tools.negation import affirmed
from stylus_gen.tools.plan import Concept
from stylus_gen.tools.text import plain

MAX_CONCEPTS = 24

Span = tuple[int, int, Kind]

_PART = re.compile(r"(?:\\.|<[^<>]*>|[^,;|\n，、。；！？!?<]|[!?](?=\S)|(?<=\d),(?=\d))+")
_MARKUP = re.compile(r"<[^<>]*>|\bBREAK\b|\bAND\b")
_WORD = re.compile(r"\\[()]|[\w'’+&-]+(?:\.\w+)*|[^\w\s]")
_SERIES = re.compile(r"\\?\((.+?)\\?\)\s*$")
_STYLE_OF = re.compile(
    r"\b(?:in the style of|style of|art by|painted by|drawn by|illustrated by|by)\s+(.+)$", re.IGNORECASE
)
_STYLE_END = re.compile(r"((?:[\w'’.-]+[ _]){0,2}?[\w'’.-]+)[ _-]style\b", re.IGNORECASE)
_LONGEST_STYLE = 3


def segment_prompt(prompt: str) -> list[Concept]:
    """Split a prompt into concepts, in reading order, none overlapping, at most `MAX_CONCEPTS`."""
    spans: list[Span] = []
    text = affirmed(prompt)
    for start, end in _parts(text):
        if not is_generic(text[start:end]):
            spans += _clause(text, start, end) if _is_clause(text[start:end]) else _tag(text, start, end)
    seen: dict[str, Span] = {}
    for span in sorted(spans):
        seen.setdefault(plain(prompt[span[0] : span[1]]), span)
    return _number(prompt, list(seen.values())[:MAX_CONCEPTS])


def place_concepts(prompt: str, spans: Sequence[tuple[str, Kind]]) -> list[Concept]:
    """Find spans in a prompt, in reading order; a repeated span means its next occurrence.

    Raises BadRequest for a span that is not in the prompt, naming it and what to do.
    """
    found: list[Span] = []
    for text, kind in spans:
        place = _find(affirmed(prompt), text.strip(), {span[:2] for span in found})
        if place is None:
            raise BadRequest(
                f"the span {text[:80]!r} does not occur in the prompt; copy words from the prompt exactly, "
                "or leave this concept out",
                span=text,
            )
        if place not in {span[:2] for span in found}:
            found.append((*place, kind))
    return _number(prompt, sorted(found)[:MAX_CONCEPTS])


def is_tag_list(prompt: str) -> bool:
    """Tell a list of tags from sentences: more than one comma in ten words."""
    return len(re.findall(r"[,;|\n，、；]", prompt)) > 0.1 * len(prompt.split())


MANY_TAGS = 7
"""Commas from which on a list of tags is long."""


def has_many_tags(prompt: str) -> bool:
    """Tell whether a prompt is a long list of tags."""
    return is_tag_list(prompt) and prompt.count(",") >= MANY_TAGS


def is_habit(prompt: str) -> bool:
    """Tell whether a prompt is written by habit: a long list of tags, or one that holds boilerplate or plain looks."""
    parts = (prompt[start:end] for start, end in _parts(prompt))
    return has_many_tags(prompt) or (is_tag_list(prompt) and any(map(is_generic, parts)))


def has_content(prompt: str) -> bool:
    """Tell whether a prompt says anything: letters, digits or a picture sign outside of prompt syntax."""
    said = "".join(prompt[start:end] for start, end in _parts(prompt))
    return any(char.isalnum() or unicodedata.category(char) == "So" for char in said)


def occurs(prompt: str, text: str) -> bool:
    """Tell whether words occur in a prompt, whatever their case and spacing."""
    return _find(prompt, text.strip(), set()) is not None


def _number(prompt: str, spans: Sequence[Span]) -> list[Concept]:
    return [
        Concept(id=f"c{i}", text=prompt[start:end], start=start, end=end, kind=kind)
        for i, (start, end, kind) in enumerate(spans, 1)
    ]


def _find(prompt: str, text: str, taken: set[tuple[int, int]]) -> tuple[int, int] | None:
    if not text:
        return None
    pattern = r"\s+".join(map(re.escape, text.split()))
    whole = [match.span() for match in re.finditer(rf"(?<!\w){pattern}(?!\w)", prompt, re.IGNORECASE)]
    places = whole or [match.span() for match in re.finditer(pattern, prompt, re.IGNORECASE)]
    return next((place for place in places if place not in taken), places[0] if places else None)


def _parts(prompt: str) -> Iterator[tuple[int, int]]:
    """Cut at commas and their like, and leave out prompt syntax: ``<lora:…>``, ``BREAK``, ``((tag:1.2))``."""
    for match in _PART.finditer(prompt):
        start = match.start()
        for markup in [*_MARKUP.finditer(prompt, *match.span()), None]:
            end = markup.start() if markup else match.end()
            if trimmed := _trim(prompt, start, end):
                yield trimmed
            start = markup.end() if markup else end


def _trim(prompt: str, start: int, end: int) -> tuple[int, int] | None:
    text = prompt[start:end]
    if weight := re.search(r":\s*-?\d*\.?\d+\s*[)\]]*\s*$", text):
        end = start + weight.start()
    while start < end and (prompt[start] in "([{ \t.:\"'" or prompt[start].isspace()):
        start += 1
    while start < end and (prompt[end - 1] in "]} \t.:\"'" or prompt[end - 1].isspace()):
        end -= 1
    # A closing bracket belongs to the emphasis unless the tag itself opened it: `(fox)` but `miku \(vocaloid\)`.
    while start < end and prompt[end - 1] == ")" and prompt.count("(", start, end) < prompt.count(")", start, end):
        end -= 1
    return (start, end) if start < end else None


def _is_clause(text: str) -> bool:
    words = plain(text).split()
    if "_" in text and " " not in text:
        return False
    return len(words) > 4 or any(word in lexicon.FUNCTION for word in words[:-1])


def is_generic(text: str) -> bool:
    """Tell whether a tag needs no adapter: quality boilerplate, plain looks."""
    tag = plain(text)
    words = tag.split()
    if not words or tag in lexicon.BOILERPLATE or tag in lexicon.APPEARANCE:
        return True
    if (len(tag) == 1 and tag.isascii()) or tag.replace(" ", "").isdigit():
        return True
    if words[-1] in lexicon.APPEARANCE_HEADS and all(w in lexicon.COLOURS or w in _LOOKS for w in words[:-1]):
        return True
    return all(w in lexicon.BOILERPLATE or w in lexicon.APPEARANCE or w in lexicon.COLOURS for w in words)


_LOOKS = frozenset(
    [
        "long",
        "short",
        "medium",
        "very",
        "straight",
        "curly",
        "wavy",
        "messy",
        "beautiful",
        "detailed",
        "simple",
        "bright",
        "glowing",
        "big",
    ]
)


def _tag(prompt: str, start: int, end: int) -> list[Span]:
    return [(start, end, kind_of_words(prompt[start:end]))]


def kind_of_words(text: str) -> Kind:
    """Guess what kind of adapter a few words ask for; "unknown" if the words do not show it."""
    if _SERIES.search(text):
        return "style" if "style" in text.lower() else "character"
    tag = plain(text)
    words = tag.split()
    if not words:
        return "unknown"
    if tag in lexicon.STYLE or words[-1] in ("style", "art", "artstyle") or tag.startswith("in the style of"):
        return "style"
    head = " ".join(words[-2:])
    for kind, known in _KINDS:
        if tag in known or head in known or words[-1] in known or words[-1].removesuffix("s") in known:
            return kind
    if words[0] in lexicon.POSE or (words[0].endswith("ing") and words[0] not in lexicon.ING_NOUNS):
        return "pose"
    return "unknown"


_KINDS: tuple[tuple[Kind, frozenset[str]], ...] = (
    ("background", lexicon.BACKGROUND),
    ("clothing", lexicon.CLOTHING),
    ("pose", lexicon.POSE),
    ("object", lexicon.PEOPLE),
    ("style", lexicon.STYLE),
)


def _clause(prompt: str, start: int, end: int) -> list[Span]:
    """Read a clause: its style phrases first, then the noun phrases and verbs of what is left."""
    spans: list[Span] = []
    if of := _STYLE_OF.search(prompt, start, end):
        place = _trim(prompt, _after_function_words(prompt, of.start(1), end), end)
        if place and not is_generic(prompt[slice(*place)]):
            spans.append((*place, "style"))
        end = of.start()
    for match in _STYLE_END.finditer(prompt, start, end):
        first = _after_function_words(prompt, *match.span())
        if first < match.start() + len(match[1]):
            spans += _phrases(prompt, start, first)
            spans.append((first, match.end(), "style"))
            start = match.end()
    return spans + _phrases(prompt, start, end)


def _after_function_words(prompt: str, start: int, end: int) -> int:
    for match in list(_WORD.finditer(prompt, start, end))[:-1]:
        if match[0].lower() in lexicon.FUNCTION:
            start = match.end()
    while start < end and prompt[start].isspace():
        start += 1
    return start


def _phrases(prompt: str, start: int, end: int) -> list[Span]:
    spans: list[Span] = []
    for words in _noun_phrases(prompt, start, end):
        spans += _split_style(prompt, words)
    return [
        span for span in spans if not is_generic(prompt[span[0] : span[1]]) or _is_person(prompt[span[0] : span[1]])
    ]


def _is_person(text: str) -> bool:
    return plain(text).split()[-1:] != [] and plain(text).split()[-1] in lexicon.PEOPLE


def _noun_phrases(prompt: str, start: int, end: int) -> Iterator[list[tuple[int, int]]]:
    """Yield runs of content words, as word spans; a verb in -ing after a noun stands alone."""
    run: list[tuple[int, int]] = []
    for match in _WORD.finditer(prompt, start, end):
        word = match[0].lower()
        if word in lexicon.FUNCTION or not re.search(r"\w", word):
            yield from [run] if run else []
            run = []
        elif run and lexicon.is_verb(word):
            yield run
            yield [match.span()]
            run = []
        else:
            run.append(match.span())
    yield from [run] if run else []


def _split_style(prompt: str, words: Sequence[tuple[int, int]]) -> list[Span]:
    """Split a phrase such as ``watercolor fox`` into its style and its subject."""
    for size in range(min(_LONGEST_STYLE, len(words)), 0, -1):
        first, last = words[0][0], words[size - 1][1]
        if plain(prompt[first:last]) in lexicon.STYLE:
            rest = words[size:]
            return [(first, last, "style"), *(_split_style(prompt, rest) if rest else [])]
    first, last = words[0][0], words[-1][1]
    kind = kind_of_words(prompt[first:last])
    return [
        (
            first,
            last,
            "object" if kind == "unknown" and (prompt[first:last].islower() or prompt.isupper()) else kind,
        )
    ]


def describe(concepts: Iterable[Concept]) -> str:
    """Write concepts in one line: ``watercolor (style), fox (object)``."""
    return ", ".join(f"{concept.text} ({concept.kind})" for concept in concepts)
