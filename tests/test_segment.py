"""Segmentation by rules, and the placing of a model's spans."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stylus_gen.tools.errors import BadRequest
from stylus_gen.tools.segment import describe, place_concepts, segment_prompt


@pytest.mark.parametrize(
    ("prompt", "concepts"),
    [
        ("a watercolor fox in the snow", "watercolor (style), fox (object), snow (background)"),
        ("a rocket, glossy 3D style", "rocket (object), glossy 3D style (style)"),
        ("a castle in the style of a blueprint", "castle (background), blueprint (style)"),
        ("a man wearing a red kimono", "man (object), red kimono (clothing)"),
    ],
)
def test_a_sentence_gives_its_styles_things_and_places(prompt: str, concepts: str) -> None:
    assert describe(segment_prompt(prompt)) == concepts


def test_a_tag_list_gives_its_tags_without_weights_brackets_and_boilerplate() -> None:
    prompt = r"masterpiece, (best quality:1.2), 1girl, long hair, ((wanostyle)), (red kimono:0.8), miku \(vocaloid\)"
    assert (
        describe(segment_prompt(prompt)) == r"wanostyle (unknown), red kimono (clothing), miku \(vocaloid\) (character)"
    )


def test_prompt_syntax_is_no_concept() -> None:
    assert describe(segment_prompt("fox BREAK <lora:add_detail:0.7> forest")) == "fox (unknown), forest (background)"


def test_boilerplate_alone_has_no_concepts() -> None:
    assert segment_prompt("best quality, masterpiece, 1girl, solo, blue eyes") == []


def test_another_language_comes_back_as_its_parts() -> None:
    assert [c.text for c in segment_prompt("初音ミク、水彩画，雪")] == ["初音ミク", "水彩画", "雪"]


@given(st.text(max_size=200))
def test_every_concept_is_a_span_of_the_prompt(prompt: str) -> None:
    concepts = segment_prompt(prompt)
    assert all(prompt[c.start : c.end] == c.text for c in concepts)
    assert all(a.end <= b.start for a, b in pairwise(concepts))


def test_a_long_prompt_is_read_in_a_moment() -> None:
    assert len(segment_prompt("((((" * 500 + "a small fox " * 300)) == 1


def test_the_same_words_twice_are_two_spans() -> None:
    concepts = place_concepts("red fox and red panda, red", [("red", "concept"), ("red", "concept")])
    assert [(c.start, c.end) for c in concepts] == [(0, 3), (12, 15)]


def test_a_span_that_is_not_in_the_prompt_is_named() -> None:
    with pytest.raises(BadRequest, match="'blue whale' does not occur"):
        place_concepts("a red fox", [("blue whale", "object")])
