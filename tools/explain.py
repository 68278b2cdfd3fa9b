"""Why a plan holds an adapter, or does not: sentences out of the plan alone."""

from __future__ import annotations

from stylus_gen.tools.plan import Plan


def explain_plan(plan: Plan, adapter: str | None = None) -> list[str]:
    """Say why an adapter (its id, its hash's beginning or its name) was chosen or refused; without one, of all."""
    texts = {concept.id: concept.text for concept in plan.concepts}
    lines = [
        (a.adapter_id, a.name, f"{a.name!r} serves {texts[a.concept_id]!r} at weight {a.weight:g}: {a.reason}")
        for a in plan.assignments
    ]
    lines += [(r.adapter_id, r.name, f"{r.name!r} was refused ({r.code}): {r.reason}") for r in plan.rejected]
    if adapter is None:
        uncovered = [f"no adapter serves {texts[concept]!r}" for concept in plan.coverage.uncovered]
        return [*(line for _, _, line in lines), *uncovered, *plan.warnings] or ["the plan needs no adapter"]
    asked = adapter.strip().casefold()
    found = [
        line for id_, name, line in lines if name.casefold() == asked or (len(asked) >= 6 and id_.startswith(asked))
    ]
    return found or [f"{adapter[:80]!r} was not among the candidates: search found nothing in the prompt that names it"]
