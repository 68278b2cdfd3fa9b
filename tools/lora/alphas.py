"""Alphas that peft writes into a file's header, not beside its tensors (``lora_adapter_metadata``, JSON).

The header is untrusted: patterns are compared as names, never run as regular expressions.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from stylus_gen.tools.errors import AdapterRejected
from stylus_gen.tools.lora.keys import DENOISER

if TYPE_CHECKING:
    from stylus_gen.tools.lora.sites import Site  # imports torch, which an import of adapters does without

MAX_ALPHA = 1e6
"""Trainers write at most a few thousand. A number of 4,000 digits does not fit a float."""

Alphas = Callable[["Site", int], float | None]
"""Returns the alpha of a module of a given rank; ``None`` if the header has none (the scale is then 1)."""


def read_alphas(metadata: Mapping[str, str]) -> Alphas:
    """Read the peft configuration from a header. Raises AdapterRejected if it is invalid."""
    text = metadata.get("lora_adapter_metadata")
    if text is None:
        return lambda site, rank: None
    try:
        config = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise _damaged("is not JSON") from error
    if not isinstance(config, dict):
        raise _damaged("is not a JSON object")

    alphas = {key: _number(value) for key, value in config.items() if key.endswith("lora_alpha")}
    patterns = {key: _names(value) for key, value in config.items() if key.endswith("alpha_pattern")}

    def alpha(site: Site, rank: int) -> float | None:
        prefix = next((p for p in _prefixes(site) if f"{p}lora_alpha" in alphas), None)
        if prefix is None:
            return None
        default = (0, alphas[f"{prefix}lora_alpha"])
        value = min(_found(patterns.get(f"{prefix}alpha_pattern", {}), site.module), default=default)[1]
        return value * math.sqrt(rank) if config.get(f"{prefix}use_rslora") is True else value

    return alpha


def _prefixes(site: Site) -> tuple[str, ...]:
    denoiser = ("unet.", "transformer.", f"{DENOISER}.", "")
    return denoiser if site.component in ("unet", "transformer") else (f"{site.component}.",)


def _names(pattern: Any) -> dict[str, tuple[int, float]]:
    """Read peft's regular expressions as plain names. Each keeps its position, because the first match counts."""
    names: dict[str, tuple[int, float]] = {}
    for place, (name, value) in enumerate(pattern.items() if isinstance(pattern, dict) else ()):
        plain = name.removeprefix("^").removesuffix("$").replace("\\.", ".")
        for known in (plain, plain.removeprefix("text_model.")):
            names.setdefault(known, (place, _number(value)))
    return names


def _found(names: Mapping[str, tuple[int, float]], module: str) -> Iterator[tuple[int, float]]:
    """Look up a module's name and its suffixes, such as "to_q" of "attn1.to_q"."""
    parts = module.split(".")
    ends = (".".join(parts[at:]) for at in range(len(parts)))
    yield from (names[end] for end in ends if end in names)


def _number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) <= MAX_ALPHA:
        raise _damaged(f"gives {repr(value)[:40]} as an alpha")
    return float(value)


def _damaged(why: str) -> AdapterRejected:
    return AdapterRejected(f"its header's lora_adapter_metadata {why}", code="broken_file")
