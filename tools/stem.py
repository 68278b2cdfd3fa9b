"""The stem of a file's name. People type it to name an adapter. Pure."""

from __future__ import annotations

import re

_ENDING = re.compile(r"\.(?:safetensors|ckpt|pt)\Z", re.IGNORECASE)

# Names that programs and trainers give to any file. Possessive (*+): otherwise a long name takes exponential time.
_GENERIC = re.compile(
    r"(?:adapter|checkpoint|ckpt|copy|default|diffusers|diffusion|dora|epoch|export|final|last|latest|locon|loras?|lycoris"
    r"|models?|my|network|new|none|null|output|peft|project|pruned|pytorch|results?|safetensors|saved?|steps?|test|tmp"
    r"|train(?:ed|ing)?|trial|unet|unnamed|untitled|version|v|weights?|sd|xl|sdxl|flux|[bf]f?p?16|fp32|[\W\d_])*+",
    re.IGNORECASE,
)


def stem_of(file_name: str) -> str:
    """Take a file name's stem, without folders and ending: ``birds/Owl_v1.2.safetensors`` is "Owl_v1.2"."""
    return _ENDING.sub("", re.split(r"[\\/]", file_name)[-1])


def is_generic_name(name: str) -> bool:
    """Tell whether a name says nothing about the file: "last", "my_lora-000010", "pytorch_lora_weights"."""
    return _GENERIC.fullmatch(name) is not None
