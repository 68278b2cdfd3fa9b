"""A progress bar on standard error for any work that reports (done, total, message)."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

from stylus_gen.tools.progress import Bytes, Progress, silent
from stylus_gen.tools.text import printable

if TYPE_CHECKING:
    from rich.progress import Progress as RichProgress


UNITS = (("TB", 10**12), ("GB", 10**9), ("MB", 10**6), ("kB", 10**3))


@contextmanager
def progress_bar() -> Iterator[Progress]:
    """Yield a progress callback. The bar appears with the first report, on terminals only; a new total, a new bar."""
    with ExitStack() as stack:
        bars: list[RichProgress] = []

        def report(done: int, total: int, message: str) -> None:
            if not bars:
                bars.append(stack.enter_context(_bar()))
            (bar,) = bars
            if not bar.tasks or bar.tasks[-1].total != total:
                for task in bar.task_ids:
                    bar.remove_task(task)
                bar.add_task("", total=total, amount="")
            amount = amount_of(done, total)
            bar.update(bar.task_ids[-1], completed=done, description=printable(message), amount=amount)

        yield report if sys.stderr.isatty() else silent


def amount_of(done: int, total: int) -> str:
    """Format how much of a total is done, with units if it counts bytes."""
    if not isinstance(total, Bytes):
        return f"{done:,}/{total:,}"
    unit, size = next(((unit, size) for unit, size in UNITS if total >= size), ("B", 1))
    return f"{done / size:,.1f} of {total / size:,.1f} {unit}"


def _bar() -> RichProgress:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TextColumn("{task.fields[amount]}", markup=False),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    return Progress(*columns, console=Console(stderr=True), transient=True)
