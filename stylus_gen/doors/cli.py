"""The command line. Every command opens a `Stylus`, calls one method, and prints a table or JSON.

Exit codes: 0 done, 1 a bug, 130 interrupted; the rest are in `doors/errors.py`.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from stylus_gen.doors.errors import outcome_of
from stylus_gen.doors.terminal import Json, Model, complain, opened, show, show_json
from stylus_gen.eval.commands import app as eval_app
from stylus_gen.tools.errors import AdapterRejected, BadRequest, StylusError, Unavailable

if TYPE_CHECKING:
    from stylus_gen.tools.plan import Plan
    from stylus_gen.tools.search.audit import Audit

app = typer.Typer(
    help="The right LoRA adapters for every prompt: found, judged, weighted, explained and drawn.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.add_typer(eval_app, name="eval")

INTERRUPTED = 130

Prompt = Annotated[str, typer.Argument(help="What to draw.", show_default=False)]
Family = Annotated[str | None, typer.Option(help="The base model's family: sd15, sdxl, flux, …", show_default=False)]
Base = Annotated[str | None, typer.Option(help="A diffusers folder or hub id.", show_default=False)]
Images = Annotated[int, typer.Option("--images", "-n", min=1, max=64, help="How many pictures.")]
Seed = Annotated[
    int | None,
    typer.Option(min=0, max=2**32 - 1, help="The first picture's seed; random if not given.", show_default=False),
]
Profile = Annotated[str | None, typer.Option(help="personal, commercial or strict.", show_default=False)]
Installed = Annotated[bool | None, typer.Option("--installed", help="Only adapters whose files are here.")]
Negative = Annotated[str, typer.Option(help="What to keep out of the picture.")]
Level = Annotated[
    int | None,
    typer.Option(min=1, max=31, help="Highest level shown: 1 PG, 2 PG-13, 4 R, 8 X, 16 XXX.", show_default=False),
]
Pins = Annotated[list[str] | None, typer.Option("--pin", help="Use this adapter (name, id or hash); may be repeated.")]
Bans = Annotated[
    list[str] | None, typer.Option("--ban", help="Never use this adapter (name, id or hash); may be repeated.")
]
Most = Annotated[int | None, typer.Option("--max-adapters", min=0, max=10, help="In one plan.", show_default=False)]
Diversity = Annotated[
    float | None,
    typer.Option(min=0, max=1, help="Share of pictures that draw some of the adapters, not all.", show_default=False),
]
Out = Annotated[Path | None, typer.Option("--out", "-o", help="Where to write it.", show_default=False)]


def show_plan(plan: Plan, out: Path | None, as_json: bool) -> None:
    """Print a plan, and keep it in a file if asked to."""
    if out:
        from stylus_gen.tools.file import write_whole

        write_whole(out, plan.model_dump_json(indent=2))
    if as_json:
        return show_json(plan.model_dump(mode="json"))
    from stylus_gen.doors.tables import plan_tables

    show(plan_tables(plan))


@app.command("import")
def import_(
    path: Annotated[str, typer.Argument(help="A folder of LoRAs, or Civitai .json, .jsonl or .jsonl.gz.")],
    as_json: Json = False,
) -> None:
    """Read adapters into the store. Nothing is copied; run it again whenever the folder changes."""
    with opened() as stylus:
        summary = stylus.import_adapters(path)
    if as_json:
        show_json(summary.to_json())
    else:
        from stylus_gen.doors.tables import import_table

        show(import_table(summary))
    if summary.skipped and not (summary.taken or summary.updated or summary.merged or summary.unchanged):
        raise AdapterRejected(f"nothing was imported: all {summary.skipped} were refused, for the reasons given above")


@app.command()
def search(
    text: Annotated[str, typer.Argument(help="A concept or a whole prompt.")],
    family: Family = None,
    base: Base = None,
    kind: Annotated[str | None, typer.Option(help="style, character, clothing, …", show_default=False)] = None,
    profile: Profile = None,
    installed: Installed = None,
    limit: Annotated[int, typer.Option(min=1, max=200)] = 10,
    as_json: Json = False,
) -> None:
    """Find adapters; p is the estimated probability that the adapter is right."""
    with opened(family=family, base=base, profile=profile, installed_only=installed) as stylus:
        found = stylus.search(text, kind=kind, limit=limit)
    if as_json:
        return show_json({"query": text, "candidates": [c.model_dump(mode="json") for c in found]})
    from stylus_gen.doors.tables import candidate_table

    show(candidate_table(text, found))


@app.command()
def index(
    family: Family = None,
    check: Annotated[bool, typer.Option("--check", help="Compare the index with the adapters' cards.")] = False,
    rebuild: Annotated[bool, typer.Option("--rebuild", help="Build the index anew from the cards.")] = False,
    as_json: Json = False,
) -> None:
    """Check or rebuild the search index; else build what keeps search fast from 100,000 adapters of a family on."""
    with opened(family=family) as stylus:
        if rebuild:
            stylus.rebuild_index()
        if check or rebuild:
            return show_audit(stylus.check_index(), as_json)
        held, recall = stylus.index()
        report = {"family": stylus.family, "adapters": held, "recall": round(recall, 4)}
    if as_json:
        return show_json(report)
    from stylus_gen.doors.tables import plain
    from stylus_gen.tools.percent import percent

    show(plain(f"{held:,} adapters for {report['family']}; it finds {percent(recall, 1)} of what exact search finds"))


def show_audit(audit: Audit, as_json: bool) -> None:
    """Print what an audit of the index found; exit as if something were missing when the index is not sound."""
    from stylus_gen.doors.tables import plain

    if as_json:
        show_json({**audit._asdict(), "sound": audit.sound})
    else:
        faults = ", ".join(f"{n:,} {name}" for name, n in audit.faults().items() if n)
        state = f"the search index holds {audit.documents:,} documents"
        show(plain(f"{state} and agrees with the cards" if audit.sound else f"{state}; {faults}"))
        if audit.waiting:
            show(plain(f"{audit.waiting:,} changed files are not indexed yet: the next import does it"))
        if not audit.sound:
            show(plain("build it anew: stylus index --rebuild"))
    if not audit.sound:
        raise typer.Exit(outcome_of(Unavailable).exit_code)


@app.command("show")
def show_(
    adapter: Annotated[str, typer.Argument(help="Its name, id, or any hash of its file.")],
    as_json: Json = False,
) -> None:
    """Show everything known of one adapter, and who said it."""
    with opened() as stylus:
        card = stylus.card(adapter)
    if as_json:
        return show_json(card.model_dump(mode="json"))
    from stylus_gen.doors.tables import card_table

    show(card_table(card))


@app.command()
def plan(
    prompt: Prompt,
    images: Images = 1,
    seed: Seed = None,
    negative: Negative = "",
    pin: Pins = None,
    ban: Bans = None,
    max_adapters: Most = None,
    diversity: Diversity = None,
    family: Family = None,
    base: Base = None,
    model: Model = None,
    profile: Profile = None,
    nsfw_level: Level = None,
    installed: Installed = None,
    thread: Annotated[str | None, typer.Option(help="Keep it under this name, for `stylus revise`.")] = None,
    approve: Annotated[bool, typer.Option(help="Draw the thread only when `stylus revise` accepted it.")] = False,
    out: Out = None,
    as_json: Json = False,
) -> None:
    """Choose adapters, weights and masks for a prompt, and say why."""
    if approve and not thread:
        raise BadRequest("--approve waits for an answer to a thread: name one with --thread NAME")
    who = {"family": family, "base": base, "model": model, "profile": profile, "nsfw_level": nsfw_level}
    wishes: dict[str, Any] = {"pinned": pin, "banned": ban, "max_adapters": max_adapters, "diversity": diversity}
    with opened(**who, installed_only=installed) as stylus:
        wish = stylus.request(prompt, images=images, seed=seed, negative_prompt=negative, **wishes)
        made = stylus.threads.plan(thread, wish, approve=approve) if thread else stylus.plan_request(wish)
    show_plan(made, out, as_json)


@app.command()
def generate(
    prompt: Annotated[str, typer.Argument(help="What to draw.", show_default=False)] = "",
    plan: Annotated[Path | None, typer.Option(help="Draw this plan instead of a prompt.", show_default=False)] = None,
    thread: Annotated[str | None, typer.Option(help="Draw this thread's plan.", show_default=False)] = None,
    images: Images = 1,
    seed: Seed = None,
    negative: Negative = "",
    pin: Pins = None,
    ban: Bans = None,
    max_adapters: Most = None,
    diversity: Diversity = None,
    control: Annotated[bool, typer.Option(help="Also draw each seed without adapters.")] = False,
    family: Family = None,
    base: Base = None,
    model: Model = None,
    profile: Profile = None,
    nsfw_level: Level = None,
    steps: Annotated[int | None, typer.Option(show_default=False)] = None,
    guidance: Annotated[float | None, typer.Option(show_default=False)] = None,
    width: Annotated[int | None, typer.Option(show_default=False)] = None,
    height: Annotated[int | None, typer.Option(show_default=False)] = None,
    scheduler: Annotated[str | None, typer.Option(show_default=False)] = None,
    device: Annotated[str | None, typer.Option(show_default=False)] = None,
    dtype: Annotated[str | None, typer.Option(show_default=False)] = None,
    out: Out = None,
    as_json: Json = False,
) -> None:
    """Draw a prompt, or a plan, with adapters that are here. Run it again to go on after an interruption."""
    if sum(map(bool, (prompt, plan, thread))) != 1:
        raise BadRequest("give one of: a prompt, --plan FILE, --thread NAME")
    wishes: dict[str, Any] = {"pinned": pin, "banned": ban, "max_adapters": max_adapters, "diversity": diversity}
    given = (negative, seed, profile, nsfw_level, *wishes.values())
    if not prompt and (images != 1 or any(value not in (None, "", []) for value in given)):
        raise BadRequest(
            "--images, --seed, --negative, --pin, --ban, --max-adapters, --diversity, --profile and --nsfw-level are a "
            "prompt's; a plan or thread holds its own: revise it"
        )
    drawing = {"steps": steps, "guidance": guidance, "width": width, "height": height, "scheduler": scheduler}
    who = {"family": family, "base": base, "model": model, "profile": profile, "nsfw_level": nsfw_level}
    with opened(**drawing, **who, device=device, dtype=dtype, outputs=out, installed_only=True) as stylus:
        if plan:
            chosen = stylus.read_plan(plan)
        elif thread:
            chosen = stylus.accepted(thread)
        else:
            chosen = stylus.plan(prompt, images=images, seed=seed, negative_prompt=negative, **wishes)
        result = stylus.generate(chosen, control=control)
    notes = list(dict.fromkeys(note for recipe in result.recipes for note in recipe.warnings))
    said = {"warnings": notes}
    if as_json:
        return show_json(
            {"plan": chosen.model_dump(mode="json"), "images": [str(path) for path in result.images]} | said
        )
    from stylus_gen.doors.tables import plain, plan_tables

    show(plan_tables(chosen), *(plain(f"warning: {note}") for note in notes), *(plain(path) for path in result.images))


@app.command()
def replay(
    picture: Annotated[Path, typer.Argument(help="A PNG that Stylus made.")],
    base: Base = None,
    out: Out = None,
    as_json: Json = False,
) -> None:
    """Make a picture again from the recipe inside it, bit for bit on the same machine."""
    with opened(base=base, outputs=out) as stylus:
        again = stylus.replay(picture)
    if as_json:
        return show_json(
            {
                "image": str(again.path),
                "identical": again.identical,
                "differences": again.differences,
                "warnings": again.warnings,
            }
        )
    from stylus_gen.doors.tables import plain

    verdict = "identical" if again.identical else f"not identical: {'; '.join(again.differences)}"
    show(plain(again.path), plain(verdict), *(plain(f"warning: {note}") for note in again.warnings))


@app.command()
def check(
    recipe: Annotated[str, typer.Argument(help="A plan's file, a PNG, or a prompt with <lora:name:weight> tags.")],
    family: Family = None,
    base: Base = None,
    profile: Profile = None,
    as_json: Json = False,
) -> None:
    """Say of a recipe made by hand what a plan would be told: family, licence, triggers, strength, clashes."""
    with opened(family=family, base=base, profile=profile) as stylus:
        report = stylus.check(recipe)
    if as_json:
        show_json(report.model_dump(mode="json"))
    else:
        from stylus_gen.doors.tables import report_table

        show(report_table(report))
    if any(finding.level == "error" for finding in report.findings):
        raise typer.Exit(outcome_of(AdapterRejected).exit_code)


@app.command()
def revise(
    thread: Annotated[str, typer.Argument(help="The name given to `stylus plan --thread`.")],
    line: Annotated[str, typer.Argument(help="less of the style, without the hat, add a red scarf, … or: accept")],
    out: Out = None,
    as_json: Json = False,
) -> None:
    """Change a thread's plan by a line, or accept it."""
    with opened() as stylus:
        made = stylus.revise(thread, line)
    show_plan(made, out, as_json)


@app.command()
def doctor(base: Base = None, model: Model = None, family: Family = None, as_json: Json = False) -> None:
    """Say what is configured, what is missing and how to get it."""
    from stylus_gen.doctor import diagnose

    with opened(base=base, model=model, family=family) as stylus:
        findings = diagnose(stylus)
    if as_json:
        show_json({"findings": [f._asdict() for f in findings]})
    else:
        from stylus_gen.doors.tables import table

        show(table("doctor", ("what", "state", "detail", "what to do"), findings))
    if any(f.state == "missing" for f in findings):
        raise typer.Exit(outcome_of(Unavailable).exit_code)


@app.command()
def demo(out: Out = None, as_json: Json = False) -> None:
    """Plan and draw five prompts on the small world, without and with adapters."""
    from stylus_gen.demo import run_demo
    from stylus_gen.doors.tables import plain, plan_tables

    def say(what: str, plan: Plan) -> None:
        if not as_json:
            show(plain(f"\n“{plan.prompt}”: {what}"), plan_tables(plan))

    with opened(outputs=out) as stylus:
        sheet = run_demo(stylus, say)
    show_json({"sheet": str(sheet)}) if as_json else show(plain(f"\nthe pictures: {sheet}"))


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line; known errors become one sentence and an exit code."""
    try:
        app(args=[_utf8(argument) for argument in (sys.argv[1:] if arguments is None else arguments)])
    except StylusError as error:
        complain(error.message)
        raise SystemExit(outcome_of(type(error)).exit_code) from None
    except SystemExit as stopped:  # typer turns Ctrl-C into this
        if stopped.code == INTERRUPTED:
            complain("stopped; what was done is kept, run the same command to go on")
        raise


def _utf8(argument: str) -> str:
    """Give an argument back. Raises BadRequest where its bytes are no UTF-8; Python makes lone surrogates of them."""
    try:
        argument.encode()
    except UnicodeEncodeError:
        shown = argument.encode(errors="replace").decode()[:60]
        raise BadRequest(f"the argument {shown!r} holds bytes that are no text in UTF-8; remove them") from None
    return argument


if __name__ == "__main__":
    main()
