"""How pictures are drawn: steps, guidance, size, scheduler. The base decides what is left out.

Imports no torch. The device and the dtype belong to the pipeline: they are chosen when the base is loaded.
"""

from __future__ import annotations

from typing import Any

from pydantic import Field, ValidationError

from stylus_gen.tools.errors import BadRequest, faults
from stylus_gen.tools.families import Family
from stylus_gen.tools.plan import Record

MAX_SIDE = 4096
"""Pixels. A recipe may come from a stranger: no picture may ask for more memory than a GPU has."""


FAR = 1.5
"""How many times the usual gets a warning. 512×768, 1.5 times, is common on a base for 512×512."""


class RenderSettings(Record):
    """Steps, guidance, size and scheduler of a picture; the base decides what is ``None``.

    ``control`` also draws each picture without adapters, from the same seed.
    """

    steps: int | None = Field(default=None, ge=1, le=1000)
    guidance: float | None = Field(default=None, ge=0, le=100)
    width: int | None = Field(default=None, ge=8, le=MAX_SIDE, multiple_of=8, description="pixels")
    height: int | None = Field(default=None, ge=8, le=MAX_SIDE, multiple_of=8, description="pixels")
    scheduler: str | None = Field(default=None, max_length=40, description="a name of diffusion.schedulers.SCHEDULERS")
    control: bool = False

    def over(self, defaults: RenderSettings) -> RenderSettings:
        """Fill in from ``defaults`` what is ``None`` here."""
        chosen = {name: value for name, value in self.model_dump().items() if value is not None}
        return RenderSettings(**(defaults.model_dump() | chosen))


class Limits(Record):
    """What one picture may cost. A recipe may come from a stranger, and a typing error can ask for hours."""

    steps: int = Field(default=150, ge=1, le=1000)
    pixels: int = Field(default=2048 * 2048, ge=64, le=MAX_SIDE * MAX_SIDE)


def within_limits(asked: RenderSettings, limits: Limits) -> RenderSettings:
    """Return the settings if they keep the limits. Raises BadRequest naming the variable that raises the limit."""
    width, height, steps = asked.width or 8, asked.height or 8, asked.steps or 1
    if steps > limits.steps:
        raise BadRequest(
            f"{steps:,} steps are asked for and at most {limits.steps:,} are allowed: ask for fewer, or set "
            "STYLUS_MAX_STEPS"
        )
    if width * height > limits.pixels:
        raise BadRequest(
            f"{width}×{height} pixels are asked for and at most {limits.pixels:,} are allowed: ask for a smaller "
            "picture, or set STYLUS_MAX_PIXELS"
        )
    return asked


def above_usual(asked: RenderSettings, usual: RenderSettings) -> tuple[str, ...]:
    """Warn of a size or a step count far above what the base usually needs. Both settings must be complete."""
    notes = []
    area, most = (asked.width or 0) * (asked.height or 0), (usual.width or 0) * (usual.height or 0)
    if area > FAR * most:
        notes.append(
            f"{asked.width}×{asked.height} is {area / most:.1f} times the size this base was made for "
            f"({usual.width}×{usual.height}): it is slow, and things may appear twice"
        )
    if (asked.steps or 0) > FAR * (usual.steps or 1):
        notes.append(f"{asked.steps} steps are far more than this base needs ({usual.steps}): it is slow")
    return tuple(notes)


def render_settings(**values: Any) -> RenderSettings:
    """Make settings of what a user wrote. Raises BadRequest naming each wrong field and what it accepts."""
    try:
        return RenderSettings(**values)
    except ValidationError as error:
        raise BadRequest(f"render settings: {faults(error)}") from None


# (steps, guidance) that the makers of each family recommend; other families get 30 and 7.
_USUAL: dict[str, tuple[int, float]] = {
    "sdxl": (30, 6.0),
    "illustrious": (28, 6.0),
    "noobai": (28, 5.0),
    "sd3": (28, 4.5),
    "flux": (28, 3.5),
    "flux2": (28, 4.0),
    "chroma": (28, 4.0),
    "qwen": (50, 4.0),
    "zimage": (50, 4.0),
    "zimage-turbo": (9, 0.0),
    "lumina": (36, 4.0),
    "world": (25, 5.0),
}


def usual_settings(family: Family) -> tuple[int, float]:
    """Give the steps and the guidance that a family is usually drawn with."""
    return _USUAL.get(family, (30, 7.0))


def base_defaults(pipe: Any, family: Family) -> RenderSettings:
    """Give default settings for a base: its family's steps and guidance, and the size that it was trained at."""
    steps, guidance = usual_settings(family)
    unet = getattr(pipe, "unet", None)
    latent = unet.config.sample_size if unet is not None else getattr(pipe, "default_sample_size", 128)
    side = min(MAX_SIDE, max(8, int(latent) * int(getattr(pipe, "vae_scale_factor", 8)) // 8 * 8))
    return RenderSettings(steps=steps, guidance=guidance, width=side, height=side, scheduler="base")
