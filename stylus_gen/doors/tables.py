"""Tables for the terminal: plans, candidates, cards and summaries.

Names and descriptions are untrusted: everything is printed as `Text`, never as markup.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from stylus_gen.tools.candidate import reasons
from stylus_gen.tools.card import Card
from stylus_gen.tools.check import CheckReport
from stylus_gen.tools.ingest import ImportSummary
from stylus_gen.tools.percent import percent
from stylus_gen.tools.plan import Assignment, Candidate, Plan
from stylus_gen.tools.text import printable

REFUSED = 5  # refusals shown, the closest ones
WHOLE = "(whole prompt)"


def as_text(value: object, style: str = "") -> Text:
    """Make untrusted text safe to print: no markup, no control characters."""
    return Text(printable(value), style)


def table(title: str, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> Table:
    """Build a table of untrusted cells."""
    made = Table(title=as_text(title, "table.title"), title_justify="left", show_edge=False, pad_edge=False)
    for column in columns:
        made.add_column(column, overflow="fold")
    for row in rows:
        made.add_row(*(as_text(cell) for cell in row))
    return made


def plan_tables(plan: Plan) -> Group:
    """Show a plan: the adapter for each concept, the refusals, the reasons, and the final prompt."""
    texts = {c.id: c.text for c in plan.concepts}
    uncovered = [texts[c] for c in plan.coverage.uncovered]
    if not (uncovered or plan.assignments):
        uncovered = [WHOLE]
    parts: list[RenderableType] = [
        table(
            f"{plan.family}, planned by {plan.planner.name}",
            ("concept", "adapter", "weight", "triggers added", "why"),
            [_assigned(texts[a.concept_id], a) for a in plan.assignments]
            + [(text, "–", "", "", "no adapter fits") for text in uncovered],
        )
    ]
    if plan.rejected:
        parts += [
            Text(),
            table(
                "refused",
                ("adapter", "concept", "code", "reason"),
                [(r.name, texts.get(r.concept_id or "", WHOLE), r.code, r.reason) for r in plan.rejected[:REFUSED]],
            ),
        ]
    if len(plan.rejected) > REFUSED:
        parts.append(Text(f"and {len(plan.rejected) - REFUSED} more: --json lists them"))
    parts += [Text(), Text.assemble(("prompt   ", "bold"), as_text(plan.final_prompt))]
    if plan.assignments and plan.images > 1:
        rows = " ".join("".join("1" if on else "0" for on in row) for row in plan.masks)
        parts.append(Text.assemble(("masks    ", "bold"), rows))
    parts += [Text.assemble(("credit   ", "bold"), as_text(line)) for line in plan.verdict.credits]
    parts += [Text.assemble(("note     ", "bold"), as_text(line)) for line in plan.verdict.notes]
    parts += [Text.assemble(("warning  ", "bold yellow"), as_text(line)) for line in plan.warnings]
    return Group(*parts)


def _assigned(concept: str, a: Assignment) -> tuple[str, ...]:
    weight = f"{a.weight:.2f} ({a.weight_source})"
    return concept, f"{a.name} ({a.kind})", weight, ", ".join(a.trigger_words), a.reason


def import_table(summary: ImportSummary) -> Group:
    """Show what an import took, and its problems grouped by reason."""
    counts = ["taken", "updated", "merged", "unchanged", "retired", "skipped", "seconds"]
    row = [getattr(summary, name) for name in counts[:-1]] + [f"{summary.seconds:.1f}"]
    parts: list[RenderableType] = [table("imported", counts, [row])]
    if summary.problems:
        reasons = [(f"{r.count:,}", r.what, r.why, "; ".join(r.examples)) for r in summary.reasons]
        title = f"{summary.problem_count:,} problems"
        parts += [Text(), table(title, ("", "what", "why", "for example"), reasons)]
        parts.append(as_text(f"all of them: {summary.problems_file or 'with --json'}"))
    return Group(*parts)


def report_table(report: CheckReport) -> Group:
    """Show what a check found."""
    rows = [(f.level, f.code, f.adapter or "", f.message) for f in report.findings]
    parts: list[RenderableType] = [table("check", ("", "code", "adapter", "message"), rows or [("ok", "", "", "")])]
    parts += [Text.assemble(("credit   ", "bold"), as_text(line)) for line in report.verdict.credits]
    parts += [Text.assemble(("note     ", "bold"), as_text(line)) for line in report.verdict.notes]
    return Group(*parts)


def candidate_table(query: str, candidates: Sequence[Candidate]) -> Table:
    """Show what search found, best first."""
    return table(
        query,
        ("chance", "adapter", "version", "kind", "family", "here", "why", "id"),
        [
            (
                percent(c.score),
                c.name,
                c.version,
                c.kind,
                c.family,
                "yes" if c.installed else "no",
                reasons(c.evidence),
                c.adapter_id[:12],
            )
            for c in candidates
        ],
    )


def card_table(card: Card) -> Table:
    """Show everything that is known about one adapter, with the source of each field."""
    fields = card.model_dump(exclude={"provenance", "examples", "description"}, exclude_defaults=True)
    rows = [(name, _words(value), card.provenance.get(name, "")) for name, value in fields.items()]
    rows.append(("description", card.description[:500], card.provenance.get("description", "")))
    rows += [("example", e.prompt[:200], "" if e.weight is None else f"weight {e.weight:g}") for e in card.examples[:3]]
    return table(card.name, ("field", "value", "from"), rows)


def _words(value: object) -> str:
    """Write a field's value for people: lists with commas, groups separated."""
    if isinstance(value, dict):
        return "; ".join(f"{name}: {_words(part)}" for name, part in value.items())
    if isinstance(value, frozenset):
        return ", ".join(sorted(value))
    if isinstance(value, list):
        return (" | " if value and isinstance(value[0], list) else ", ").join(map(_words, value))
    return ("yes" if value else "no") if isinstance(value, bool) else str(value)
