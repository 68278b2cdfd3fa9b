"""From a card to a candidate, for adapters that do not come from search: pins, hand-made recipes."""

from __future__ import annotations

from collections.abc import Sequence

from stylus_gen.tools.card import Card
from stylus_gen.tools.lexicon import APPEARANCE, BACKGROUND, BOILERPLATE, CLOTHING, FUNCTION, PEOPLE, POSE, STYLE
from stylus_gen.tools.plan import Candidate, Concept
from stylus_gen.tools.prune import stem
from stylus_gen.tools.triggers import clean_text, has_words, plain
from stylus_gen.tools.weights import recommend_weight

SUMMARY = 200
"""Characters of the description that a candidate carries."""


def candidate_of(card: Card, *, score: float = 1.0, evidence: str = "pinned") -> Candidate:
    """Write a card as the candidate that search would return for it."""
    weight, source = recommend_weight(card)
    return Candidate(
        adapter_id=card.id,
        model_key=card.model_key,
        name=card.name,
        version=card.version,
        kind=card.kind,
        family=card.family,
        score=score,
        evidence=(evidence,),
        summary=clean_text(card.description, SUMMARY),
        trigger_groups=tuple(map(tuple, card.trigger_groups)),
        weight=weight,
        weight_source=source,
        tags=tuple(card.tags),
        installed=card.path is not None,
    )


def bind(candidate: Candidate, concepts: Sequence[Concept]) -> Concept | None:
    """Find the concept that an adapter serves: the one whose words its name, triggers and tags share most."""
    triggers = (word for group in candidate.trigger_groups for word in group)
    own = set(plain(" ".join((candidate.name, *triggers, *candidate.tags))).split())

    def shared(concept: Concept) -> float:
        words = set(plain(concept.text).split())
        return len(own & words) / len(words) if words else 0

    best = max(concepts, key=shared, default=None)
    return best if best is not None and shared(best) else None


def is_named(candidate: Candidate, prompt: str) -> bool:
    """Tell whether a prompt says at least half of an adapter's name, or of the words of one of its trigger groups."""
    for words in (*_trigger_words(candidate), _name_words(candidate)):
        if words and sum(has_words(prompt, word) for word in words) >= len(words) / 2:
            return True
    return False


def is_called(candidate: Candidate, prompt: str) -> bool:
    """Tell whether a prompt calls an adapter: by the word that begins a trigger group, or by its whole name.

    In words that are more than everyday: "skirt" calls no adapter, whatever adapter has it for a trigger.
    """
    if any(words and _telling(words[0]) and has_words(prompt, words[0]) for words in _trigger_words(candidate)):
        return True
    name = _name_words(candidate)
    return any(map(_telling, name)) and all(has_words(prompt, word) for word in name)


def _trigger_words(candidate: Candidate) -> list[list[str]]:
    return [[word for word in map(plain, group) if word not in _USUAL] for group in candidate.trigger_groups]


def _name_words(candidate: Candidate) -> list[str]:
    return [word for word in stem(candidate.name).split() if word not in _EMPTY]


def _telling(words: str) -> bool:
    return words not in _EVERYDAY and any(
        w not in _EVERYDAY and w.removesuffix("s") not in _EVERYDAY for w in words.split()
    )


_USUAL = APPEARANCE | BOILERPLATE | {""}
_EMPTY = FUNCTION | {"style", "art", "model", "character", "concept"}
_EVERYDAY = APPEARANCE | BOILERPLATE | BACKGROUND | CLOTHING | POSE | PEOPLE | STYLE | _EMPTY
