"""What may be asked: prompts that were pasted, tags, and requests that are refused."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stylus_gen.agent.graph import plan_prompt
from stylus_gen.tools.errors import BadRequest, PolicyRefused
from stylus_gen.tools.plan import Policy
from tests.fixtures.cards import Cards, ask, names


def test_lora_tags_in_the_prompt_are_left_out_with_a_warning() -> None:
    plan = plan_prompt(ask("a fox <lora:other:0.8>, snow"), Cards().context())
    assert "<lora" not in plan.final_prompt
    assert any("<lora:…>" in warning for warning in plan.warnings)


@pytest.mark.parametrize(
    ("fields", "error", "words"),
    [
        ({"prompt": "  "}, BadRequest, "empty"),
        ({"prompt": "fox " * 5000}, BadRequest, "20,000 characters"),
        ({"prompt": "a\0b"}, BadRequest, "NUL"),
        ({"family": "vista"}, BadRequest, "no base family is called 'vista'"),
        ({"pinned": ("fox",), "banned": ("fox",)}, BadRequest, "pinned and banned"),
        ({"pinned": ("nobody",)}, BadRequest, "not in the catalogue: nobody"),
        ({"pinned": ("xl",)}, BadRequest, "this adapter is for SDXL, the base is SD 1.5"),
        ({"pinned": ("fox",), "policy": Policy(profile="strict")}, PolicyRefused, "does not say"),
    ],
)
def test_a_bad_request_says_what_to_do(fields: dict[str, Any], error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        plan_prompt(ask(**fields), Cards().context())


@settings(max_examples=100, deadline=None)
@given(st.text(min_size=1, max_size=120) | st.text("fox snow,()<>:\\|miku_1.2 \n", min_size=1, max_size=120))
def test_any_prompt_gets_a_plan_or_a_reason(prompt: str) -> None:
    try:
        plan = plan_prompt(ask(prompt), Cards().context())
    except BadRequest:
        return
    assert plan.prompt == prompt


PASTED = "a fox\nNegative prompt: snow, blurry\nSteps: 20, Sampler: Euler a, CFG scale: 7, Seed: 5, Size: 512x512"


@pytest.mark.parametrize("text", [PASTED, PASTED.replace("\n", " "), PASTED.replace("\n", "\r\n")])
def test_a_pasted_text_is_planned_by_its_prompt_alone(text: str) -> None:
    plan = plan_prompt(ask(text), Cards().context())
    assert (plan.prompt, plan.negative_prompt) == ("a fox", "snow, blurry")
    assert names(plan) == ["Fox"]
    assert "Steps" not in plan.final_prompt
    assert any("Steps: 20" in warning for warning in plan.warnings)


@pytest.mark.parametrize(
    ("pasted", "fields", "said"),
    [
        ("Seed: 5", {"seed": 5}, "the plan takes its seed, 5, from the settings pasted after the prompt"),
        (
            "Steps: 20, Seed: 5",
            {"seed": 5},
            "; it does not use the others: Steps: 20, Seed: 5; give them to `generate`",
        ),
        ("steps: 20\nseed: 5", {"seed": 5}, "takes its seed, 5, from"),
        ("Steps: 20, Seed: 5", {"seed": 6}, "settings pasted after the prompt are not used: Steps: 20, Seed: 5"),
        ("Seed: 12345678901", {}, "Seed: 12345678901; a seed is a whole number from 0 to 4,294,967,295"),
        ("Seed: -1", {}, "Seed: -1; a seed is a whole number from 0 to 4,294,967,295"),
    ],
)
def test_a_plan_says_which_pasted_settings_it_uses(pasted: str, fields: dict[str, Any], said: str) -> None:
    (warning,) = plan_prompt(ask(f"a fox\n{pasted}", **fields), Cards().context()).warnings
    assert said in warning
    assert ("not use" in warning) is (pasted != "Seed: 5")


@pytest.mark.parametrize(
    ("prompt", "words"),
    [
        ("(<lora:dog:1>), ", "nothing but <lora:"),
        ("(<lora:dog:1>:1.2) BREAK", "nothing but <lora:"),
        ("BREAK", "holds no words"),
        ("(BREAK), AND", "holds no words"),
        (",,,", "holds no words"),
        ("... !?", "holds no words"),
        ("([{}])", "holds no words"),
        ("(((((", "holds no words"),
        ("\u200b\u200d\ufeff", "holds no words"),
    ],
)
def test_a_prompt_without_words_is_no_prompt(prompt: str, words: str) -> None:
    with pytest.raises(BadRequest, match=words):
        ask(prompt)


def test_any_script_and_a_picture_sign_are_words() -> None:
    for prompt in ("狐", "🦊", "❤", "1girl", "лиса"):
        assert ask(prompt).prompt == prompt


def test_a_negative_prompt_that_is_given_joins_the_pasted_one() -> None:
    assert ask(PASTED, negative_prompt="ugly").negative_prompt == "ugly, snow, blurry"
    with pytest.raises(BadRequest, match="empty"):
        ask("Negative prompt: snow\nSteps: 20")


def test_a_tag_in_the_negative_prompt_is_not_drawn() -> None:
    plan = plan_prompt(ask("a fox", negative_prompt="blurry, <lora:bad:1>, ugly"), Cards().context())
    assert plan.negative_prompt == "blurry, ugly"
    assert any("--pin" in warning for warning in plan.warnings)
    assert plan_prompt(ask(" a fox "), Cards().context()).warnings == ()
