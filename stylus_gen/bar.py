"""A progress bar on standard error for any work that reports (done, total, message)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from stylus_gen.api import Progress


@contextmanager
def progress_bar() -> Iterator[Progress]:
    """Yield a progress callback. The bar appears with the first report; a new message starts a new bar."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        tasks: dict[str, object] = {}

        def report(done: int, total: int, message: str) -> None:
            if message not in tasks:
                tasks.clear()
                for task in bar.task_ids:
                    bar.remove_task(task)
                tasks[message] = bar.add_task(message, total=total)
            bar.update(bar.task_ids[-1], completed=done, total=total)

        yield report
