"""Lint for recipes made by hand."""

from __future__ import annotations

from typing import Any

import pytest

from stylus_gen.tools.card import Card
from stylus_gen.tools.check import Report, Use, check_recipe, read_a1111, uses_of
from stylus_gen.tools.plan import Policy
from tests.test_agent import CARDS, Shelf, ask


def find(name: str) -> Card | None:
    return next((card for card in CARDS if name in (card.id, card.name)), None)


def check(prompt: str, *uses: Use, **policy: Any) -> Report:
    return check_recipe(prompt, uses, find, family="sd15", policy=Policy(**policy))


def codes(report: Report) -> dict[str | None, str]:
    return {finding.adapter: finding.code for finding in report.findings}


def test_a_prompt_with_lora_tags_is_read() -> None:
    prompt, uses = read_a1111("a fox <lora:Fox:0.8>, snow <lora:Snow>")
    assert prompt == "a fox , snow"
    assert uses == [Use("Fox", 0.8), Use("Snow", 1.0)]


@pytest.mark.parametrize(
    ("tag", "weight"),
    [
        ("<lora:Fox:-1.2>", -1.2),
        ("<lyco:Fox:.5>", 0.5),
        ("<lora:Fox:0.8:0.6>", 0.6),
        ("<lora:Fox:te=0.8:unet=0.6>", 0.6),
        ("<lora:Fox:0.8:lbw=MIDD>", 0.8),
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
    assert read_a1111(text) == ("a fox", [Use("abc123", 0.8)])


def test_a_good_recipe_has_no_findings() -> None:
    assert check("a fox in deep snow", Use("fox", 0.8), Use("snow", 0.8)).findings == ()


def test_a_recipe_is_told_what_a_plan_would_be_told() -> None:
    report = check("a fox, fox", Use("fox", 0.8), Use("fox2", 0.8), Use("xl", 0.8), Use("ink", 0.2), Use("whale", 1))
    assert {f.code for f in report.findings if f.adapter == "Fox"} == {"doubled_trigger"}
    assert "duplicate" in {f.code for f in report.findings if f.adapter == "Fox v2"}
    assert "wrong_family" in {f.code for f in report.findings if f.adapter == "Fox XL"}
    assert {f.code for f in report.findings if f.adapter == "Ink"} == {"no_trigger", "weight"}
    assert codes(report)["whale"] == "unknown"
    assert codes(report)[None] == "strength"
    assert report.findings[0].level == "error"


def test_the_policy_is_asked() -> None:
    assert codes(check("a fox", Use("fox", 0.8), profile="strict"))["Fox"] == "licence"


def test_our_own_plans_pass() -> None:
    from stylus_gen.agent.graph import plan_prompt

    plan = plan_prompt(ask(), Shelf().context())
    report = check_recipe(plan.final_prompt, uses_of(plan), find, family="sd15", policy=plan.policy)
    assert report.findings == ()
