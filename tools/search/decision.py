"""The decision: how likely an adapter is right for one concept, by how the concept's words name it. A logistic model.

Each adapter is estimated by itself: two adapters of one name do not lower each other's probability. The features say
what is named, how much of it, how everyday the words are, and whether the kind is what the words ask for. The weights
are learnt from graded everyday prompts by benchmarks/everyday_fit.py; benchmarks/EVERYDAY.md says what each brings.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

from stylus_gen.tools.card import Kind
from stylus_gen.tools.everyday import everydayness
from stylus_gen.tools.lexicon import FUNCTION, is_verb
from stylus_gen.tools.notions import function_words, languages_of
from stylus_gen.tools.plan import Concept
from stylus_gen.tools.search.names import WORD, Names, Words, content_of, words_of
from stylus_gen.tools.segment import has_many_tags

Rarity = Callable[[str], float]
"""A word's inverse document frequency among names, trigger words and tags."""

STYLE_INSIDE = re.compile(
    r"\b(styles?|art|painting|painted|drawing|drawn|illustration|animation|comics?|manga|anime|cartoon|aesthetic|vibe|look"
    r"|graphics|poster|picture|footage|photo|screenshot|print|render)\b",
    re.IGNORECASE,
)
STYLE_BEFORE = re.compile(
    r"(\bstyle of|\bstyle|drawn (like|as)|painted (like|as)|looks? like)\s*((it'?s )?from )?(the|an?)?\s*$",
    re.IGNORECASE,
)
STYLE_AFTER = re.compile(r"[\s-]*(style|stil|art|look|vibe|aesthetic|ish|风|風|スタイル|스타일)", re.IGNORECASE)
_NEXT = re.compile(r" ([^\W\d_][\w'’-]*)")
SHORTEST_MISSPELT = 5
UNKNOWN = 5.0
"""The rarity of a word that no adapter is called by: as that of a name that few share."""


@dataclass(frozen=True)
class Match:
    """The name of an adapter that a concept says most of: the share that is said, and how much of the concept it is."""

    words: Words = ()
    said: float = 0.0
    covered: float = 0.0

    @property
    def worth(self) -> float:
        """Weigh how much of the name is said, and how much of the concept that explains."""
        return self.said * self.covered + 0.3 * self.said


@dataclass(frozen=True)
class Place:
    """A concept in its prompt, read for the decision."""

    concept: Concept
    prompt: str
    rarity: Rarity

    @cached_property
    def words(self) -> Words:
        """Read the words that count: those of the English where the concept is in another language."""
        stop = FUNCTION | function_words(languages_of(self.prompt))
        texts = self.concept.search_terms if self.translated else (self.concept.text,)
        said = [word for text in texts for word in words_of(text)]
        return tuple(word for word in said if word not in stop) or tuple(said)

    @property
    def translated(self) -> bool:
        """Tell whether the concept brings words of its own for the search."""
        return bool(self.concept.search_terms)

    @cached_property
    def forms(self) -> frozenset[str]:
        """List all words that may be said here: of text and search terms, and neighbours as one word."""
        texts = [words_of(text) for text in (self.concept.text, *self.concept.search_terms)]
        stop = function_words(languages_of(self.prompt))
        joined = ["".join(words[i : i + n]) for words in texts for n in (2, 3) for i in range(len(words) - n + 1)]
        return frozenset(word for words in (*texts, joined) for word in words if word not in stop).union(self.words)

    @cached_property
    def unknown(self) -> tuple[str, ...]:
        """List words that no adapter is called by and that are no English: they may be misspelt."""
        return tuple(
            word
            for word in set(self.words)
            if len(word) >= SHORTEST_MISSPELT
            and word.isascii()
            and not everydayness(word)
            and self.rarity(word) >= UNKNOWN
        )

    def misspelt(self, names: Names) -> set[str]:
        """List the words of an adapter's name that are one typing error from an unknown word and begin alike."""
        return {own for word in self.unknown for own in names.naming if _is_near(word, own)}

    @cached_property
    def weight(self) -> float:
        """Sum the rarity of the words."""
        return sum(self.rarity(word) for word in set(self.words)) or 1.0

    @cached_property
    def around(self) -> frozenset[str]:
        """List the prompt's other words, and the initials of its phrases: "breath of the wild" is "botw"."""
        words = words_of(self.prompt)
        initials = {"".join(w[0] for w in words[i : i + n]) for n in (3, 4, 5) for i in range(len(words) - n + 1)}
        return frozenset(words).union(initials) - self.forms

    @cached_property
    def is_style(self) -> bool:
        """Tell whether the words, or those beside them, ask for a style."""
        at = self.concept
        return (
            at.kind == "style"
            or STYLE_INSIDE.search(at.text) is not None
            or STYLE_BEFORE.search(self.prompt[: at.start]) is not None
            or STYLE_AFTER.match(self.prompt[at.end :]) is not None
        )

    @cached_property
    def listed(self) -> float:
        """Say how long a list of tags the prompt is: 0 for a sentence, 1 for twenty parts or more."""
        parts = self.prompt.count(",")
        return min(1.0, parts / 20) if parts * 10 > len(self.prompt.split()) else 0.0

    @cached_property
    def modifies(self) -> bool:
        """Tell whether a noun follows that the words may only describe: "spaceship window"."""
        following = _NEXT.match(self.prompt, self.concept.end)
        return following is not None and following[1].lower() not in FUNCTION and not is_verb(following[1].lower())

    @property
    def in_tags(self) -> bool:
        """Tell whether the prompt is a list of many tags, which are written by habit."""
        return has_many_tags(self.prompt)

    @cached_property
    def is_proper(self) -> bool:
        """Tell whether a word is written as a name is, a sentence's first word not counted if it is an everyday one."""
        first = self.concept.start == 0
        words = WORD.findall(self.concept.text)
        return any(
            word[:1].isupper() and not (first and i == 0 and everydayness(word.casefold()) > 0)
            for i, word in enumerate(words)
        )


FEATURES = (
    "evidence", "prompt evidence", "prompt chance", "everyday", "partly everyday", "everyday as name", "unknown word",
    "rarest", "name", "tag", "said", "full", "exact", "many words", "trigger", "own name", "series only", "rare part",
    "elsewhere", "translated", "downloads", "character as name", "style as style", "style unasked",
    "clothing as clothing", "place as place", "modifier", "style as modifier", "listed",
)  # fmt: skip
"""What is measured, in this order.

Of search: its scores for concept and prompt, and the prompt's chance. Of the words that name the adapter: how everyday
they are, whether English knows them, how rare they are among adapters. Of its name: how much of it is said and how much
of the concept that is, whether it is said whole, whether by its own name, by a trigger or by a series' alone, how much
of another of its names the rest of the prompt says. And whether its kind is what the words ask for.
"""


@dataclass(frozen=True)
class Evidence:
    """What search says of an adapter: its scores, its probability for the whole prompt (``chance``), its downloads."""

    concept: float
    prompt: float
    chance: float
    downloads: int


def measure(place: Place, names: Names, kind: Kind, evidence: Evidence) -> tuple[float, ...] | None:
    """Measure how a concept names an adapter, in the order of `FEATURES`; ``None`` where they share no word."""
    forms = place.forms.union(place.misspelt(names))
    name, trigger, tag = (_best(phrases, forms, place) for phrases in (names.names, names.triggers, names.tags))
    shared = [word for word in forms if word in names.naming or word in names.tagged]
    best = name if name.worth >= trigger.worth else trigger
    if not shared and not best.words:
        return None
    full = best.said > WHOLE
    words = best.words if full else [word for word in shared if word in names.naming] or shared
    ranks = [everydayness(word) for word in words] or [1.0]
    everyday = sum(ranks) / len(ranks)
    own = full and (tuple(sorted(best.words)) in names.own or best is trigger)
    is_name = kind == "character" and place.is_proper
    is_style = kind == "style" and full
    asked = place.concept.kind
    measured: dict[str, float] = {
        "evidence": _clip(evidence.concept),
        "prompt evidence": _clip(evidence.prompt),
        "prompt chance": math.log(evidence.chance + 1e-3),
        "everyday": everyday,
        "partly everyday": 0.0 if full else everyday,
        "everyday as name": everyday * is_name,
        "unknown word": min(ranks) == 0,
        "rarest": max(map(place.rarity, shared), default=0.0),
        "name": name.said * name.covered,
        "tag": tag.said,
        "said": min(1.0, sum(place.rarity(word) for word in shared if word in place.words) / place.weight),
        "full": full,
        "exact": full and best.covered > WHOLE,
        "many words": full and len(best.words) > 1,
        "trigger": trigger.said > WHOLE,
        "own name": own,
        "series only": kind == "character" and full and not own,
        "rare part": not full and any(part in forms for part in names.parts),
        "elsewhere": _elsewhere(place, names),
        "translated": place.translated,
        "downloads": math.log10(max(evidence.downloads, FEWEST_DOWNLOADS)),
        "character as name": is_name,
        "style as style": is_style and place.is_style,
        "style unasked": is_style and not place.is_style,
        "clothing as clothing": kind == asked == "clothing",
        "place as place": kind == asked == "background",
        "modifier": place.modifies and kind != "style",
        "style as modifier": place.modifies and kind == "style",
        "listed": place.listed,
    }
    return tuple(float(measured[feature]) for feature in FEATURES)


FEWEST_DOWNLOADS = 700
"""The fewest of any adapter that the weights were learnt on. A smaller number, or none, as of files in a folder, says
nothing."""
WHOLE = 0.99
"""The share of a name's words, or of a concept's, that is all of them."""


def chance(features: Sequence[float], *, tags: bool) -> float:
    """Estimate the probability that an adapter is right for a concept; ``tags``: the prompt is a list of many tags."""
    bias, weights = TAGS if tags else SENTENCES
    score = bias + sum(weights[name] * value for name, value in zip(FEATURES, features, strict=True))
    return 1 / (1 + math.exp(-score))


def _is_near(word: str, own: str) -> bool:
    if own[:1] != word[:1] or abs(len(own) - len(word)) > 1 or everydayness(own):
        return False
    # Five letters have too many neighbours of five: only one too many is mended.
    if len(word) == SHORTEST_MISSPELT and len(own) != len(word) - 1:
        return False
    drops = {word[:i] + word[i + 1 :] for i in range(len(word))}
    return own in drops or word in (others := {own[:i] + own[i + 1 :] for i in range(len(own))}) or bool(drops & others)


def _clip(score: float) -> float:
    return max(-8.0, min(4.0, score))


def _best(phrases: Iterable[Words], forms: frozenset[str], place: Place) -> Match:
    return max((_match(phrase, forms, place) for phrase in phrases), key=lambda match: match.worth, default=Match())


def _match(phrase: Words, forms: frozenset[str], place: Place) -> Match:
    words = content_of(phrase) or phrase
    if len(words) > 1 and "".join(words) in forms:
        return Match(words, 1.0, 1.0)
    said = [word for word in words if word in forms]
    if not said:
        return Match()
    weight = sum(map(place.rarity, said))
    return Match(
        words,
        weight / (sum(map(place.rarity, words)) or 1.0),
        min(1.0, sum(map(place.rarity, set(said))) / place.weight),
    )


def _elsewhere(place: Place, names: Names) -> float:
    """Say how much of another of its names the rest of the prompt says: its series, mostly."""
    shares = [0.0]
    for phrase in (*names.names, *names.tags):
        words = content_of(phrase)
        if 0 < len(words) <= 4 and not place.forms.issuperset(words):
            whole = sum(map(place.rarity, words)) or 1.0
            shares.append(sum(place.rarity(word) for word in words if word in place.around) / whole)
    return max(shares)


Model = tuple[float, dict[str, float]]
"""The bias, and the weight of each feature."""

SENTENCES: Model = (
    -5.629,
    {
        "evidence": 0.239,
        "prompt evidence": 0.248,
        "prompt chance": 0.124,
        "everyday": -1.721,
        "partly everyday": 0.499,
        "everyday as name": 0.183,
        "unknown word": 0.576,
        "rarest": 0.127,
        "name": 3.113,
        "tag": 0.323,
        "said": 0.438,
        "full": 0.059,
        "exact": -0.743,
        "many words": 1.089,
        "trigger": -0.587,
        "own name": 0.977,
        "series only": -2.214,
        "rare part": 1.091,
        "elsewhere": 1.249,
        "translated": 1.315,
        "downloads": 1.092,
        "character as name": 0.159,
        "style as style": 0.448,
        "style unasked": -1.084,
        "clothing as clothing": 0.866,
        "place as place": 0.671,
        "modifier": -0.578,
        "style as modifier": -0.484,
        "listed": -3.191,
    },
)
"""Learnt from judged everyday prompts."""

TAGS: Model = (
    1.594,
    {
        "evidence": 0.011,
        "prompt evidence": 0.205,
        "prompt chance": 1.270,
        "everyday": -0.511,
        "partly everyday": 0.099,
        "everyday as name": 0.220,
        "unknown word": 0.210,
        "rarest": -0.052,
        "name": 0.472,
        "tag": 0.456,
        "said": -0.504,
        "full": -0.402,
        "exact": -0.519,
        "many words": -0.298,
        "trigger": 0.885,
        "own name": -0.172,
        "series only": -1.591,
        "rare part": -0.776,
        "elsewhere": -0.167,
        "translated": -0.272,
        "downloads": -0.272,
        "character as name": 0.599,
        "style as style": 0.669,
        "style unasked": 0.063,
        "clothing as clothing": -0.191,
        "place as place": -0.992,
        "modifier": -0.080,
        "style as modifier": 0.371,
        "listed": 1.670,
    },
)
"""Learnt from lists of tags that people ran, and the adapters they used."""
