"""Learn the weights of search's features, and report how well they do on other prompts.

    python benchmarks/retrieval_fit.py --adapters civitai_adapters.jsonl.gz --gold gold_dev.jsonl.gz --home DIR

Candidates and their features come from the real search, over a catalogue that is imported into DIR the first time.
The model is a softmax over a prompt's candidates and "none of them" (McFadden's conditional logit). Five folds by
adapter: the weights for a prompt are learned from prompts that share no adapter with its fold. The weights
printed, for tools/search/fusion.py, are learned on all prompts. Real prompts are long; so that short ones are
understood too, prompts of a plain subject and a card's first trigger ("a fox, techpunkmask") are added, one to twenty
real ones, folded by adapter like the rest. ``--ablate`` leaves out groups of features in turn; ``--set BY_MEANING=0``
changes a budget of tools/search/gather.py, to see what a retriever brings.
"""

from __future__ import annotations

import argparse
import json
import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from stylus_gen.doors.progress_bar import progress_bar
from stylus_gen.eval.gold import Prompt, read_gold
from stylus_gen.eval.ranking import DEPTHS, Ranking, calibration_error, figures, intervals, rank, reliability
from stylus_gen.eval.retrieval import FIELDS, POLICY, by_group, group_of, read_kinds
from stylus_gen.tools.ingest.importer import import_adapters
from stylus_gen.tools.progress import Progress
from stylus_gen.tools.search import gather
from stylus_gen.tools.search.embed import Embedder, minilm
from stylus_gen.tools.search.features import NAMES
from stylus_gen.tools.search.fusion import CONCEPT_WEIGHTS, NAMING, WEIGHTS, Weights, shares
from stylus_gen.tools.search.recall import filters
from stylus_gen.tools.segment import segment_prompt
from stylus_gen.tools.store.adapters import count_cards
from stylus_gen.tools.store.database import Database, open_database

Floats = NDArray[np.float32]
Term = tuple[str, bool]
"""A feature: its value, or (True) its share of the best candidate's."""


def terms_of(weights: Weights) -> list[Term]:
    """List what a table of weights weighs."""
    return [(name, bool(part)) for name, pair in weights.items() for part in (0, 1) if pair[part]]


TERMS = terms_of(WEIGHTS)
GROUPS = {
    "names and triggers": ("trigger share", "name share", "own name", "own trigger"),
    "BM25 of the fields": ("description", "examples", "fields"),
    "nearest example": ("likeness", "phrasing"),
    "meaning (MiniLM)": ("meaning",),
    "creator": ("creator",),
    "number of examples": ("shown",),
    "downloads": ("downloads",),
}
"""Related features, left out together by ``--ablate``."""
VARIANTS = (*FIELDS, "short")
CONCEPT = "concept"
"""The variant of a concept of a real prompt, with the adapters that its words name; mostly none of them was used."""
SUBJECTS = ("a fox, {}", "a girl in a garden, {}", "portrait of a knight standing on a hill at sunset, {} style")
SHORT = 45
"""Cards whose trigger is put into each of the subjects."""
FOLDS = 5
RIDGE = 1e-3
"""Of the squared weights, per prompt, features scaled to unit variance."""


@dataclass(frozen=True)
class Question:
    """One prompt in one variant: its candidates' models and features (candidates, features)."""

    prompt: Prompt
    variant: str
    group: dict[str, str]
    keys: tuple[str, ...]
    features: Floats

    @property
    def right(self) -> NDArray[np.bool_]:
        """Which candidates were really used."""
        return np.array([key in self.prompt.used for key in self.keys], bool)


@dataclass(frozen=True)
class Table:
    """All candidates of many questions, one after the other; question ``i`` begins at ``starts[i]``."""

    x: Floats
    right: NDArray[np.bool_]
    starts: NDArray[np.int64]

    @property
    def sizes(self) -> NDArray[np.int64]:
        """Count each question's candidates."""
        return np.diff(self.starts, append=len(self.x))

    def of(self, rows: Sequence[int]) -> Table:
        """Take some questions."""
        at = [np.arange(self.starts[i], self.starts[i] + self.sizes[i]) for i in rows]
        where = np.concatenate(at)
        return Table(self.x[where], self.right[where], np.cumsum([0, *map(len, at)])[:-1])


def collect(db: Database, embedder: Embedder, prompts: Sequence[Prompt], progress: Progress) -> list[Question]:
    """Ask search for the candidates of every prompt, with and without its triggers, of concepts, and of short ones."""
    kinds, where = read_kinds(db), filters(None, POLICY, None)
    asked = [(prompt, variant, getattr(prompt, field)) for prompt in prompts for variant, field in FIELDS.items()]
    asked += [(prompt, "short", prompt.text) for prompt in short_prompts(db)]
    questions = []
    with db.pool.connection() as conn:
        for i, (prompt, variant, text) in enumerate(asked):
            found = gather.gather(conn, embedder, text or " ", segment_prompt(text) if text.strip() else [], where)
            group, keys = group_of(text, prompt.used, kinds), tuple(row.model_key for row in found.rows)
            questions.append(Question(prompt, variant, group, keys, found.features[0]))
            for features in found.features[1:] if variant == "with_triggers" else ():
                named = np.flatnonzero((features[:, NAMING] > 0).any(axis=1))
                questions.append(Question(prompt, CONCEPT, group, tuple(keys[j] for j in named), features[named]))
            progress(i + 1, len(asked), "searching")
    return questions


def short_prompts(db: Database) -> list[Prompt]:
    """Make prompts of a subject and one card's first trigger."""
    with db.pool.connection() as conn:
        rows = conn.execute(
            "SELECT DISTINCT ON (model_key) model_key, trigger_groups->0->>0 FROM cards "
            "WHERE NOT poi AND NOT minor AND length(trigger_groups->0->>0) >= 4 ORDER BY model_key, created_at DESC"
        ).fetchall()
    chosen = random.Random(1).sample(rows, min(SHORT, len(rows)))
    return [Prompt(subject.format(word), "", {key: 1.0}) for subject in SUBJECTS for key, word in chosen]


def tabulate(questions: Sequence[Question], terms: Sequence[Term]) -> Table:
    """Lay the terms of all candidates in columns."""
    blocks = []
    for question in questions:
        parts = (question.features, shares(question.features))
        blocks.append(np.stack([parts[share][:, NAMES.index(name)] for name, share in terms], axis=1))
    starts = np.cumsum([0, *map(len, blocks)])[:-1]
    return Table(np.concatenate(blocks), np.concatenate([q.right for q in questions]), starts)


def learn(table: Table, start: NDArray[np.float64] | None = None) -> NDArray[np.float64]:
    """Maximise the mean log likelihood: the weights, and last the score of "none"."""
    table = table.of(np.flatnonzero(table.sizes).tolist())
    scale = table.x.std(axis=0) + 1e-9
    centre = table.x.mean(axis=0)
    z = (table.x - centre) / scale
    owner = np.repeat(np.arange(len(table.starts)), table.sizes)
    answered = np.logical_or.reduceat(table.right, table.starts)

    def loss(p: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        score, none = z @ p[:-1].astype(np.float32), p[-1]
        top = np.maximum(np.maximum.reduceat(score, table.starts), none)
        odds, odds_none = np.exp(score - top[owner]), np.exp(none - top)
        total = np.add.reduceat(odds, table.starts) + odds_none
        hit = np.add.reduceat(odds * table.right, table.starts)
        wanted = np.where(answered, hit, odds_none)
        aim = np.where(answered[owner], odds * table.right / np.maximum(hit, 1e-30)[owner], 0)
        slope = (odds / total[owner] - aim).astype(np.float32) @ z / len(total)
        slope_none = (odds_none / total - ~answered).mean()
        value = -np.log(np.maximum(wanted, 1e-30) / total).mean() + RIDGE / 2 * (p[:-1] ** 2).sum()
        return float(value), np.r_[slope + RIDGE * p[:-1], slope_none]

    first = np.zeros(z.shape[1] + 1) if start is None else np.r_[start[:-1] * scale, start[-1] - start[:-1] @ centre]
    best = minimize(loss, first, jac=True, method="L-BFGS-B", options={"maxiter": 300}).x
    weights = best[:-1] / scale
    return np.r_[weights, best[-1] + weights @ centre]


def answer(question: Question, x: Floats, weights: NDArray[np.float64]) -> Ranking:
    """Rank one question's candidates by learned weights."""
    scores = x @ weights[:-1]
    odds = np.exp(scores - max(scores.max(initial=weights[-1]), weights[-1]))
    chances = odds / (odds.sum() + np.exp(weights[-1] - max(scores.max(initial=weights[-1]), weights[-1])))
    order = np.argsort(-scores, kind="stable")[: DEPTHS[-1]]
    return rank([(question.keys[i], float(chances[i])) for i in order], question.prompt.used, question.group)


def folds(questions: Sequence[Question]) -> list[tuple[list[int], list[int]]]:
    """Split by adapter: (to learn from, to measure) for each fold, no adapter on both sides."""
    firsts = [min(question.prompt.used, default="") for question in questions]
    names = sorted(set(firsts))
    fold = dict(zip(names, np.random.default_rng(0).permutation(len(names)) % FOLDS, strict=True))
    splits = []
    for k in range(FOLDS):
        held_out = [i for i, first in enumerate(firsts) if fold[first] == k]
        held = {key for i in held_out for key in questions[i].prompt.used}
        splits.append(([i for i, q in enumerate(questions) if held.isdisjoint(q.prompt.used)], held_out))
    return splits


def cross_validate(
    questions: Sequence[Question], terms: Sequence[Term], start: NDArray[np.float64] | None = None
) -> list[Ranking]:
    """Answer every question by weights learned on the other adapters' prompts."""
    table = tabulate(questions, terms)
    answers: dict[int, Ranking] = {}
    for known, held_out in folds(questions):
        weights = learn(table.of(known), start)
        for i in held_out:
            x = table.x[table.starts[i] : table.starts[i] + table.sizes[i]]
            answers[i] = answer(questions[i], x, weights)
    return [answers[i] for i in range(len(questions))]


def summary(questions: Sequence[Question], answers: Sequence[Ranking]) -> str:
    """Sum up in one line: R@k, MRR and calibration error of each variant, then the error of the real prompts."""
    parts = []
    for variant in VARIANTS:
        group = [a for q, a in zip(questions, answers, strict=True) if q.variant == variant]
        row: dict[str, Any] = figures(group)
        error = calibration_error(group)
        parts.append(" ".join(f"{value:.3f}" for value in [*row["r_at"].values(), row["mrr"], error]))
    real = [a for q, a in zip(questions, answers, strict=True) if q.variant in FIELDS]
    return " | ".join([*parts, f"{calibration_error(real):.3f}"])


def show(questions: Sequence[Question], answers: Sequence[Ranking]) -> None:
    """Print figures of the cross-validated answers, one JSON object per line."""
    for variant in VARIANTS:
        both = [(q, a) for q, a in zip(questions, answers, strict=True) if q.variant == variant]
        group = [a for _, a in both]
        report = {
            "variant": variant,
            **figures(group),
            "intervals": intervals(group),
            "ece": round(calibration_error(group), 4),
            "ceiling": round(float(np.mean([q.right.any() for q, _ in both])), 4),
            "candidates": round(float(np.mean([len(q.keys) for q, _ in both]))),
        }
        print(json.dumps(report))
        for name, row in by_group(group).items():
            print(json.dumps({"group": name, **row}))
    real = [a for q, a in zip(questions, answers, strict=True) if q.variant in FIELDS]
    for row in reliability([a.chance for a in real], [a.right for a in real]):
        print(json.dumps({name: round(value, 3) for name, value in row.items()}))


def paste(table: Weights, weights: NDArray[np.float64]) -> None:
    """Print weights in the form of tools/search/fusion.py."""
    pairs = {name: [0.0, 0.0] for name in table}
    for (name, share), weight in zip(terms_of(table), weights[:-1], strict=True):
        pairs[name][share] = round(float(weight), 3)
    for name, (value, share) in pairs.items():
        print(f'    "{name}": ({value or 0}, {share or 0}),')
    print(f"NONE = {round(float(weights[-1]), 3)}")


def fit_concepts(questions: Sequence[Question]) -> None:
    """Learn the weights of concepts; print where the adapter used comes, of those that are found, and reliability."""
    answers = cross_validate(questions, terms_of(CONCEPT_WEIGHTS))
    row: dict[str, Any] = figures([a for q, a in zip(questions, answers, strict=True) if q.right.any()])
    print(f"concepts: n={len(questions)}, {row['r_at']} where it is found, ECE {calibration_error(answers):.3f}")
    for bucket in reliability([a.chance for a in answers], [a.right for a in answers]):
        print(json.dumps({name: round(value, 3) for name, value in bucket.items()}))
    paste(CONCEPT_WEIGHTS, learn(tabulate(questions, terms_of(CONCEPT_WEIGHTS))))


def main() -> None:
    """Fit, cross-validate, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--adapters", type=Path, required=True)
    parser.add_argument("--gold", type=Path, required=True)
    parser.add_argument("--home", type=Path, required=True, help="where the catalogue is kept")
    parser.add_argument("--ablate", action="store_true", help="leave out groups of features in turn")
    parser.add_argument("--set", nargs="*", default=[], metavar="NAME=N", help="change a budget of search")
    args = parser.parse_args()
    for name, _, number in (part.partition("=") for part in args.set):
        setattr(gather, name, int(number))
    prompts, embedder = read_gold(args.gold), minilm()
    with open_database(None, args.home) as db, progress_bar() as progress:
        if not count_cards(db):
            import_adapters(db, args.adapters, embedder=embedder, progress=progress)
        collected = collect(db, embedder, prompts, progress)
    fit_concepts([question for question in collected if question.variant == CONCEPT and question.keys])
    questions = [question for question in collected if question.variant != CONCEPT]
    weights = learn(tabulate(questions, TERMS))
    answers = cross_validate(questions, TERMS)
    print("cross-validated:", summary(questions, answers), flush=True)
    show(questions, answers)
    paste(WEIGHTS, weights)
    for group, names in GROUPS.items() if args.ablate else ():
        kept = [name not in names for name, _ in TERMS]
        terms = [term for term, keep in zip(TERMS, kept, strict=True) if keep]
        line = summary(questions, cross_validate(questions, terms, weights[[*kept, True]]))
        print(f"without {group}: {line}", flush=True)


if __name__ == "__main__":
    main()
