"""Convert the names that trainers use for transformers (Flux, Qwen, Z-Image, …), with diffusers' own converters.

UNets need none: sites.py knows their names. A converter drops parts other than plain LoRA's with only a log
line; here such files are refused.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor

from stylus_gen.tools.errors import AdapterRejected
from stylus_gen.tools.lora.keys import parse_key

Tensors = dict[str, Tensor]
Convert = Callable[[Tensors], Tensors]
"""Renames a file's tensors to diffusers' names."""


def name_converter(pipe: Any) -> Convert | None:
    """Return a pipeline's converter; ``None`` for UNets and for pipelines without one."""
    read = getattr(type(pipe), "lora_state_dict", None)
    if getattr(pipe, "unet", None) is not None or read is None:
        return None

    def convert(tensors: Tensors) -> Tensors:
        parts = {key.part for key in map(parse_key, tensors) if key is not None}
        if not parts <= {"A", "B", "alpha"}:
            raise _unknown(f"only plain LoRA can be converted, this one has {sorted(parts)}")
        try:
            result = read(dict(tensors))
        except (AssertionError, AttributeError, IndexError, KeyError, RuntimeError, ValueError) as error:
            raise _unknown(str(error)[:200] or type(error).__name__) from error
        found: Tensors = result[0] if isinstance(result, tuple) else result
        return found

    return convert


def _unknown(why: str) -> AdapterRejected:
    return AdapterRejected(f"its tensors' names are not known for this base: {why}", code="wrong_family")
