"""An adapter's family, detected from its tensors' names and shapes (reliable) and its metadata (not reliable).

Some families have equal shapes (Pony and Illustrious on SDXL, Flux dev and schnell) or share modules: there the
metadata decide. Widths are those of the published models' default configurations.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import islice
from typing import NamedTuple

from stylus_gen.tools.families import TITLES, Family, named_family, share_shape
from stylus_gen.tools.lora.header import Header, TensorInfo
from stylus_gen.tools.lora.keys import DENOISER, parse_key

MAX_MODULES = 4_000  # at most this many are inspected; the largest base has about 1,500

_UNET = r"(down_blocks|up_blocks|mid_block|input_blocks|output_blocks|middle_block)_.*"
_MMDIT = r"(double_blocks|single_blocks|single_transformer_blocks)_\d"
_SINGLE = r"(^|_)single_blocks_\d+_"
_DOUBLE = r"(^|_)double_blocks_\d+_(img|txt)_"
_JOINT = r"(^|(?<!single)(?<!joint)_)transformer_blocks_\d+_"

_Widths = frozenset[int] | None

_FLUX: tuple[Family, ...] = ("flux", "chroma", "hunyuan")  # width 3,072; FLUX.2 Klein 4B has it too
_KLEIN: tuple[Family, ...] = ("flux", "flux2", "chroma", "hunyuan")


class Rule(NamedTuple):
    """The families that have a module of this name, likeliest first, and the widths of its input and output.

    ``_`` stands for ``.`` in names; ``None`` is any width.
    """

    families: tuple[Family, ...]
    module: str
    inputs: _Widths = None
    outputs: _Widths = None


def _of(*widths: int) -> frozenset[int]:
    return frozenset(widths)


# The first rule that matches any module decides: rules for one family come before rules for several.
_RULES: tuple[Rule, ...] = (
    Rule(("hidream",), r"(double|single)_stream_blocks_"),
    Rule(("zimage",), r"(^|_)(layers|noise_refiner|context_refiner)_\d+_(attention|feed_forward)_", _of(3840)),
    Rule(("lumina",), r"(^|_)(layers|noise_refiner|context_refiner)_\d+_att(entio)?n_", _of(2304)),
    Rule(("wan",), r"(^|_)blocks_\d+_(self|cross)_attn_(q|k|v|o)(_img)?$", _of(1536, 3072, 5120)),
    Rule(("wan",), r"^blocks_\d+_attn[12]_(to|add)_", _of(1536, 3072, 5120)),
    Rule(("flux2",), r"to_qkv_mlp_proj|_stream_modulation_(img|txt|lin)|" + _JOINT + r"ff(_context)?_linear_"),
    Rule(("flux2",), _MMDIT, _of(4096, 6144)),
    Rule(("flux2",), _SINGLE + r"linear2$", _of(12288, 16384, 24576)),
    Rule(("flux2",), _SINGLE + r"linear1$", None, _of(27648, 36864, 55296)),
    Rule(("flux2",), _DOUBLE + r"mlp_2$", _of(9216, 18432)),
    Rule(("flux2",), _DOUBLE + r"mlp_0$", None, _of(18432, 24576, 36864)),
    Rule(("flux2",), r"single_transformer_blocks_\d+_attn_to_out$", _of(12288, 16384, 24576)),
    Rule(("flux2",), r"(^|_)(txt_in|context_embedder)$", _of(7680, 12288, 15360)),
    Rule(("unknown",), r"(^|_)transformer_blocks_([89]|[1-9]\d)_attn_", _of(6144)),  # Krea 2
    Rule(("flux2", "unknown"), _JOINT + r"attn_(add_|to_)", _of(6144)),
    Rule(("flux2", "qwen"), _JOINT + r"attn_(add_|to_)", _of(4096)),
    Rule(("unknown",), _JOINT + r"attn1_(to|add)_", _of(3072)),  # Mochi, CogVideoX 5B
    # AuraFlow, which Pony V7 is made of
    Rule(("unknown",), r"(^|_)joint_transformer_blocks_|single_transformer_blocks_\d+_(ff_|attn_to_out_0)"),
    Rule(("unknown",), r"(^|_)(double|single)_layers_\d+_(attn|mlp)_"),
    Rule(("hunyuan",), r"img_mlp_fc[12]|token_refiner|blocks_\d+_(img_mod|txt_mod|modulation)_linear$"),
    Rule(("hunyuan",), r"(^|_)double_blocks_19_|single(_transformer)?_blocks_3[89]_", _of(3072, 3584, 12288, 15360)),
    Rule(("chroma",), r"distilled_guidance_layer"),
    Rule(("flux",), r"(" + _DOUBLE + r"mod|" + _SINGLE + r"modulation)_lin$", _of(3072)),
    Rule(("flux", "hunyuan"), r"single_transformer_blocks_\d+_norm_linear$", _of(3072)),
    Rule(("flux", "hunyuan"), _JOINT + r"norm1(_context)?_linear$", _of(3072)),
    Rule(_FLUX, r"double_blocks_([5-9]|1\d)_|single(_transformer)?_blocks_(2\d|3[0-7])_", _of(3072, 12288, 15360)),
    Rule(_FLUX, _SINGLE + r"linear2$", _of(15360)),
    Rule(_FLUX, _SINGLE + r"linear1$", _of(3072), _of(21504)),
    Rule(_FLUX, _DOUBLE + r"mlp_(0|2)$", None, _of(3072, 12288)),
    Rule(_FLUX, r"single_transformer_blocks_\d+_(attn_to_[qkv]|proj_mlp|proj_out)$", _of(3072, 15360)),
    Rule(_KLEIN, _MMDIT, _of(3072)),
    Rule(("qwen",), _JOINT + r"(img|txt)_(mlp|mod)_", _of(3072, 12288)),
    Rule(("qwen",), r"(^|(?<!single)(?<!joint)_)transformer_blocks_[2-5]\d_attn_(add_|to_)", _of(3072)),
    Rule(_FLUX, _JOINT + r"ff(_context)?_net_", _of(3072, 12288)),
    Rule(("qwen", *_KLEIN), _JOINT + r"attn_(add_|to_)", _of(3072)),
    Rule(("sd3",), r"joint_blocks_|" + _JOINT + r"attn2?_(add_|to_)(?!.*attn1)", _of(1536, 2432)),
    Rule(("svd",), r"temporal_transformer_blocks_"),
    Rule(("sdxl",), _UNET + r"attn2_to_[kv]$", _of(2048)),
    Rule(("sd15",), _UNET + r"attn2_to_[kv]$", _of(768)),
    Rule(("sd2",), _UNET + r"attn2_to_[kv]$", _of(1024)),
    Rule(("sdxl",), r"attentions_\d+_transformer_blocks_[2-9]_|^lora_te2_", _of(640, 1280)),
    Rule(("sdxl",), r"(input|output)_blocks_\d+_\d+_transformer_blocks_[1-9]", _of(640, 1280)),
    Rule(("ltx",), r"(^|_)transformer_blocks_\d+_(audio_attn1|audio_to_video_attn|video_to_audio_attn)_"),
    Rule(("ltx",), r"^transformer_blocks_\d+_attn1_to_q$", _of(2048)),
    Rule(("ltx", "unknown"), r"^transformer_blocks_\d+_attn1_to_q$", _of(4096)),  # LTX-2, or Cosmos
    Rule(("pixart",), r"^transformer_blocks_\d+_attn1_to_q$", _of(1152)),
    Rule(("sd15",), r"^(lora_te|text_encoder)_text_model_", _of(768)),
    Rule(("sd2",), r"^(lora_te|text_encoder)_text_model_", _of(1024)),
)

_INPUT = frozenset({"A", "hada_w1_b", "hada_w2_b", "diff", "lokr_w1", "lokr_w1_b", "lokr_w2", "lokr_w2_b"})
_OUTPUT = frozenset({"B", "hada_w1_a", "hada_w2_a", "diff", "lokr_w1", "lokr_w1_a", "lokr_w2", "lokr_w2_a"})

_HINTS = ("modelspec.architecture", "ss_base_model_version", "base_model", "ss_sd_model_name")
_GENERAL = ("sdxl", "flux")  # others derive from these, so a later hint that names one of those wins


class Shape(NamedTuple):
    """The families whose modules an adapter's tensors fit, likeliest first, and the reason."""

    families: tuple[Family, ...]
    reason: str

    @property
    def guess(self) -> Family:
        """Return the likeliest family; ``unknown`` if none fits."""
        return self.families[0] if self.families else "unknown"


def sniff_family(header: Header) -> tuple[Family, str]:
    """Detect an adapter's family and give the reason; ``unknown`` if nothing shows it.

    The metadata decide unless the tensors contradict them.
    """
    shape = family_of_tensors(header)
    hinted, hint = family_of_metadata(header)
    if hinted is None:
        return shape.guess, shape.reason
    # Metadata that name a base of no family here are believed unless the tensors fit exactly one family: another base
    # may have the same shapes. SSD-1B and Kolors look like SDXL, so SDXL alone does not count as exactly one.
    other_base = hinted == "unknown" and (len(shape.families) != 1 or shape.guess == "sdxl")
    if other_base or not shape.families or hinted in shape.families or share_shape(hinted, shape.guess):
        return hinted, hint
    return shape.guess, shape.reason


def family_of_tensors(header: Header) -> Shape:
    """List the families that the tensors fit."""
    modules = dict(islice(_modules(header.tensors).items(), MAX_MODULES))
    for rule in _RULES:
        pattern = re.compile(rule.module)
        for module, (inputs, outputs) in modules.items():
            fits = (rule.inputs is None or inputs in rule.inputs) and (rule.outputs is None or outputs in rule.outputs)
            if fits and pattern.search(module):
                what = " or ".join(TITLES[family] for family in rule.families)
                return Shape(rule.families, f"its tensors are for {what} ({module[:80]} takes {inputs} features)")
    return Shape((), "its tensors fit no known base")


def family_of_metadata(header: Header) -> tuple[Family | None, str]:
    """Find the family in the metadata: ``unknown`` if they name another base, ``None`` if they name none.

    A checkpoint's name is more specific than its architecture.
    """
    best: tuple[Family | None, str] = (None, "its metadata name no base")
    for key in _HINTS:
        value = header.metadata.get(key, "")[:200]
        family = named_family(value)
        if family is not None and (best[0] is None or (best[0] in _GENERAL and _refines(family, best[0]))):
            best = family, f"its metadata say {key} = {value[:60]!r}"
    return best


def _refines(family: Family, general: Family) -> bool:
    return family != general and (share_shape(family, general) or {family, general} <= {*_KLEIN})


def _modules(tensors: dict[str, TensorInfo]) -> dict[str, tuple[int, int]]:
    """List the modules that the adapter changes: (features in, features out), 0 if its tensors do not show it."""
    inputs: dict[str, int] = {}
    outputs: dict[str, int] = {}
    for module, part, shape in _parts(tensors):
        for widths, parts, axis in ((inputs, _INPUT, 1), (outputs, _OUTPUT, 0)):
            if part in parts:
                # LoKr: a Kronecker product's width is the product of its factors' widths.
                widths[module] = shape[axis] * (widths.get(module, 1) if part.startswith("lokr") else 1)
    return {module: (inputs.get(module, 0), outputs.get(module, 0)) for module in inputs | outputs}


def _parts(tensors: dict[str, TensorInfo]) -> Iterator[tuple[str, str, tuple[int, ...]]]:
    for name, tensor in tensors.items():
        key = parse_key(name)
        if key is not None and len(tensor.shape) >= 2:
            # Text encoders keep their prefix: it shows which encoder it is.
            module = key.module if key.component == DENOISER else name.removesuffix(f".{key.part}")
            yield module.replace(".", "_"), key.part, tensor.shape
