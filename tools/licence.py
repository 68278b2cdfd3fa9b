"""Licences: what an author forbids, and what the combination of several adapters allows. Pure functions over cards."""

from __future__ import annotations

from collections.abc import Iterable

from stylus_gen.tools.card import Card
from stylus_gen.tools.plan import Policy, Profile, RejectionCode, Verdict
from stylus_gen.tools.text import clean_text

BLOCKED = 32
"""The site's nsfw bit for what may not be shown at all."""


def allows_commercial(card: Card) -> bool | None:
    """Say whether pictures made with it may be sold (who may sell the file may); ``None`` if nobody said."""
    commercial = card.licence.commercial
    return None if commercial is None else bool(commercial & {"image", "sell"})


def forbids(card: Card, policy: Policy) -> tuple[RejectionCode, str] | None:
    """Say why a policy refuses a card, or ``None``. Real people, minors and blocked files are always refused."""
    if card.minor or card.poi:
        return "unsafe", f"it shows a {'minor' if card.minor else 'real person'}"
    if card.nsfw_level & BLOCKED or _lowest_bit(card.nsfw_level) > policy.nsfw_level:
        return "unsafe", f"its nsfw level is {card.nsfw_level}, the policy shows up to {policy.nsfw_level}"
    if policy.profile == "personal":
        return None
    commercial = allows_commercial(card)
    if not commercial:
        return (
            "licence",
            f"its author {'does not say whether' if commercial is None else 'forbids that'} pictures are sold",
        )
    if policy.profile == "strict" and card.licence.credit_required is not False:
        return "licence", "its author does not say that credit may be left out"
    if policy.profile == "strict" and card.licence.derivatives is not True:
        return "licence", "its author does not say that it may be merged with others"
    return None


def _lowest_bit(level: int) -> int:
    return level & -level


def combine_licences(cards: Iterable[Card], profile: Profile) -> Verdict:
    """Combine licences: the most restrictive wins, and every author who asks for credit is named."""
    cards = list(cards)
    allowed = [allows_commercial(card) for card in cards]
    commercial = False if False in allowed else None if None in allowed else True
    notes = [f"{_title(c)}: commercial use forbidden" for c, a in zip(cards, allowed, strict=True) if a is False]
    notes += [f"{_title(c)}: commercial use not stated" for c, a in zip(cards, allowed, strict=True) if a is None]
    notes += [f"{_title(c)}: no derivatives" for c in cards if c.licence.derivatives is False]
    notes += [f"{_title(c)}: same licence required" for c in cards if c.licence.different_licence is False]
    credits = [f"{_title(c)} by {clean_text(c.creator, 60) or 'unknown'}" for c in cards if c.licence.credit_required]
    return Verdict(profile=profile, commercial_use=commercial, credits=tuple(credits), notes=tuple(notes))


def _title(card: Card) -> str:
    return clean_text(" ".join((card.name, card.version)), 80)
