"""Example prompts of an adapter, with the weight that people gave it. Pure."""

from __future__ import annotations

from typing import Any

from stylus_gen.tools.a1111 import without_tags
from stylus_gen.tools.card import Example
from stylus_gen.tools.ingest.site import SiteImage
from stylus_gen.tools.ingest.text import clean_line
from stylus_gen.tools.ingest.weight import to_weight, used_weight

MAX_EXAMPLES = 20
MAX_PROMPT = 1_200
RESTRICTED = 4  # R


def read_examples(images: list[SiteImage], stem: str) -> list[Example]:
    """Collect the prompts of unrestricted pictures, each with the weight it gives this file."""
    examples: dict[str, Example] = {}
    for image in images:
        inner = image.meta.get("meta")  # the current API nests it one level deeper
        meta = inner if isinstance(inner, dict) else image.meta
        prompt = meta.get("prompt")
        if not isinstance(prompt, str) or _is_restricted(image):
            continue
        text = clean_line(without_tags(prompt[: 4 * MAX_PROMPT]), MAX_PROMPT)
        weight = used_weight(prompt, stem) or _resource_weight(meta.get("resources"), stem)
        if text and len(examples) < MAX_EXAMPLES:
            examples.setdefault(text, Example(prompt=text, weight=weight))
    return list(examples.values())


def _is_restricted(image: SiteImage) -> bool:
    if isinstance(image.nsfwLevel, int):
        return image.nsfwLevel >= RESTRICTED
    return image.nsfw is True or image.nsfw in ("Mature", "X") or image.nsfwLevel in ("Mature", "X")


def _resource_weight(resources: Any, stem: str) -> float | None:
    """Read the weight from the generator's list of resources: ``[{"name": …, "type": "lora", "weight": …}]``."""
    for resource in resources if isinstance(resources, list) else ():
        if isinstance(resource, dict) and str(resource.get("name", "")).casefold() == stem.casefold():
            return to_weight(resource.get("weight"))
    return None
