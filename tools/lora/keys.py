"""Parse the tensor names that trainers write into component, module and part.

Kohya writes ``lora_unet_down_blocks_0_…_to_q.lora_down.weight``, peft ``unet.down_blocks.0.….to_q.lora_A.weight``,
diffusers before peft ``unet.….to_q.lora.down.weight`` and ``unet.….processor.to_q_lora.down.weight``.
It does not know which modules a base has: see sites.py.
"""

from __future__ import annotations

from typing import NamedTuple

DENOISER = "denoiser"
"""``unet`` or ``transformer``, whichever the base has: trainers do not always write which."""


class Key(NamedTuple):
    """One tensor of an adapter: a part (``A``, ``B``, ``alpha``…) of what it adds to a module."""

    component: str
    module: str
    part: str


# Longest first where one ends in another.
_SUFFIXES: tuple[tuple[str, str], ...] = (
    (".lora_A.default.weight", "A"),
    (".lora_B.default.weight", "B"),
    (".lora_A.weight", "A"),
    (".lora_B.weight", "B"),
    (".lora_linear_layer.down.weight", "A"),
    (".lora_linear_layer.up.weight", "B"),
    (".lora_down.weight", "A"),
    (".lora_up.weight", "B"),
    (".lora_mid.weight", "mid"),
    (".lora.down.weight", "A"),
    (".lora.up.weight", "B"),
    ("_lora.down.weight", "A"),
    ("_lora.up.weight", "B"),
    (".alpha", "alpha"),
    (".dora_scale", "dora_scale"),
    (".lora_magnitude_vector.default.weight", "magnitude"),
    (".lora_magnitude_vector.weight", "magnitude"),
    (".lora_magnitude_vector", "magnitude"),
    *((f".{part}", part) for part in ("hada_w1_a", "hada_w1_b", "hada_w2_a", "hada_w2_b", "hada_t1", "hada_t2")),
    *((f".{part}", part) for part in ("lokr_w1_a", "lokr_w1_b", "lokr_w2_a", "lokr_w2_b", "lokr_t2")),
    *((f".{part}", part) for part in ("lokr_w1", "lokr_w2")),
    (".diff_b", "diff_b"),
    (".diff", "diff"),
    (".w_norm", "diff"),  # LyCORIS' trained norms are differences
    (".b_norm", "diff_b"),
)

_PREFIXES: tuple[tuple[str, str], ...] = (
    ("lora_unet_", DENOISER),
    ("lora_transformer_", DENOISER),
    ("lycoris_", DENOISER),
    ("lora_te1_", "text_encoder"),
    ("lora_te2_", "text_encoder_2"),
    ("lora_te3_", "text_encoder_3"),
    ("lora_te_", "text_encoder"),
    ("base_model.model.", DENOISER),
    ("diffusion_model.", DENOISER),
    ("unet.", DENOISER),
    ("transformer_2.", "transformer_2"),
    ("transformer.", DENOISER),
    ("text_encoder_2.", "text_encoder_2"),
    ("text_encoder_3.", "text_encoder_3"),
    ("text_encoder.", "text_encoder"),
)


def parse_key(name: str) -> Key | None:
    """Parse a tensor's name; ``None`` if its suffix is of no known form."""
    suffix, part = next(((s, p) for s, p in _SUFFIXES if name.endswith(s)), ("", ""))
    if not part:
        return None
    stem = name[: -len(suffix)].replace(".processor.", ".")
    prefix, component = next(((p, c) for p, c in _PREFIXES if stem.startswith(p)), ("", DENOISER))
    return Key(component, stem[len(prefix) :], part)
