"""The gazetteer: the names of all adapters, as keys in the database, and which of them a prompt says.

It is kept up card by card with the search index, and filled once for an index that is older than it. A prompt costs one
query, whatever the catalogue's size: each run of its words is looked up, the longest name wins.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from psycopg.rows import dict_row

from stylus_gen.tools.card import Card
from stylus_gen.tools.everyday import is_everyday
from stylus_gen.tools.lexicon import COLOURS, FUNCTION
from stylus_gen.tools.romanise import romanised
from stylus_gen.tools.search.names import (
    CJK,
    LONGEST,
    WORD,
    Names,
    Source,
    content_of,
    key_of,
    keys_of,
    names_of,
    words_of,
)
from stylus_gen.tools.store.database import Connection
from stylus_gen.tools.store.provenance import to_card

SHORTEST = 2
"""Characters of a name in a script without spaces."""
LONGEST_RUN = 8
_PLAIN = "one two three off out back old new lol low big small little cute pretty photo picture image please want draw"
_WEAK = FUNCTION | COLOURS | frozenset(_PLAIN.split())
"""Words that name nothing by themselves, though an adapter may be called so."""

_INNER_PUNCTUATION = re.compile(r"[,.;!?()]")


class Mention(NamedTuple):
    """A run of a prompt's words that is a name of some adapters; ``spelt`` is in Latin letters, if it is in others."""

    start: int
    end: int
    spelt: str = ""


def names_of_cards(cards: Sequence[Card]) -> Names:
    """Read what a model goes by off its cards of one family."""
    first = cards[0]
    groups = tuple(tuple(group) for card in cards for group in card.trigger_groups)
    return names_of(first.name, groups, tuple(first.tags), first.kind)


def write_names(conn: Connection, groups: Iterable[Sequence[Card]]) -> None:
    """Write the names of models whose documents have just been written; the old ones went with the old documents."""
    with conn.cursor().copy("COPY search_names (key, source, model_key, family) FROM STDIN") as copy:
        for cards in groups:
            for key, source in keys_of(names_of_cards(cards)).items():
                copy.write_row((key, source, cards[0].model_key, cards[0].family))


def fill_names(conn: Connection) -> None:
    """Write the names of an index that was made before there was a gazetteer; does nothing where there is one."""
    with conn.transaction():
        conn.execute("LOCK TABLE search_names IN SHARE ROW EXCLUSIVE MODE")
        if conn.execute("SELECT EXISTS (SELECT FROM search_names)").fetchone() == (True,):
            return
        with conn.cursor(row_factory=dict_row) as cursor:
            rows = cursor.execute(
                "SELECT * FROM cards WHERE (model_key, family) IN (SELECT model_key, family FROM search_documents) "
                "AND NOT retired "
                "ORDER BY model_key, family, created_at DESC NULLS LAST, id"
            ).fetchall()
        groups: dict[tuple[str, str], list[Card]] = {}
        for card in map(to_card, rows):
            groups.setdefault((card.model_key, card.family), []).append(card)
        write_names(conn, groups.values())


def find_mentions(conn: Connection, prompt: str, stop: frozenset[str] = frozenset()) -> list[Mention]:
    """Find the names that a prompt says, in reading order, none within a longer one.

    ``stop`` are function words of the prompt's language, which name nothing.
    """
    runs = list(_runs(prompt, stop))
    if not runs:
        return []
    known = _sources(conn, {key for _, keys in runs for key in keys})
    if not known:
        fill_names(conn)
        known = _sources(conn, {key for _, keys in runs for key in keys})
    found: list[Mention] = []
    for mention, keys in sorted(runs, key=lambda run: run[0].start - run[0].end):
        sources = set().union(*(known.get(key, ()) for key in keys))
        if _names_something(prompt, mention, sources) and not any(_within(mention, other) for other in found):
            found.append(mention)
    return sorted(found)


def _runs(prompt: str, stop: frozenset[str]) -> Iterator[tuple[Mention, list[int]]]:
    tokens = [match.span() for match in WORD.finditer(prompt)]
    for first, (start, _) in enumerate(tokens):
        for _, end in tokens[first : first + LONGEST]:
            text = prompt[start:end]
            if _INNER_PUNCTUATION.search(text):
                break
            words = words_of(text)
            if words and _may_name(words, stop):
                yield Mention(start, end), [key_of(words)]
    for match in re.finditer(rf"[{CJK}]{{{SHORTEST},}}", prompt):
        for start in range(match.start(), match.end() - SHORTEST + 1):
            for end in range(start + SHORTEST, min(start + LONGEST_RUN, match.end()) + 1):
                yield Mention(start, end), [key_of((prompt[start:end].casefold(),))]
    for start, end, spelt in romanised(prompt):
        if not is_everyday(spelt):
            yield Mention(start, end, spelt), [key_of((spelt,))]


def _may_name(words: Sequence[str], stop: frozenset[str]) -> bool:
    if all(word in _WEAK or word in stop or len(word) < 2 for word in words) or not content_of(words):
        return False
    return len(words) > 2 or (words[0] not in FUNCTION and words[-1] not in FUNCTION)


def _names_something(prompt: str, mention: Mention, sources: set[Source]) -> bool:
    """Tell whether a run is a name: a tag alone must be of two words, for most are "woman" and "dress"."""
    if mention.spelt:
        return bool(sources & {"name", "trigger", "part"})
    return bool(sources & {"name", "trigger", "part"}) or (
        "tag" in sources and len(words_of(prompt[mention.start : mention.end])) > 1
    )


def _within(inner: Mention, outer: Mention) -> bool:
    return outer.start <= inner.start and inner.end <= outer.end


def _sources(conn: Connection, keys: set[int]) -> Mapping[int, set[Source]]:
    rows = conn.execute("SELECT DISTINCT key, source FROM search_names WHERE key = ANY(%s)", (list(keys),)).fetchall()
    found: dict[int, set[Source]] = {}
    for key, source in rows:
        found.setdefault(key, set()).add(source)
    return found
