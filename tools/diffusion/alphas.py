"""Alphas that peft writes into a file's header instead of beside its tensors (``lora_adapter_metadata``, a JSON text).

The header comes from a stranger: patterns are compared as names, never run as regular expressions.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from typing import Any

from stylus_gen.tools.diffusion.keys import DENOISER
from stylus_gen.tools.diffusion.sites import Site
from stylus_gen.tools.errors import AdapterRejected

Alphas = Callable[[Site, int], float | None]
"""Gives the alpha of a module of some rank; ``None`` where the header says nothing, and the scale is then 1."""


def read_alphas(metadata: Mapping[str, str]) -> Alphas:
    """Read the peft configuration from a header; AdapterRejected where it is there and makes no sense."""
    text = metadata.get("lora_adapter_metadata")
    if text is None:
        return lambda site, rank: None
    try:
        config = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise _damaged("is not JSON") from error
    if not isinstance(config, dict):
        raise _damaged("is not a JSON object")

    def alpha(site: Site, rank: int) -> float | None:
        prefix = next((p for p in _prefixes(site) if f"{p}lora_alpha" in config), None)
        if prefix is None:
            return None
        value = _pattern(config.get(f"{prefix}alpha_pattern"), site.module, config[f"{prefix}lora_alpha"])
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            raise _damaged(f"gives {value!r} as an alpha")
        return value * math.sqrt(rank) if config.get(f"{prefix}use_rslora") is True else float(value)

    return alpha


def _prefixes(site: Site) -> tuple[str, ...]:
    denoiser = ("unet.", "transformer.", f"{DENOISER}.", "")
    return denoiser if site.component in ("unet", "transformer") else (f"{site.component}.",)


def _pattern(pattern: Any, module: str, default: Any) -> Any:
    """Look a module up among names that peft takes for regular expressions."""
    names = pattern if isinstance(pattern, dict) else {}
    for name, value in names.items():
        plain = name.removeprefix("^").removesuffix("$").replace("\\.", ".")
        for known in (plain, plain.removeprefix("text_model.")):
            if known == module or module.endswith(f".{known}"):
                return value
    return default


def _damaged(why: str) -> AdapterRejected:
    return AdapterRejected(f"its header's lora_adapter_metadata {why}", code="broken_file")
