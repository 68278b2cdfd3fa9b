"""Choose the offline planner's thresholds on some adapters, and measure them on others.

    python benchmarks/composer_fit.py ADAPTERS.jsonl.gz GOLD.jsonl.gz TOPICS.jsonl.gz [--n 1527] [--captions 750]

TOPICS: rows with ``prompt``, captions of photographs, most of which need no adapter. The prompts of one adapter are all
in one of five folds. A threshold is moved while that brings more of the used adapters into the plans, with and without
their trigger words, and neither a character into more than 8 in 100 plans whose own adapter is missing, nor an adapter
into more than 10 in 100 captions.
"""

from __future__ import annotations

import argparse
import random
import zlib
from collections.abc import Mapping, Sequence
from functools import cache
from itertools import product
from pathlib import Path
from statistics import fmean

from stylus_gen.agent.offline import OFFLINE, SEARCHED, THRESHOLDS, Thresholds, is_asked, rank
from stylus_gen.agent.pins import rules_of
from stylus_gen.agent.request import PlanRequest
from stylus_gen.agent.state import State
from stylus_gen.context import agent_context
from stylus_gen.doors.progress_bar import progress_bar
from stylus_gen.eval.composer import hidden
from stylus_gen.eval.gold import read_gold, throw_away_database
from stylus_gen.tools.ingest import import_adapters
from stylus_gen.tools.ingest.rows import read_rows
from stylus_gen.tools.plan import Candidate, Concept, Policy
from stylus_gen.tools.prune import Choice, prune
from stylus_gen.tools.search.embed import minilm
from stylus_gen.tools.segment import segment_prompt

FOLDS = 5
FAMILY = "sd15"
GRID = (0.15, 0.2, 0.25, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
"""Nothing lower: below, most adapters chosen for a prompt that does not name them were not used."""
ABSENT, CAPTIONS = 0.08, 0.1
"""Shares of plans with a character that is not there, and of captions with an adapter, that are acceptable."""


class Question:
    """A prompt, the adapters found for it, and those that a plan would use."""

    def __init__(
        self, prompt: str, concepts: Sequence[Concept], found: Mapping[str, Sequence[Candidate]], used: Sequence[str]
    ) -> None:
        request = PlanRequest(prompt=prompt or " - ", family=FAMILY)
        candidates = {place: list(ranking) for place, ranking in found.items()}
        state = State(request=request, concepts=list(concepts), candidates=candidates)
        self.used = frozenset(used)
        self.rules = rules_of(state)
        lowest = min(GRID)
        choices = [choice for choice in rank(state) if choice.candidate.score >= lowest]
        self.cases = [(choice, is_asked(choice.candidate, prompt)) for choice in choices]
        self.kept = cache(self._kept)

    def plan(self, thresholds: Thresholds) -> tuple[Choice, ...]:
        return self.kept(
            tuple(
                i
                for i, (choice, asked) in enumerate(self.cases)
                if choice.candidate.score >= thresholds.of(choice.candidate, asked=asked)
            )
        )

    def _kept(self, likely: tuple[int, ...]) -> tuple[Choice, ...]:
        return prune([self.cases[i][0] for i in likely], self.rules).kept

    def right(self, thresholds: Thresholds) -> bool:
        return any(choice.candidate.model_key in self.used for choice in self.plan(thresholds))


Trio = tuple[Question, Question, Question]
"""One gold prompt: as it is, without its trigger words, and with its adapters missing."""


def figures(rows: Sequence[Trio], captions: Sequence[Question], at: Thresholds) -> dict[str, float]:
    return {
        "with": fmean(full.right(at) for full, _, _ in rows),
        "without": fmean(bare.right(at) for _, bare, _ in rows),
        "adapters": fmean(len(full.plan(at)) for full, _, _ in rows),
        "empty": fmean(not full.plan(at) for full, _, _ in rows),
        "absent": fmean(any(c.candidate.kind == "character" for c in absent.plan(at)) for _, _, absent in rows),
        "captions": fmean(bool(caption.plan(at)) for caption in captions),
    }


def choose(rows: Sequence[Trio], captions: Sequence[Question]) -> Thresholds:
    """Move one threshold at a time, while it helps."""

    def worth(at: Thresholds) -> float:
        seen = figures(rows, captions, at)
        over = max(0.0, seen["absent"] - ABSENT) + max(0.0, seen["captions"] - CAPTIONS)
        return seen["with"] + seen["without"] - 10 * over

    best = THRESHOLDS
    while True:
        tried = [best._replace(**{name: value}) for name, value in product(best._fields, GRID)]
        better = max(tried, key=worth)
        if worth(better) <= worth(best) + 1e-9:
            return best
        best = better


def fold_of(row: Trio) -> int:
    return zlib.crc32(min(row[0].used).encode()) % FOLDS


def cross_validate(rows: Sequence[Trio], captions: Sequence[Question]) -> None:
    """Print what was chosen without each fold and how it does there, and how the committed thresholds do everywhere."""
    seen: list[tuple[int, dict[str, float]]] = []
    for fold in range(FOLDS):
        others = [row for row in rows if fold_of(row) != fold]
        own = [row for row in rows if fold_of(row) == fold]
        at = choose(others, captions[fold % 2 :: 2])
        seen.append((len(own), figures(own, captions[1 - fold % 2 :: 2], at)))
        print(f"fold {fold}, n={len(own)}: {show(seen[-1][1])}  {at}", flush=True)
    total = sum(n for n, _ in seen)
    print("cross-validated:", show({name: sum(n * s[name] for n, s in seen) / total for name in seen[0][1]}))
    print("committed, all: ", show(figures(rows, captions, THRESHOLDS)), THRESHOLDS)
    print("chosen on all:  ", choose(rows, captions))


def show(seen: Mapping[str, float]) -> str:
    return ", ".join(f"{name} {value:.3f}" for name, value in seen.items())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    for name in ("adapters", "gold", "topics"):
        parser.add_argument(name, type=Path)
    parser.add_argument("--n", type=int, help="gold prompts; all")
    parser.add_argument("--captions", type=int, default=750)
    args = parser.parse_args()
    gold = random.Random(0).sample(all_gold := read_gold(args.gold), args.n or len(all_gold))
    topics = [value["prompt"] for _, value in read_rows(args.topics, lambda _: None)]
    embedder = minilm()
    with throw_away_database() as db, progress_bar() as progress:
        import_adapters(db, args.adapters, embedder=embedder, progress=progress)
        search = agent_context(db, embedder, OFFLINE).search

        def ask(prompt: str, used: Sequence[str] = ()) -> Question:
            concepts = segment_prompt(prompt)
            found = search(prompt, concepts[:SEARCHED], FAMILY, Policy(), 10) if prompt.strip() else {}
            return Question(prompt, concepts, found, used)

        rows: list[Trio] = []
        for done, prompt in enumerate(gold, 1):
            used = list(prompt.used)
            with hidden(db, used):
                absent = ask(prompt.text, used)
            rows.append((ask(prompt.text, used), ask(prompt.without_triggers, used), absent))
            progress(done, len(gold), "searching")
        captions = [ask(caption) for caption in random.Random(0).sample(topics, args.captions)]
    cross_validate(rows, captions)


if __name__ == "__main__":
    main()
