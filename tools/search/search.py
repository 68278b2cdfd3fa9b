"""Search: for a prompt and each of its concepts, the adapters that are probably right, with the evidence for each.

Filters come first, in SQL (recall.py). Each document found gets features (features.py) and a score for the prompt
(fusion.py). For each concept, its names give it a probability (decision.py). explain.py writes the evidence.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from psycopg import sql

from stylus_gen.tools.errors import BadRequest
from stylus_gen.tools.plan import WHOLE, Candidate, Concept, Policy
from stylus_gen.tools.search.blas import one_blas_thread
from stylus_gen.tools.search.candidates import choose_versions, make_candidates
from stylus_gen.tools.search.embed import Embedder
from stylus_gen.tools.search.explain import explain
from stylus_gen.tools.search.fusion import score
from stylus_gen.tools.search.gather import MAX_CONCEPTS, gather
from stylus_gen.tools.search.rank import (
    Looked,
    Ranking,
    rank_concept,
    rank_prompt,
    read_places,
    read_titles,
    shortlist,
)
from stylus_gen.tools.search.recall import filters
from stylus_gen.tools.store.database import Database


def search_adapters(
    db: Database,
    embedder: Embedder,
    prompt: str,
    concepts: Sequence[Concept],
    *,
    family: str | None,
    policy: Policy,
    limit: int = 10,
    kinds: Sequence[str] | None = None,
) -> dict[str, list[Candidate]]:
    """Rank adapters for each concept, by its id, and for the whole prompt, under ``"prompt"``; best first.

    A score is the estimated probability that the adapter is right. Adapters that share no word with a concept are left
    out of its list. ``family`` None searches all families.
    Raises BadRequest if the prompt is empty, or the catalogue was embedded by another embedder.
    """
    looked = look(db, embedder, prompt, concepts, filters(family, policy, kinds))
    rankings = {WHOLE: rank_prompt(looked.scores, limit)}
    for query, concept in enumerate(concepts[:MAX_CONCEPTS], 1):
        rankings[concept.id] = rank_concept(looked, query, limit)
    return describe(db, looked, rankings, prompt, family, installed_only=policy.installed_only)


def look(db: Database, embedder: Embedder, prompt: str, concepts: Sequence[Concept], where: sql.Composable) -> Looked:
    """Find and measure the documents for a prompt and its concepts, and read the names of those that match a concept.

    Raises BadRequest if the prompt is empty, or the catalogue was embedded by another embedder.
    """
    if not prompt.strip():
        raise BadRequest("the prompt is empty: describe what the picture should show")
    asked = concepts[:MAX_CONCEPTS]
    with one_blas_thread(), db.pool.connection() as conn:
        found = gather(conn, embedder, prompt, asked, where)
        scores = score(found.features)
        lists = [shortlist(found, scores, query) for query in range(1, len(found.queries))]
        titles = read_titles(conn, [found.rows[i].id for i in set().union(*lists)])
        return Looked(found, scores, lists, titles, read_places(conn, found, prompt, asked, titles))


def describe(
    db: Database,
    looked: Looked,
    rankings: Mapping[str, Ranking],
    prompt: str,
    family: str | None,
    *,
    installed_only: bool,
) -> dict[str, list[Candidate]]:
    """Make the candidates of rankings, by concept, each with its probability and the evidence for it."""
    found = looked.found
    ids = list({found.rows[i].id for ranking in rankings.values() for i, _ in ranking})
    with db.pool.connection() as conn:
        versions = choose_versions(conn, ids, prompt, installed_only=installed_only)
    made = make_candidates(db, versions)
    described = {}
    for query, name in enumerate(found.queries):
        shown = [(i, chance) for i, chance in rankings[name] if found.rows[i].id in made]
        reasons = explain(found, query, [i for i, _ in shown], family)
        described[name] = [
            made[found.rows[i].id].model_copy(update={"score": chance, "evidence": evidence})
            for (i, chance), evidence in zip(shown, reasons, strict=True)
        ]
    return described
