"""How pictures are drawn: steps, guidance, size, scheduler. What is left out, the base decides.

Knows nothing of torch. The device and the dtype belong to the studio: they are chosen when the base is loaded.
"""

from __future__ import annotations

from typing import Any

from pydantic import Field, ValidationError

from stylus_gen.tools.errors import BadRequest, faults
from stylus_gen.tools.families import Family
from stylus_gen.tools.plan import Record

MAX_SIDE = 4096
"""Pixels. A recipe comes from strangers too: no picture may ask for more memory than a GPU has."""


class RenderSettings(Record):
    """Steps, guidance, size and scheduler of a picture; ``None`` leaves it to the base.

    ``control`` also draws each picture without adapters, from the same seed.
    """

    steps: int | None = Field(default=None, ge=1, le=1000)
    guidance: float | None = Field(default=None, ge=0, le=100)
    width: int | None = Field(default=None, ge=8, le=MAX_SIDE, multiple_of=8, description="pixels")
    height: int | None = Field(default=None, ge=8, le=MAX_SIDE, multiple_of=8, description="pixels")
    scheduler: str | None = Field(default=None, max_length=40, description="a name of diffusion.schedulers.SCHEDULERS")
    control: bool = False

    def over(self, defaults: RenderSettings) -> RenderSettings:
        """Fill what is ``None`` here from ``defaults``."""
        chosen = {name: value for name, value in self.model_dump().items() if value is not None}
        return RenderSettings(**(defaults.model_dump() | chosen))


def render_settings(**values: Any) -> RenderSettings:
    """Make settings of what a user wrote; BadRequest names each field that is wrong and what it takes."""
    try:
        return RenderSettings(**values)
    except ValidationError as error:
        raise BadRequest(f"render settings: {faults(error)}") from None


# (steps, guidance) that the makers of each family recommend; the others: 30 and 7.
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


def base_defaults(pipe: Any, family: Family) -> RenderSettings:
    """Settings for a base that says nothing itself: its family's steps and guidance, the size it was trained at."""
    steps, guidance = _USUAL.get(family, (30, 7.0))
    unet = getattr(pipe, "unet", None)
    latent = unet.config.sample_size if unet is not None else getattr(pipe, "default_sample_size", 128)
    side = min(MAX_SIDE, max(8, int(latent) * int(getattr(pipe, "vae_scale_factor", 8)) // 8 * 8))
    return RenderSettings(steps=steps, guidance=guidance, width=side, height=side, scheduler="base")
