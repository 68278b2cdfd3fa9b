"""The command line. Each command opens a `Stylus`, calls one method, and prints tables or JSON.

Exit codes: 0 done, 1 a bug, 130 interrupted; `doors/errors.py` has the rest.
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
    help="Find the LoRA adapters that help a prompt, choose their weights, say why, and draw the picture.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.add_typer(eval_app, name="eval")

INTERRUPTED = 130

Prompt = Annotated[str, typer.Argument(help="What to draw.", show_default=False)]
Family = Annotated[str | None, typer.Option(help="Family of the base model: sd15, sdxl, flux, …", show_default=False)]
Base = Annotated[str | None, typer.Option(help="Base model: a diffusers folder or hub id.", show_default=False)]
Images = Annotated[int, typer.Option("--images", "-n", min=1, max=64, help="How many pictures.")]
Seed = Annotated[
    int | None,
    typer.Option(min=0, max=2**32 - 1, help="The first picture's seed; random if not given.", show_default=False),
]
Profile = Annotated[
    str | None, typer.Option(help="Which licences are acceptable: personal, commercial or strict.", show_default=False)
]
Installed = Annotated[
    bool | None, typer.Option("--installed", help="Use only adapters whose files are on this machine.")
]
Negative = Annotated[str, typer.Option(help="Negative prompt: what the picture must not show.")]
Level = Annotated[
    int | None,
    typer.Option(min=1, max=31, help="Highest rating allowed: 1 PG, 2 PG-13, 4 R, 8 X, 16 XXX.", show_default=False),
]
Pins = Annotated[list[str] | None, typer.Option("--pin", help="Use this adapter (name, id or hash); may be repeated.")]
Bans = Annotated[
    list[str] | None, typer.Option("--ban", help="Never use this adapter (name, id or hash); may be repeated.")
]
Most = Annotated[
    int | None, typer.Option("--max-adapters", min=0, max=10, help="Most adapters in one plan.", show_default=False)
]
Diversity = Annotated[
    float | None,
    typer.Option(
        min=0, max=1, help="Share of pictures drawn with a random subset of the adapters.", show_default=False
    ),
]
Out = Annotated[Path | None, typer.Option("--out", "-o", help="Where to write the result.", show_default=False)]


def show_plan(plan: Plan, out: Path | None, as_json: bool) -> None:
    """Print a plan. With ``out`` also write it to a file."""
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
    """Read adapters into the store. No file is copied. Run it again when the folder changes."""
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
    """Find adapters, each with the estimated chance that it is right."""
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
    rebuild: Annotated[
        bool, typer.Option("--rebuild", help="Delete the index and build it again from the cards.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Speed up search by meaning in a family of 100,000 adapters or more, or check or rebuild the search index."""
    with opened(family=family) as stylus:
        if rebuild:
            stylus.rebuild_index()
        if check or rebuild:
            return show_audit(stylus.check_index(), as_json)
        held, recall = stylus.index()
        report = {"family": stylus.family, "adapters": held, "recall": round(recall, 4)}
    if as_json:
        return show_json(report)
    from stylus_gen.doors.tables import as_text
    from stylus_gen.tools.percent import percent

    show(as_text(f"{held:,} adapters for {report['family']}; it finds {percent(recall, 1)} of what exact search finds"))


def show_audit(audit: Audit, as_json: bool) -> None:
    """Print an audit of the index. If it found faults, exit with the code of `Unavailable`."""
    from stylus_gen.doors.tables import as_text

    if as_json:
        show_json({**audit._asdict(), "sound": audit.sound})
    else:
        faults = ", ".join(f"{n:,} {name}" for name, n in audit.faults().items() if n)
        state = f"the search index holds {audit.documents:,} documents"
        show(as_text(f"{state} and agrees with the cards" if audit.sound else f"{state}; {faults}"))
        if audit.waiting:
            show(as_text(f"{audit.waiting:,} changed files are not indexed yet; the next import indexes them"))
        if not audit.sound:
            show(as_text("build it again: stylus index --rebuild"))
    if not audit.sound:
        raise typer.Exit(outcome_of(Unavailable).exit_code)


@app.command("show")
def show_(
    adapter: Annotated[str, typer.Argument(help="Name, id, or any hash of its file.")],
    as_json: Json = False,
) -> None:
    """Show everything that is known about one adapter, and from which source."""
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
    thread: Annotated[str | None, typer.Option(help="Keep the plan under this name, for `stylus revise`.")] = None,
    approve: Annotated[bool, typer.Option(help="Require `stylus revise NAME accept` before drawing.")] = False,
    form: Annotated[
        str | None, typer.Option("--as", help="Print it for a1111, comfyui, diffusers or as json.", show_default=False)
    ] = None,
    image: Annotated[int, typer.Option(min=0, help="With --as: which image of the plan.")] = 0,
    out: Out = None,
    as_json: Json = False,
) -> None:
    """Choose adapters, weights and masks for a prompt, with reasons."""
    if approve and not thread:
        raise BadRequest("--approve needs a thread to wait in: name one with --thread NAME")
    who = {"family": family, "base": base, "model": model, "profile": profile, "nsfw_level": nsfw_level}
    wishes: dict[str, Any] = {"pinned": pin, "banned": ban, "max_adapters": max_adapters, "diversity": diversity}
    with opened(**who, installed_only=installed) as stylus:
        wish = stylus.request(prompt, images=images, seed=seed, negative_prompt=negative, **wishes)
        made = stylus.threads.plan(thread, wish, approve=approve) if thread else stylus.plan_request(wish)
        exported = stylus.export(made, form, image=image) if form else None
    if exported is None:
        return show_plan(made, out, as_json)
    if out:
        from stylus_gen.tools.file import write_whole

        write_whole(out, exported)
    else:
        print(exported)
    for warning in made.warnings:
        complain(warning)


@app.command()
def schema(what: Annotated[str, typer.Argument(help="plan or tool.")] = "tool") -> None:
    """Print a JSON schema: of the tool that chat models call, in OpenAI's form, or of the Plan."""
    from stylus_gen.schema import read_schema

    show_json(read_schema(what))


@app.command()
def generate(
    prompt: Annotated[str, typer.Argument(help="What to draw.", show_default=False)] = "",
    plan: Annotated[
        Path | None, typer.Option(help="Draw the plan in this file instead of a prompt.", show_default=False)
    ] = None,
    thread: Annotated[str | None, typer.Option(help="Draw the plan of this thread.", show_default=False)] = None,
    images: Images = 1,
    seed: Seed = None,
    negative: Negative = "",
    pin: Pins = None,
    ban: Bans = None,
    max_adapters: Most = None,
    diversity: Diversity = None,
    control: Annotated[
        bool, typer.Option(help="Also draw every picture without adapters, from the same seed.")
    ] = False,
    family: Family = None,
    base: Base = None,
    model: Model = None,
    profile: Profile = None,
    nsfw_level: Level = None,
    steps: Annotated[int | None, typer.Option(help="Denoising steps.", show_default=False)] = None,
    guidance: Annotated[float | None, typer.Option(help="Guidance scale.", show_default=False)] = None,
    width: Annotated[int | None, typer.Option(help="Pixels.", show_default=False)] = None,
    height: Annotated[int | None, typer.Option(help="Pixels.", show_default=False)] = None,
    scheduler: Annotated[str | None, typer.Option(help="Sampler; the base's if not given.", show_default=False)] = None,
    device: Annotated[str | None, typer.Option(help="cuda, mps or cpu.", show_default=False)] = None,
    dtype: Annotated[str | None, typer.Option(help="float32, float16 or bfloat16.", show_default=False)] = None,
    out: Out = None,
    as_json: Json = False,
) -> None:
    """Draw a prompt or a plan. After an interruption, run it again: finished pictures are kept."""
    if sum(map(bool, (prompt, plan, thread))) != 1:
        raise BadRequest("give one of: a prompt, --plan FILE, --thread NAME")
    wishes: dict[str, Any] = {"pinned": pin, "banned": ban, "max_adapters": max_adapters, "diversity": diversity}
    given = (negative, seed, profile, nsfw_level, *wishes.values())
    if not prompt and (images != 1 or any(value not in (None, "", []) for value in given)):
        raise BadRequest(
            "--images, --seed, --negative, --pin, --ban, --max-adapters, --diversity, --profile and --nsfw-level go "
            "with a prompt; a plan file or a thread has its own values: edit the file, or use `stylus revise`"
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
    warnings = {"warnings": notes}
    if as_json:
        return show_json(
            {"plan": chosen.model_dump(mode="json"), "images": [str(path) for path in result.images]} | warnings
        )
    from stylus_gen.doors.tables import as_text, plan_tables

    show(
        plan_tables(chosen),
        *(as_text(f"warning: {note}") for note in notes),
        *(as_text(path) for path in result.images),
    )


@app.command()
def replay(
    picture: Annotated[Path, typer.Argument(help="A PNG that Stylus made.")],
    base: Base = None,
    out: Out = None,
    as_json: Json = False,
) -> None:
    """Draw a picture again from the recipe inside it: the same bits on the same machine."""
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
    from stylus_gen.doors.tables import as_text

    verdict = "identical" if again.identical else f"not identical: {'; '.join(again.differences)}"
    show(as_text(again.path), as_text(verdict), *(as_text(f"warning: {note}") for note in again.warnings))


@app.command()
def check(
    recipe: Annotated[str, typer.Argument(help="A plan file, a PNG, or a prompt with <lora:name:weight> tags.")],
    family: Family = None,
    base: Base = None,
    profile: Profile = None,
    as_json: Json = False,
) -> None:
    """Check a recipe made by hand: family, licence, trigger words, strength, clashes."""
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
    """Change the plan of a thread with one line of text, or accept it."""
    with opened() as stylus:
        made = stylus.revise(thread, line)
    show_plan(made, out, as_json)


@app.command()
def doctor(base: Base = None, model: Model = None, family: Family = None, as_json: Json = False) -> None:
    """Show what is configured, what is missing and how to get it."""
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
def mcp(
    http: Annotated[
        int | None, typer.Option(min=1, max=65535, help="Serve HTTP on this port.", show_default=False)
    ] = None,
    family: Family = None,
    base: Base = None,
    model: Model = None,
    out: Out = None,
) -> None:
    """Serve other agents over MCP: on standard input and output, or with --http on http://127.0.0.1:PORT/mcp."""
    from stylus_gen.api import Stylus
    from stylus_gen.doors.mcp import serve_http, serve_stdio

    with Stylus(family=family, base=base, model=model, outputs=out) as stylus:
        serve_http(stylus, http) if http else serve_stdio(stylus)


@app.command()
def demo(out: Out = None, as_json: Json = False) -> None:
    """Plan five prompts on the small world and draw them without and with adapters."""
    from stylus_gen.demo import run_demo
    from stylus_gen.doors.tables import as_text, plan_tables

    def say(what: str, plan: Plan) -> None:
        if not as_json:
            show(as_text(f"\n“{plan.prompt}”: {what}"), plan_tables(plan))

    with opened(outputs=out) as stylus:
        sheet = run_demo(stylus, say)
    show_json({"sheet": str(sheet)}) if as_json else show(as_text(f"\nthe pictures: {sheet}"))


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line. A known error is printed as one sentence and sets the exit code."""
    try:
        app(args=[_utf8(argument) for argument in (sys.argv[1:] if arguments is None else arguments)])
    except StylusError as error:
        complain(error.message)
        raise SystemExit(outcome_of(type(error)).exit_code) from None
    except SystemExit as stopped:  # typer turns Ctrl-C into this
        if stopped.code == INTERRUPTED:
            complain("stopped; finished work is kept. Run the same command again to continue")
        raise


def _utf8(argument: str) -> str:
    """Check that an argument is UTF-8; Python turns other bytes into lone surrogates. Raises BadRequest."""
    try:
        argument.encode()
    except UnicodeEncodeError:
        shown = argument.encode(errors="replace").decode()[:60]
        raise BadRequest(f"the argument {shown!r} holds bytes that are not UTF-8; remove them") from None
    return argument


if __name__ == "__main__":
    main()
