"""What a prompt does not want: the words that negate, how far they reach, and what only looks like them."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stylus_gen.tools.negation import affirmed, negated
from stylus_gen.tools.segment import segment_prompt


@pytest.mark.parametrize(
    ("prompt", "spans"),
    [
        ("a penguin without a dog", ["without a dog"]),
        ("a penguin without a dog in the snow", ["without a dog"]),
        ("a fox without a hat and a scarf", ["without a hat and a scarf"]),
        ("a girl without shoes and a red dress", ["without shoes"]),
        ("a girl with no shoes and a red dress", ["no shoes"]),
        ("a fox without hats, scarves or gloves", ["without hats, scarves or gloves"]),
        ("a man without a hat walking a dog", ["without a hat"]),
        ("a knight without riding a horse", ["without riding a horse"]),
        ("a fox, no hat, no people", ["no hat", "no people"]),
        ("(no_hat:1.2), fox", ["no_hat"]),
        ("a fox no dog", ["no dog"]),
        ("a castle. No anime, like a photo", ["No anime"]),
        ("a forest with no sign of people", ["no sign of people"]),
        ("a car, anything but red", ["anything but red"]),
        ("everyone except batman", ["everyone except batman"]),
        ("a dog minus the collar", ["minus the collar"]),
        ("a cat instead of a dog", ["instead of a dog"]),
        ("not a dog but a penguin", ["not a dog"]),
        ("naruto but NOT in orange, in a black coat", ["NOT in orange"]),
        ("neither a dog nor a cat, a penguin", ["neither a dog nor a cat"]),
        ("a girl who isn't wearing glasses, not a uniform", ["isn't wearing glasses", "not a uniform"]),
        ("a penguin, dog not included", ["dog not included"]),
        ("animals other than dogs", ["other than dogs"]),
        ("a girl with wings instead of arms and eagle talons", ["instead of arms"]),
        ("a penguin --no dog, cat", ["--no dog, cat"]),
        ("I don’t want any dogs, don't make it chibi", ["I don’t want any dogs", "don't make it chibi"]),
        ("a forest, watercolour is what i dont want, rather a pencil drawing", ["watercolour is what i dont want"]),
        ("a penguin, dog excluded", ["dog excluded"]),
        ("a penguin; the dog is absent", ["the dog is absent"]),
        ("a penguin and the dog is missing", ["the dog is missing"]),
        ("a penguin with the dog left out, dogs and cats are banned", ["the dog left out", "dogs and cats are banned"]),
        ("a penguin, dog: no, cat: none, hat=0", ["dog: no", "cat: none", "hat=0"]),
        ("a penguin, -dog, -red hat", ["-dog", "-red hat"]),
        ("-dog, a penguin", ["-dog"]),
        ("a penguin sans dog, sans a hat", ["sans dog", "sans a hat"]),
        ("a penguin, (dog:0), (a cat:-1), [fox:0.0], ((hat:-.5)), scarf::-1", ["(dog:0)", "(a cat:-1)", "[fox:0.0]",
                                                                               "(hat:-.5)", "scarf::-1"]),
        ("a penguin, dog - no, no: hat, exclude: cat", ["dog - no", "no: hat", "exclude: cat"]),
        ("a fox but the dog is not there, cat not in the picture", ["the dog is not there", "cat not in the picture"]),
        ("a penguin and the dog is not in it", ["the dog is not in it"]),
        ("a non-dog penguin, a no-hat day", ["non-dog", "no-hat"]),
        ("a penguin with zero dogs, 0 hats", ["zero dogs", "0 hats"]),
        ("a penguin free from dogs, lacks a hat", ["free from dogs", "lacks a hat"]),
        ("a dog-free picture, a hat-less fox", ["dog-free", "hat-less"]),
        ("a dog without a hat, it won't have wings", ["without a hat", "won't have wings"]),
    ],
)  # fmt: skip
def test_what_is_negated_ends_with_its_noun_phrases(prompt: str, spans: list[str]) -> None:
    assert [prompt[start:end] for start, end in negated(prompt)] == spans


@pytest.mark.parametrize(
    "prompt",
    [
        "not only a dog but a penguin",
        "no one but a dog, no longer a child, no matter what",
        "a room with nothing but a bed",
        "a well-known fox - the red one, x -1, punishing grey raven -luna",
        "how not to summon a demon lord, no more heroes, um coelho no estilo de pintura",
        "kobayashi-san chi no maid dragon, karakai jōzu no takagi-san, futoku no guild",
        "none other than batman, with or without a hat, never without his sword",
        "don't forget the hat, do not forget the dog",
        "why not a dog",
        "a never-ending story, a no-name bag, a snowman, a knot",
        "boku no hero academia, koe no katachi, oshi no ko, kimi no na wa",
        "No Game No Life, No Man's Sky, No Face on a bridge, No. 2 type B",
        "without, no, not",
        "can't have a penguin without a dog, I cannot live without my dog",
        "a penguin is never seen without a dog, a penguin isn't complete without a dog",
        "no penguin without a dog, don't draw a penguin unless there is a dog",
        "nothing except a penguin, no one except batman",
        "sans undertale, comic sans text, a picture of sans in a hoodie",
        "zero two, re:zero characters, zero suit samus, mega man zero fans, zero gravity",
        "(dog:0.5), (cat:1), [fox:0.2], [fox:cat:0.5], <lora:dog:0>, <lora:dog:-1>",
        "an absent-minded professor, non-binary person, non non biyori, royalty-free, carefree",
        "(fox:0,9), fox : 0, 8, 7:0,8:0, (re:0), re:0, my little sister can't be this cute",
        "a fox - no longer a cub, to be or not to be there",
        "- a fox\n- a dog",
        "-fox\n-dog",
    ],
)
def test_turns_of_phrase_and_names_negate_nothing(prompt: str) -> None:
    assert negated(prompt) == ()


def test_what_is_negated_is_no_concept_and_the_rest_keeps_its_place() -> None:
    concepts = segment_prompt("a penguin without a dog in the snow, no hat")
    assert [(c.text, c.start) for c in concepts] == [("penguin", 2), ("snow", 31)]


WORDS = ["no ", "not ", "without ", "a ", "dog", ", ", "and ", "_", "don't want ", "ü", "\n"]


@given(st.lists(st.sampled_from(WORDS)))
def test_negated_spans_lie_apart_and_nothing_else_is_blanked(words: list[str]) -> None:
    prompt = "".join(words)
    spans = negated(prompt)
    assert all(end <= start for (_, end), (start, _) in pairwise(spans))
    inside = {place for start, end in spans for place in range(start, end)}
    assert [c for i, c in enumerate(affirmed(prompt)) if i not in inside] == [
        c for i, c in enumerate(prompt) if i not in inside
    ]


def test_a_long_prompt_is_read_to_its_end() -> None:
    assert len(negated("no hat, " * 1000)) == 1000
    assert len(negated("not a dog and a cat. " * 500)) == 500
    assert negated("watercolour " * 1000 + "is what i ") == ()
    assert negated("(a " * 1600 + "a-" * 1600) == ()
