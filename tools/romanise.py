"""Names in kana, Cyrillic and Hangul, spelt in Latin letters as catalogues spell them. Pure; it translates nothing.

Kana by Hepburn, Cyrillic as in passports, Hangul by the Revised Romanization, without their rules of assimilation.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

SHORTEST = 4
"""Latin letters: what is shorter is more often a particle than a name."""
LONGEST = 10

_KANA_SIGNS = (
    "アイウエオカキクケコサシスセソタチツテトナニヌネノハヒフヘホマミムメモヤユヨラリルレロワヲン"
    "ガギグゲゴザジズゼゾダヂヅデドバビブベボパピプペポヴァィゥェォ"
)
_KANA_SOUNDS = """
    a i u e o ka ki ku ke ko sa shi su se so ta chi tsu te to na ni nu ne no ha hi fu he ho ma mi mu me mo ya yu yo
    ra ri ru re ro wa o n ga gi gu ge go za ji zu ze zo da ji zu de do ba bi bu be bo pa pi pu pe po vu a i u e o
"""
_KANA = dict(zip(_KANA_SIGNS, _KANA_SOUNDS.split(), strict=True))
_SMALL = {"ャ": "ya", "ュ": "yu", "ョ": "yo", "ァ": "a", "ィ": "i", "ゥ": "u", "ェ": "e", "ォ": "o"}
# An apostrophe stands for no sound.
_CYRILLIC_SOUNDS = "a b v g d e e zh z i y k l m n o p r s t u f kh ts ch sh shch ' y ' e yu ya"
_CYRILLIC = dict(zip("абвгдеёжзийклмнопрстуфхцчшщъыьэюя", _CYRILLIC_SOUNDS.split(), strict=True))
_INITIALS = "g kk n d tt r m b pp s ss ' j jj ch k t p h"
_VOWELS = "a ae ya yae eo e yeo ye o wa wae oe yo u wo we wi yu eu ui i"
_FINALS = "' k k ks n nj nh t l lk lm lb ls lt lp lh m p ps t t ng t t k t p h"
_INITIAL, _VOWEL, _FINAL = _INITIALS.split(), _VOWELS.split(), _FINALS.split()
_HANGUL = 0xAC00


def romanised(text: str) -> Iterator[tuple[int, int, str]]:
    """Yield runs of a text that may be names, (start, end, in Latin letters), the longest first from each place."""
    for match in re.finditer("[ぁ-ゖァ-ヺー]{2,}", text):
        for start in range(match.start(), match.end() - 1):
            for end in range(min(start + LONGEST, match.end()), start + 1, -1):
                if len(spelt := of_kana(text[start:end])) >= SHORTEST:
                    yield start, end, spelt
    for match in re.finditer("[а-яё]{4,}", text, re.IGNORECASE):
        spelt = of_cyrillic(match[0])
        yield from ((match.start(), match.end(), form) for form in (spelt, spelt[:-1], spelt.replace("ks", "x")))
    for match in re.finditer("[\uac00-\ud7a3]{2,}", text):
        for end in range(min(match.start() + LONGEST, match.end()), match.start() + 1, -1):
            if len(spelt := of_hangul(text[match.start() : end])) >= SHORTEST:
                yield match.start(), end, spelt


def of_kana(text: str) -> str:
    """Spell kana; an empty string for what is none. Long vowels are not marked: ミク is miku, アーニャ anya."""
    spelt, doubled = "", False
    for char in ("".join(chr(ord(c) + 0x60) if "ぁ" <= c <= "ゖ" else c for c in text)).replace("ー", ""):
        if char == "ッ":
            doubled = True
            continue
        if char in _SMALL and spelt and spelt[-1] in "iueo":
            vowel = _SMALL[char]
            stem = spelt[:-1]
            spelt = stem + (vowel[1:] if vowel[0] == "y" and stem.endswith(("sh", "ch", "j")) else vowel)
        elif char in _KANA:
            sound = _KANA[char]
            spelt += ("c" if sound.startswith("ch") else sound[0]) + sound if doubled else sound
        else:
            return ""
        doubled = False
    return spelt


def of_cyrillic(word: str) -> str:
    """Spell a Russian word."""
    return "".join(_CYRILLIC.get(char, "") for char in word.casefold()).replace("'", "")


def of_hangul(word: str) -> str:
    """Spell a Korean word, syllable by syllable."""
    spelt = ""
    for char in word:
        number = ord(char) - _HANGUL
        spelt += _INITIAL[number // 588] + _VOWEL[number % 588 // 28] + _FINAL[number % 28]
    return spelt.replace("'", "")
