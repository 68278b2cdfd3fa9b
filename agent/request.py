"""What is asked of the agent, and how much it may spend."""

from __future__ import annotations

from typing import Self

from pydantic import Field, field_validator, model_validator

from stylus_gen.tools.errors import BadRequest
from stylus_gen.tools.families import FAMILIES, Family
from stylus_gen.tools.plan import Policy, Record

MAX_PROMPT = 5000
"""Characters. Of 1,500 real prompts the longest has 1,122."""


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
        if len(prompt) > MAX_PROMPT:
            raise BadRequest(
                f"the prompt has {len(prompt):,} characters and {MAX_PROMPT:,} are read at most; shorten it",
                characters=len(prompt),
            )
        if "\0" in prompt:
            raise BadRequest("the prompt holds a NUL character; remove it")
        if not prompt.isascii() and any("\ud800" <= c <= "\udfff" for c in prompt):
            raise BadRequest("the prompt holds bytes that are no text in UTF-8; remove them")
        return prompt

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
