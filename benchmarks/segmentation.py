"""How well the rules segment: sentences against silver labels, tag lists against the trigger words that people used.

    python benchmarks/segmentation.py TOPICS.jsonl[.gz] GOLD.jsonl[.gz] [--show N]

TOPICS: rows with ``prompt`` and ``topics`` (phrases that a language model found; not human labels, so agreement with
them is not accuracy). A topic counts as found when a concept shares at least half of their words taken together.
GOLD: rows with ``prompt`` and ``prompt_without_triggers``; a prompt counts when a word cut out of it is in a concept.
"""

from __future__ import annotations

import argparse
import gzip
import json
import re
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from stylus_gen.tools.segment import describe, segment_prompt
from stylus_gen.tools.text import plain


def read(path: Path) -> Iterator[dict[str, Any]]:
    with (gzip.open if path.suffix == ".gz" else open)(path, "rt", encoding="utf-8") as lines:
        yield from map(json.loads, lines)


def words(text: str) -> frozenset[str]:
    return frozenset(re.sub(r"(?<=\w\w)(?:es|s|ing|'s)$", "", word) for word in plain(text).split())


def alike(a: frozenset[str], b: frozenset[str]) -> bool:
    return len(a & b) >= 0.5 * len(a | b)


def sentences(rows: list[dict[str, Any]], show: int) -> None:
    found = said = topics = concepts = 0
    for i, row in enumerate(rows):
        mine = [words(c.text) for c in segment_prompt(row["prompt"])]
        theirs = [words(topic) for topic in row["topics"]]
        found += sum(any(alike(t, m) for m in mine) for t in theirs)
        said += sum(any(alike(t, m) for t in theirs) for m in mine)
        topics, concepts = topics + len(theirs), concepts + len(mine)
        if i < show:
            print(row["prompt"], list(row["topics"]), "->", describe(segment_prompt(row["prompt"])), sep="\n   ")
    recall, precision = found / topics, said / concepts
    f1 = 2 * recall * precision / (recall + precision)
    print(f"sentences n={len(rows)}  recall {recall:.3f}  precision {precision:.3f}  F1 {f1:.3f}", end="  ")
    print(f"concepts a prompt {concepts / len(rows):.2f} (silver {topics / len(rows):.2f})")


def tags(rows: list[dict[str, Any]], show: int) -> None:
    covered = counted = concepts = 0
    started = time.perf_counter()
    for row in rows:
        mine = segment_prompt(row["prompt"])
        concepts += len(mine)
        cut = Counter(plain(row["prompt"]).split()) - Counter(plain(row["prompt_without_triggers"]).split())
        if not cut:
            continue
        counted += 1
        hit = set(cut) & {word for c in mine for word in plain(c.text).split()}
        covered += bool(hit)
        if not hit and counted - covered <= show:
            print("missed:", sorted(cut), "in", row["prompt"][:150], "->", describe(mine))
    ms = 1000 * (time.perf_counter() - started) / len(rows)
    print(f"tag lists n={counted}  trigger words in a concept {covered / counted:.3f}", end="  ")
    print(f"concepts a prompt {concepts / len(rows):.2f}  {ms:.2f} ms a prompt")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("topics", type=Path)
    parser.add_argument("gold", type=Path)
    parser.add_argument("--show", type=int, default=0, help="examples to print")
    args = parser.parse_args()
    sentences(list(read(args.topics)), args.show)
    tags(list(read(args.gold)), args.show)


if __name__ == "__main__":
    main()
