"""Concepts that the catalogue knows: the names of adapters that a prompt says, and notions said in another language."""

from __future__ import annotations

from stylus_gen.tools.negation import affirmed
from stylus_gen.tools.notions import find_notions, function_words, languages_of
from stylus_gen.tools.plan import Concept
from stylus_gen.tools.search.gazetteer import find_mentions
from stylus_gen.tools.segment import kind_of_words
from stylus_gen.tools.store.database import Database


def named_concepts(db: Database, prompt: str) -> list[Concept]:
    """Find the names of adapters that a prompt says, and notions in other languages, as concepts in reading order."""
    text = affirmed(prompt)
    stop = function_words(languages_of(prompt))
    with db.pool.connection() as conn:
        mentions = find_mentions(conn, text, stop)
    notions = find_notions(text)
    found: dict[tuple[int, int], tuple[str, ...]] = {}
    for start, end, spelt in mentions:
        if not any(n.start <= start and end <= n.end and (n.start, n.end) != (start, end) for n in notions):
            found[start, end] = (spelt,) if spelt else ()
    for notion in notions:
        place = (notion.start, notion.end)
        if not any(_is_inside(place, other) for other in found):
            found[place] = (*found.get(place, ()), *notion.english)
    spans = [(place, terms) for place, terms in sorted(found.items())]
    return [_concept(prompt, i, place, terms) for i, (place, terms) in enumerate(spans, 1)]


def _is_inside(place: tuple[int, int], other: tuple[int, int]) -> bool:
    return other[0] <= place[0] and place[1] <= other[1] and place != other


def _concept(prompt: str, number: int, place: tuple[int, int], terms: tuple[str, ...]) -> Concept:
    text = prompt[slice(*place)]
    kind = kind_of_words(terms[0] if terms else text)
    return Concept(id=f"n{number}", text=text, start=place[0], end=place[1], kind=kind, search_terms=terms)
