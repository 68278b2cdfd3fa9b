"""Merge what several sources state about one adapter. Pure: it does not use the database.

A field at its default is no claim, so an empty field never overwrites a value. Where two sources contradict each other,
the one with more authority wins.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from stylus_gen.tools.card import Card, Example, Licence, Stats
from stylus_gen.tools.families import share_shape
from stylus_gen.tools.licence import BLOCKED

Claims = dict[str, tuple[Any, str]]
"""``{field: (value, source)}``: what is known, and which source stated it."""

# From lowest to highest authority. "tensors" is the likeliest of the families that fit the tensors' names and shapes.
# Readers in tools/ingest/ name the sources (see SIDECARS). A new one needs a rank here: unlisted, it loses to all.
AUTHORITY = ("tensors", "header", "a1111", "lora-manager", "civitai", "user")
WEIGHT_AUTHORITY = (None, "default", "kind", "author", "examples", "user")

# Each table's columns with their defaults.
LICENCE: dict[str, Any] = {
    "credit_required": None, "commercial": None, "derivatives": None, "different_licence": None, "licence_name": None,
}  # fmt: skip
STATS: dict[str, Any] = {"downloads": 0, "likes": 0, "rating": 0.0}
MODEL: dict[str, Any] = {
    "name": "", "kind": "unknown", "tags": [], "creator": "", **LICENCE, "poi": False, "minor": False, "nsfw_level": 1,
}  # fmt: skip
VERSION: dict[str, Any] = {
    "model_key": "", "version": "", "description": "", "base_model": "", "family": "unknown", "shapes": [],
    "trigger_groups": [], "weight": None, "weight_source": None, "weight_min": None, "weight_max": None, **STATS,
    "examples": [], "created_at": None,
}  # fmt: skip
FILE: dict[str, Any] = {"version_key": "", "sha256": None, "file_name": "", "file_size": None, "path": None}


def authority(source: str) -> int:
    """Rank a source; an unknown source ranks below all others."""
    return AUTHORITY.index(source) if source in AUTHORITY else -1


def merge(old: Claims, new: Claims, *, fill_only: bool = False) -> Claims:
    """Merge claims field by field. With ``fill_only`` the new claims only fill fields that the old ones lack.

    At equal authority the newer claim wins. The safety fields take the stricter claim, whatever the authority. A family
    that the tensors rule out is no claim.
    """
    shapes = new.get("shapes") or old.get("shapes") or ([], "")
    old, new = _fitting(old, shapes), _fitting(new, shapes)
    merged = dict(old)
    for field, (value, source) in new.items():
        if field not in old:
            merged[field] = (value, source)
        elif field in ("poi", "minor", "nsfw_level"):
            merged[field] = max(old[field], (value, source), key=_strictness)
        elif not fill_only and _replaces(field, old[field], (value, source)):
            merged[field] = (value, source)
    return merged


def _fitting(claims: Claims, shapes: tuple[Sequence[str], str]) -> Claims:
    """Replace a family that the tensors rule out by the likeliest of those that they fit (``shapes``)."""
    families, source = shapes
    if "family" not in claims or not families or any(share_shape(claims["family"][0], shape) for shape in families):
        return claims
    rest = {field: claim for field, claim in claims.items() if field != "family"}
    return rest if families[0] == "unknown" else {**rest, "family": (families[0], source)}


def _replaces(field: str, old: tuple[Any, str], new: tuple[Any, str]) -> bool:
    """Decide whether the new claim about a field replaces the old one. Weights rank by `WEIGHT_AUTHORITY` first."""
    if field == "weight":
        old_rank, new_rank = (WEIGHT_AUTHORITY.index(weight_source) for (_, weight_source), _ in (old, new))
        if old_rank != new_rank:
            return new_rank > old_rank
    return authority(new[1]) >= authority(old[1])


def _strictness(claim: tuple[int, str]) -> tuple[int, int, int, int]:
    """Rank a safety claim by strictness: blocked, then the level of the mildest picture. True ranks above False."""
    level = int(claim[0])
    return level & BLOCKED, level & -level, level, authority(claim[1])


def claims_of(card: Card, table: dict[str, Any], source: str) -> Claims:
    """Make a card's claims about one table's columns. ``source`` is the source of fields without provenance."""
    values = {field: value for field, value in _flatten(card).items() if field in table and value != table[field]}
    return from_columns(values, {field: card.provenance.get(_group(field)) or source for field in values})


def from_columns(row: dict[str, Any], provenance: dict[str, str]) -> Claims:
    """Make claims from a row; a weight and its ``weight_source`` are one claim."""
    claims = {field: (row[field], source) for field, source in provenance.items() if field in row}
    if "weight" in claims:
        claims["weight"] = ((row["weight"], row.get("weight_source")), provenance["weight"])
    claims.pop("weight_source", None)
    return claims


def to_columns(claims: Claims, table: dict[str, Any]) -> tuple[dict[str, Any], dict[str, str]]:
    """Make a row, defaults filled in, and its provenance from claims."""
    row = {field: claims[field][0] if field in claims else default for field, default in table.items()}
    if "weight" in claims:
        row["weight"], row["weight_source"] = claims["weight"][0]
    return row, {field: source for field, (_, source) in claims.items()}


def to_card(row: dict[str, Any]) -> Card:
    """Make a card from a row of the view ``cards``."""
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


def join_cards(cards: Sequence[tuple[Card, str]]) -> Card:
    """Merge the cards of one file, each with its source, into one with provenance. It keeps the first card's id."""
    row: dict[str, Any] = {"provenance": {}}
    for table in (MODEL, VERSION, FILE):
        merged: Claims = {}
        for card, source in cards:
            merged = merge(merged, claims_of(card, table, source))
        columns, provenance = to_columns(merged, table)
        row |= columns
        row["provenance"] |= provenance
    aliases = {kind: value for card, _ in cards for kind, value in card.aliases.items()}
    return to_card({**row, "id": cards[0][0].id, "aliases": aliases})


def _group(field: str) -> str:
    """Name the card field that holds a column."""
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
