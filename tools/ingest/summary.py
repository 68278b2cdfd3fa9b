"""What an import did, and what it could not take and why."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, field
from typing import Any

from stylus_gen.tools.card import Card

MAX_PROBLEMS = 200

Progress = Callable[[int, int, str], None]
"""Called with (done, total, message)."""


@dataclass(frozen=True)
class Problem:
    """One row or file with something wrong. ``skipped``: it was not taken; else it was, but not all of it."""

    where: str
    why: str
    skipped: bool = True


@dataclass(frozen=True)
class ImportSummary:
    """What an import did, in adapters. ``problems`` are the first 200 of ``problem_count``.

    ``merged`` adapters joined a file known under another model; ``seconds`` include the search index.
    """

    taken: int
    updated: int
    merged: int
    unchanged: int
    skipped: int
    problems: tuple[Problem, ...]
    problem_count: int
    seconds: float

    def to_json(self) -> dict[str, Any]:
        """Give it as plain data."""
        return asdict(self)


@dataclass
class Report:
    """Problems, collected while cards stream by."""

    problems: list[Problem] = field(default_factory=list)
    count: int = 0
    skipped: int = 0

    def add(self, problem: Problem) -> None:
        """Count a problem, and keep it if there is room."""
        self.count += 1
        self.skipped += problem.skipped
        if len(self.problems) < MAX_PROBLEMS:
            self.problems.append(problem)

    def filter(self, stream: Iterable[Card | Problem]) -> Iterator[Card]:
        """Let cards pass, keep problems."""
        for item in stream:
            if isinstance(item, Problem):
                self.add(item)
            else:
                yield item
