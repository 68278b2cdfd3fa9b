"""Site objects and adapter files as people have them, small; and an embedder that counts letters."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save_file

from stylus_gen.tools.card import Card
from stylus_gen.tools.ingest import ImportSummary, import_adapters
from stylus_gen.tools.search.embed import Embedder
from stylus_gen.tools.store.adapters import get_card
from stylus_gen.tools.store.database import Database

SHA = "ab" * 32
SD15_KEY = "lora_unet_down_blocks_1_attentions_0_transformer_blocks_0_attn2_to_k.lora_down.weight"


def count_letters(texts: Any) -> Any:
    rows = np.array([[1 + text.count(letter) for letter in "abcdefgh"] for text in texts], np.float32).reshape(-1, 8)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


LETTERS = Embedder("letters", 8, count_letters)


def run(db: Database, path: Path) -> ImportSummary:
    return import_adapters(db, path, embedder=LETTERS, progress=lambda done, total, message: None)


def file(name: str = "fox.safetensors", sha: str = SHA, **more: Any) -> dict[str, Any]:
    form = {"metadata": {"format": "SafeTensor"}, "type": "Model", "sizeKB": 2048.5, "primary": True}
    return {"id": 7, "name": name, "hashes": {"SHA256": sha.upper(), "AutoV2": sha[:10].upper()}, **form, **more}


def version(**more: Any) -> dict[str, Any]:
    return {"id": 10, "name": "v1", "baseModel": "SD 1.5", "trainedWords": ["fox"], "files": [file()], **more}


def model(**more: Any) -> dict[str, Any]:
    return {"id": 1, "name": "Red Fox", "type": "LORA", "modelVersions": [version()], **more}


def write(path: Path, *rows: Any) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    return path


def take(db: Database, tmp_path: Path, row: Any) -> Card:
    """Import one model and read its only card."""
    summary = run(db, write(tmp_path / "one.json", row))
    assert (summary.taken, summary.skipped) == (1, 0), summary.problems
    return get_card(db, SHA)


def adapter(path: Path, metadata: dict[str, str] | None = None, key: str = SD15_KEY, fill: float = 0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file({key: np.full((2, 768), fill, np.float16)}, path, metadata)
    return path


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def take_all(db: Database, tmp_path: Path, models: list[dict[str, Any]]) -> list[Card]:
    """Import models that differ in what is given, and read their cards."""
    rows = [
        model(**{**more, "id": n, "modelVersions": [version(id=n, files=[file(sha=f"{n:064x}")])]})
        for n, more in enumerate(models, 1)
    ]
    assert run(db, write(tmp_path / "all.jsonl", *rows)).taken == len(rows)
    return [get_card(db, f"{n:064x}") for n, _ in enumerate(models, 1)]
