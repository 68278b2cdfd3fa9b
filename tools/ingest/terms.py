"""Read a model's licence and content level from the site's flags. Pure."""

from __future__ import annotations

from typing import Any

from stylus_gen.tools.card import Licence
from stylus_gen.tools.ingest.site import SiteModel

NSFW_LEVEL = 8
"""X: the level of a model flagged "nsfw" without a level."""

MILD = 1 | 2  # PG, PG-13
ALL_LEVELS = 63

_COMMERCIAL = ("image", "rentcivit", "rent", "sell")


def read_licence(model: SiteModel) -> Licence:
    """Read a model's licence flags."""
    return Licence(
        credit_required=None if model.allowNoCredit is None else not model.allowNoCredit,
        commercial=commercial_use(model.allowCommercialUse),
        derivatives=model.allowDerivatives,
        different_licence=model.allowDifferentLicense,
    )


def nsfw_level(nsfw: bool, *levels: int | None) -> int:
    """Combine the flag and the first level that is set into a bitmask; "nsfw" removes the mild levels."""
    level = next((value for value in levels if value), 1)
    return (level & ~MILD if nsfw else level) & ALL_LEVELS or NSFW_LEVEL


def commercial_use(value: str | list[str] | None) -> frozenset[Any] | None:
    """Read ``allowCommercialUse``: a single word (2023), which includes all lesser ones, or a list, or "{Image,Rent}".

    An unknown word allows nothing.
    """
    if value is None:
        return None
    if isinstance(value, str) and not value.startswith("{"):
        word = value.strip().lower()
        return frozenset(_COMMERCIAL[: _COMMERCIAL.index(word) + 1] if word in _COMMERCIAL else ())
    words = value.strip("{}").split(",") if isinstance(value, str) else value
    return frozenset(word.strip().lower() for word in words) & frozenset(_COMMERCIAL)
