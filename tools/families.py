"""Model families, the names people write for them, and which family's adapters work on which base.

The matrix has three values, as the largest adapter site uses them: *full*, *partial* (loads, works with loss), *none*.
"""

from __future__ import annotations

import re
from typing import Literal, get_args

Family = Literal[
    "sd15", "sd2", "sd3", "sdxl", "pony", "illustrious", "noobai", "flux", "flux2", "qwen", "zimage", "zimage-turbo",
    "wan", "hunyuan", "ltx", "chroma", "lumina", "hidream", "kolors", "pixart", "cascade", "svd", "world", "unknown",
]  # fmt: skip
Support = Literal["full", "partial", "none"]

FAMILIES: tuple[str, ...] = get_args(Family)

# Read in order: the first pattern found in the lower-cased name decides. "unknown": a base that is no family here,
# though it may be named after one, or be made like one.
_NAMES: tuple[tuple[str, Family], ...] = (
    (r"stylus[-_ ]world", "world"),
    (r"ssd[-_ ]?1b|segmind|\bvega\b", "unknown"),  # pruned SDXL: other adapters' shapes do not fit it
    (r"pony[-_ ]?(diffusion)?[-_ ]?v?7(?!\d)|aura[-_ ]?flow", "unknown"),  # Pony V7 is made of AuraFlow
    (r"flux[._ -]?3(?!\d)|krea[-_ ]?2(?!\d)|longcat|ovis[-_ ]?image|\bbria\b", "unknown"),
    (r"cogvideo|cogview|mochi|kandinsky|omnigen|ideogram|\bsana(?![a-z])|\banima(?![a-z])|\bcosmos\b", "unknown"),
    (r"pony", "pony"),
    (r"illustrious", "illustrious"),
    (r"noob", "noobai"),
    (r"sdxl|sd[-_ ]?xl|stable[-_ ]diffusion[-_ ]xl|playground", "sdxl"),
    (r"chroma(?!tic)", "chroma"),
    (r"flux[._ -]?2(?!\d)|(?<![a-z])klein(?![a-z])", "flux2"),
    (r"flux", "flux"),
    (r"z[-_ ]?image[-_ ]?turbo", "zimage-turbo"),
    (r"z[-_ ]?image", "zimage"),
    (r"qwen", "qwen"),
    (r"hunyuan", "hunyuan"),
    (r"(?<![a-z])wan(?![a-z])|(?<![a-z])wan(video|x)", "wan"),
    (r"ltx", "ltx"),
    (r"(?<![a-z])lumina(?![a-z])|neta[-_ ]?(yume|lumina)", "lumina"),
    (r"hidream", "hidream"),
    (r"kolors", "kolors"),
    (r"pixart", "pixart"),
    (r"stable[-_ ]?cascade|(?<![a-z])cascade(?![a-z])|wuerstchen", "cascade"),
    (r"(?<![a-z])svd(?![a-z])|stable[-_ ]video", "svd"),
    (r"sd[-_ ]?v?3|stable[-_ ]diffusion[-_ ]?v?3", "sd3"),
    (r"sd[-_ ]?v?2|stable[-_ ]diffusion[-_ ]?v?2|^v2(?![a-z0-9])", "sd2"),
    (r"sd[-_ ]?v?1|stable[-_ ]diffusion[-_ ]?v?1|^v1(?![a-z0-9])", "sd15"),
)

TITLES: dict[Family, str] = {
    "sd15": "SD 1.5", "sd2": "SD 2", "sd3": "SD 3", "sdxl": "SDXL", "pony": "Pony", "illustrious": "Illustrious",
    "noobai": "NoobAI", "flux": "Flux.1", "flux2": "Flux.2", "qwen": "Qwen-Image", "zimage": "Z-Image",
    "zimage-turbo": "Z-Image Turbo", "wan": "Wan", "hunyuan": "Hunyuan", "ltx": "LTX", "chroma": "Chroma",
    "lumina": "Lumina", "hidream": "HiDream", "kolors": "Kolors", "pixart": "PixArt", "cascade": "Stable Cascade",
    "svd": "Stable Video Diffusion", "world": "the small world", "unknown": "an unknown family",
}  # fmt: skip
"""The families' usual names, for messages."""

_SDXL_KIN = ("sdxl", "pony", "illustrious", "noobai")
_PARTIAL: frozenset[tuple[str, str]] = frozenset(
    {(a, b) for a in _SDXL_KIN for b in _SDXL_KIN if a != b}
    | {("zimage", "zimage-turbo"), ("zimage-turbo", "zimage"), ("flux", "chroma")}
)


# Families whose tensors have the same names and sizes throughout.
_SHARED: tuple[frozenset[str], ...] = (
    frozenset({*_SDXL_KIN, "kolors"}),
    frozenset({"zimage", "zimage-turbo"}),
    frozenset({"sd2", "svd"}),
)


def named_family(base_model: str | None) -> Family | None:
    """Name the family of a base model as people write it ("SD 1.5", "sdxl_base_v1-0").

    "unknown": a base of no family listed here; ``None``: not a base.
    """
    name = (base_model or "").strip().lower()
    if name in FAMILIES:
        return name if name != "unknown" else None  # type: ignore[return-value]
    return next((family for pattern, family in _NAMES if re.search(pattern, name)), None)


def family_of(base_model: str | None) -> Family:
    """Name the family of a base model as people write it; "unknown" if unsure."""
    return named_family(base_model) or "unknown"


def share_shape(stated: str, shape: str) -> bool:
    """Tell whether two families have the same tensor names and shapes."""
    return stated == shape or any({stated, shape} <= shared for shared in _SHARED)


def support(adapter: str, base: str) -> Support:
    """Say how well an adapter of one family works on a base of another; "unknown" works on nothing (fail closed)."""
    if "unknown" in (adapter, base):
        return "none"
    if adapter == base:
        return "full"
    return "partial" if (adapter, base) in _PARTIAL else "none"


def usable_families(base: str) -> tuple[str, ...]:
    """List the adapter families that work fully or partly on a base, the base's own first."""
    return (base, *sorted(a for a, b in _PARTIAL if b == base))
