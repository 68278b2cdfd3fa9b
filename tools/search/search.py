"""Search adapters for a prompt and each of its concepts; explain each result.

Filters run first, in SQL (recall.py). Documents get features (features.py), a probability (fusion.py) and evidence.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from stylus_gen.tools.errors import BadRequest
from stylus_gen.tools.plan import Candidate, Concept, Policy
from stylus_gen.tools.search.candidates import choose_versions, make_candidates
from stylus_gen.tools.search.embed import Embedder
from stylus_gen.tools.search.explain import explain
from stylus_gen.tools.search.fusion import estimate
from stylus_gen.tools.search.gather import gather
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

    A score is the estimated probability that the adapter is right. Adapters with probability 0 are left out.
    ``family`` None searches all families.
    Raises BadRequest if the prompt is empty, or the catalogue was embedded by another embedder.
    """
    if not prompt.strip():
        raise BadRequest("the prompt is empty: describe what the picture should show")
    with db.pool.connection() as conn:
        found = gather(conn, embedder, prompt, concepts, filters(family, policy, kinds))
        chances = estimate(found.features)
        best = np.argsort(-chances, axis=1, kind="stable")[:, :limit]
        wanted = {int(i) for q, row in enumerate(best) for i in row if chances[q, i] > 0}
        documents = [found.rows[i].id for i in wanted]
        versions = choose_versions(conn, documents, prompt, installed_only=policy.installed_only)
    made = make_candidates(db, versions)
    candidates = {i: made[document] for i in wanted if (document := found.rows[i].id) in made}
    ranked = {}
    for q, (name, documents) in enumerate(zip(found.queries, best.tolist(), strict=True)):
        shown = [i for i in documents if i in candidates and chances[q, i] > 0]
        reasons = explain(found, q, shown, family)
        ranked[name] = [
            candidates[i].model_copy(update={"score": float(chances[q, i]), "evidence": evidence})
            for i, evidence in zip(shown, reasons, strict=True)
        ]
    return ranked
