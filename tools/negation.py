"""Negation: which words of a prompt name what it excludes ("a penguin without a dog", "no anime", "anything but red").

It knows the English negating words and their scope: the noun phrase that follows, and those joined to it by "or" and
"and". Turns of phrase ("not only", "no one") and names that hold such a word ("No Game No Life",
"boku no hero") negate nothing. Whether a prompt excludes an adapter is decided by `exclusion` in candidate.py.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import lru_cache

from stylus_gen.tools import lexicon
from stylus_gen.tools.lexicon import is_verb
from stylus_gen.tools.notions import foreign_negations

_VERBS = (
    "want|need|like|make|use|add|include|have|wear|show|put|draw|give|render|get|look|paint|turn|let|contain|feature|be"
)
_NOT = r"(?:(?:do|does|did|should|must|would|can|could|will)(?:\s*not|n['’]?t)|(?:ca|wo)n['’]?t)"
_CUE = re.compile(
    rf"""(?<![\w'’-])(?:
      (?:any|every)(?:thing|one|body|\s\w+)\s+(?:but|except(?:\s+for)?|other\s+than)
    | (?:(?:i|we)\s+)?{_NOT}(?:\s+(?:ever|really|even))?\s+(?:{_VERBS})(?!\s+this\s+cute)
    | (?:i|we)\s+(?:hate|dislike|can['’]?t\s+stand)
    | (?:is|are|was|were|has|have|had|ai)n['’]?t
    | (?P<not>not) | (?P<never>never) | neither | nor | none\s+of
    | (?P<without>without|w/o) | (?P<except>except(?:ing|\s+for)?) | excluding | exclude | (?P<minus>minus) | lacking
    | lacks | (?P<swap>instead\s+of|rather\s+than) | (?:leave|leaving)\s+out
    | (?:devoid|absence|lack)\s+of | free\s+(?:of|from) | avoid(?:ing)?
    | (?P<other>other\s+than) | (?:apart|aside)\s+from
    | (?:remove|omit|skip)\s+(?:the|any|all)
    | (?P<no>no) | (?P<sans>sans) | (?P<zero>(?<![:/.])(?:zero|0)(?=\s+(?:(?-i:[a-z]\w*[^\Ws]s)|people|(?:wo)?men)\b))
    )(?![\w-])
    | (?P<dash>(?<![\w'’-])[-−](?=[^\W\d_]))""",
    re.IGNORECASE | re.VERBOSE,
)
# What may follow a cue, or stand before it, and makes it none.
_FOLLOWED = {
    "not": r"only|just|merely|simply|to\s+mention|yet|far|unlike|without|necessarily|(?:so\s+)?long\s+ago|if"
    r"|forget|miss|omit|skip|leave\s+out|hesitate|worry",
    "no": r"one|body|longer|matter|doubt|less|more\s+than|other\s+than|wonder|problem"
    r"|game\s+no|man['’]?s\s+(?:sky|land)|(?-i:Face)|more\s+heroes|time\s+to|country\s+for|mercy|way\s+home|[\d.#]",
    "never": r"ending|mind|before|again|gonna|without",
    "without": r"(?:a\s+)?(?:doubt|question|fail)|further",
    "except": r"that|when|if|where",
    "sans": r"undertale|serif|and|papyrus",
    "minus": r"\d",
}
_PRECEDED = {
    "not": r"why|or|if|how",
    "without": r"with\s+or|not|never",
    "no": r"yes\s+or|say|says",
    "other": r"no|none|nothing",
    "except": r"nothing|nobody|no\s+one|none",
}
# Japanese in Latin letters: after such a word "no" is a particle, as in "koe no katachi".
_ROMAJI = re.compile(r"(?:(?:[kgsztdnhbpmyrwjf]y?|ch|sh|ts|kk|tt|ss|pp)?[aiueoāīūēō]n?[-']?)+")
_PORTUGUESE = re.compile(r"\b(?:um|uma|com|em|não|ao)\b")  # there "no" is "in the"

# Twice no is yes: "can't have a penguin without a dog". "In a room without windows" is no second negation of "no hat".
_WITHOUT = r"(?:without|w/o|unless)(?!\w)"
_JOINT = r"(?:and|or|nor|but|with)\b"
_DOUBLE = re.compile(
    rf"""\b(?:{_NOT}|never|nothing|nobody|no\s+one)\b(?:(?!\b{_JOINT})[^,;.!?|\n]){{1,60}}?\b{_WITHOUT}
    | (?:\bnot|\b(?:is|are|was|were)n['’]?t|(?:^|(?<=[,;.!?]\s)|(?<=\bis\s)|(?<=\bare\s))no)
      (?:\s+(?!{_JOINT})[\w'’-]+){{1,3}}?\s+{_WITHOUT}""",
    re.IGNORECASE | re.VERBOSE,
)

_ABSENT = r"(?:excluded|absent|missing|omitted|removed|left\s+out|forbidden|banned|prohibited|unwanted)"
_CLAUSE_END = r"(?=\s*(?:[,;.!?|\n)\]]|$))"
_REFUSED = re.compile(  # "watercolour is what I don't want", "dogs are not allowed", "dog excluded", "dog: no"
    r"\b(?:(?:is|are)\s+(?:what|something)\s+(?:i|we)\s+(?:do\s+not|don['’]?t|never)\s+(?:want|need|like)"
    r"|(?:(?:is|are)\s+)?not\s+(?:wanted|allowed|needed|welcome|included|present|visible|shown|there|here|in\s+it"
    r"|in\s+the\s+(?:picture|image|scene|photo|frame))"
    rf"|(?:is|are)\s+(?:{_ABSENT}|gone)|(?<=\s){_ABSENT}{_CLAUSE_END})(?![\w-])"
    r"|(?<=[^\W\d])(?<!\bre)(?:(?:\s*[:=]|\s+[-–—](?=\s))\s*(?:no|none|never|false|off|zero|0)"
    r"|\s*::\s*-\s*\.?\d[\d.]*)(?=\s*(?:[;!?|\n]|[.,](?!\s?\d)|$))",
    re.IGNORECASE,
)
# Where the words before such a refusal begin: "a penguin with the dog left out", "a penguin and the dog is absent".
_TURN = re.compile(r".*\b(?:with|but|while|where|though)\s+", re.IGNORECASE)
_TURN_IS = re.compile(r".*\b(?:and|but|while|where|though)\s+", re.IGNORECASE)
_WEIGHTLESS = re.compile(  # A1111's "(dog:0)", "[dog:-1]"
    r"[(\[](?!re:)(?:\\.|[^()\[\]<>:\\]){1,200}:{1,2}\s*(?:-\s*(?:\d+\.?\d*|\.\d+)|0*\.?0+|0+\.)\s*[)\]]",
    re.IGNORECASE,
)
_AFFIX = re.compile(  # "a non-dog penguin", "a dog-free picture"
    r"(?<![\w-])(?:(?:non-(?!binary|stop|human|fiction|linear|player|web|existent|standard|traditional)"
    r"|no-(?!name|one|go|kill|fly|brainer|nonsense|frills|smoking|parking))\w+"
    r"|(?!royalty|care|hands|scot|duty)(?:\w+-){1,3}(?:free|less))(?![\w-])",
    re.IGNORECASE,
)
_AFFIXES = re.compile(r"(?<!\w)(?:non|no)-|-(?:free|less)(?!\w)", re.IGNORECASE)
_PARAMETER = re.compile(r"--no\s+(?:(?!--)[^\n])+")  # as Midjourney has it
_CLAUSE = re.compile(r"[^,;.!?|\n]*$")
_TOKEN = re.compile(r"[\w'’+&-]+|[^\w\s]")
_LIST = re.compile(r"(?:,\s*[\w'’-]+)+,?\s+(?:or|nor)\s+(?:an?\s+)?[\w'’-]+", re.IGNORECASE)
_EMPTY = lexicon.FUNCTION | frozenset(f"{_VERBS}|wanted|really|ever|even|please|anymore|nor|yet".split("|"))
LONGEST, FARTHEST = 4, 40
"""Words of a noun phrase, and tokens that are looked at: a list of tags without commas is not negated to its end."""


@lru_cache(maxsize=256)  # a plan asks many times of one prompt
def negated(prompt: str) -> tuple[tuple[int, int], ...]:
    """List the spans of a prompt that name what is not wanted, in reading order, none overlapping.

    A span holds the word that negates: ``without a dog``.
    """
    text = prompt.replace("_", " ")
    spans = [(_clause_start(text, match), match.end()) for match in _REFUSED.finditer(text)]
    spans += [match.span() for form in (_PARAMETER, _WEIGHTLESS, _AFFIX) for match in form.finditer(text)]
    spans += [(cue.start(), end) for cue in _cues(text) if (end := _reach(text, cue))]
    spans += foreign_negations(prompt)
    apart: list[tuple[int, int]] = []
    for start, end in sorted(spans):
        if not apart or start >= apart[-1][1]:
            apart.append((start, end))
    return tuple(apart)


def affirmed(prompt: str) -> str:
    """Blank out what a prompt negates; what is left keeps its place."""
    for start, end in negated(prompt):
        prompt = f"{prompt[:start]};{' ' * (end - start - 1)}{prompt[end:]}"
    return prompt


def bare(span: str) -> str:
    """Cut off the words that negate: ``without a dog`` becomes ``a dog``."""
    return _AFFIXES.sub(" ", _CUE.sub(" ", span.replace("_", " "))).strip()


def _cues(text: str) -> Iterator[re.Match[str]]:
    foreign = _PORTUGUESE.search(text)
    double = [match.span() for match in _DOUBLE.finditer(text)]
    for cue in _CUE.finditer(text):
        undone = any(start <= cue.start() < end or start < cue.end() <= end for start, end in double)
        if not undone and not (cue["no"] and foreign) and _negates(text, cue):
            yield cue


def _clause_start(text: str, refusal: re.Match[str]) -> int:
    end = refusal.start()
    clause = _CLAUSE.search(text, max(0, end - 200), end)
    assert clause
    turn = {"is": _TURN_IS, "ar": None}.get(refusal[0][:2].lower(), _TURN)
    start = match.end() if turn and (match := turn.match(clause[0])) else 0
    return clause.end() - len(clause[0][start:].lstrip())


def _negates(text: str, cue: re.Match[str]) -> bool:
    """Tell whether a cue negates, and is not part of an idiom or a name."""
    kind = cue.lastgroup or ""
    before, after = text[max(0, cue.start() - 40) : cue.start()], text[cue.end() : cue.end() + 40].lstrip()
    if kind in _FOLLOWED and re.match(rf"(?:{_FOLLOWED[kind]})(?!\w)", after, re.IGNORECASE):
        return False
    if kind in _PRECEDED and re.search(rf"\b(?:{_PRECEDED[kind]})\s+$", before, re.IGNORECASE):
        return False
    return kind not in _NAMES or _NAMES[kind](before, after)


def _begins_tag(before: str, after: str) -> bool:
    """Tell whether a dash stands at the start of a tag, and not of a line in a list."""
    return before.rstrip()[-1:] in {",", ";", "|"} or (not before.strip() and "\n-" not in after)


def _is_zero(before: str, after: str) -> bool:
    """Tell whether "zero" is a number and no part of a name: "with zero dogs", "mega man zero fans"."""
    said = re.search(r"([\w'’-]+)\s+$", before)
    return not said or said[1].lower() in lexicon.BEFORE_NO


def _is_sans(before: str, after: str) -> bool:
    """Tell "a penguin sans dog" from a person called Sans and from Comic Sans."""
    said = re.search(r"([\w'’-]+)\s+$", before)
    word = said[1].lower() if said else ""
    return bool(before.strip()) and word not in lexicon.FUNCTION | {"comic", "undertale"}


def _is_english_no(before: str, after: str) -> bool:
    following = _TOKEN.match(after)
    word = following[0].lower() if following else ""
    if word in lexicon.FUNCTION and word not in lexicon.QUANTITIES:
        return False  # "Doctor No in a suit"
    said = re.search(r"([\w'’-]+)\s+$", before)
    last = said[1].lower() if said else ""
    return last in lexicon.BEFORE_NO | {""} or not _ROMAJI.fullmatch(last)


_NAMES = {"no": _is_english_no, "dash": _begins_tag, "zero": _is_zero, "sans": _is_sans}
"""Cues that are often parts of names, and how they are told apart by the text before and after them."""


def _reach(text: str, cue: re.Match[str]) -> int:
    """Find the end of what a cue negates ("no dog", "no: dog"); 0 if nothing follows that it could negate."""
    found = zip(
        _TOKEN.finditer(text, cue.end() + (text[cue.end() : cue.end() + 1] == ":")), range(FARTHEST), strict=False
    )
    tokens = [(token[0].lower().strip("'’-"), token.end()) for token, _ in found]
    at, end = _phrase(tokens, 0)
    joins = not (cue["no"] or cue["swap"])
    same = any(word in lexicon.DETERMINERS for word, _ in tokens[:at])
    while end and _joins([word for word, _ in tokens[at : at + 2]], joins, same):
        at, more = _phrase(tokens, at + 1)
        end = more or end
    listed = _LIST.match(text, end) if end else None
    return listed.end() if listed else end


def _phrase(tokens: Sequence[tuple[str, int]], first: int) -> tuple[int, int]:
    """Read a noun phrase from a token on; return the token after it, and where in the text it ends (0: there is none).

    What is done with the thing belongs to it ("wearing a hat"), what the thing does does not ("a dog running").
    """
    end = words = 0
    verb = False
    for at in range(first, len(tokens)):
        word, place = tokens[at]
        if not word[:1].isalnum() or word in lexicon.NEGATING or words == LONGEST:
            return at, end
        if word in _EMPTY:
            if words and word not in lexicon.QUANTITIES and not (verb and word in lexicon.DETERMINERS):
                return at, end
        elif words and is_verb(word):
            return at, end
        else:
            words, end, verb = words + 1, place, is_verb(word)
    return len(tokens), end


def _joins(words: Sequence[str], reaches: bool, determiner: bool) -> bool:
    """Tell whether "or" or "and" takes a negation on: "and" only from like to like, and not that of "no"."""
    if len(words) < 2 or words[0] not in ("and", "or", "nor"):
        return False
    joint, following = words
    if following in lexicon.NEGATING or (following in _EMPTY and following not in lexicon.DETERMINERS):
        return False
    return joint != "and" or (reaches and not is_verb(following) and (following in lexicon.DETERMINERS) == determiner)
