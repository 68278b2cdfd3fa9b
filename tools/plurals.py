"""Plurals: the other number of an English noun, by rules. A wrong guess does no harm: no adapter has that word."""

from __future__ import annotations

import re

_IRREGULAR = {
    "man": "men", "woman": "women", "child": "children", "foot": "feet", "tooth": "teeth", "goose": "geese",
    "mouse": "mice", "person": "people",
}  # fmt: skip
_SINGULAR_OF = {plural: singular for singular, plural in _IRREGULAR.items()}
_NOUN = re.compile(r"[a-z]{3,}")

# Ending, and what may stand for it in the other number; the first ending that fits decides.
_TO_SINGULAR = (("ies", ("y", "ie")), ("ves", ("f", "fe", "ve")), ("sses", ("ss",)), ("ches", ("ch", "che")),
    ("shes", ("sh",)), ("xes", ("x", "xe")), ("zes", ("z", "ze")), ("oes", ("o", "oe")), ("ses", ("s", "se")),
    ("ss", ()), ("us", ()), ("is", ()), ("s", ("",)), ("cti", ("ctus",)))  # fmt: skip
_TO_PLURAL = (("ss", ("sses",)), ("ctus", ("cti", "ctuses")), ("us", ("uses",)), ("s", ()),
    ("ch", ("ches",)), ("sh", ("shes",)), ("x", ("xes",)), ("z", ("zes",)),
    ("ay", ("ays",)), ("ey", ("eys",)), ("oy", ("oys",)), ("y", ("ies",)), ("fe", ("ves", "fes")), ("f", ("ves", "fs")),
    ("o", ("os", "oes")), ("", ("s",)))  # fmt: skip


def other_numbers(word: str) -> set[str]:
    """Spell a noun's other number, in lower case: "dogs" of "dog", "wolf" and "wolfe" of "wolves"."""
    if not _NOUN.fullmatch(word):
        return set()
    if irregular := _IRREGULAR.get(word) or _SINGULAR_OF.get(word):
        return {irregular}
    regular = {form for table in (_TO_SINGULAR, _TO_PLURAL) for form in _replace_ending(word, table) if len(form) > 2}
    return regular | _compounds(word)


def _compounds(word: str) -> set[str]:
    """Spell the other number of a compound that ends in an irregular noun: "snowmen" of "snowman"."""
    return {
        word.removesuffix(ending) + other
        for number in (_IRREGULAR, _SINGULAR_OF)
        for ending, other in number.items()
        if word.endswith(ending)
    }


def _replace_ending(word: str, table: tuple[tuple[str, tuple[str, ...]], ...]) -> list[str]:
    ending, others = next(((e, o) for e, o in table if word.endswith(e)), ("", ()))
    return [word.removesuffix(ending) + other for other in others]
