"""`stylus eval retrieval`: does search find the adapters that people really used?

Adapters are the site's model objects, gold are prompts with the adapters used; both are searched in a throw-away
database, through the ordinary importer and `search_adapters`. The figures are lower bounds: other
adapters may suit as well.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from stylus_gen.eval.gold import Prompt, read_gold, require_overlap, throw_away_database
from stylus_gen.eval.paired import bootstrap
from stylus_gen.eval.ranking import DEPTHS, Ranking, calibration_error, figures, intervals, rank, reliability
from stylus_gen.tools.ingest.importer import import_adapters
from stylus_gen.tools.plan import WHOLE, Candidate, Policy
from stylus_gen.tools.progress import Progress
from stylus_gen.tools.search import search_adapters
from stylus_gen.tools.search.embed import Embedder, minilm
from stylus_gen.tools.segment import segment_prompt
from stylus_gen.tools.store.database import Database

# All that is safe; every family: gold prompts do not say what they were drawn on.
POLICY = Policy(nsfw_level=31)
FIELDS = {"with_triggers": "text", "without_triggers": "without_triggers"}
MISSING = "missing"
"""The kind of an adapter that is not in the catalogue: its file was refused, or it is not in the file of adapters."""
SHOWN = 10
"""Candidates asked for when the clock runs, as a planner does."""


def evaluate_retrieval(
    adapters: Path, gold: Path, *, embedder: Embedder | None = None, limit: int | None = None, progress: Progress
) -> dict[str, Any]:
    """Import ``adapters`` into a throw-away database and search it for every prompt of ``gold``, twice.

    The report has what ``--json`` prints (r_at, mrr, ndcg_at_10, ece, latency_ms, n) and, under ``more``,
    intervals, breakdowns by kind and language, and the reliability table. ``limit`` takes the first prompts only.
    """
    prompts = read_gold(gold, limit)
    embedder = embedder or minilm()
    with throw_away_database() as db:
        summary = import_adapters(db, adapters, embedder=embedder, progress=progress)
        require_overlap(db, summary, prompts, adapters)
        rankings = rank_all(db, embedder, prompts, progress)
        latency = clock(db, embedder, [prompt.text for prompt in prompts], progress)
    report = _report(rankings, latency)
    report["more"]["import"] = {"taken": summary.taken, "skipped": summary.skipped, "seconds": summary.seconds}
    return report


def rank_all(
    db: Database, embedder: Embedder, prompts: Sequence[Prompt], progress: Progress
) -> dict[str, list[Ranking]]:
    """Search for every prompt as it is and without its trigger words."""
    kinds = read_kinds(db)
    rankings: dict[str, list[Ranking]] = {name: [] for name in FIELDS}
    for i, prompt in enumerate(prompts):
        used = frozenset(prompt.used)
        for name, field in FIELDS.items():
            rankings[name].append(_rank(db, embedder, getattr(prompt, field), used, kinds))
        progress(i + 1, len(prompts), "searching")
    return rankings


def read_kinds(db: Database) -> dict[str, str]:
    """Read the kind of every model."""
    with db.pool.connection() as conn:
        return dict(conn.execute("SELECT DISTINCT ON (model_key) model_key, kind FROM cards ORDER BY 1").fetchall())


def _rank(db: Database, embedder: Embedder, prompt: str, used: frozenset[str], kinds: Mapping[str, str]) -> Ranking:
    """Rank for one prompt as a planner would, concepts and all. An empty prompt finds nothing."""
    found = _search(db, embedder, prompt, DEPTHS[-1]) if prompt.strip() else []
    return rank([(candidate.model_key, candidate.score) for candidate in found], used, group_of(prompt, used, kinds))


def group_of(prompt: str, used: Iterable[str], kinds: Mapping[str, str]) -> dict[str, str]:
    """Say which groups a prompt is reported in: the kinds of its adapters, its script, its form."""
    return {
        "kind": "+".join(sorted({kinds.get(key, MISSING) for key in used})) or MISSING,
        "language": language_of(prompt),
        "form": "tags" if prompt.count(",") * 5 >= len(prompt.split()) else "sentence",
    }


def _search(db: Database, embedder: Embedder, prompt: str, limit: int) -> list[Candidate]:
    concepts = segment_prompt(prompt)
    return search_adapters(db, embedder, prompt, concepts, family=None, policy=POLICY, limit=limit)[WHOLE]


_SCRIPTS = (
    ("Japanese", re.compile("[\u3040-\u30ff]")),
    ("Korean", re.compile("[\uac00-\ud7af]")),
    ("Chinese", re.compile("[\u3400-\u9fff]")),
    ("Cyrillic", re.compile("[\u0400-\u04ff]")),
)


def language_of(prompt: str) -> str:
    """Name the language or script of a prompt, roughly, by its letters; what is Latin is one group."""
    return next((name for name, letters in _SCRIPTS if letters.search(prompt)), "Latin")


def clock(db: Database, embedder: Embedder, prompts: Sequence[str], progress: Progress) -> list[float]:
    """Time searches, warm, in milliseconds: segmentation aside, everything from prompt to candidates."""
    times = []
    for i, prompt in enumerate(prompt for prompt in prompts if prompt.strip()):
        concepts = segment_prompt(prompt)
        start = time.perf_counter()
        search_adapters(db, embedder, prompt, concepts, family=None, policy=POLICY, limit=SHOWN)
        times.append(1000 * (time.perf_counter() - start))
        progress(i + 1, len(prompts), "timing")
    return times


def _report(rankings: dict[str, list[Ranking]], latency: list[float]) -> dict[str, Any]:
    every = [ranking for group in rankings.values() for ranking in group]
    milliseconds = np.percentile(latency or [0.0], (50, 95, 99))
    return {
        **{name: figures(group) for name, group in rankings.items()},
        "ece": round(calibration_error(every), 4),
        "latency_ms": {f"p{q}": round(float(ms), 1) for q, ms in zip((50, 95, 99), milliseconds, strict=True)},
        "n": len(rankings["with_triggers"]),
        "more": {
            "intervals": {name: intervals(group) for name, group in rankings.items()},
            "ece": {name: round(calibration_error(group), 4) for name, group in rankings.items()},
            "ece_of_all_candidates": round(calibration_error(every, first_only=False), 4),
            "ece_interval": bootstrap(len(every), lambda at: calibration_error([every[i] for i in at])),
            "reliability": reliability([a.chance for a in every], [a.right for a in every]),
            "unanswerable": sum(a.group["kind"] == MISSING for a in rankings["with_triggers"]),
            "groups": {name: by_group(group) for name, group in rankings.items()},
        },
    }


def by_group(rankings: Sequence[Ranking]) -> dict[str, dict[str, Any]]:
    """Compute the figures of each group of prompts."""
    rows: dict[str, dict[str, Any]] = {}
    for by in ("kind", "language", "form"):
        for value in sorted({ranking.group[by] for ranking in rankings}):
            group = [ranking for ranking in rankings if ranking.group[by] == value]
            rows[f"{by}: {value}"] = {"n": len(group), **figures(group), "intervals": intervals(group)}
    return rows
