"""How often an adapter is chosen for a caption that needs none, with the catalogue that Stylus is set up with.

    STYLUS_FAMILY=sd15 python benchmarks/abstention.py TOPICS.jsonl[.gz] [--n 300] [--show 20]

TOPICS: rows with ``prompt``, captions of photographs. An adapter named after what the caption shows may still be
right, so the share is an upper bound of the errors.
"""

from __future__ import annotations

import argparse
import gzip
import json
import random
from collections import Counter
from pathlib import Path

from stylus_gen import Stylus


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("topics", type=Path)
    parser.add_argument("--n", type=int, default=300)
    parser.add_argument("--show", type=int, default=20, help="plans to print")
    args = parser.parse_args()
    with (gzip.open if args.topics.suffix == ".gz" else open)(args.topics, "rt", encoding="utf-8") as lines:
        prompts = [json.loads(line)["prompt"] for line in lines]
    sizes: Counter[int] = Counter()
    kinds: Counter[str] = Counter()
    with Stylus() as stylus:
        for prompt in random.Random(0).sample(prompts, args.n):
            plan = stylus.plan(prompt, seed=0)
            sizes[len(plan.assignments)] += 1
            kinds.update(a.kind for a in plan.assignments)
            if plan.assignments and sum(kinds.values()) <= args.show:
                print(prompt, "->", [(a.name, a.kind, round(a.score, 2)) for a in plan.assignments])
    print(f"captions with an adapter {1 - sizes[0] / args.n:.3f}, adapters {dict(sizes)}, kinds {dict(kinds)}")


if __name__ == "__main__":
    main()
