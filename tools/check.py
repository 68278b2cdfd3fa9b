"""Check a recipe made by hand against the rules that plans follow: family, policy, triggers, strength, clashes.

The caller reads the recipe (a1111.py, picture.py) and finds the cards.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from typing import Literal

from stylus_gen.tools.a1111 import Use
from stylus_gen.tools.candidate import bind, candidate_of
from stylus_gen.tools.card import Card
from stylus_gen.tools.errors import BadRequest
from stylus_gen.tools.families import Family, support
from stylus_gen.tools.licence import combine_licences, forbids
from stylus_gen.tools.plan import Plan, Policy, Record, RejectionCode, Verdict, whole_prompt
from stylus_gen.tools.prune import Choice, PlanLimits, prune
from stylus_gen.tools.segment import segment_prompt
from stylus_gen.tools.text import clean_text, has_words, plain, readable
from stylus_gen.tools.triggers import fit_group
from stylus_gen.tools.weights import EXEMPT, STRENGTH_BUDGET, recommend_weight, strength

FAR = 0.4
"""Distance from the recommended weight that is reported: three times the mean error of the recommendation."""

MAX_USES = 100
"""Adapters of one recipe; people use fewer than ten."""

Code = (
    RejectionCode
    | Literal["unknown", "malformed", "partial_family", "no_trigger", "doubled_trigger", "strength", "weight"]
)

Find = Callable[[str], Card | None]
"""Finds the card of a name or a hash, or None. May raise BadRequest that says why there is none."""


class Finding(Record):
    """A fault of a recipe. An error means that the recipe will not work."""

    level: Literal["error", "warning"]
    code: Code
    adapter: str | None = None
    message: str


class CheckReport(Record):
    """The findings, and what the licences allow together."""

    findings: tuple[Finding, ...]
    verdict: Verdict


def uses_of(plan: Plan) -> list[Use]:
    """List a plan's adapters as those of a recipe."""
    return [Use(a.adapter_id, a.weight) for a in plan.assignments]


def check_recipe(prompt: str, uses: Sequence[Use], find: Find, *, family: Family, policy: Policy) -> CheckReport:
    """Check adapters at weights in a prompt on a base of a family; ``find`` looks an adapter up by name or hash.

    Raises BadRequest for more than `MAX_USES` adapters and for a prompt that cannot be read.
    """
    readable(prompt, "the prompt of the recipe")
    if len(uses) > MAX_USES:
        raise BadRequest(f"the recipe names {len(uses):,} adapters and {MAX_USES} are checked at most")
    cards = [(use, _look_up(use, find)) for use in uses]
    known = [(use, card) for use, card in cards if isinstance(card, Card)]
    findings = [finding for _, finding in cards if isinstance(finding, Finding)]
    findings += [_malformed(use) for use in uses if use.weight is None]
    for use, card in known:
        findings += [*_policy(card, policy), *_triggers(prompt, card), *_weight(use, card)]
    findings += [*_rules(prompt, known, family), *_strength(known)]
    findings.sort(key=lambda finding: finding.level)
    return CheckReport(findings=tuple(findings), verdict=combine_licences([card for _, card in known], policy.profile))


def _title(card: Card) -> str:
    return clean_text(card.name, 80)


def _look_up(use: Use, find: Find) -> Card | Finding:
    """Find a use's card by its hash, then by its name; else return a finding that says why there is none."""
    name = clean_text(use.name, 80)
    message = f"{name!r} is not in the catalogue; import it, or check the spelling"
    for key in filter(None, (use.hash, use.name)):
        try:
            if card := find(key):
                return card
        except BadRequest as error:
            message = error.message
    return Finding(level="error", code="unknown", adapter=name, message=message)


def _malformed(use: Use) -> Finding:
    name = clean_text(use.name, 80)
    message = f"the weight of {name!r} is not a number; write <lora:{name}:0.8>"
    return Finding(level="error", code="malformed", adapter=name, message=message)


def _policy(card: Card, policy: Policy) -> Iterator[Finding]:
    if refusal := forbids(card, policy):
        yield Finding(level="error", code=refusal[0], adapter=_title(card), message=refusal[1])


def _triggers(prompt: str, card: Card) -> Iterator[Finding]:
    words = fit_group(card.trigger_groups, prompt)
    if words and not any(has_words(prompt, word) for word in words):
        message = f"the prompt has none of its trigger words; add {', '.join(words)!r}"
        yield Finding(level="warning", code="no_trigger", adapter=_title(card), message=message)
    text = plain(prompt)
    for word in words:
        if len(re.findall(rf"(?<!\S){re.escape(plain(word))}(?!\S)", text)) > 1:
            message = f"the prompt says {word!r} more than once"
            yield Finding(level="warning", code="doubled_trigger", adapter=_title(card), message=message)


def _weight(use: Use, card: Card) -> Iterator[Finding]:
    weight, source = recommend_weight(card)
    if use.weight is not None and abs(use.weight - weight) > FAR and card.kind not in EXEMPT:
        message = f"its weight is {use.weight:g}; {weight:g} is recommended (from {source})"
        yield Finding(level="warning", code="weight", adapter=_title(card), message=message)


def _rules(prompt: str, known: Sequence[tuple[Use, Card]], family: Family) -> Iterator[Finding]:
    """Apply the rules of pruning, except those about sliders and the number of adapters: the recipe asks for both."""
    concepts = segment_prompt(prompt)
    whole = whole_prompt(prompt or " ")
    candidates = [candidate_of(card, evidence="recipe") for _, card in known]
    choices = [Choice(concept=bind(c, concepts) or whole, candidate=c, reason="in the recipe") for c in candidates]
    limits = PlanLimits(prompt, family, max_adapters=max(1, len(choices)))
    for refused in prune(choices, limits).refused:
        if refused.code != "unasked":
            level: Literal["error", "warning"] = "error" if refused.code == "wrong_family" else "warning"
            name = clean_text(refused.name, 80)
            yield Finding(level=level, code=refused.code, adapter=name, message=refused.reason)
    for _, card in known:
        if support(card.family, family) == "partial":
            message = f"it is for {card.family} and only partly works on {family}"
            yield Finding(level="warning", code="partial_family", adapter=_title(card), message=message)


def _strength(known: Sequence[tuple[Use, Card]]) -> Iterator[Finding]:
    total = strength((card.kind, use.weight or 0) for use, card in known)
    if total > STRENGTH_BUDGET:
        message = f"the weights sum to {total:.2f}; above {STRENGTH_BUDGET} pictures burn"
        yield Finding(level="warning", code="strength", message=message)
