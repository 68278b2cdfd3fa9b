"""Plurals: the other number of the nouns that people prompt with."""

from __future__ import annotations

import pytest

from stylus_gen.tools.plurals import other_numbers

PAIRS = [
    ("dog", "dogs"), ("fox", "foxes"), ("puppy", "puppies"), ("wolf", "wolves"), ("knife", "knives"), ("toy", "toys"),
    ("witch", "witches"), ("dress", "dresses"), ("shoe", "shoes"), ("glove", "gloves"), ("movie", "movies"),
    ("volcano", "volcanoes"), ("piano", "pianos"), ("woman", "women"), ("child", "children"), ("goose", "geese"),
    ("brush", "brushes"), ("horse", "horses"), ("axe", "axes"), ("owl", "owls"), ("elf", "elves"), ("roof", "roofs"),
    ("snowman", "snowmen"), ("mermaid", "mermaids"), ("fisherwoman", "fisherwomen"), ("mouse", "mice"),
    ("grandchild", "grandchildren"), ("human", "humans"), ("mongoose", "mongooses"),
    ("bus", "buses"), ("walrus", "walruses"), ("cactus", "cacti"), ("cactus", "cactuses"), ("dwarf", "dwarves"),
    ("leaf", "leaves"), ("hoof", "hooves"), ("vase", "vases"), ("werewolf", "werewolves"), ("tooth", "teeth"),
]  # fmt: skip


@pytest.mark.parametrize(("one", "many"), PAIRS)
def test_each_number_leads_to_the_other(one: str, many: str) -> None:
    assert many in other_numbers(one)
    assert one in other_numbers(many)


@pytest.mark.parametrize("word", ["", "s", "as", "bus1", "狐", "miku's", "123"])
def test_what_is_no_english_noun_has_no_other_number(word: str) -> None:
    assert other_numbers(word) == set()
