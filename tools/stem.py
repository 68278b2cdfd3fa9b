"""The stem of a file's name, which is a name too: people type it. Pure."""

from __future__ import annotations

import re
from pathlib import PurePosixPath

# What programs and hurried trainers call every file. Possessive (*+), or a long name is tried in every way.
_ANYONES = re.compile(
    r"(?:adapter|checkpoint|ckpt|copy|default|diffusers|diffusion|dora|epoch|export|final|last|latest|locon|loras?|lycoris"
    r"|models?|my|network|new|none|null|output|peft|project|pruned|pytorch|results?|safetensors|saved?|steps?|test|tmp"
    r"|train(?:ed|ing)?|trial|unet|unnamed|untitled|version|v|weights?|sd|xl|sdxl|flux|[bf]f?p?16|fp32|[\W\d_])*+",
    re.IGNORECASE,
)


def stem_of(file_name: str) -> str:
    """Take a file name's stem: ``Owl_v1.2.safetensors`` is "Owl_v1.2"."""
    return PurePosixPath(file_name).stem if file_name.lower().endswith(".safetensors") else file_name


def is_anyones(name: str) -> bool:
    """Tell whether a name says nothing of what is in the file: "last", "my_lora-000010", "pytorch_lora_weights"."""
    return _ANYONES.fullmatch(name) is not None
