"""Licences: what an author forbids, and what the combination of several adapters allows. Pure functions over cards."""

from __future__ import annotations

from collections.abc import Iterable

from stylus_gen.tools.card import Card
from stylus_gen.tools.plan import Policy, Profile, RejectionCode, Verdict
from stylus_gen.tools.text import clean_text

Refusal = tuple[RejectionCode, str]

BLOCKED = 32
"""The site's nsfw bit for what may not be shown at all."""


def allows_commercial(card: Card) -> bool | None:
    """Say whether pictures made with it may be sold (who may sell the file may); ``None`` if nobody said."""
    commercial = card.licence.commercial
    return None if commercial is None else bool(commercial & {"image", "sell"})


def forbids(card: Card, policy: Policy) -> Refusal | None:
    """Say why a policy refuses a card, or ``None``.

    Search does not call it: it filters by columns that `unsafe`, `mildest_level` and `unlicensed` fill.
    """
    return unsafe(card, policy.nsfw_level) or unlicensed(card, policy.profile)


def unsafe(card: Card, nsfw_level: int = BLOCKED - 1) -> Refusal | None:
    """Refuse real people, minors and blocked files always, and what is above the level."""
    if card.minor or card.poi:
        return "unsafe", f"it shows a {'minor' if card.minor else 'real person'}"
    if card.nsfw_level & BLOCKED or mildest_level(card) > nsfw_level:
        return "unsafe", f"its nsfw level is {card.nsfw_level}, the policy shows up to {nsfw_level}"
    return None


def mildest_level(card: Card) -> int:
    """Return the level of the mildest picture: the least that a policy must show."""
    return card.nsfw_level & -card.nsfw_level


def unlicensed(card: Card, profile: Profile) -> Refusal | None:
    """Refuse what a profile's licence rules forbid; an author who says nothing allows nothing."""
    if profile == "personal":
        return None
    commercial = allows_commercial(card)
    if commercial is None:
        return "licence", "its author does not say whether pictures may be sold"
    if not commercial:
        return "licence", "its author forbids selling pictures"
    if profile == "strict" and card.licence.credit_required is not False:
        return "licence", "its author does not say that credit may be left out"
    if profile == "strict" and card.licence.derivatives is not True:
        return "licence", "its author does not say that it may be merged with others"
    return None


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
