"""What is asked of the agent, and how much it may spend."""

from __future__ import annotations

from typing import Self

from pydantic import Field, field_validator, model_validator

from stylus_gen.tools.a1111 import without_tags
from stylus_gen.tools.errors import BadRequest
from stylus_gen.tools.families import FAMILIES, Family
from stylus_gen.tools.plan import Policy, Record
from stylus_gen.tools.text import readable


class Budget(Record):
    """What one plan may spend on a chat model; the offline planner needs none of it."""

    model_calls: int = Field(default=8, ge=0)
    tokens: int = Field(default=12_000, ge=0, description="prompt and completion")
    seconds: float = Field(default=60, ge=0)


class PlanRequest(Record):
    """A prompt and what is fixed about its plan. Adapters in ``pinned`` (ids) are always used, in ``banned`` never."""

    prompt: str
    images: int = Field(default=1, ge=1, le=64)
    seed: int = Field(default=0, ge=0, le=2**32 - 1)
    family: Family
    base: str | None = None
    policy: Policy = Policy()
    negative_prompt: str = ""
    max_adapters: int = Field(default=4, ge=0, le=10)
    pinned: tuple[str, ...] = ()
    banned: tuple[str, ...] = ()
    diversity: float = Field(default=0, ge=0, le=1, description="share of masks drawn at random instead of all on")
    budget: Budget = Budget()

    @field_validator("prompt")
    @classmethod
    def _readable(cls, prompt: str) -> str:
        if not prompt.strip():
            raise BadRequest("the prompt is empty; say in words what the picture should show")
        if not without_tags(prompt).strip(" ,"):
            raise BadRequest(
                "the prompt is nothing but <lora:…> tags; say in words what the picture should show, and pin the "
                "adapters (--pin NAME)"
            )
        return readable(prompt, "the prompt")

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
