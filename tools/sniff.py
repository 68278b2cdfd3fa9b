"""The family of an adapter, sniffed: from its tensors' names and shapes, which cannot lie, and its metadata, which can.

Siblings have equal shapes (Pony and Illustrious on SDXL, Flux dev and schnell): there the metadata's word is taken.
Widths are those of the published models' default configurations.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from stylus_gen.tools.families import Family, family_of, support

if TYPE_CHECKING:
    from stylus_gen.tools.header import Header, TensorInfo

_UNET = r"(down_blocks|up_blocks|mid_block|input_blocks|output_blocks|middle_block)_.*"
_MMDIT = r"(double_blocks|single_blocks|single_transformer_blocks)_\d"

# (family, a module's name with "_" for ".", the input widths it may have; None: any). The first that fits decides.
_RULES: tuple[tuple[Family, str, frozenset[int] | None], ...] = (
    ("hidream", r"(double|single)_stream_blocks_", None),
    ("zimage", r"(^|_)(layers|noise_refiner|context_refiner)_\d+_attention_", frozenset({3840})),
    ("lumina", r"(^|_)(layers|noise_refiner|context_refiner)_\d+_att(entio)?n_", frozenset({2304})),
    ("wan", r"(^|_)blocks_\d+_(self|cross)_attn_", frozenset({1536, 3072, 5120})),
    ("wan", r"(^|_)blocks_\d+_attn[12]_to_q", frozenset({1536, 3072, 5120})),
    ("hunyuan", r"double_blocks_19_|single_blocks_3[89]_|img_mlp_fc1|token_refiner", None),
    ("flux2", _MMDIT, frozenset({4096, 6144})),
    ("flux2", r"to_qkv_mlp_proj", None),
    ("chroma", r"distilled_guidance_layer", None),
    ("flux", _MMDIT, frozenset({3072})),
    ("qwen", r"(^|_)transformer_blocks_\d+_(attn_add_|attn_to_|img_m|txt_m)", frozenset({3072})),
    ("sd3", r"joint_blocks_|(^|_)transformer_blocks_\d+_attn_(add_|to_)", frozenset({1536, 2432})),
    ("sdxl", _UNET + r"attn2_to_[kv]$", frozenset({2048})),
    ("sd15", _UNET + r"attn2_to_[kv]$", frozenset({768})),
    ("sd2", _UNET + r"attn2_to_[kv]$", frozenset({1024})),
    ("sdxl", _UNET + r"attentions_\d+_transformer_blocks_[2-9]_|^lora_te2_", frozenset({640, 1280})),
    ("sdxl", r"(input|output)_blocks_\d+_\d+_transformer_blocks_[1-9]", frozenset({640, 1280})),
    ("ltx", r"^((lora_)?(unet|transformer)_|diffusion_model_)?transformer_blocks_\d+_attn1_to_q", frozenset({2048})),
    ("pixart", r"^((lora_)?(unet|transformer)_)?transformer_blocks_\d+_attn1_to_q", frozenset({1152})),
    ("sd15", r"^(lora_te|text_encoder)_text_model_", frozenset({768})),
    ("sd2", r"^(lora_te|text_encoder)_text_model_", frozenset({1024})),
)

# The half of a pair that meets the module's input: (rank, in, ...).
_INPUT = re.compile(
    r"[._](lora_down\.weight|lora_A(\.default)?\.weight|lora(_linear_layer)?\.down\.weight|hada_w[12]_b|diff)$"
)
_KRON = re.compile(r"\.lokr_w(1|2)(_b)?$")
_HINTS = ("modelspec.architecture", "ss_base_model_version", "ss_sd_model_name")


def sniff_family(header: Header) -> tuple[Family, str]:
    """Tell an adapter's family and how it was told; ``unknown`` where nothing says."""
    family, reason = family_of_tensors(header)
    hinted, hint = family_of_metadata(header)
    if family == "unknown" or support(hinted, family) != "none":
        return (hinted, hint) if hinted != "unknown" else (family, reason)
    return family, reason


def family_of_tensors(header: Header) -> tuple[Family, str]:
    """Tell the family whose modules the tensors are for."""
    widths = dict(_widths(header.tensors))
    for family, pattern, allowed in _RULES:
        for module, width in widths.items():
            if (allowed is None or width in allowed) and re.search(pattern, module):
                return family, f"its tensors are for {family} ({module[:80]} takes {width} features)"
    return "unknown", "its tensors are of no base that is known here"


def family_of_metadata(header: Header) -> tuple[Family, str]:
    """Tell the family that the metadata name; a checkpoint's own name says more than the architecture it has."""
    best: tuple[Family, str] = ("unknown", "its metadata do not say")
    for key in _HINTS:
        value = header.metadata.get(key, "")[:200]
        family = family_of(value)
        refines = key == "ss_sd_model_name" and support(family, best[0]) == "partial"
        if family != "unknown" and (best[0] == "unknown" or refines):
            best = family, f"its metadata say {key} = {value[:60]!r}"
    return best


def _widths(tensors: dict[str, TensorInfo]) -> Iterator[tuple[str, int]]:
    """List (module, number of input features) for all modules that the adapter changes."""
    kron: dict[str, int] = {}
    for name, tensor in tensors.items():
        if len(tensor.shape) < 2:
            continue
        if match := _INPUT.search(name):
            yield _module(name[: match.start()]), tensor.shape[1]
        elif match := _KRON.search(name):
            # LoKr: a Kronecker product's width is the product of its factors' widths.
            module = _module(name[: match.start()])
            if module in kron:
                yield module, kron[module] * tensor.shape[1]
            kron.setdefault(module, tensor.shape[1])


def _module(stem: str) -> str:
    return stem.replace(".", "_").replace("_processor_", "_").removesuffix("_lora")
