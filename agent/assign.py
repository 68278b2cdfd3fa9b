"""From choices to assignments: policy, weights within the budget, and trigger words."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from stylus_gen.agent.request import PlanRequest
from stylus_gen.tools.card import Card
from stylus_gen.tools.families import support
from stylus_gen.tools.licence import forbids
from stylus_gen.tools.plan import Assignment, Rejection
from stylus_gen.tools.prune import Choice, reject
from stylus_gen.tools.triggers import fit_group, missing_words
from stylus_gen.tools.weights import STRENGTH_BUDGET, fit_budget, strength


def assign(
    choices: Sequence[Choice], request: PlanRequest, cards: Callable[[Sequence[str]], Sequence[Card]]
) -> tuple[list[Assignment], list[Rejection], list[str]]:
    """Turn choices into assignments; return them, what the policy refused, and what the user should know."""
    known = {card.id: card for card in cards([choice.candidate.adapter_id for choice in choices])}
    allowed: list[Choice] = []
    refused: list[Rejection] = []
    for choice in choices:
        card = known.get(choice.candidate.adapter_id)
        # Checked again here, because a pin does not come from search.
        if card and (refusal := forbids(card, request.policy)):
            refused.append(reject(choice, *refusal))
        else:
            allowed.append(choice)
    assignments, warnings = _weigh(allowed, request)
    return assignments, refused, warnings


def _weigh(choices: Sequence[Choice], request: PlanRequest) -> tuple[list[Assignment], list[str]]:
    assignments = []
    text = request.prompt
    for choice in choices:
        assignment = _assignment(choice, text)
        text = ", ".join([text, *assignment.trigger_words])
        assignments.append(assignment)
    weights = [a.weight for a in assignments]
    fitted = fit_budget([(a.kind, a.weight) for a in assignments])
    warnings = [
        f"{a.name!r} is for {a.family} and only partly works on {request.family}"
        for a in assignments
        if support(a.family, request.family) == "partial"
    ]
    if fitted != weights:
        total = strength((a.kind, a.weight) for a in assignments)
        warnings.append(
            f"the weights summed to {total:.2f} and were scaled to {STRENGTH_BUDGET}: a larger sum spoils the picture"
        )
    return [a.model_copy(update={"weight": w}) for a, w in zip(assignments, fitted, strict=True)], warnings


def _assignment(choice: Choice, text: str) -> Assignment:
    found = choice.candidate
    return Assignment(
        concept_id=choice.concept.id,
        adapter_id=found.adapter_id,
        model_key=found.model_key,
        name=found.name,
        version=found.version,
        kind=found.kind,
        family=found.family,
        score=found.score,
        weight=found.weight,
        weight_source=found.weight_source,
        trigger_words=missing_words(text, fit_group(found.trigger_groups, text, choice.concept.text)),
        reason=choice.reason,
    )
