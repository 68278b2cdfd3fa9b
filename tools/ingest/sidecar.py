"""Make cards from an adapter file's header and from the sidecars that other programs write beside it.

``<stem>.civitai.info`` is a Civitai version object. ``<stem>.metadata.json`` is Lora-Manager's. ``<stem>.json`` holds
what a user typed into A1111 or, from SD.Next, a Civitai model object. Pure: it gets parsed JSON and a card of the file
(id, hashes, name, path), and reads no files. Missing or invalid fields are skipped.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

from pydantic import ValidationError

from stylus_gen.tools.card import Card, Licence
from stylus_gen.tools.families import family_of
from stylus_gen.tools.ingest.civitai import (
    ADAPTER_TYPES,
    MAX_DESCRIPTION,
    MAX_NAME,
    MAX_TAGS,
    first_error,
    skipped_fields,
    trigger_groups,
    version_card,
    version_cards,
)
from stylus_gen.tools.ingest.kind import kind_of
from stylus_gen.tools.ingest.site import SiteFile, SiteModel, SiteModelWithVersions, SiteVersion, read_record
from stylus_gen.tools.ingest.summary import Problem
from stylus_gen.tools.ingest.text import clean_line, plain_text, says_nothing
from stylus_gen.tools.ingest.trained import trained_tags, trained_words
from stylus_gen.tools.ingest.weight import author_weight, to_weight
from stylus_gen.tools.lora.family import family_of_metadata, family_of_tensors, sniff_family
from stylus_gen.tools.lora.header import Header
from stylus_gen.tools.stem import is_generic_name, stem_of

SourceCards = list[tuple[Card, str] | Problem]
"""Cards of one file, each with its source."""


def header_card(header: Header, file: Card) -> SourceCards:
    """Read a file's own metadata: ``modelspec.*`` and the trainer's ``ss_*``."""
    meta = header.metadata
    name = _title(meta) or file.name
    tags = _tags(meta.get("modelspec.tags", "").split(",")) or _tags(trained_tags(meta))
    hint = meta.get("modelspec.usage_hint", "")
    text = (meta.get("modelspec.description", ""), hint, meta.get("ss_training_comment", ""))
    description = _texts(text)
    weight = author_weight(description)
    shape = family_of_tensors(header)
    hinted, _ = family_of_metadata(header)
    sniffed, _ = sniff_family(header)
    card = file.model_copy(
        update={
            "name": name,
            "description": description,
            "tags": tags,
            "kind": kind_of(name, tags),
            "creator": _first(meta, "modelspec.author")[:100],
            "base_model": _first(meta, "ss_base_model_version", "modelspec.architecture"),
            "family": hinted if hinted and sniffed != "unknown" else "unknown",
            "trigger_groups": trigger_groups(trained_words(meta)),
            "weight": weight.value if weight else None,
            "weight_source": "author" if weight else None,
            "weight_min": weight.low if weight else None,
            "weight_max": weight.high if weight else None,
            "licence": Licence(name=_first(meta, "modelspec.license")[:100] or None),
            "created_at": _first(meta, "modelspec.date")[:40] or None,
        }
    )
    family = shape.guess if sniffed != "unknown" else "unknown"
    seen = _blank(file).model_copy(update={"family": family, "shapes": list(shape.families)})
    return [(card, "header"), (seen, "tensors")]


def json_card(note: Any, file: Card) -> SourceCards:
    """Read ``<stem>.json``, which several programs write in different forms."""
    known = note.keys() if isinstance(note, dict) else set()
    if known & {"modelVersions", "modelId", "trainedWords"}:
        return civitai_card(note, file)
    if known & {"model_name", "usage_tips", "civitai"}:
        return manager_card(note, file)
    return a1111_card(note, file)


def a1111_card(note: Any, file: Card) -> SourceCards:
    """Read what a user typed into A1111 about a file."""
    if not isinstance(note, dict):
        return [Problem("", "expected a JSON object", skipped=False)]
    weight = to_weight(note.get("preferred weight"))
    card = _blank(file).model_copy(
        update={
            "description": _texts((note.get("description"), note.get("notes"))),
            "trigger_groups": trigger_groups([_text(note.get("activation text"))]),
            "weight": weight,
            "weight_source": "user" if weight is not None else None,
            "base_model": clean_line(_text(note.get("sd version")), 40),
            "family": family_of(_text(note.get("sd version"))),
        }
    )
    return [(card, "a1111")]


def civitai_card(note: Any, file: Card) -> SourceCards:
    """Read a Civitai version or model object; refuse it if it lists hashes and none is this file's."""
    if isinstance(note, dict) and "modelVersions" in note:
        return _model_card(note, file)
    try:
        version, invalid = read_record(SiteVersion, note)
    except ValidationError as error:
        return [Problem("", first_error(error), skipped=False)]
    return [*skipped_fields(invalid, ""), *_choose(_cards(version, version.model, file), file)]


def manager_card(note: Any, file: Card) -> SourceCards:
    """Read Lora-Manager's JSON and the Civitai version object in it; one without an id was written by the user."""
    if not isinstance(note, dict):
        return [Problem("", "expected a JSON object", skipped=False)]
    inner = note.get("civitai")
    site = civitai_card(inner, file) if isinstance(inner, dict) and inner else []
    sha256 = _text(note.get("sha256")).strip().lower()
    if sha256 and sha256 != file.sha256 and not _same_tensors(inner, file):
        return [Problem("", "it is about another file: its sha256 differs", skipped=False)]
    tips = _json(note.get("usage_tips"))
    tags = _tags(note.get("tags"))
    name = clean_line(_text(note.get("model_name")), MAX_NAME)
    weight = to_weight(tips.get("strength"))
    level = note.get("preview_nsfw_level")
    card = _blank(file).model_copy(
        update={
            "name": name,
            "description": _texts((note.get("modelDescription"), note.get("notes"))),
            "tags": tags,
            "kind": kind_of(name or file.name, tags),
            "base_model": clean_line(_text(note.get("base_model")), 100),
            "family": family_of(_text(note.get("base_model"))),
            "weight": weight,
            "weight_source": "user" if weight is not None else None,
            "weight_min": to_weight(tips.get("strength_min")),
            "weight_max": to_weight(tips.get("strength_max")),
            "nsfw_level": level if type(level) is int and 0 < level < 64 else 1,
        }
    )
    by_hand = isinstance(inner, dict) and inner.get("id") is None
    site = [(item[0], "lora-manager") if by_hand and not isinstance(item, Problem) else item for item in site]
    return [(card, "lora-manager"), *site]


SIDECARS: dict[str, Callable[[Any, Card], SourceCards]] = {
    ".json": json_card,
    ".metadata.json": manager_card,
    ".civitai.info": civitai_card,
}
"""The suffixes of files beside ``<stem>.safetensors``, and their readers.

A reader names the source of its cards. A new source needs its rank in `AUTHORITY` (tools/store/provenance.py).
"""


def _blank(file: Card) -> Card:
    """Make an empty card, so that a sidecar claims only what it contains."""
    return Card(id=file.id, model_key="", name="")


def _model_card(note: dict[str, Any], file: Card) -> SourceCards:
    """Read the version of a model object that this file belongs to."""
    try:
        model, invalid = read_record(SiteModelWithVersions, note)
    except ValidationError as error:
        return [Problem("", first_error(error), skipped=False)]
    problems = list(skipped_fields(invalid, ""))
    cards: list[Card | Problem] = []
    for row in model.modelVersions:
        try:
            version, invalid = read_record(SiteVersion, row)
        except ValidationError as error:
            problems.append(Problem("", first_error(error), skipped=False))
            continue
        problems += skipped_fields(invalid, "")
        cards += _cards(version, model, file)
    named = [card for card in cards if isinstance(card, Card) and stem_of(card.file_name) == stem_of(file.file_name)]
    unsure = len(model.modelVersions) > 1 and not any(_same_hash(card, file) for card in cards)
    return [*problems, *_choose(named if unsure and named else cards, file, sure=not unsure or bool(named))]


def _cards(version: SiteVersion, model: SiteModel, file: Card) -> list[Card | Problem]:
    """Make a card for each file that a version lists or, if it lists none, one for the file beside the sidecar."""
    if version.files or model.type.lower() not in ADAPTER_TYPES:
        cards = list(version_cards(version, model, ""))
        return [Problem("", c.why, skipped=False) if isinstance(c, Problem) else c for c in cards]
    return [version_card(version, model, SiteFile())]


def _choose(cards: Sequence[Card | Problem], file: Card, *, sure: bool = True) -> SourceCards:
    """Choose this file's card: one with its hash or, if the match is ``sure``, one that has no hash at all."""
    candidates = [card for card in cards if isinstance(card, Card)]
    own = [card for card in candidates if _same_hash(card, file)]
    own = own or [card for card in candidates if sure and card.sha256 is None and not card.aliases]
    if candidates and not own:
        return [Problem("", "it is about another file: none of its hashes matches", skipped=False)]
    problems = [card for card in cards if isinstance(card, Problem)]
    return [*problems, *((_about(card, file), "civitai") for card in own[:1])]


def _same_hash(card: Card | Problem, file: Card) -> bool:
    """Say whether a card has one of the file's hashes. AutoV3 covers the tensors only and survives an edited header."""
    if isinstance(card, Problem):
        return False
    known = {kind: value[:12] if kind == "autov3" else value for kind, value in card.aliases.items()}
    return card.sha256 == file.sha256 or any(file.aliases.get(kind) == value for kind, value in known.items())


def _same_tensors(version: Any, file: Card) -> bool:
    """Say whether a version object lists a file with this file's AutoV3."""
    files = version.get("files") if isinstance(version, dict) else None
    hashes = [f["hashes"] for f in files if isinstance(f, dict) and "hashes" in f] if isinstance(files, list) else []
    values = [_text(h.get("AutoV3")).lower()[:12] for h in hashes if isinstance(h, dict)]
    return bool(file.aliases.get("autov3")) and file.aliases["autov3"] in values


def _about(card: Card, file: Card) -> Card:
    """Give a site's card the local file's id and hashes. Clear its file name and size: the file itself states them."""
    own = {kind: value for kind, value in card.aliases.items() if card.sha256 == file.sha256}
    return card.model_copy(
        update={"id": file.id, "sha256": None, "file_name": "", "file_size": None, "aliases": own | file.aliases}
    )


def _tags(tags: Any) -> list[str]:
    words = [clean_line(tag, 80).lower() for tag in tags if isinstance(tag, str)] if isinstance(tags, list) else []
    return list(dict.fromkeys(word for word in words if not says_nothing(word)))[:MAX_TAGS]


def _title(meta: dict[str, str]) -> str:
    """Return the first title that is not generic, such as "last" and "lora"; else an empty one."""
    return next(
        (t for t in (_first(meta, key) for key in ("modelspec.title", "ss_output_name")) if not is_generic_name(t)), ""
    )


def _first(meta: dict[str, str], *keys: str) -> str:
    """Return the first metadata value that is not empty; trainers write "None" for nothing."""
    values = (clean_line(meta.get(key, ""), MAX_NAME) for key in keys)
    return next((value for value in values if not says_nothing(value)), "")


def _texts(texts: Sequence[Any]) -> str:
    """Join texts, made plain, into a description."""
    parts = (plain_text(text, MAX_DESCRIPTION) for text in texts if isinstance(text, str))
    return "\n".join(filter(None, parts))[:MAX_DESCRIPTION]


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _json(value: Any) -> dict[str, Any]:
    """Read an object that may be JSON in a string; anything else gives an empty one."""
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            return {}
    return value if isinstance(value, dict) else {}
