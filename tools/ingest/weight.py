"""Read an adapter's weight from prompts that used it and from its author's description. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from statistics import median
from typing import NamedTuple

from stylus_gen.tools.a1111 import find_tags, read_tags
from stylus_gen.tools.card import Example

MAX_WEIGHT = 5.0
"""Sliders go to ±5; a larger value is a typing error."""

# Other things that people give numbers for: training, sampling, other models. A number beside one is no adapter weight.
_ELSE = (
    r"(?:decay|noise|noising|offset|learning|optimi[sz]er|guidance|denois\w*|hi(?:gh)?[- ]?res|upscal\w*|control ?net"
    r"|ip[- ]?adapter|\w*detailer|drop ?out|alpha|epochs?|batch|gamma|sampler|inpaint\w*|embedding|inversion|magnitude"
    r"|hyper ?network|resolution|repeats?|caption|text[ _]?encoder|去噪|重绘|步数|学习率"
    r"|(?<![a-z])(?:lr|steps?|cfg|clip|dim|rank|snr|seed|img2img|i2i|prompt|vae|merg\w+|eta|norms?|loss|mask)(?![a-z]))"
)
_NUMBER = r"(\d?[.,]\d+|\d)"
_UNIT = rf"(?![\d.,]*\d|e-?\d|[ \t]*(?:%|x\b|[bm]\b)|[ \t]*{_ELSE}(?![ \t]*(?:\w+[ \t]*)?[:=]?[ \t]*\d))"
_RANGE = rf"{_NUMBER}(?:\s*(?:-|–|—|~|～|/|to|and|or|至|到)\s*{_NUMBER})?+{_UNIT}"
_WORD = rf"(?:weights?|strengths?|multiplier|权重|權重|強度|强度)(?![ \t_-]*{_ELSE})"
_GAP = rf"(?:(?!{_ELSE})[^\d\n]){{0,30}}?"
_AUTHOR = (
    re.compile(rf"{_WORD}{_GAP}(?<![\w.]){_RANGE}", re.IGNORECASE),
    re.compile(rf"{_WORD}{_RANGE}", re.IGNORECASE),
    re.compile(rf"(?<![\w.]){_RANGE}\s*(?:lora\s+|network\s+)?{_WORD}", re.IGNORECASE),
)
_TAG_VALUE = re.compile(_RANGE, re.IGNORECASE)
_QUALIFIED = re.compile(rf"{_ELSE}(?:[ \t_-]*(?!and\b|with\b|or\b)[^\W\d]+)?[ \t_-]*\Z", re.IGNORECASE)
"""Such a word before "strength" or "weight": "noise offset strength 0.1", "denoising strength"."""


class Weight(NamedTuple):
    """An author's recommendation; ``low`` and ``high`` are set for a range."""

    value: float
    low: float | None
    high: float | None


def author_weight(text: str) -> Weight | None:
    """Read the first weight or range that a description recommends, as in "weight 0.6-0.8"."""
    for match in _author_numbers(text):
        numbers = [float(n.replace(",", ".")) for n in match.groups() if n]
        if all(0 < n <= 2 for n in numbers):
            low, high = min(numbers), max(numbers)
            return Weight(round((low + high) / 2, 2), *((low, high) if low < high else (None, None)))
    return None


def _author_numbers(text: str) -> Iterator[re.Match[str]]:
    """Find numbers and ranges that stand for a weight: first those beside a word for it, then those in tags."""
    for pattern in _AUTHOR:
        for match in pattern.finditer(text):
            if not _QUALIFIED.search(text, max(0, match.start() - 40), match.start()):
                yield match
    for tag in find_tags(text):
        if value := _TAG_VALUE.fullmatch(":".join(tag.values)):
            yield value


def used_weight(prompt: str, stem: str) -> float | None:
    """Read the weight that a prompt gives the adapter file called ``stem``; None if it does not use it."""
    return next((to_weight(use.weight) for use in read_tags(prompt) if use.name.casefold() == stem.casefold()), None)


def to_weight(value: object) -> float | None:
    """Read a weight from untyped data: a finite number within ±5 and not zero, else None."""
    try:
        weight = float(str(value))
    except ValueError:
        return None
    return weight if 0 < abs(weight) <= MAX_WEIGHT else None


def example_weight(examples: Sequence[Example]) -> float | None:
    """Compute the median of the weights that people used; None if there are none."""
    used = [example.weight for example in examples if example.weight is not None]
    return round(median(used), 2) if used else None
