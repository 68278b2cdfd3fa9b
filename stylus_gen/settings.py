"""Settings: arguments over ``STYLUS_*`` variables over defaults. Misspelt names are refused, secrets never print."""

from __future__ import annotations

import difflib
import os
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from stylus_gen.tools.diffusion.settings import Limits, RenderSettings, render_settings
from stylus_gen.tools.errors import BadRequest, faults
from stylus_gen.tools.families import Family
from stylus_gen.tools.plan import Budget, Policy, Profile
from stylus_gen.tools.text import MAX_NAME

PREFIX = "STYLUS_"


class Settings(BaseSettings):
    """Everything that can be set, with its default. ``STYLUS_DATABASE_URL`` sets `database_url`, and so on."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, extra="forbid", frozen=True, env_ignore_empty=True)

    home: Path = Field(default=Path("~/.stylus"), description="where the embedded database lives")
    database_url: SecretStr | None = Field(default=None, description="a Postgres server; embedded if unset")
    model: str = Field(default="offline", description="offline, openai:NAME or litellm:NAME")
    model_base_url: str | None = Field(default=None, pattern=r"^https?://", description="any OpenAI-compatible server")
    model_api_key: SecretStr | None = None
    base: str | None = Field(
        default=None, max_length=MAX_NAME, description="a diffusers folder or hub id; the small world if unset"
    )
    family: Family | None = Field(default=None, description="the base's family, where it cannot be recognised")

    profile: Profile = Field(default="personal", description="which licences are acceptable")
    nsfw_level: int = Field(default=1, ge=1, le=31)
    installed_only: bool = Field(default=False, description="plan only with adapters whose files are here")
    max_adapters: int = Field(default=4, ge=0, le=10)
    model_calls: int = Field(default=8, ge=1, description="budget of one plan")
    model_tokens: int = Field(default=12_000, ge=1, description="budget of one plan, prompt and completion")
    model_seconds: float = Field(default=60, gt=0, description="budget of one plan")

    outputs: Path = Field(default=Path("outputs"), description="where pictures go")
    device: str | None = None
    dtype: Literal["float32", "float16", "bfloat16"] | None = None
    steps: int | None = Field(default=None, ge=1, le=1000)
    guidance: float | None = Field(default=None, ge=0)
    width: int | None = Field(default=None, ge=8)
    height: int | None = Field(default=None, ge=8)
    scheduler: str | None = None
    max_steps: int = Field(default=150, ge=1, le=1000, description="limit for one picture, also from a recipe")
    max_pixels: int = Field(default=2048 * 2048, ge=64, le=4096 * 4096, description="limit for one picture")

    @property
    def policy(self) -> Policy:
        """The policy of a call that brings none."""
        return Policy(profile=self.profile, nsfw_level=self.nsfw_level, installed_only=self.installed_only)

    @property
    def budget(self) -> Budget:
        """The budget of a plan that brings none."""
        return Budget(model_calls=self.model_calls, tokens=self.model_tokens, seconds=self.model_seconds)

    @property
    def render(self) -> RenderSettings:
        """How pictures are drawn by a call that does not say. Raises BadRequest naming each wrong field."""
        return render_settings(
            steps=self.steps, guidance=self.guidance, width=self.width, height=self.height, scheduler=self.scheduler
        )

    @property
    def limits(self) -> Limits:
        """What one picture may cost."""
        return Limits(steps=self.max_steps, pixels=self.max_pixels)


def read_settings(**overrides: Any) -> Settings:
    """Read the settings. An argument that is ``None`` counts as not given.

    Raises BadRequest for a misspelt ``STYLUS_*`` variable, an unknown argument or a bad value.
    """
    known = {f"{PREFIX}{name.upper()}" for name in Settings.model_fields}
    for name in sorted(os.environ):
        if name.startswith(PREFIX) and name not in known:
            guess = difflib.get_close_matches(name, known, 1)
            hint = f"did you mean {guess[0]}?" if guess else f"known are {', '.join(sorted(known))}"
            raise BadRequest(f"{name} is set, but there is no such setting; {hint}", name=name)
    try:
        return Settings(**{name: value for name, value in overrides.items() if value is not None})
    except ValidationError as error:
        raise BadRequest(f"settings: {faults(error)}") from None
