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
    r"|ema\b|huber|smooth\w*|regulari[sz]\w*|percept\w*|momentum|warm ?up|prior|temperature|gradient|token|d[_ ]coef"
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
_PERCENT = r"(?<![\w.])(\d{2,3})(?:\s*%?\s*(?:-|–|—|~|to|and)\s*(\d{2,3}))?\s*%"
_PERCENTS = (
    re.compile(rf"{_WORD}{_GAP}{_PERCENT}", re.IGNORECASE),
    re.compile(rf"{_PERCENT}\s*{_WORD}", re.IGNORECASE),
)
# Without a word for the weight: "best between 0.6 and 0.8", "works best at 0.7", "recommended 0.5-0.9".
_LIKED = r"\b(?:best|(?:works?|looks?)\s+(?:well|great|good|fine)|recommend(?:ed)?|use\s+it)"
_LIKELY = r"([01]?[.,]\d+|1)"
_ADVICE = (
    re.compile(
        rf"{_LIKED}(?:\s+(?:results?|range|is|values?))?[\s:]+(?:(?:between|from|at|around|with|in)\s+)?(?:about\s+)?"
        rf"{_LIKELY}\s*(?:-|–|—|~|to|and)\s*{_LIKELY}{_UNIT}",
        re.IGNORECASE,
    ),
    re.compile(rf"{_LIKED}\s+(?:results?\s+)?(?:at|around)\s+(?:about\s+)?(0?[.,]\d+|1[.,][01]){_UNIT}", re.IGNORECASE),
)
_OF_ANOTHER = re.compile(rf"{_ELSE}[^.;,\n]*\Z", re.IGNORECASE)
_VERSION = re.compile(
    r"\b(?:(?:version|ver\.?)\s*\d?[.,]?\d+|(?:sd|stable diffusion|sdxl|flux|pony)\s*[1-9][.,\d]*)\Z", re.IGNORECASE
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
    """Read the first weight or range that a description recommends, as in "weight 0.6-0.8" or "strength 70%"."""
    for numbers in _author_numbers(text):
        if all(0 < n <= 2 for n in numbers):
            low, high = min(numbers), max(numbers)
            return Weight(round((low + high) / 2, 2), *((low, high) if low < high else (None, None)))
    return None


def _author_numbers(text: str) -> Iterator[list[float]]:
    """Find numbers and ranges that stand for a weight: beside a word for it, after "best at", then in tags."""
    for match in _first_to_last(_AUTHOR, text, _QUALIFIED):
        yield _numbers(match)
    for match in _first_to_last(_PERCENTS, text, _OF_ANOTHER):
        yield [number / 100 for number in _numbers(match)]
    for match in _first_to_last(_ADVICE, text, _OF_ANOTHER):
        yield _numbers(match)
    for tag in find_tags(text):
        if value := _TAG_VALUE.fullmatch(":".join(tag.values)):
            yield _numbers(value)


def _first_to_last(
    patterns: Sequence[re.Pattern[str]], text: str, qualified: re.Pattern[str]
) -> Iterator[re.Match[str]]:
    """Find what patterns match, without what belongs to something else, and without versions."""
    for pattern in patterns:
        for match in pattern.finditer(text):
            start = match.start()
            version = _VERSION.search(text, max(0, match.start(1) - 40), match.end(1))
            if not version and not qualified.search(text, max(0, start - 40), start):
                yield match


def _numbers(match: re.Match[str]) -> list[float]:
    return [float(number.replace(",", ".")) for number in match.groups() if number]


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
