"""Derive the kind of an adapter from its tags and its name. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence

from stylus_gen.tools.card import Kind

# The adapter site gives a model one of its own category tags; people write the other tags. The first line with one of a
# model's tags decides: categories come before free tags, subjects before styles.
_TAGS: tuple[tuple[Kind, frozenset[str]], ...] = (
    ("character", frozenset({"character", "celebrity"})),
    ("clothing", frozenset({"clothing"})),
    ("pose", frozenset({"poses", "action"})),
    ("object", frozenset({"vehicle", "animal", "objects", "assets"})),
    ("background", frozenset({"background", "buildings"})),
    ("style", frozenset({"style"})),
    ("concept", frozenset({"concept", "tool"})),
    ("style", frozenset({"styles", "art style", "artstyle", "style lora", "style art", "anime style", "artist"})),
    (
        "character",
        frozenset(
            {"characters", "anime character", "game character", "video game character", "characterpack", "person"}
        ),
    ),
    ("clothing", frozenset({"clothes", "outfit", "outfits", "dress", "costume", "uniform", "armor", "fashion"})),
    ("pose", frozenset({"pose", "posing", "gesture"})),
    ("background", frozenset({"backgrounds", "landscape", "landscapes", "scenery", "architecture", "interior"})),
    ("object", frozenset({"object", "weapon", "food", "vehicles", "animals", "car", "mecha"})),
)

_SLIDER = re.compile(r"sliders?\b", re.IGNORECASE)
_STYLE = re.compile(r"\bstyles?\b", re.IGNORECASE)
# Distilled few-step adapters. "Turbo" and "Lightning" alone are names of bases, or weather.
_ACCELERATOR = re.compile(
    r"(?<![a-z])(lcm|dmd2?|tcd)(?![a-z])|\bhyper[- _]?(sd|flux)"
    r"|\b(sd|sdxl|xl|flux|qwen|wan)[\w.\- ]{0,12}(lightning|turbo)"
    r"|\b(lightning|turbo|hyper)\W+(lo ?ra|\d)|\d[- ]?steps?\b",
    re.IGNORECASE,
)

# Word boundaries in a file name: at "_", before "lora", and at capitals, as in "sdxlLCM" and "LCMLoRA".
_BOUNDARY = re.compile(
    r"_+|(?<=[A-Za-z0-9])(?=(?i:lora)(?![A-Za-z]))|(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z](?!lora)[a-z])"
)


def kind_of(name: str, tags: Sequence[str]) -> Kind:
    """Return the kind; "unknown" if neither name nor tags show it."""
    name = _BOUNDARY.sub(" ", name)
    lowered = {tag.lower() for tag in tags}
    if _SLIDER.search(name) or lowered & {"slider", "sliders"}:
        return "slider"
    kind: Kind = next((of_tags for of_tags, known in _TAGS if lowered & known), "unknown")
    if kind in ("unknown", "concept") and _ACCELERATOR.search(name):
        return "accelerator"
    if kind == "unknown" and _STYLE.search(name):
        return "style"
    return kind
