"""The request: a prompt and the settings of its plan."""

from __future__ import annotations

from typing import Any, Self

from pydantic import Field, field_validator, model_validator

from stylus_gen.tools.a1111 import split_parts, without_tags
from stylus_gen.tools.errors import BadRequest
from stylus_gen.tools.families import FAMILIES, Family
from stylus_gen.tools.plan import MAX_IMAGES, MAX_SEED, Budget, Policy, Record
from stylus_gen.tools.segment import has_content
from stylus_gen.tools.text import MAX_RECIPE, readable


class PlanRequest(Record):
    """A prompt and what is fixed about its plan. Adapters in ``pinned`` (ids) are always used, in ``banned`` never."""

    prompt: str
    images: int = Field(default=1, ge=1, le=MAX_IMAGES)
    seed: int = Field(default=0, ge=0, le=MAX_SEED)
    family: Family
    base: str | None = None
    policy: Policy = Policy()
    negative_prompt: str = ""
    max_adapters: int = Field(default=4, ge=0, le=10)
    pinned: tuple[str, ...] = ()
    banned: tuple[str, ...] = ()
    diversity: float = Field(default=0, ge=0, le=1, description="share of masks drawn at random instead of all on")
    budget: Budget = Budget()
    pasted: str = Field(default="", description="settings that were pasted with the prompt")

    @model_validator(mode="before")
    @classmethod
    def _split(cls, given: Any) -> Any:
        """Split a pasted text in A1111's form into prompt, negative prompt and settings."""
        said = given.get("prompt") if isinstance(given, dict) else None
        if not isinstance(said, str) or len(said) > MAX_RECIPE:
            return given
        prompt, *rest = split_parts(said)
        before = (given.get("negative_prompt"), given.get("pasted"))
        negative, pasted = (", ".join(filter(None, both)) for both in zip(before, rest, strict=True))
        return {**given, "prompt": prompt, "negative_prompt": negative, "pasted": pasted}

    @field_validator("prompt")
    @classmethod
    def _readable(cls, prompt: str) -> str:
        readable(prompt, "the prompt")
        if not prompt.strip():
            raise BadRequest("the prompt is empty; say in words what the picture should show")
        if not has_content(without_tags(prompt)):
            tagged = without_tags(prompt) != prompt
            raise BadRequest(
                "the prompt is nothing but <lora:…> tags; say in words what the picture should show, and pin the "
                "adapters (--pin NAME)"
                if tagged
                else f"the prompt {prompt.strip()[:40]!r} holds no words; say in words what the picture should show"
            )
        return prompt

    @field_validator("negative_prompt")
    @classmethod
    def _readable_too(cls, prompt: str) -> str:
        return readable(prompt, "the negative prompt")

    @field_validator("family", mode="before")
    @classmethod
    def _known(cls, family: object) -> object:
        if family not in FAMILIES or family == "unknown":
            raise BadRequest(f"no base family is called {family!r}; the families are {', '.join(FAMILIES[:-1])}")
        return family

    @model_validator(mode="after")
    def _agrees(self) -> Self:
        if both := set(self.pinned) & set(self.banned):
            raise BadRequest(f"pinned and banned at once: {', '.join(sorted(both))}; decide for one")
        if len(self.pinned) > self.max_adapters:
            raise BadRequest(
                f"{len(self.pinned)} adapters are pinned and a plan takes at most {self.max_adapters}; unpin some"
            )
        return self
