"""Cards from what lies in and beside an adapter file: its header, and the notes that people's managers leave.

``<stem>.civitai.info`` is a Civitai version object, ``<stem>.metadata.json`` Lora-Manager's, ``<stem>.json`` what A1111
keeps of what its user typed. Pure: it is given parsed JSON and a card of the file itself (id, hashes, name, path), and
reads no files. Missing or odd fields are left out: these are notes.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

from pydantic import ValidationError

from stylus_gen.tools.card import Card, Licence
from stylus_gen.tools.families import family_of
from stylus_gen.tools.header import Header
from stylus_gen.tools.ingest.civitai import MAX_DESCRIPTION, MAX_NAME, MAX_TAGS, first_error, trigger_groups
from stylus_gen.tools.ingest.civitai import version_cards as civitai_cards
from stylus_gen.tools.ingest.kind import kind_of
from stylus_gen.tools.ingest.site import SiteVersion
from stylus_gen.tools.ingest.summary import Problem
from stylus_gen.tools.ingest.text import clean_line, plain_text
from stylus_gen.tools.ingest.weight import author_weight, to_weight
from stylus_gen.tools.sniff import family_of_metadata, family_of_tensors

Told = list[tuple[Card, str] | Problem]
"""Cards of one file, each with the source that tells it."""

MAX_HEADER_TAGS = 24  # of the training captions' most frequent tags


def header_card(header: Header, file: Card) -> Told:
    """Read a file's own metadata: ``modelspec.*`` and the trainer's ``ss_*``."""
    meta = header.metadata
    name = _first(meta, "modelspec.title", "ss_output_name")
    tags = _tags(meta.get("modelspec.tags", "").split(",")) or _trained_tags(meta.get("ss_tag_frequency", ""))
    hint = meta.get("modelspec.usage_hint", "")
    text = (meta.get("modelspec.description", ""), hint, meta.get("ss_training_comment", ""))
    description = "\n".join(filter(None, (plain_text(part, MAX_DESCRIPTION) for part in text)))[:MAX_DESCRIPTION]
    weight = author_weight(description)
    family, _ = family_of_tensors(header)
    hinted, _ = family_of_metadata(header)
    card = file.model_copy(
        update={
            "name": name or file.name,
            "description": description,
            "tags": tags,
            "kind": kind_of(name or file.name, tags),
            "creator": clean_line(meta.get("modelspec.author", ""), 100),
            "base_model": _first(meta, "ss_base_model_version", "modelspec.architecture"),
            "family": hinted,
            "trigger_groups": trigger_groups([meta.get("modelspec.trigger_phrase", "")]),
            "weight": weight.value if weight else None,
            "weight_source": "author" if weight else None,
            "weight_min": weight.low if weight else None,
            "weight_max": weight.high if weight else None,
            "licence": Licence(name=clean_line(meta.get("modelspec.license", ""), 100) or None),
            "created_at": clean_line(meta.get("modelspec.date", ""), 40) or None,
        }
    )
    return [(card, "header"), (_blank(file).model_copy(update={"family": family}), "tensors")]


def a1111_card(note: Any, file: Card) -> Told:
    """Read what a user of A1111 typed about a file."""
    if not isinstance(note, dict):
        return [Problem("", "expected a JSON object")]
    weight = to_weight(note.get("preferred weight"))
    texts = (note.get("description"), note.get("notes"))
    card = _blank(file).model_copy(
        update={
            "description": "\n".join(plain_text(t, MAX_DESCRIPTION) for t in texts if isinstance(t, str) and t),
            "trigger_groups": trigger_groups([_text(note.get("activation text"))]),
            "weight": weight,
            "weight_source": "user" if weight is not None else None,
            "base_model": clean_line(_text(note.get("sd version")), 40),
            "family": family_of(_text(note.get("sd version"))),
        }
    )
    return [(card, "a1111")]


def civitai_card(note: Any, file: Card) -> Told:
    """Read a Civitai version object about this file; refuse it if it lists hashes and none is the file's."""
    try:
        version = SiteVersion.model_validate(note)
    except ValidationError as error:
        return [Problem("", first_error(error))]
    cards = list(civitai_cards(version, version.model, ""))
    told = [card for card in cards if isinstance(card, Card)]
    own = [card for card in told if _same_file(card, file)]
    if told and not own:
        return [Problem("", "it is about another file: none of its hashes is this one's", skipped=False)]
    problems = [card for card in cards if isinstance(card, Problem)]
    return [*problems, *((_about(card, file), "civitai") for card in own[:1])]


def manager_card(note: Any, file: Card) -> Told:
    """Read Lora-Manager's notes, and the Civitai version object inside them."""
    if not isinstance(note, dict):
        return [Problem("", "expected a JSON object")]
    told = _text(note.get("sha256")).lower()
    if told and told != file.sha256:
        return [Problem("", "it is about another file: its sha256 is not this one's", skipped=False)]
    tips = _json(note.get("usage_tips"))
    tags = _tags(note.get("tags"))
    name = clean_line(_text(note.get("model_name")), MAX_NAME)
    weight = to_weight(tips.get("strength"))
    texts = (note.get("modelDescription"), note.get("notes"))
    level = note.get("preview_nsfw_level")
    card = _blank(file).model_copy(
        update={
            "name": name,
            "description": "\n".join(plain_text(t, MAX_DESCRIPTION) for t in texts if isinstance(t, str) and t),
            "tags": tags,
            "kind": kind_of(name or file.name, tags),
            "base_model": clean_line(_text(note.get("base_model")), 100),
            "family": family_of(_text(note.get("base_model"))),
            "weight": weight,
            "weight_source": "user" if weight is not None else None,
            "weight_min": to_weight(tips.get("strength_min")),
            "weight_max": to_weight(tips.get("strength_max")),
            "nsfw_level": level if isinstance(level, int) and 0 < level < 64 else 1,
        }
    )
    inner = note.get("civitai")
    known = isinstance(inner, dict) and inner.get("id")
    return [(card, "lora-manager"), *(civitai_card(inner, file) if known else [])]


SIDECARS: dict[str, Callable[[Any, Card], Told]] = {
    ".json": a1111_card,
    ".metadata.json": manager_card,
    ".civitai.info": civitai_card,
}
"""What may lie beside ``<stem>.safetensors``."""


def _blank(file: Card) -> Card:
    """Make a card that says nothing yet, so that a note speaks only of what it knows."""
    return Card(id=file.id, model_key="", name="")


def _same_file(card: Card, file: Card) -> bool:
    if card.sha256 == file.sha256 or (card.sha256 is None and not card.aliases):
        return True
    return any(file.aliases.get(kind) == value for kind, value in card.aliases.items())


def _about(card: Card, file: Card) -> Card:
    """Leave of a site's card what it knows better than the file that is here."""
    return card.model_copy(update={"id": file.id, "sha256": None, "file_name": "", "file_size": None})


def _trained_tags(frequencies: str) -> list[str]:
    """Take the tags that most training pictures had: ``{"10_folder": {"tag": count}}``."""
    counts: dict[str, int] = {}
    for folder in _json(frequencies).values():
        for tag, count in folder.items() if isinstance(folder, dict) else ():
            if isinstance(count, int):
                counts[tag.strip()] = counts.get(tag.strip(), 0) + count
    return _tags(sorted(counts, key=lambda tag: -counts[tag])[:MAX_HEADER_TAGS])


def _tags(tags: Any) -> list[str]:
    words = [clean_line(tag, 80).lower() for tag in tags if isinstance(tag, str)] if isinstance(tags, list) else []
    return list(dict.fromkeys(word for word in words if word))[:MAX_TAGS]


def _first(meta: dict[str, str], *keys: str) -> str:
    """The first of some metadata that says anything; trainers write "None" for nothing."""
    values = (clean_line(meta.get(key, ""), MAX_NAME) for key in keys)
    return next((value for value in values if re.search(r"\w", value) and value != "None"), "")


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _json(value: Any) -> dict[str, Any]:
    """Read an object that may be JSON inside JSON; anything else is empty."""
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            return {}
    return value if isinstance(value, dict) else {}
