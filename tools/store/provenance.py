"""What several sources tell of one adapter, made into one record. Pure: it knows nothing of the database.

A record is ``{field: (value, source)}`` and holds only what somebody said: a field at its default is absent, so that
saying nothing never overwrites. Where two sources contradict each other, the one with more authority is believed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from stylus_gen.tools.card import Card, Example, Licence, Stats
from stylus_gen.tools.families import share_shape

Claims = dict[str, tuple[Any, str]]

# Rising authority. "tensors" is a family read off the tensors' names and shapes, "guess" one of several that they fit.
AUTHORITY = ("guess", "tensors", "header", "a1111", "lora-manager", "civitai", "user")
SHAPES = AUTHORITY[:2]
BLOCKED = 32
WEIGHT_AUTHORITY = (None, "default", "kind", "author", "examples", "user")

# Each level's columns and what an untold column holds.
LICENCE: dict[str, Any] = {
    "credit_required": None, "commercial": None, "derivatives": None, "different_licence": None, "licence_name": None,
}  # fmt: skip
STATS: dict[str, Any] = {"downloads": 0, "likes": 0, "rating": 0.0}
MODEL: dict[str, Any] = {
    "name": "", "kind": "unknown", "tags": [], "creator": "", **LICENCE, "poi": False, "minor": False, "nsfw_level": 1,
}  # fmt: skip
VERSION: dict[str, Any] = {
    "model_key": "", "version": "", "description": "", "base_model": "", "family": "unknown", "trigger_groups": [],
    "weight": None, "weight_source": None, "weight_min": None, "weight_max": None, **STATS, "examples": [],
    "created_at": None,
}  # fmt: skip
FILE: dict[str, Any] = {"version_key": "", "sha256": None, "file_name": "", "file_size": None, "path": None}


def authority(source: str) -> int:
    """Rank a source; one that nobody ranked stands below all."""
    return AUTHORITY.index(source) if source in AUTHORITY else -1


def merge(old: Claims, new: Claims, *, fill_only: bool = False) -> Claims:
    """Join two records field by field; with ``fill_only`` the new one gets only what the old leaves open.

    At equal authority the later word is believed, except where safety is told: the stricter word stands.
    """
    merged = dict(old)
    for field, (value, source) in new.items():
        if field not in old:
            merged[field] = (value, source)
        elif field in ("poi", "minor", "nsfw_level"):
            merged[field] = max(old[field], (value, source), key=_strictness)
        elif not fill_only and _believed(field, old[field], (value, source)):
            merged[field] = (value, source)
    return merged


def _believed(field: str, old: tuple[Any, str], new: tuple[Any, str]) -> bool:
    """Say whether the new word of a field replaces the old."""
    if field == "family" and (old[1] in SHAPES) != (new[1] in SHAPES):
        shape, word = (old, new) if old[1] in SHAPES else (new, old)
        if not share_shape(word[0], shape[0], partly=shape[1] == "guess"):
            return new is shape
    if field == "weight":
        ranks = [WEIGHT_AUTHORITY.index(told[0][1]) for told in (old, new)]
        if ranks[0] != ranks[1]:
            return ranks[1] > ranks[0]
    return authority(new[1]) >= authority(old[1])


def _strictness(told: tuple[int, str]) -> tuple[int, int, int, int]:
    """Rank levels of safety: blocked first, then by the mildest picture there is; True is stricter than False."""
    level = int(told[0])
    return level & BLOCKED, level & -level, level, authority(told[1])


def claims_of(card: Card, level: dict[str, Any], source: str) -> Claims:
    """Take one level of a card as a record; a field that has no provenance of its own is told by ``source``."""
    values = {field: value for field, value in _flatten(card).items() if field in level and value != level[field]}
    return from_columns(values, {field: card.provenance.get(_group(field)) or source for field in values})


def from_columns(row: dict[str, Any], provenance: dict[str, str]) -> Claims:
    """Make a record of a row's columns; a weight and where it comes from are one field."""
    told = {field: (row[field], source) for field, source in provenance.items() if field in row}
    if "weight" in told:
        told["weight"] = ((row["weight"], row.get("weight_source")), provenance["weight"])
    told.pop("weight_source", None)
    return told


def to_columns(told: Claims, level: dict[str, Any]) -> tuple[dict[str, Any], dict[str, str]]:
    """Make columns, defaults filled in, and their provenance of a record."""
    row = {field: told[field][0] if field in told else default for field, default in level.items()}
    if "weight" in told:
        row["weight"], row["weight_source"] = told["weight"][0]
    return row, {field: source for field, (_, source) in told.items()}


def to_card(row: dict[str, Any]) -> Card:
    """Make a card of a row of the view ``cards``."""
    row = dict(row)
    licence = {field: row.pop(field) for field in LICENCE}
    provenance = row.pop("provenance")
    return Card(
        **{field: row.pop(field) for field in list(row) if field in Card.model_fields and field != "examples"},
        examples=[Example(**example) for example in row["examples"]],
        licence=Licence(name=licence.pop("licence_name"), **licence),
        stats=Stats(**{field: row[field] for field in STATS}),
        provenance={_group(field): source for field, source in provenance.items()},
    )


def join_cards(told: Sequence[tuple[Card, str]]) -> Card:
    """Join cards of one file, each with its source, into one with provenance; the first card's id stands."""
    row: dict[str, Any] = {"provenance": {}}
    for level in (MODEL, VERSION, FILE):
        merged: Claims = {}
        for card, source in told:
            merged = merge(merged, claims_of(card, level, source))
        columns, provenance = to_columns(merged, level)
        row |= columns
        row["provenance"] |= provenance
    aliases = {kind: value for card, _ in told for kind, value in card.aliases.items()}
    return to_card({**row, "id": told[0][0].id, "aliases": aliases})


def _group(field: str) -> str:
    """Name the card's field that holds a column."""
    return "licence" if field in LICENCE else "stats" if field in STATS else field


def _flatten(card: Card) -> dict[str, Any]:
    licence = card.licence
    return {
        **{field: getattr(card, field) for field in Card.model_fields if field not in ("licence", "stats")},
        "examples": [example.model_dump() for example in card.examples],
        "credit_required": licence.credit_required,
        "commercial": None if licence.commercial is None else sorted(licence.commercial),
        "derivatives": licence.derivatives,
        "different_licence": licence.different_licence,
        "licence_name": licence.name,
        "downloads": card.stats.downloads,
        "likes": card.stats.likes,
        "rating": card.stats.rating,
    }
