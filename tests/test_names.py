"""What adapters go by, and the names, notions and negations that prompts say in many spellings and languages."""

from __future__ import annotations

import pytest

from stylus_gen.tools.negation import affirmed
from stylus_gen.tools.notions import by_language, find_notions, languages_of
from stylus_gen.tools.romanise import of_cyrillic, of_hangul, of_kana
from stylus_gen.tools.search.names import key_of, keys_of, names_of, words_of


def keys(name: str, kind: str = "character", tags: tuple[str, ...] = ()) -> set[int]:
    return set(keys_of(names_of(name, (), tags, kind)))


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("[Some Game] Zelphira Nightbloom (LoRA) v2.1", "nightbloom zelphira"),
        ("Zelphira Nightbloom ゼルフィラ | 3 outfits", "zelphira nightbloom"),
        ("Zelphira Nightbloom ゼルフィラ | 3 outfits", "ゼルフィラ"),
        ("OrnateGlassAI", "ornate glass"),
        ("Sky Trooper - Some Saga", "skytrooper"),
        ("Sky Trooper - Some Saga", "some saga"),
        ("Paper Lanterns Style LoRA", "paper lantern"),
        ("Café de l'Étoile", "cafe de letoile"),
        ("Old Zarquon", "Zarquon"),
        ("Zel\u200bphira", "zelphira"),
    ],
)
def test_a_prompt_may_say_a_name_in_any_order_number_spacing_or_script(name: str, said: str) -> None:
    assert key_of(words_of(said)) in keys(name)


@pytest.mark.parametrize("said", ["lora", "v2", "style", "outfits", "ai"])
def test_what_every_title_holds_is_no_name(said: str) -> None:
    assert key_of(words_of(said)) not in keys("Zelphira style (LoRA) AI v2 | outfits")


def test_the_first_part_of_a_title_is_the_adapters_own_and_a_bracket_before_it_is_a_series() -> None:
    names = names_of("[Some Saga] Zelphira (armour)", (), (), "character")
    assert names.own == {("zelphira",)}


@pytest.mark.parametrize(
    ("prompt", "language", "english"),
    [
        ("eine Meerjungfrau im Kirschblütengarten, Aquarell", "de", {"mermaid", "cherry blossom", "watercolor"}),
        ("une sorcière dans une forêt brumeuse, peinture à l'huile", "fr", {"witch", "misty forest", "oil painting"}),
        ("un dragón en la biblioteca, estilo acuarela", "es", {"dragon", "library", "watercolor"}),
        ("uma sereia com um guarda-chuva em uma biblioteca", "pt", {"mermaid", "umbrella", "library"}),
        ("una strega in un castello, stile fumetto", "it", {"witch", "castle", "comic"}),
        ("ведьма в тёмном лесу, акварелью", "ru", {"witch", "forest", "watercolor"}),
        ("czarownica w zamku, akwarelą", "pl", {"witch", "castle", "watercolor"}),
        ("図書館にいる魔女、水彩画", "ja", {"library", "witch", "watercolor"}),
        ("图书馆里的女巫，水彩画", "zh", {"library", "witch", "watercolor"}),
        ("도서관에 있는 마녀, 수채화", "ko", {"library", "witch", "watercolor"}),
    ],
)
def test_notions_are_understood_in_ten_languages_and_inflected(prompt: str, language: str, english: set[str]) -> None:
    assert language in languages_of(prompt)
    found = {word for notion in find_notions(prompt) for word in notion.english}
    assert english <= found
    assert all(0 <= notion.start < notion.end <= len(prompt) for notion in find_notions(prompt))


@pytest.mark.parametrize("prompt", ["a witch in a library", "masterpiece, 1girl, kimono", "Rosa in a rose garden", ""])
def test_an_english_prompt_has_no_foreign_notions(prompt: str) -> None:
    assert find_notions(prompt) == ()


def test_the_table_has_every_notion_in_every_language() -> None:
    counts = by_language()
    assert len(counts) == 10
    assert len(set(counts.values())) == 1


@pytest.mark.parametrize(
    ("prompt", "gone", "left"),
    [
        ("ein Hund am Strand ohne Hut, Aquarell", "Hut", "Aquarell"),
        ("bitte kein Anime, ein Hund am Strand", "Anime", "Hund"),
        ("une fille sans chapeau, style aquarelle", "chapeau", "aquarelle"),
        ("una chica sin gafas, en la playa", "gafas", "playa"),
        ("uma menina sem chapéu, em uma praia", "chapéu", "praia"),
        ("una ragazza senza occhiali, in un bosco", "occhiali", "bosco"),
        ("девушка без очков, акварель", "очков", "акварель"),
        ("dziewczyna bez okularów, w zamku", "okularów", "zamku"),
        ("着物の女の子、眼鏡なし", "眼鏡", "着物"),
        ("穿旗袍的女孩，不要眼镜", "眼镜", "旗袍"),
        ("한복 소녀, 안경 없이", "안경", "한복"),
    ],
)
def test_what_is_negated_in_another_language_is_not_wanted(prompt: str, gone: str, left: str) -> None:
    assert gone not in affirmed(prompt)
    assert left in affirmed(prompt)
    assert len(affirmed(prompt)) == len(prompt)


def test_names_in_other_scripts_are_spelt_as_catalogues_spell_them() -> None:
    assert [of_kana(text) for text in ("ミク", "アーニャ", "ぼっち", "キャラ", "水")] == [
        "miku",
        "anya",
        "bocchi",
        "kyara",
        "",
    ]
    assert of_cyrillic("Наруто") == "naruto"
    assert of_hangul("아냐") == "anya"
