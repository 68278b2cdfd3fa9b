"""Write the cards beside the adapter files, in the formats of Civitai and Lora-Manager."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from stylus_gen.tools.a1111 import format_tag
from stylus_gen.world.catalogue import WEIGHT, Entry

_DAY = "2026-11-21T12:00:00.000Z"


def write_card(entry: Entry, path: Path) -> None:
    """Write the sidecar of an adapter file; an entry with ``sidecar`` "header" gets none."""
    version = _civitai_version(entry, path)
    if entry.sidecar == "civitai":
        _write(path.with_suffix(".civitai.info"), version)
    elif entry.sidecar == "manager":
        _write(path.with_suffix(".metadata.json"), _manager(entry, path, version))


def _write(path: Path, content: dict[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=1) + "\n", "utf-8")


def _civitai_version(entry: Entry, path: Path) -> dict[str, Any]:
    digest = hashlib.sha256(path.read_bytes()).hexdigest().upper()
    number = int(hashlib.sha256(entry.stem.encode()).hexdigest()[:6], 16)
    return {
        "id": number,
        "modelId": entry.model,
        "name": entry.version,
        "createdAt": _DAY,
        "publishedAt": _DAY,
        "status": "Published",
        "nsfwLevel": 1,
        "baseModel": entry.base_model,
        "baseModelType": "Standard",
        "description": f"<p>Rank {entry.rank}.</p>",
        "trainedWords": list(entry.triggers),
        "stats": {
            "downloadCount": entry.downloads,
            "ratingCount": 0,
            "rating": 0,
            "thumbsUpCount": entry.downloads // 9,
        },
        "model": {
            "name": entry.title,
            "type": "LORA",
            "nsfw": False,
            "poi": False,
            "minor": False,
            "description": f"<p>{entry.text}</p>",
            "tags": list(dict.fromkeys(entry.tags)),
            "creator": {"username": entry.creator},
            "allowNoCredit": False,
            "allowCommercialUse": list(entry.commercial),
            "allowDerivatives": entry.derivatives,
            "allowDifferentLicense": True,
        },
        "creator": {"username": entry.creator},
        "files": [
            {
                "id": number + 1,
                "name": path.name,
                "type": "Model",
                "sizeKB": path.stat().st_size / 1024,
                "primary": True,
                "metadata": {"fp": "fp16", "size": None, "format": "SafeTensor"},
                "hashes": {"SHA256": digest, "AutoV2": digest[:10]},
            }
        ],
        "images": [_image(entry, prompt, seed) for seed, prompt in enumerate(entry.prompts)],
    }


def _image(entry: Entry, prompt: str, seed: int) -> dict[str, Any]:
    meta = {
        "prompt": f"{prompt} {format_tag(entry.stem, WEIGHT)}",
        "seed": seed,
        "steps": 20,
        "cfgScale": 4,
        "sampler": "DDIM",
        "Model": "stylus-world",
        "resources": [{"name": entry.stem, "type": "lora", "weight": WEIGHT}],
    }
    return {"url": "", "nsfwLevel": 1, "width": 32, "height": 32, "type": "image", "meta": meta}


def _manager(entry: Entry, path: Path, version: dict[str, Any]) -> dict[str, Any]:
    return {
        "file_name": path.stem,
        "model_name": entry.title,
        "size": path.stat().st_size,
        "sha256": version["files"][0]["hashes"]["SHA256"].lower(),
        "base_model": entry.base_model,
        "preview_nsfw_level": 1,
        "notes": "",
        "from_civitai": True,
        "tags": version["model"]["tags"],
        "modelDescription": version["model"]["description"],
        "usage_tips": json.dumps({"strength_min": 0.4, "strength_max": 1.0, "strength": WEIGHT}),
        "civitai": version,
    }
