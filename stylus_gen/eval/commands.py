"""`stylus eval …`: one command for each measurement. With ``--json`` the last line printed is one object."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from stylus_gen.doors.progress_bar import progress_bar
from stylus_gen.doors.terminal import Json, Model, opened, show, show_json

app = typer.Typer(
    help="Measure search, plans and pictures, also on your own prompts and adapters.", no_args_is_help=True
)

Adapters = Annotated[Path, typer.Option(help="Civitai model objects: .jsonl.gz, .jsonl or .json.")]
Gold = Annotated[Path, typer.Option(help="Prompts with the adapters that were used, one JSON object per line.")]
Limit = Annotated[int | None, typer.Option(min=1, help="Use only the first N prompts.", show_default=False)]


def show_report(title: str, report: Mapping[str, Any], as_json: bool) -> None:
    """Print a report: one row for each figure, or one JSON object."""
    if as_json:
        return show_json(report)
    from stylus_gen.doors.tables import table

    show(table(title, ("figure", "value"), list(_rows(report))))


def _rows(report: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, object]]:
    for name, value in report.items():
        path = f"{above} {name}".strip()
        if isinstance(value, Mapping):
            yield from _rows(value, path)
        else:
            yield path, value


@app.command()
def retrieval(
    adapters: Adapters,
    gold: Gold,
    without_triggers: Annotated[
        bool, typer.Option(help="Show only the figures without trigger words; --json has both.")
    ] = False,
    limit: Limit = None,
    as_json: Json = False,
) -> None:
    """Measure how often search finds the adapter that was used. Runs in a temporary database."""
    from stylus_gen.eval.retrieval import evaluate_retrieval
    from stylus_gen.tools.search.embed import minilm

    with progress_bar() as progress:
        report = evaluate_retrieval(adapters, gold, embedder=minilm(), limit=limit, progress=progress)
    if without_triggers and not as_json:
        report.pop("with_triggers")
    show_report("retrieval", report, as_json)


@app.command()
def composer(adapters: Adapters, gold: Gold, model: Model = None, limit: Limit = None, as_json: Json = False) -> None:
    """Measure how often plans hold the adapter that was used, and check their rules. Runs in a temporary database."""
    from stylus_gen.eval.composer import evaluate_composer

    with opened(model=model) as stylus:
        report = evaluate_composer(
            adapters,
            gold,
            planner=stylus.planner,
            embedder=stylus.embedder,
            family=stylus.settings.family,
            limit=limit,
            progress=stylus.progress,
        )
    show_report("composer", report, as_json)


@app.command()
def plans(
    adapters: Adapters,
    judged: Annotated[Path, typer.Option(help="Prompts with graded adapters, one JSON object a line.")],
    model: Model = None,
    against: Annotated[
        Path | None,
        typer.Option(help="What another run printed with --json: differences, prompt by prompt.", show_default=False),
    ] = None,
    limit: Limit = None,
    as_json: Json = False,
) -> None:
    """How often plans hold the adapters judged right for everyday prompts, and wrong ones; in a throw-away database.

    With --json, one line a prompt, one with the intervals, and the figures last; keep it for --against.
    """
    from stylus_gen.eval.plans import evaluate_plans

    with opened(model=model) as stylus:
        measured = evaluate_plans(
            adapters,
            judged,
            planner=stylus.planner,
            embedder=stylus.embedder,
            family=stylus.settings.family or "sd15",
            against=against,
            limit=limit,
            progress=stylus.progress,
        )
    if not as_json:
        return show_report("plans", {**measured.report, **measured.more}, as_json)
    for line in (*map(asdict, measured.prompts), measured.more, measured.report):
        show_json(line)


@app.command()
def world(
    seeds: Annotated[int, typer.Option(min=1, help="Pictures for each prompt in each arm.")] = 2,
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for the contact sheet and the JSON.")] = Path(
        "outputs"
    ),
    as_json: Json = False,
) -> None:
    """Measure whether the chosen adapters improve the small world's pictures, and write a contact sheet.

    Runs in a temporary database. Finished pictures are kept: after an interruption, run it again.
    """
    from stylus_gen.eval.gold import throw_away_database
    from stylus_gen.eval.world import evaluate_world

    # A database with the shipped adapters alone: what else was imported must not change the figures.
    with throw_away_database() as db, opened(database=db, family="world", installed_only=True) as stylus:
        report = evaluate_world(
            lambda prompt: stylus.plan(prompt, seed=0),
            stylus.embedder,
            out=out,
            seeds=seeds,
            progress=stylus.progress,
        )
    if as_json:
        return show_json(report)
    from stylus_gen.doors.tables import as_text, table
    from stylus_gen.eval.scores import NAMES
    from stylus_gen.eval.world_sheet import table_rows

    show(table("the small world", ("prompts", "arm", *NAMES), table_rows(report)), as_text(out / "world.png"))
