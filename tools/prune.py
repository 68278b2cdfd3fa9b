"""The rules that every plan keeps. Each rule is a small function that refuses a choice for one reason.

The planner decides what fits; these functions enforce caps, families, duplicates and clashes. They are pure.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from stylus_gen.tools.families import TITLES, Family, support
from stylus_gen.tools.lexicon import FUNCTION
from stylus_gen.tools.plan import Candidate, Concept, Record, Rejection, RejectionCode
from stylus_gen.tools.segment import is_generic, kind_of_words
from stylus_gen.tools.text import has_words, plain

PER_CONCEPT = 2
STYLES = 2
"""Global styles in one plan; the paper's composer allows two as well."""


class Choice(Record):
    """A candidate that a planner wants for a concept, and why."""

    concept: Concept
    candidate: Candidate
    reason: str


@dataclass(frozen=True)
class PlanLimits:
    """What the request fixes: the base's family, the caps, and what the user pinned or banned (adapter ids).

    A pin may be a third style or a second character.
    """

    prompt: str
    family: Family
    max_adapters: int = 4
    pinned: frozenset[str] = frozenset()
    banned: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Pruned:
    """The choices that were kept, in their order, and those refused."""

    kept: tuple[Choice, ...] = ()
    refused: tuple[Rejection, ...] = field(default=())


Refusal = tuple[RejectionCode, str]
Rule = Callable[[Choice, Sequence[Choice], PlanLimits], Refusal | None]


def prune(choices: Sequence[Choice], limits: PlanLimits, more: Sequence[Rule] = ()) -> Pruned:
    """Keep the choices that no rule refuses; earlier ones win, so pass the pinned first and then the best.

    ``more`` are a planner's own rules, checked after those of all plans.
    """
    kept: list[Choice] = []
    refused: list[Rejection] = []
    for choice in choices:
        refusal = next((r for rule in (*RULES, *more) if (r := rule(choice, kept, limits))), None)
        if refusal is None:
            kept.append(choice)
        else:
            refused.append(reject(choice, *refusal))
    return Pruned(tuple(kept), tuple(refused))


def reject(choice: Choice, code: RejectionCode, reason: str) -> Rejection:
    """Make the record of a refusal."""
    found = choice.candidate
    return Rejection(
        adapter_id=found.adapter_id, name=found.name, concept_id=choice.concept.id, code=code, reason=reason
    )


def banned(choice: Choice, kept: Sequence[Choice], limits: PlanLimits) -> Refusal | None:
    """Refuse what the user banned."""
    if choice.candidate.adapter_id in limits.banned:
        return "banned", "you banned it"
    return None


def wrong_family(choice: Choice, kept: Sequence[Choice], limits: PlanLimits) -> Refusal | None:
    """Refuse what was trained for a base of another family."""
    own = choice.candidate.family
    if support(own, limits.family) == "none":
        return "wrong_family", f"this adapter is for {TITLES[own]}, the base is {TITLES[limits.family]}"
    return None


def unasked(choice: Choice, kept: Sequence[Choice], limits: PlanLimits) -> Refusal | None:
    """Refuse sliders and accelerators unless the user pinned them or the prompt names them."""
    found = choice.candidate
    if found.kind not in ("slider", "accelerator") or found.adapter_id in limits.pinned:
        return None
    if has_words(limits.prompt, found.name):  # trigger words do not count: a slider's are words like "detailed"
        return None
    return "unasked", f"{found.kind}s are added only when the prompt or a pin names them"


def duplicate(choice: Choice, kept: Sequence[Choice], limits: PlanLimits) -> Refusal | None:
    """Refuse an adapter that is there already: itself, another version of its model, a re-upload."""
    for other in kept:
        if why := same(choice.candidate, other.candidate):
            return "duplicate", f"{why} as {other.candidate.name!r}, which is already chosen"
    return None


def same(a: Candidate, b: Candidate) -> str:
    """Say what makes two candidates the same, or return an empty string.

    Descriptions are not compared: those of one creator are alike."""
    if a.adapter_id == b.adapter_id:
        return "the same adapter"
    if a.model_key == b.model_key:
        return "the same model"
    if a.kind != b.kind:
        return ""
    if set(title_stem(a.name).split()) == set(title_stem(b.name).split()) != set():
        return "the same name"
    words = distinguishing(a)
    return "the same trigger words" if words == distinguishing(b) and _name_both(words, a, b) else ""


def title_stem(name: str) -> str:
    """Reduce a name to what its versions share: ``Hatsune Miku (LoRA) v2.1`` becomes ``hatsune miku``.

    A bare number stays: Android 17 is not Android 18.
    """
    return plain(re.sub(r"[-_.]", " ", _VERSION.sub(" ", name.casefold().replace("_", " "))))


_VERSION = re.compile(
    r"\b(?:v|ver|version)[ .]*\d+(?:\.\d+)*\b|\bsd ?(?:xl|\d+(?:\.\d+)?)\b|\b\d+(?:\.\d+)+\b"
    r"|\b(?:lora|locon|lycoris|version|sd)\b"
)


def distinguishing(candidate: Candidate) -> frozenset[str]:
    """List the trigger words that are an adapter's own: no boilerplate or common looks; for a character no clothes."""
    said = {plain(word) for group in candidate.trigger_groups for word in group}
    words = {word for word in said if not is_generic(word)}
    if candidate.kind == "character":
        words = {word for word in words if kind_of_words(word) in ("unknown", "character")}
    return frozenset(words)


def _name_both(words: frozenset[str], a: Candidate, b: Candidate) -> bool:
    """Tell whether shared trigger words identify two adapters: both names hold one, or one name holds an invented one.

    In a real catalogue 217 pairs share all their trigger words. Those whose names hold none of them were different
    adapters: "skistyle" is one creator's mark, "character (series)" is a template that nobody filled in.
    """
    in_a, in_b = ({word for word in words if _is_in(word, c.name)} for c in (a, b))
    return bool(in_a & in_b) or any(not _is_known(word) for word in in_a | in_b)


def _is_in(words: str, name: str) -> bool:
    """Tell whether a name holds one of the words that is not common, or all joined: ``redfox`` is in ``Red Fox``."""
    parts = title_stem(name).split()
    runs = {"".join(parts[i:j]) for i in range(len(parts)) for j in range(i + 1, len(parts) + 1)}
    return any(not _is_known(word) for word in {*words.split()} & {*parts}) or words.replace(" ", "") in runs


def _is_known(word: str) -> bool:
    return is_generic(word) or kind_of_words(word) != "unknown" or word in FUNCTION


def clash(choice: Choice, kept: Sequence[Choice], limits: PlanLimits) -> Refusal | None:
    """Refuse a second character for the same words of the prompt: the picture would mix the two faces."""
    if choice.candidate.kind != "character" or choice.candidate.adapter_id in limits.pinned:
        return None
    for other in kept:
        if other.candidate.kind == "character" and overlap(choice.concept, other.concept):
            return "clash", f"{other.candidate.name!r} is already the character of {other.concept.text[:40]!r}"
    return None


def overlap(a: Concept, b: Concept) -> bool:
    """Tell whether two spans share a character."""
    return a.start < b.end and b.start < a.end


def over_cap(choice: Choice, kept: Sequence[Choice], limits: PlanLimits) -> Refusal | None:
    """Refuse what is beyond the caps: adapters in all, per concept, styles."""
    if len(kept) >= limits.max_adapters:
        return "over_cap", f"a plan takes at most {limits.max_adapters} adapters"
    if choice.candidate.adapter_id in limits.pinned:
        return None
    if sum(other.concept.id == choice.concept.id for other in kept) >= PER_CONCEPT:
        return "over_cap", f"a concept takes at most {PER_CONCEPT} adapters"
    if choice.candidate.kind == "style" and sum(other.candidate.kind == "style" for other in kept) >= STYLES:
        return "over_cap", f"a plan takes at most {STYLES} styles"
    return None


RULES: tuple[Rule, ...] = (banned, wrong_family, unasked, duplicate, clash, over_cap)
