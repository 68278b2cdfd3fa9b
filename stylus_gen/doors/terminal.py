"""What all commands share: common options, opening a `Stylus`, printing tables and JSON."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any

import typer

from stylus_gen.doors.progress_bar import progress_bar
from stylus_gen.tools.text import printable

if TYPE_CHECKING:
    from rich.console import RenderableType

    from stylus_gen.api import Stylus

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of tables.")]
Model = Annotated[str | None, typer.Option(help="offline, openai:NAME or litellm:NAME.", show_default=False)]

MOST = 1500
"""Most characters of an error that are printed. Its beginning says what is wrong, its end what to do."""


def show(*parts: RenderableType) -> None:
    """Print for people."""
    from rich.console import Console

    Console(soft_wrap=False, markup=False, emoji=False, highlight=False).print(*parts, sep="\n")


def show_json(value: Any) -> None:
    """Print one JSON object on one line, with characters that a terminal would obey as escapes."""
    print(escape(json.dumps(value, ensure_ascii=False)))


def escape(text: str) -> str:
    """Write characters that are not printable as JSON's ``\\u…``, which JSON readers take as the same text."""
    return text if text.isprintable() else "".join(c if c.isprintable() else json.dumps(c)[1:-1] for c in text)


def complain(message: str) -> None:
    """Print one sentence on standard error. It may quote long text from outside."""
    said = printable(message)
    said = said if len(said) <= MOST else f"{said[: MOST - 300]} … {said[-300:]}"
    print(f"stylus: {said}", file=sys.stderr)


@contextmanager
def opened(**settings: Any) -> Iterator[Stylus]:
    """Open a `Stylus` that reports on a progress bar."""
    from stylus_gen.api import Stylus

    with progress_bar() as progress, Stylus(progress=progress, **settings) as stylus:
        yield stylus
