"""Concepts together: phrases that rules find joined to names that the catalogue knows, and those that a plan shows."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Sequence

from stylus_gen.tools.plan import Concept
from stylus_gen.tools.segment import MAX_CONCEPTS

_FROM = re.compile(r"(?P<name>[\w'’-]+) from (?:the )?$")


def join_concepts(prompt: str, phrases: Iterable[Concept], named: Sequence[Concept]) -> list[Concept]:
    """Join phrases and names in reading order, at most `MAX_CONCEPTS`.

    A phrase stays beside the names within it ("red kimono" and "kimono"): which of them an adapter is for, is decided
    later. A phrase within a longer name is left out ("breath" in "breath of the wild"), and so is what only says where
    somebody is from ("Zelphira from Some Saga").
    """
    long = [name for name in named if len(name.text.split()) > 1]
    spans = {(name.start, name.end): name for name in named}
    for phrase in phrases:
        if same := spans.get((phrase.start, phrase.end)):
            spans[phrase.start, phrase.end] = same.model_copy(update={"kind": phrase.kind})
        elif not any(_covers(name, phrase) for name in long):
            spans[phrase.start, phrase.end] = phrase
    ends = {name.end for name in named}
    wanted = [concept for _, concept in sorted(spans.items()) if not _is_origin(prompt, concept, ends)]
    chosen = wanted[:MAX_CONCEPTS]
    return [concept.model_copy(update={"id": f"c{i}"}) for i, concept in enumerate(chosen, 1)]


def apart(concepts: Sequence[Concept], served: Collection[str]) -> list[Concept]:
    """Leave out concepts that share words with one that got an adapter (by id), or lie within another one."""
    kept = [concept for concept in concepts if concept.id in served]
    for concept in sorted(concepts, key=lambda c: c.start - c.end):
        if concept.id not in served and not any(overlap(concept, other) for other in kept):
            kept.append(concept)
    return sorted(kept, key=lambda c: (c.start, c.end))


def overlap(a: Concept, b: Concept) -> bool:
    """Tell whether two concepts share a character of the prompt."""
    return a.start < b.end and b.start < a.end


def _is_origin(prompt: str, concept: Concept, ends: Collection[int]) -> bool:
    """Tell whether a concept follows "NAME from": a word with a capital, or a name that the catalogue knows."""
    before = _FROM.search(prompt[: concept.start])
    return before is not None and (before["name"][:1].isupper() or before.end("name") in ends)


def _covers(name: Concept, phrase: Concept) -> bool:
    return name.start <= phrase.start and phrase.end <= name.end
