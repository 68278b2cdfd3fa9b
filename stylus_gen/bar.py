"""A progress bar on standard error for any work that reports (done, total, message)."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

from stylus_gen.tools.text import printable

if TYPE_CHECKING:
    from rich.progress import Progress as RichProgress

    from stylus_gen.api import Progress


def silent(done: int, total: int, message: str) -> None:
    """Show no progress."""


@contextmanager
def progress_bar() -> Iterator[Progress]:
    """Yield a progress callback. The bar appears with the first report, on terminals only; a new message, a new bar."""
    with ExitStack() as stack:
        bars: list[RichProgress] = []

        def report(done: int, total: int, message: str) -> None:
            if not bars:
                bars.append(stack.enter_context(_bar()))
            (bar,) = bars
            message = printable(message)
            if not bar.tasks or bar.tasks[-1].description != message:
                for task in bar.task_ids:
                    bar.remove_task(task)
                bar.add_task(message, total=total)
            bar.update(bar.task_ids[-1], completed=done, total=total)

        yield report if sys.stderr.isatty() else silent


def _bar() -> RichProgress:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    return Progress(*columns, console=Console(stderr=True), transient=True)
