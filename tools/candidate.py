"""From a card to a candidate; which concept it serves; whether a prompt names or excludes it."""

from __future__ import annotations

from collections.abc import Sequence

from stylus_gen.tools.card import Card
from stylus_gen.tools.families import TITLES, family_of
from stylus_gen.tools.lexicon import APPEARANCE, BACKGROUND, BOILERPLATE, CLOTHING, FUNCTION, PEOPLE, POSE
from stylus_gen.tools.negation import affirmed, bare, negated
from stylus_gen.tools.plan import Candidate, Concept
from stylus_gen.tools.plurals import other_numbers
from stylus_gen.tools.prune import title_stem
from stylus_gen.tools.text import clean_text, has_words, plain
from stylus_gen.tools.weights import recommend_weight

SUMMARY = 240
"""Characters of a candidate's summary, about 60 tokens."""


def candidate_of(card: Card, *, score: float = 1.0, evidence: str = "pinned") -> Candidate:
    """Make a card's candidate; search sets its own score and evidence."""
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
        summary=summary_of(card),
        trigger_groups=tuple(map(tuple, card.trigger_groups)),
        weight=weight,
        weight_source=source,
        tags=tuple(card.tags),
        installed=card.path is not None,
    )


def summary_of(card: Card) -> str:
    """Say in a line what an adapter is: its kind, tags and description."""
    about = clean_text(card.description[: 2 * SUMMARY], SUMMARY)
    return clean_text("; ".join(part for part in (card.kind, ", ".join(card.tags[:8]), about) if part), SUMMARY)


def bind(candidate: Candidate, concepts: Sequence[Concept]) -> Concept | None:
    """Find the concept that an adapter serves: the one whose words its name, triggers and tags share most."""
    triggers = (word for group in candidate.trigger_groups for word in group)
    own = set(plain(" ".join((candidate.name, *triggers, *candidate.tags))).split())

    def shared(concept: Concept) -> float:
        words = set(plain(concept.text).split())
        return len(own & words) / len(words) if words else 0

    best = max(concepts, key=shared, default=None)
    return best if best is not None and shared(best) else None


def reasons(evidence: Sequence[str]) -> str:
    """Write a candidate's evidence as sentences for people."""
    return "; ".join(map(_reason, evidence)) or "search found it"


def _reason(evidence: str) -> str:
    if evidence.startswith(PARTIAL):
        family = evidence.removeprefix(PARTIAL)
        return f"made for {TITLES.get(family_of(family), family)}, it works only partly"
    field, quote, words = evidence.partition(" '")
    said = field.removeprefix("nearly ")
    if quote and said in _QUOTED:
        return f"the prompt says '{words}, {'nearly ' if said != field else ''}as its {_QUOTED[said]}"
    return _MEASURED.get(evidence, evidence)


PARTIAL = "partial: made for "
"""The prefix of evidence that names the family of an adapter which works only partly."""

_QUOTED = {"trigger": "trigger words do", "name": "name does"}
_MEASURED = {
    "tags": "its tags fit",
    "description": "its description fits",
    "examples": "people used it with prompts like this",
    "creator": "other adapters of its creator fit",
    "meaning": "it is close in meaning",
    "pinned": "you pinned it",
    "recipe": "the recipe holds it",
}


def is_named(candidate: Candidate, prompt: str) -> bool:
    """Tell whether a prompt contains at least half of an adapter's name, or of the words of one of its trigger groups.

    One of these words must not be an everyday word: "skirt" names no adapter, even if it is a trigger word.
    """
    groups = [[word for word in map(plain, group) if word not in _USUAL] for group in candidate.trigger_groups]
    name = [word for word in title_stem(candidate.name).split() if word not in _EMPTY and not word.isdigit()]
    for words in (*groups, name):
        said = [word for word in words if _says_phrase(prompt, word)]
        if len(said) >= len(words) / 2 and not all(map(_is_everyday, said)):
            return True
    return False


def exclusion(candidate: Candidate, prompt: str) -> str:
    """Quote the words by which a prompt excludes an adapter, or return an empty string.

    A negated span excludes an adapter if it names it and the rest of the prompt does not, or if it holds its name.
    """
    wanted = affirmed(prompt)
    for start, end in negated(prompt):
        said = bare(prompt[start:end])
        if (is_named(candidate, said) and not is_named(candidate, wanted)) or _excludes_name(candidate, said, wanted):
            return f"the prompt excludes it: {prompt[start:end]!r}"
    return ""


def _excludes_name(candidate: Candidate, span: str, wanted: str) -> bool:
    name = [word for word in title_stem(candidate.name).split() if word not in _EMPTY | PEOPLE and not word.isdigit()]
    said = [word for word in name if _says(span, word) and not _says(wanted, word)]
    return bool(said) and (2 * len(said) >= len(name) or not all(map(_is_everyday, said)))


def _says(text: str, word: str) -> bool:
    """Tell whether a text contains a word of a name, in the singular or the plural, alone or after a hyphen."""
    said = plain(text.replace("-", " ")).split()
    return any(form in said for form in (word, *other_numbers(word)))


def _says_phrase(prompt: str, words: str) -> bool:
    """Tell whether a prompt contains a phrase, its last word in the singular or the plural."""
    rest, space, last = words.rpartition(" ")
    return any(has_words(prompt, rest + space + word) for word in (last, *other_numbers(last)))


def _is_everyday(words: str) -> bool:
    return words in _EVERYDAY or all(w in _EVERYDAY or w.removesuffix("s") in _EVERYDAY for w in words.split())


_USUAL = APPEARANCE | BOILERPLATE | {""}
_EMPTY = FUNCTION | {"style", "art", "model", "character", "concept"}
_EVERYDAY = APPEARANCE | BOILERPLATE | BACKGROUND | CLOTHING | POSE | PEOPLE | _EMPTY
