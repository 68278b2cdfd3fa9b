"""Checks of recipes made by hand, and the reader of tags and of pasted text."""

from __future__ import annotations

from typing import Any

import pytest

from stylus_gen.tools.a1111 import Use, read_a1111, split_parts, without_tags
from stylus_gen.tools.card import Card
from stylus_gen.tools.check import CheckReport, check_recipe, uses_of
from stylus_gen.tools.errors import BadRequest
from stylus_gen.tools.plan import Policy
from tests.fixtures.cards import CARDS, Cards, ask


def find(name: str) -> Card | None:
    return next((card for card in CARDS if name in (card.id, card.name)), None)


def check(prompt: str, *uses: Use, **policy: Any) -> CheckReport:
    return check_recipe(prompt, uses, find, family="sd15", policy=Policy(**policy))


def codes(report: CheckReport) -> dict[str | None, str]:
    return {finding.adapter: finding.code for finding in report.findings}


def test_a_prompt_with_lora_tags_is_read() -> None:
    prompt, uses = read_a1111("a fox <lora:Fox:0.8>, snow <lora:Snow>")
    assert prompt == "a fox, snow"
    assert uses == [Use("Fox", 0.8), Use("Snow", 1.0)]


@pytest.mark.parametrize(
    ("tag", "weight"),
    [
        ("<lora:Fox:-1.2>", -1.2),
        ("<lyco:Fox:.5>", 0.5),
        ("<lora:Fox:0.8:0.6>", 0.6),
        ("<lora:Fox:te=0.8:unet=0.6>", 0.6),
        ("<lora:Fox:0.8:lbw=MIDD>", 0.8),
        ("<lora:Fox:1:lbw=1,0,0,0.5>", 1.0),
        ("<lora:Fox:0.8:MIDD>", 0.8),
        ("<lora:Fox:0.8:ALL0.5>", 0.8),
        ("<lora:Fox:0.8:1,0,0,0,1,1,1,1,1,1,1,1,1,1,1,1,1>", 0.8),
        ("<lora:Fox:0.8:0.6:lbw=OUTALL:start=3:stop=9>", 0.6),
        ("< lora : Fox : 0.8 >", 0.8),
    ],
)
def test_every_way_to_write_a_weight_is_read(tag: str, weight: float) -> None:
    assert read_a1111(f"a fox {tag}") == ("a fox", [Use("Fox", weight)])


@pytest.mark.parametrize("weight", ["abc", "", "0,8", "nan", "0.8:abc", "unet=x"])
def test_a_weight_that_is_no_number_is_an_error(weight: str) -> None:
    prompt, uses = read_a1111(f"a fox <lora:Fox:{weight}>")
    assert prompt == "a fox"
    report = check(prompt, *uses)
    assert [(f.level, f.code, f.adapter) for f in report.findings] == [("error", "malformed", "Fox")]


def test_a_pictures_parameters_are_read_with_hashes() -> None:
    text = 'a fox <lora:Fox:0.8>\nNegative prompt: <lora:x:1>\nSteps: 20, Lora hashes: "Fox: abc123, y: 1", Version: 1'
    assert read_a1111(text) == ("a fox", [Use("Fox", 0.8, "abc123")])


@pytest.mark.parametrize(
    ("text", "prompt", "negative"),
    [
        ("a fox\nNegative prompt: a dog, blurry\nSteps: 20, Sampler: Euler a, Seed: 5", "a fox", "a dog, blurry"),
        ("a fox\r\nNegative prompt: a dog\r\nSteps: 20, Sampler: Euler a", "a fox", "a dog"),
        ("a fox Negative prompt: a dog Steps: 20, Sampler: Euler a, CFG scale: 7", "a fox", "a dog"),
        ("a fox, negative prompt: a dog", "a fox", "a dog"),
        ("a fox\nNegative prompt:\nSteps: 20", "a fox", ""),
        ("a fox\nSteps: 20, Size: 512x512", "a fox", ""),
        ("Prompt: a fox\nNegative prompt: a dog\nSteps: 20", "a fox", "a dog"),
        ("a fox. Steps: 20", "a fox.", ""),
        ("a fox\nSampler: Euler a, Steps: 20", "a fox", ""),
        ('a fox\nin snow\nNegative prompt: x,\ny\nSteps: 20, Template: "z\nSteps: 1"', "a fox\nin snow", "x,\ny"),
        ("a fox\nnegative prompt: a dog\nsteps: 20, cfg scale: 7", "a fox", "a dog"),
        ("a fox\nNEGATIVE PROMPT: a dog\nsampler: euler a, STEPS: 20", "a fox", "a dog"),
        ("a fox\nnegative: a dog\ncfg: 7", "a fox", "a dog"),
        ("a fox negative prompt: a dog steps: 20, seed: 5", "a fox", "a dog"),
        ("a fox, neg prompt: a dog, size: 512x512", "a fox", "a dog"),
        ("a photo\nmodel: a tall woman, film negative: old", "a photo\nmodel: a tall woman, film negative: old", ""),
        ("a fox on the steps: two of them", "a fox on the steps: two of them", ""),
        ("  a fox, ", "  a fox, ", ""),
        ("Steps: 20", "", ""),
    ],
)
def test_a_pasted_text_is_split_into_prompt_negative_prompt_and_settings(text: str, prompt: str, negative: str) -> None:
    parts = split_parts(text)
    assert parts[:2] == (prompt, negative)
    assert ("steps: 20" in parts.settings.lower()) is ("steps: 20" in text.lower())


def test_a_good_recipe_has_no_findings() -> None:
    assert check("a fox in deep snow", Use("fox", 0.8), Use("snow", 0.8)).findings == ()


def test_a_recipe_is_checked_by_the_rules_of_a_plan() -> None:
    report = check("a fox, fox", Use("fox", 0.8), Use("fox2", 0.8), Use("xl", 0.8), Use("ink", 0.2), Use("whale", 1))
    assert {f.code for f in report.findings if f.adapter == "Fox"} == {"doubled_trigger"}
    assert "duplicate" in {f.code for f in report.findings if f.adapter == "Fox v2"}
    assert "wrong_family" in {f.code for f in report.findings if f.adapter == "Fox XL"}
    assert {f.code for f in report.findings if f.adapter == "Ink"} == {"no_trigger", "weight"}
    assert codes(report)["whale"] == "unknown"
    assert codes(report)[None] == "strength"
    assert report.findings[0].level == "error"


def test_a_recipe_is_checked_against_the_policy() -> None:
    assert codes(check("a fox", Use("fox", 0.8), profile="strict"))["Fox"] == "licence"


def test_our_own_plans_pass() -> None:
    from stylus_gen.agent.graph import plan_prompt

    plan = plan_prompt(ask(), Cards().context())
    report = check_recipe(plan.final_prompt, uses_of(plan), find, family="sd15", policy=plan.policy)
    assert report.findings == ()


def test_a_hash_that_nobody_knows_does_not_hide_the_name_beside_it() -> None:
    prompt, uses = read_a1111('a fox <lora:Fox:0.8>\nSteps: 20, Lora hashes: "Fox: e3b0c44298fc"')
    assert check(prompt, *uses).findings == ()


def test_a_name_of_several_adapters_is_not_called_missing() -> None:
    def find(name: str) -> Card:
        raise BadRequest(f"{name!r} names 2 adapters (a; b): give more digits of the hash")

    (finding,) = check_recipe("a fox", [Use("Fox", 0.8)], find, family="sd15", policy=Policy()).findings
    assert "names 2 adapters" in finding.message


def test_a_recipe_of_too_many_adapters_is_refused() -> None:
    with pytest.raises(BadRequest, match="101 adapters"):
        check("a fox", *[Use("fox", 0.1)] * 101)


@pytest.mark.parametrize("tags", ["<lora:a:1> <lora:b:1>", "<lora:a:1>, <lyco:b>", "<lora:a><lora:b>"])
def test_tags_that_stand_together_are_all_taken_out(tags: str) -> None:
    assert without_tags(f"a fox, {tags}, in snow") == "a fox, in snow"
