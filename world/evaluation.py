"""The evaluation prompts of the small world, and the adapters that a person would choose for each."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Literal

from stylus_gen.world.catalogue import Entry, catalogue
from stylus_gen.world.things import STYLES, SUBJECTS, THINGS, UNSEEN, article, held_out

Sort = Literal["style", "unseen", "both", "plain"]


@dataclass(frozen=True)
class Question:
    """A prompt, what it asks for, and the file stems of the adapters that are right for it."""

    prompt: str
    sort: Sort
    thing: str
    style: str | None
    by_hand: tuple[str, ...]


@dataclass(frozen=True)
class Size:
    """How many questions of each sort: held-out pairs a style, unseen things, each in how many styles, plain things."""

    per_style: int = 18
    unseen: int = 20
    styles: int = 2
    plain: int = 20


def questions(present: frozenset[tuple[str, str]], seed: int, size: Size) -> list[Question]:
    """Choose the questions: held-out thing × style pairs, unseen things, both at once, and things that need no adapter.

    ``present`` holds the (thing, style) pairs that have a true picture.
    """
    rng = random.Random(seed)
    right = _right_adapters()
    seen = [thing for thing in THINGS if thing not in UNSEEN]
    asked: list[Question] = []
    for style in STYLES:
        held = [t for t in seen if held_out(t, style.name) and (t, style.name) in present]
        asked += [_ask(t, style.name, right) for t in rng.sample(held, min(size.per_style, len(held)))]
    subjects = SUBJECTS[: size.unseen]
    asked += [_ask(thing, None, right) for thing in subjects]
    drawn = [style.name for style in STYLES if style.name in right]
    pairs = [(t, drawn[(size.styles * i + k) % len(drawn)]) for i, t in enumerate(subjects) for k in range(size.styles)]
    asked += [_ask(t, s, right) for t, s in pairs if (t, s) in present]
    return asked + [_ask(thing, None, right) for thing in rng.sample(seen, size.plain)]


def _right_adapters() -> dict[str, str]:
    """Map each topic to its first adapter, which is the one of full rank."""
    right: dict[str, str] = {}
    for entry in catalogue():
        if entry.training in ("style", "subject") and not entry.copy_of:
            right.setdefault(entry.topic, entry.stem)
    return right


def _ask(thing: str, style: str | None, right: dict[str, str]) -> Question:
    words = {s.name: s.words for s in STYLES}
    prompt = article(THINGS[thing]) + (f", {words[style]}" if style else "")
    unseen = thing in UNSEEN
    sort: Sort = ("both" if unseen else "style") if style else ("unseen" if unseen else "plain")
    return Question(prompt, sort, thing, style, tuple(right[t] for t in (style, thing) if t in right))


def sound(entry: Entry) -> bool:
    """Check whether this base can use an adapter's file at all."""
    return entry.training not in ("sdxl", "nan")
