"""The weight of an adapter, from prompts that used it and from what its author wrote. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from statistics import median
from typing import NamedTuple

from stylus_gen.tools.card import Example

MAX_WEIGHT = 5.0
"""Sliders go to 5 and below zero; beyond it is a typing error."""

_NUMBER = r"(\d?[.,]\d+|\d)"
_RANGE = rf"{_NUMBER}(?:\s*(?:-|–|—|~|～|/|to|and|or|至|到)\s*{_NUMBER})?(?![\d.,]*\d|\s*(?:%|x\b|dim|epoch|step))"
_WORD = r"(?<!denoising )(?<!denoise )(?:weights?|strengths?|multiplier|权重|權重|強度|强度)"
_AUTHOR = (
    re.compile(rf"{_WORD}[^\d\n]{{0,30}}?(?<![\w.]){_RANGE}", re.IGNORECASE),
    re.compile(rf"{_WORD}{_RANGE}", re.IGNORECASE),
    re.compile(rf"(?<![\w.]){_RANGE}\s*(?:lora\s+|network\s+)?{_WORD}", re.IGNORECASE),
    re.compile(rf"<lora:[^:>\n]{{1,120}}:{_RANGE}>", re.IGNORECASE),
)

_LORA = re.compile(r"<(?:lora|lyco):([^:<>]{1,200})(?::\s*(-?[\d.]+))?[^<>]{0,40}>", re.IGNORECASE)
_ANY_TAG = re.compile(r"<(?:lora|lyco|hypernet):[^<>]{0,300}>", re.IGNORECASE)


class Weight(NamedTuple):
    """What an author recommends; ``low`` and ``high`` where a range was given."""

    value: float
    low: float | None
    high: float | None


def author_weight(text: str) -> Weight | None:
    """Read the first weight or range that a description recommends, as in "weight 0.6-0.8"."""
    for pattern in _AUTHOR:
        for match in pattern.finditer(text):
            numbers = [float(n.replace(",", ".")) for n in match.groups() if n]
            if all(0 < n <= 2 for n in numbers):
                low, high = min(numbers), max(numbers)
                return Weight(round((low + high) / 2, 2), *((low, high) if low < high else (None, None)))
    return None


def used_weight(prompt: str, stem: str) -> float | None:
    """Read the weight that a prompt gives the adapter file called ``stem``; None if it does not use it."""
    for name, number in _LORA.findall(prompt):
        if name.strip().casefold() == stem.casefold():
            return to_weight(number or "1")
    return None


def to_weight(value: object) -> float | None:
    """Read a weight off untyped data: a finite number within ±5, not zero; else None."""
    try:
        weight = float(str(value))
    except ValueError:
        return None
    return weight if 0 < abs(weight) <= MAX_WEIGHT else None


def strip_lora_tags(prompt: str) -> str:
    """Take ``<lora:…>`` out of a prompt: what is left is what it asks for."""
    return re.sub(r"(\s*,)+\s*(?=,|$)", "", _ANY_TAG.sub("", prompt)).strip(" ,\n")


def example_weight(examples: Sequence[Example]) -> float | None:
    """The median of the weights that people used, None if nobody did."""
    used = [example.weight for example in examples if example.weight is not None]
    return round(median(used), 2) if used else None
