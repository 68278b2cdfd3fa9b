"""What a safetensors file holds, by the names of its tensors: an adapter or something else."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NoReturn

from stylus_gen.tools.errors import AdapterRejected
from stylus_gen.tools.lora.alphas import read_alphas
from stylus_gen.tools.lora.header import Header, TensorInfo
from stylus_gen.tools.lora.keys import parse_key

_BESIDE = ("alpha", "magnitude", "dora_scale")  # parts that only modify a difference

# Names that only adapters have, also in forms that `parse_key` does not know: OFT, BOFT, IA³, VeRA, GLoRA, and LoRA
# under a trainer's own names. adapter.py refuses what cannot be applied.
_ADAPTER_NAME = re.compile(
    r"^(lora_(unet|te\d?|transformer|prior)|lycoris)_|(^|[._])(lora_(A|B|down|up|mid|embedding_[AB])|lora\d*[._](down|up))"
    r"([._]|$)|[._](oft_(blocks|diag|R)|boft_[RS]|ia3_l|vera_lambda|hada_|lokr_)"
)

# In order: the first pattern that matches any tensor's name decides.
_KINDS: tuple[tuple[str, re.Pattern[str]], ...] = tuple(
    (what, re.compile(pattern))
    for what, pattern in (
        ("a ControlNet", r"controlnet|lllite|^control_|\.control_|input_hint_block|zero_convs|vace_blocks"),
        ("an IP-Adapter", r"^(ip_adapter|image_proj)\.|to_[kv]_ip\b"),
        ("a T2I-Adapter", r"^adapter\.|^body\.\d+\.(in_conv|block\d|resnets)"),
        ("a whole checkpoint", r"^(model\.diffusion_model|model_ema|cond_stage_model|conditioner|text_encoders)\."),
        ("a motion module", r"motion_modules\."),
        (
            "a VAE",
            r"^(first_stage_model|vae)\.|^(taesd_)?(encoder|decoder)\.(\d|conv_?(in|out|1|2)\b|(down|up|mid)(\.|_block)"
            r"|(down|up)samples|middle|layers\.\d+\.(weight|conv))|^(post_)?quant_conv",
        ),
        (
            "an upscaler",
            r"(?i)rdb\d|residual_group|^(params(_ema)?\.)?(conv_(first|last|before_upsample|up\d)|upsample|hrconv|upconv)"
            r"|^body\.\d+\.(weight|bias)$|^model\.\d+\.(sub|weight|bias)",
        ),
        ("an embedding (textual inversion)", r"^(emb_params|clip_[lg]|t5xxl|string_to_\w+|<.*>)$"),
        (
            "a text encoder",
            r"text_model\.|token_embedding|embed_tokens|^(encoder\.)?shared\.|^(encoder|decoder)\.block\.|lm_head|^blk\.",
        ),
        ("an image encoder", r"vision_model\.|vision_tower|^visual\.|^image_encoder"),
        ("a text encoder", r"self_attn\.(q|k|v|qkv|in)_proj|resblocks"),
        (
            "the UNet or transformer of a checkpoint",
            r"(^|\.)(down_blocks|up_blocks|mid_block|input_blocks|output_blocks|middle_block|(double|single|joint)_blocks"
            r"|((single|joint)_)?transformer_blocks|blocks|layers)\.",
        ),
    )
)


def require_adapter(header: Header, path: Path) -> None:
    """Refuse a file that is no adapter, saying what it is, or one with tensors or alphas of no use as an adapter's.

    Raises AdapterRejected.
    """
    if all(map(_is_beside, header.tensors)):
        what = f"holds nothing that can be applied, only scales such as {next(iter(header.tensors))[:120]!r}"
        _reject(path, what, "broken_file", "have it trained again")
    if not any(map(_is_form, header.tensors)):
        what, name = _name_contents(header)
        _reject(path, f"is {what}, not a LoRA (it holds {name[:80]!r})", "not_an_adapter", "keep it elsewhere")
    for name, tensor in header.tensors.items():
        key = parse_key(name)
        axes = 0 if key is None or key.part in _BESIDE else 1 if key.part in ("diff", "diff_b") else 2
        if 0 in tensor.shape or len(tensor.shape) < axes:
            expected = ("numbers", "a list of numbers", "a matrix")[axes]
            shape = "×".join(map(str, tensor.shape)) or "a single number"
            _reject(path, f"has {shape} as {name[:120]!r}, expected {expected}", "broken_file", "have it trained again")
    read_alphas(header.metadata)


def _is_form(name: str) -> bool:
    key = parse_key(name)
    return not _is_beside(name) if key else _ADAPTER_NAME.search(name) is not None


def _is_beside(name: str) -> bool:
    key = parse_key(name)
    return key is not None and key.part in _BESIDE


def _name_contents(header: Header) -> tuple[str, str]:
    """Name what a file is, and one of its tensors that shows it."""
    for what, pattern in _KINDS:
        for name in header.tensors:
            if pattern.search(name):
                return what, name
    first = next(iter(header.tensors))
    if all(map(_is_token, header.tensors, header.tensors.values())):
        return "an embedding (textual inversion)", first
    return "something else", first


def _is_token(name: str, tensor: TensorInfo) -> bool:
    """Return whether a tensor may be an embedding's token for a text encoder: any name, a usual width."""
    return "." not in name and len(tensor.shape) in (1, 2) and tensor.shape[-1] in (768, 1024, 1280, 2048, 4096)


def _reject(path: Path, what: str, code: str, remedy: str) -> NoReturn:
    raise AdapterRejected(f"the file {path.name!r} {what}: {remedy}", code=code, path=str(path))
