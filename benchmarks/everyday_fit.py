"""Learn how likely an adapter is right for a concept, on judged everyday prompts and on tag lists that people ran.

    python benchmarks/everyday_fit.py --adapters A.jsonl.gz --judged J.jsonl.gz --gold G.jsonl.gz --topics T.jsonl.gz \\
        --home DIR [--n 500] [--captions 350] [--ablate]

It fits two logistic regressions over the same features (tools/search/decision.py): one on prompts of all forms, with
adapters graded for their spans; one on long lists of tags, where the adapters that were used are known. Five folds, by
judged prompt and by used adapter. It prints the cross-validated figures of whole plans, then the weights.
"""

from __future__ import annotations

import argparse
import random
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from stylus_gen.agent.offline import THRESHOLDS, Thresholds, rank, served, sift
from stylus_gen.agent.pins import limits_of
from stylus_gen.agent.request import PlanRequest
from stylus_gen.agent.state import State
from stylus_gen.doors.progress_bar import progress_bar
from stylus_gen.eval.composer import hidden
from stylus_gen.eval.gold import Prompt, read_gold
from stylus_gen.eval.judged import JudgedPrompt, read_judged
from stylus_gen.tools.candidate import exclusion
from stylus_gen.tools.concepts import join_concepts
from stylus_gen.tools.ingest import import_adapters
from stylus_gen.tools.ingest.rows import read_rows
from stylus_gen.tools.negation import affirmed
from stylus_gen.tools.plan import WHOLE, Candidate, Concept, Policy
from stylus_gen.tools.prune import prune
from stylus_gen.tools.search.concepts import named_concepts
from stylus_gen.tools.search.decision import FEATURES, Model
from stylus_gen.tools.search.embed import Embedder, minilm
from stylus_gen.tools.search.rank import measure_concept, rank_prompt
from stylus_gen.tools.search.recall import filters
from stylus_gen.tools.search.search import describe, look
from stylus_gen.tools.segment import has_many_tags, segment_prompt
from stylus_gen.tools.store.adapters import count_cards
from stylus_gen.tools.store.database import Database, open_database

FOLDS, FAMILY, LISTED = 5, "sd15", 10
RIDGE = 20.0
"""Of standardised weights; half or twice of it changes little."""
UNJUDGED = 0.5
"""Weight of an adapter that nobody judged, taken for wrong: the pools hold most of what search puts first."""
GROUPS = {
    "search's scores": ("evidence", "prompt evidence", "prompt chance"),
    "how everyday the words are": ("everyday", "partly everyday", "everyday as name", "unknown word"),
    "how rare they are": ("rarest",),
    "how much of the name": ("name", "tag", "said", "full", "exact", "many words", "trigger", "rare part"),
    "own name or series": ("own name", "series only", "elsewhere"),
    "kind": ("character as name", "style as style", "style unasked", "clothing as clothing", "place as place"),
    "what follows": ("modifier", "style as modifier"),
    "downloads": ("downloads",),
    "translated": ("translated",),
}


@dataclass(frozen=True)
class Question:
    """A prompt, its concepts, and what search found: for the whole, and for each concept with the features measured."""

    prompt: str
    concepts: Sequence[Concept]
    whole: Sequence[Candidate]
    lists: Mapping[str, Sequence[tuple[Candidate, tuple[float, ...]]]]

    def plan(self, model: Model, thresholds: Thresholds = THRESHOLDS) -> list[Candidate]:
        """Choose as the offline planner does, with another model's chances."""
        if not self.prompt.strip():
            return []
        found: dict[str, list[Candidate]] = {WHOLE: list(self.whole)}
        for place in self.lists:
            found[place] = self.ranked(place, model)[:LISTED]
        request = PlanRequest(prompt=self.prompt, family=FAMILY)
        state = State(request=request, concepts=list(self.concepts), candidates=found)
        likely, _ = sift(rank(state, thresholds), self.prompt, thresholds)
        return [choice.candidate for choice in prune(likely, limits_of(state), [served]).kept]

    def ranked(self, place: str, model: Model) -> list[Candidate]:
        chances = [(candidate, probability(features, model)) for candidate, features in self.lists[place]]
        best = sorted(chances, key=lambda pair: -pair[1])
        return [candidate.model_copy(update={"score": p}) for candidate, p in best]


def probability(features: Sequence[float], model: Model) -> float:
    bias, weights = model
    score = bias + sum(weights[name] * value for name, value in zip(FEATURES, features, strict=True))
    return float(1 / (1 + np.exp(-score)))


def ask(db: Database, embedder: Embedder, prompt: str) -> Question:
    """Segment and search as a plan does; what the prompt excludes is left out."""
    said = affirmed(prompt)
    if not said.strip(" ;"):
        return Question("", (), (), {})
    concepts = join_concepts(prompt, segment_prompt(prompt), named_concepts(db, prompt))
    looked = look(db, embedder, said, concepts, filters(FAMILY, Policy(), None))

    measured = {c.id: dict(measure_concept(looked, query)) for query, c in enumerate(concepts, 1)}
    rankings = {place: [(i, 0.0) for i in rows] for place, rows in measured.items()}
    rankings[WHOLE] = rank_prompt(looked.scores, LISTED)
    made = describe(db, looked, rankings, said, FAMILY, installed_only=False)
    numbers = {row.model_key: i for i, row in enumerate(looked.found.rows)}
    lists = {
        place: [(c, rows[numbers[c.model_key]]) for c in made[place] if not exclusion(c, prompt)]
        for place, rows in measured.items()
    }
    return Question(prompt, concepts, [c for c in made[WHOLE] if not exclusion(c, prompt)], lists)


@dataclass(frozen=True)
class Table:
    """Rows of features, whether the adapter is right, what the row weighs, and the fold of its prompt."""

    x: NDArray[np.float64]
    right: NDArray[np.float64]
    weight: NDArray[np.float64]
    fold: NDArray[np.int64]


def tabulate(rows: Sequence[tuple[Question, int, Callable[[Concept, Candidate], tuple[float, float]]]]) -> Table:
    """Lay out (features, right, weight, fold) of every candidate of every concept."""
    table = [
        (*features, *grade(concept, candidate), fold)
        for question, fold, grade in rows
        for concept in question.concepts
        for candidate, features in question.lists.get(concept.id, ())
    ]
    values = np.array(table, float)
    return Table(values[:, : len(FEATURES)], values[:, -3], values[:, -2], values[:, -1].astype(int))


def grades(prompt: JudgedPrompt) -> Callable[[Concept, Candidate], tuple[float, float]]:
    """Grade a candidate for a concept: right where it was judged right for a span that shares words with it."""

    def grade(concept: Concept, candidate: Candidate) -> tuple[float, float]:
        if candidate.model_key not in prompt.grades:
            return 0.0, UNJUDGED
        mark, span = prompt.grades[candidate.model_key]
        start = prompt.prompt.casefold().find(span)
        inside = start < 0 or (concept.start < start + len(span) and start < concept.end)
        return float(mark == 2 and inside), 1.0

    return grade


def used(prompt: Prompt) -> Callable[[Concept, Candidate], tuple[float, float]]:
    return lambda concept, candidate: (float(candidate.model_key in prompt.used), 1.0)


def learn(table: Table, rows: NDArray[np.bool_], features: Sequence[str] = FEATURES) -> Model:
    """Maximise the likelihood of a logistic regression, ridge on standardised weights."""
    columns = [FEATURES.index(name) for name in features]
    x, y, w = table.x[rows][:, columns], table.right[rows], table.weight[rows]
    centre, scale = x.mean(axis=0), x.std(axis=0) + 1e-9
    z = (x - centre) / scale

    def loss(p: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        score = z @ p[:-1] + p[-1]
        gap = w * (1 / (1 + np.exp(-score)) - y)
        value = (w * (np.logaddexp(0, score) - y * score)).sum() + RIDGE / 2 * (p[:-1] ** 2).sum()
        return float(value), np.r_[gap @ z + RIDGE * p[:-1], gap.sum()]

    best = minimize(loss, np.zeros(len(columns) + 1), jac=True, method="L-BFGS-B", options={"maxiter": 500}).x
    weights = dict(zip(features, (best[:-1] / scale).tolist(), strict=True))
    return float(best[-1] - (best[:-1] / scale) @ centre), {name: weights.get(name, 0.0) for name in FEATURES}


def folds_of(table: Table, features: Sequence[str] = FEATURES) -> list[Model]:
    return [learn(table, table.fold != fold, features) for fold in range(FOLDS)]


@dataclass(frozen=True)
class Case:
    """A judged prompt with its question and fold."""

    prompt: JudgedPrompt
    question: Question
    fold: int


def judge(cases: Sequence[Case], models: Sequence[Model], tags: Sequence[Model], at: Thresholds) -> dict[str, float]:
    """Sum up the plans of judged prompts as `stylus eval plans` does."""
    rows = []
    for case in cases:
        model = (tags if has_many_tags(case.prompt.prompt) else models)[case.fold]
        keys = [candidate.model_key for candidate in case.question.plan(model, at)]
        marks = [case.prompt.grade(key) or 0 for key in keys]
        covered = {case.prompt.grades[key][1] for key, mark in zip(keys, marks, strict=True) if mark == 2}
        listed = {c.model_key for place in case.question.lists for c in case.question.ranked(place, model)[:LISTED]}
        listed |= {c.model_key for c in case.question.whole}
        right = [key for key, (mark, _) in case.prompt.grades.items() if mark == 2]
        rows.append((case.prompt, len(covered), marks, sum(key in listed for key in right), len(right)))
    named = [row for row in rows if row[0].slice != "paraphrase"]
    other = [row for row in rows if row[0].slice == "paraphrase"]
    tongues = [row for row in rows if row[0].slice == "language"]
    marks = [mark for row in rows for mark in row[2]]
    idle = [row for row in rows if row[0].wants_nothing]
    return {
        "named": _covered(named),
        "paraphrase": _covered(other),
        "language": _covered(tongues),
        "right": fmean(mark == 2 for mark in marks),
        "or acceptable": fmean(mark > 0 for mark in marks),
        "prompts with wrong": fmean(0 in row[2] for row in rows),
        "quiet": fmean(not row[2] for row in idle),
        "recall at 10": sum(row[3] for row in rows) / sum(row[4] for row in rows),
    }


def _covered(rows: Sequence[Any]) -> float:
    return sum(row[1] for row in rows) / max(1, sum(len(row[0].spans) for row in rows))


Gold = tuple[Prompt, Question, Question, Question, int]
"""A prompt, and questions of it as it is, without its trigger words, and with its adapters hidden; its fold."""


def judge_gold(
    gold: Sequence[Gold], captions: Sequence[Question], models: Sequence[Model], tags: Sequence[Model], at: Thresholds
) -> dict[str, float]:
    """Sum up the plans of prompts whose adapters are known, and of captions, which need none."""

    def plan(question: Question, fold: int) -> list[Candidate]:
        return question.plan((tags if has_many_tags(question.prompt) else models)[fold], at)

    return {
        "used": fmean(any(c.model_key in p.used for c in plan(told, k)) for p, told, _, _, k in gold),
        "without triggers": fmean(any(c.model_key in p.used for c in plan(untold, k)) for p, _, untold, _, k in gold),
        "character when absent": fmean(any(c.kind == "character" for c in plan(gone, k)) for *_, gone, k in gold),
        "adapters": fmean(len(plan(told, k)) for _, told, _, _, k in gold),
        "captions": fmean(bool(plan(question, i % FOLDS)) for i, question in enumerate(captions)),
    }


def show(name: str, figures: Mapping[str, float]) -> None:
    print(f"{name}: " + ", ".join(f"{key} {value:.3f}" for key, value in figures.items()), flush=True)


def paste(name: str, model: Model) -> None:
    """Print a model as it stands in tools/search/decision.py."""
    bias, weights = model
    print(f"{name}: Model = ({bias:.3f}, {{")
    for feature, weight in weights.items():
        print(f'    "{feature}": {weight:.3f},')
    print("})")


def fold_of(key: str) -> int:
    return zlib.crc32(key.encode()) % FOLDS


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("adapters", "judged", "gold", "topics", "home"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    parser.add_argument("--n", type=int, default=500, help="gold prompts")
    parser.add_argument("--captions", type=int, default=350)
    parser.add_argument("--ablate", action="store_true", help="leave out groups of features in turn")
    args = parser.parse_args()
    embedder = minilm()
    with open_database(None, args.home) as db, progress_bar() as progress:
        if not count_cards(db):
            import_adapters(db, args.adapters, embedder=embedder, progress=progress)
        judged = read_judged(args.judged)
        cases = []
        for done, prompt in enumerate(judged, 1):
            cases.append(Case(prompt, ask(db, embedder, prompt.prompt), fold_of(prompt.id)))
            progress(done, len(judged), "searching")
        gold: list[Gold] = []
        sample = random.Random(7).sample(everything := read_gold(args.gold), min(args.n, len(everything)))
        for done, row in enumerate(sample, 1):
            told, untold = ask(db, embedder, row.text), ask(db, embedder, row.without_triggers)
            with hidden(db, list(row.used)):
                gone = ask(db, embedder, row.text)
            gold.append((row, told, untold, gone, fold_of(min(row.used))))
            progress(done, len(sample), "searching")
        topics = [value["prompt"] for _, value in read_rows(args.topics, lambda _: None)]
        captions = [ask(db, embedder, caption) for caption in random.Random(7).sample(topics, args.captions)]
    report(cases, gold, captions, args.ablate)


def report(cases: Sequence[Case], gold: Sequence[Gold], captions: Sequence[Question], ablate: bool) -> None:
    """Learn, cross-validate, print."""
    sentences = tabulate([(case.question, case.fold, grades(case.prompt)) for case in cases])
    lists = tabulate(
        [(q, k, used(p)) for p, told, untold, _, k in gold for q in (told, untold) if has_many_tags(p.text)]
    )
    models, tags = folds_of(sentences), folds_of(lists)
    print(f"{len(sentences.x)} rows of judged prompts, {len(lists.x)} of lists")
    for at in (THRESHOLDS, *(THRESHOLDS._replace(concept=t) for t in (0.4, 0.45, 0.5, 0.55, 0.6))):
        print(at)
        show("judged", judge(cases, models, tags, at))
        show("gold", judge_gold(gold, captions, models, tags, at))
    for name, group in GROUPS.items() if ablate else ():
        kept = [feature for feature in FEATURES if feature not in group]
        show(f"without {name}", judge(cases, folds_of(sentences, kept), tags, THRESHOLDS))
    paste("SENTENCES", learn(sentences, sentences.fold >= 0))
    paste("TAGS", learn(lists, lists.fold >= 0))


if __name__ == "__main__":
    main()
