"""Make cards from the Draw Things community list: one line per adapter, many families. Pure.

The files are in that app's own format, so a card from this source has no hash and cannot be installed.
"""

from __future__ import annotations

import re
from typing import Any

from stylus_gen.tools.card import Card
from stylus_gen.tools.families import family_of
from stylus_gen.tools.ingest.civitai import MAX_DESCRIPTION, MAX_NAME, trigger_groups
from stylus_gen.tools.ingest.kind import kind_of
from stylus_gen.tools.ingest.summary import Problem
from stylus_gen.tools.ingest.text import clean_line, plain_text
from stylus_gen.tools.ingest.weight import to_weight


def is_community(row: Any) -> bool:
    """Say whether a row has this form."""
    return isinstance(row, dict) and "converted" in row and "version" in row


def community_card(row: dict[str, Any], where: str) -> Card | Problem:
    """Make a card from ``{name, prefix, version, file, weight: {value, lower_bound, upper_bound}, note}``."""
    name, version, file = (clean_line(str(row.get(key) or ""), MAX_NAME) for key in ("name", "version", "file"))
    if not name or not file:
        return Problem(where, "it has no name or no file")
    weights = row["weight"] if isinstance(row.get("weight"), dict) else {}
    weight = to_weight(weights.get("value"))
    key = "community-" + re.sub(r"[^a-z0-9]+", "-", file.lower()).strip("-")
    card = Card(
        id=key,
        model_key=key,
        version_key=key,
        name=name,
        description=plain_text(str(row.get("note") or ""), MAX_DESCRIPTION),
        base_model=version,
        family=family_of(version),
        kind=kind_of(name, []),
        trigger_groups=trigger_groups([str(row.get("prefix") or "")]),
        weight=weight,
        weight_source="author" if weight is not None else None,
        weight_min=to_weight(weights.get("lower_bound")),
        weight_max=to_weight(weights.get("upper_bound")),
        file_name=file,
    )
    return card.model_copy(update={"provenance": {field: "community" for field in card.model_fields_set}})
