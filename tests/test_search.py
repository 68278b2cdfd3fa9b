"""Search as a caller sees it, in a real Postgres, over an invented catalogue and an embedder that counts letters."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from stylus_gen.tools.embed import Embedder
from stylus_gen.tools.ingest.importer import import_adapters
from stylus_gen.tools.plan import Policy
from stylus_gen.tools.search import search_adapters
from stylus_gen.tools.segment import segment_prompt
from stylus_gen.tools.store.database import Database
from tests.catalogue import write_catalogue


def letters(dim: int = 26) -> Embedder:
    def embed(texts: Sequence[str]) -> NDArray[np.float32]:
        rows = np.array([[1 + text.lower().count(chr(97 + i)) for i in range(dim)] for text in texts], np.float32)
        return rows / np.linalg.norm(rows, axis=1, keepdims=True)

    return Embedder(f"letters-{dim}", dim, embed)


@pytest.fixture
def stocked(db: Database, tmp_path: Path) -> Database:
    import_adapters(db, write_catalogue(tmp_path), embedder=letters(), progress=lambda *_: None)
    return db


def names(db: Database, prompt: str, family: str = "sd15", policy: Policy | None = None) -> list[str]:
    found = search_adapters(db, letters(), prompt, [], family=family, policy=policy or Policy())
    return [candidate.name for candidate in found["prompt"]]


def test_a_trigger_word_finds_its_adapter(stocked: Database) -> None:
    assert names(stocked, "1girl, (wanostyle:1.2), kimono")[0] == "Wano Saga Style"


def test_each_concept_gets_a_ranking_of_its_own(stocked: Database) -> None:
    prompt = "zelphira, mistyforest"
    concepts = segment_prompt(prompt)
    found = search_adapters(stocked, letters(), prompt, concepts, family="sd15", policy=Policy())
    assert set(found) == {"prompt", *(concept.id for concept in concepts)}
    assert found[concepts[0].id][0].name == "Zelphira of Astermoor"
    assert found[concepts[1].id][0].name == "Misty Forest"
