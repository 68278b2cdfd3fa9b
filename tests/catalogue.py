"""A synthetic catalogue in the adapter site's own JSON: small, invented, with every kind and a few troublemakers."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any


def model(
    number: int,
    name: str,
    *,
    tags: list[str],
    triggers: list[str],
    base: str = "SD 1.5",
    description: str = "",
    example: str = "",
    weight: float = 0.8,
    file: str = "",
    **flags: Any,
) -> dict[str, Any]:
    """Write one model object with one version, as the site's API does."""
    stem = file or name.lower().replace(" ", "_")
    digest = hashlib.sha256(stem.encode()).hexdigest().upper()
    prompt = f"{example or triggers[0]}, <lora:{stem}:{weight}>"
    return {
        "id": number,
        "name": name,
        "description": f"<p>{description or name}</p>",
        "type": "LORA",
        "poi": False,
        "nsfw": False,
        "allowNoCredit": True,
        "allowCommercialUse": "Sell",
        "allowDerivatives": True,
        "allowDifferentLicense": True,
        "tags": tags,
        "creator": {"username": "somebody"},
        "stats": {"downloadCount": 1000 + number, "favoriteCount": 10, "rating": 4.5},
        "modelVersions": [
            {
                "id": number * 10,
                "name": "v1",
                "baseModel": base,
                "createdAt": "2026-01-01T00:00:00.000Z",
                "trainedWords": triggers,
                "files": [
                    {
                        "name": f"{stem}.safetensors",
                        "sizeKB": 1000.0,
                        "primary": True,
                        "hashes": {"SHA256": digest, "AutoV2": digest[:10]},
                        "metadata": {"format": "SafeTensor"},
                    }
                ],
                "images": [{"nsfw": "None", "meta": {"prompt": prompt}}],
            }
        ],
        **flags,
    }


MODELS = [
    model(1, "Wano Saga Style", tags=["style", "anime"], triggers=["wanostyle"], description="Ink lines."),
    model(2, "Zelphira of Astermoor", tags=["character"], triggers=["zelphira", "silver hair, blue cloak"]),
    model(3, "Watercolor Dreams", tags=["style", "painting"], triggers=["watercolor dreams"], weight=0.6),
    model(4, "Kimono Deluxe", tags=["clothing"], triggers=["kimonodx"], description="A silk kimono."),
    model(5, "Detail Slider", tags=["concept", "slider"], triggers=["detailslider"]),
    model(6, "Misty Forest", tags=["background"], triggers=["mistyforest"], allowCommercialUse="None"),
    model(7, "Chrome Robots XL", tags=["objects"], triggers=["chromerobot"], base="SDXL 1.0"),
    model(8, "A Real Person", tags=["celebrity"], triggers=["arealperson"], poi=True),
]


def write_catalogue(folder: Path, models: list[dict[str, Any]] | None = None) -> Path:
    """Write models as JSON Lines; return the file."""
    path = folder / "models.jsonl"
    path.write_text("\n".join(json.dumps(m) for m in models or MODELS), encoding="utf-8")
    return path
