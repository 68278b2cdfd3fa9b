"""Import a catalogue and plan real prompts offline: rows, seconds, and how many plans have the adapter that was used.

    python benchmarks/first_plans.py ADAPTERS.jsonl.gz GOLD.jsonl.gz [PROMPTS]

Runs in a throw-away database; also times the command line cold. Prints one JSON object.
"""

from __future__ import annotations

import gzip
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from stylus_gen import Stylus
from stylus_gen.doors.progress_bar import progress_bar


def cli_seconds(*arguments: str, cpu: bool = False) -> float:
    """Run the command line in a fresh process five times; return the median of its wall or CPU seconds."""
    runs = []
    for _ in range(5):
        before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
        subprocess.run(
            [sys.executable, "-m", "stylus_gen.doors.cli", *arguments], check=True, stdout=subprocess.DEVNULL
        )
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        spent = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        runs.append(spent if cpu else time.perf_counter() - started)
    return round(statistics.median(runs), 3)


def main(adapters: Path, gold: Path, count: int = 200) -> None:
    with gzip.open(gold, "rt", encoding="utf-8") as lines:
        rows = [json.loads(line) for line, _ in zip(lines, range(count), strict=False)]
    with tempfile.TemporaryDirectory() as home, progress_bar() as progress:
        os.environ["STYLUS_HOME"] = home
        with Stylus(family="sd15", progress=progress) as stylus:
            first = stylus.import_adapters(adapters)
            again = stylus.import_adapters(adapters)
            stylus.plan("warm up")
            lapses, plans = [], []
            for row in rows:
                started = time.perf_counter()
                plans.append(stylus.plan(row["prompt"], seed=0))
                lapses.append((time.perf_counter() - started) * 1000)
            cold = cli_seconds("plan", rows[0]["prompt"], "--family", "sd15")
    chosen = [{a.model_key.removeprefix("civitai-") for a in plan.assignments} for plan in plans]
    cuts = statistics.quantiles(lapses, n=100)
    print(
        json.dumps(
            {
                "import": {k: v for k, v in first.to_json().items() if k != "problems"},
                "import_again": {"unchanged": again.unchanged, "seconds": again.seconds},
                "plans": len(plans),
                "plan_ms": {"p50": round(cuts[49], 1), "p95": round(cuts[94], 1)},
                "hold_the_adapter_used": sum(
                    bool(ids & set(row["adapters"])) for ids, row in zip(chosen, rows, strict=True)
                ),
                "empty": sum(not ids for ids in chosen),
                "adapters_a_plan": round(statistics.mean(map(len, chosen)), 2),
                "stylus_plan_cold_s": cold,
                "stylus_help_cpu_s": cli_seconds("--help", cpu=True),
            }
        )
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), *map(int, sys.argv[3:4]))
