"""What an import did, and which rows and files it could not import and why."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from stylus_gen.tools.card import Card
from stylus_gen.tools.ingest.text import clean_line

MAX_PROBLEMS = 100_000
"""Problems that are kept, about 20 MB. A dump may hold a million bad rows; further ones are only counted."""

EXAMPLES = 3


@dataclass(frozen=True)
class Problem:
    """A row or file with a problem.

    ``skipped``: it was not imported; otherwise it was imported in part. ``ignored``: it is another tool's file and no
    adapter.
    """

    where: str
    why: str
    skipped: bool = True
    ignored: bool = False

    @property
    def what(self) -> str:
        """Return the outcome in words."""
        return "left alone" if self.ignored else "skipped" if self.skipped else "taken in part"


@dataclass(frozen=True)
class Reason:
    """Problems that differ only in names and numbers: how many there are, and the first of them."""

    what: str
    why: str
    count: int
    examples: tuple[str, ...]


@dataclass(frozen=True)
class ImportSummary:
    """What an import did, counted in adapters. ``problems`` are the first 100,000 of ``problem_count``.

    ``merged`` adapters joined a file known under another model; ``retired`` ones have lost their file; ``ignored``
    counts JSON files of other tools; ``seconds`` include the search index. ``problems_file`` lists all problems.
    """

    taken: int
    updated: int
    merged: int
    unchanged: int
    retired: int
    skipped: int
    ignored: int
    problems: tuple[Problem, ...]
    problem_count: int
    seconds: float
    problems_file: str | None = None

    @property
    def reasons(self) -> list[Reason]:
        """Group the problems by outcome and reason, the most frequent first."""
        return group(self.problems)

    def to_json(self) -> dict[str, Any]:
        """Return it as plain data."""
        return {**asdict(self), "reasons": [asdict(reason) for reason in self.reasons]}


def write_problems(summary: ImportSummary, path: Path) -> ImportSummary:
    """Write the problems to a file, one per line, and record its path; if it cannot be written, record none."""
    if not summary.problems:
        return summary
    lines = (f"{p.what}\t{clean_line(p.where, 1000)}\t{clean_line(p.why, 1000)}\n" for p in summary.problems)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        beside = path.with_name(f"{path.name}.{os.getpid()}")
        beside.write_text("".join(lines), "utf-8")
        beside.replace(path)
    except OSError:
        return summary
    return replace(summary, problems_file=str(path))


def group(problems: Sequence[Problem]) -> list[Reason]:
    """Group problems whose reasons differ only in names and numbers."""
    groups: dict[tuple[str, str], list[Problem]] = {}
    for problem in problems:
        groups.setdefault((problem.what, _pattern(problem.why)), []).append(problem)
    reasons = [
        Reason(what, why if len({p.why for p in found}) > 1 else found[0].why, len(found), _examples(found))
        for (what, why), found in groups.items()
    ]
    return sorted(reasons, key=lambda reason: -reason.count)


def _examples(problems: Sequence[Problem]) -> tuple[str, ...]:
    return tuple(problem.where for problem in problems[:EXAMPLES])


def _pattern(why: str) -> str:
    """Replace names and numbers in a reason."""
    return re.sub(r"\d[\d,.]*", "…", re.sub(r"'[^']*'|\"[^\"]*\"", "…", why))


@dataclass
class ImportLog:
    """Collects the problems of a stream of cards."""

    problems: list[Problem] = field(default_factory=list)
    count: int = 0
    skipped: int = 0
    ignored: int = 0

    def add(self, problem: Problem) -> None:
        """Count a problem, and keep it if there is room."""
        self.count += 1
        self.skipped += problem.skipped and not problem.ignored
        self.ignored += problem.ignored
        if len(self.problems) < MAX_PROBLEMS:
            self.problems.append(problem)

    def filter(self, stream: Iterable[Card | Problem]) -> Iterator[Card]:
        """Yield the cards; record the problems."""
        for item in stream:
            if isinstance(item, Problem):
                self.add(item)
            else:
                yield item
