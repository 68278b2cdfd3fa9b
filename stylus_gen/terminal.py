"""What all commands share: their common options, an open `Stylus`, printing for people and for programs."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any

import typer

from stylus_gen.bar import progress_bar

if TYPE_CHECKING:
    from rich.console import RenderableType

    from stylus_gen.api import Stylus

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of tables.")]
Model = Annotated[str | None, typer.Option(help="offline, openai:NAME or litellm:NAME.", show_default=False)]


def show(*parts: RenderableType) -> None:
    """Print for people."""
    from rich.console import Console

    Console(soft_wrap=False).print(*parts, sep="\n")


def show_json(value: Any) -> None:
    """Print one JSON object on one line."""
    print(json.dumps(value, ensure_ascii=False))


@contextmanager
def opened(**settings: Any) -> Iterator[Stylus]:
    """Open a `Stylus` that reports on a progress bar."""
    from stylus_gen.api import Stylus

    with progress_bar() as progress, Stylus(progress=progress, **settings) as stylus:
        yield stylus
