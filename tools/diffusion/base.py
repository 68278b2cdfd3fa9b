"""Determine a base's family from its configuration files, and read those files. Imports no torch.

Names of folders and hub ids are not trusted: ``sdxl-anime`` may hold anything. The architecture decides, or the file
``stylus.json`` that the maker of the folder put into it.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError

from stylus_gen.tools.diffusion.settings import RenderSettings
from stylus_gen.tools.errors import BadRequest, Unavailable, faults
from stylus_gen.tools.families import TITLES, Family, support
from stylus_gen.tools.plan import Record

_SD_WIDTHS = (320, 640, 1280, 1280)
_SDXL_WIDTHS = (320, 640, 1280)

# (cross_attention_dim, block_out_channels) of a UNet
_UNETS: dict[tuple[int, tuple[int, ...]], Family] = {
    (768, _SD_WIDTHS): "sd15",
    (1024, _SD_WIDTHS): "sd2",
    (2048, _SDXL_WIDTHS): "sdxl",
}

_TRANSFORMERS: dict[str, Family] = {
    "SD3Transformer2DModel": "sd3",
    "FluxTransformer2DModel": "flux",
    "Flux2Transformer2DModel": "flux2",
    "ChromaTransformer2DModel": "chroma",
    "QwenImageTransformer2DModel": "qwen",
    "ZImageTransformer2DModel": "zimage",
    "WanTransformer3DModel": "wan",
    "HunyuanDiT2DModel": "hunyuan",
    "HunyuanVideoTransformer3DModel": "hunyuan",
    "LTXVideoTransformer3DModel": "ltx",
    "Lumina2Transformer2DModel": "lumina",
    "HiDreamImageTransformer2DModel": "hidream",
    "PixArtTransformer2DModel": "pixart",
}


class Declaration(Record):
    """What ``stylus.json`` in a base's folder says: its family, and settings that suit it."""

    family: Family | None = None
    defaults: RenderSettings = Field(default_factory=RenderSettings)


def base_family(base: str) -> tuple[Family, str]:
    """Give the family of a diffusers folder or hub id, and the reason; ``unknown`` where nothing decides.

    Raises Unavailable where the base is missing, BadRequest where its folder declares a family that does not fit it.
    """
    seen, reason = _architecture(base)
    declared = declaration(base).family
    if declared is None:
        return seen, reason
    if seen != "unknown" and support(declared, seen) == "none":
        raise BadRequest(f"the base {base!r} declares {TITLES[declared]}, but {reason}: correct its stylus.json")
    return declared, f"its folder declares {TITLES[declared]}"


def declaration(base: str) -> Declaration:
    """Read a base's ``stylus.json``, or the ``family`` in its ``model_index.json``; empty where there is neither."""
    path = Path(base) / "stylus.json"
    if not path.is_file():
        named = read_config(base, "model_index.json").get("family")
        return Declaration(family=named) if isinstance(named, str) and named in TITLES else Declaration()
    try:
        return Declaration.model_validate_json(path.read_bytes())
    except ValidationError as error:
        raise BadRequest(f"{str(path)!r}: {faults(error, 1)}") from None


def read_config(base: str, name: str) -> dict[str, Any]:
    """Read a JSON file of a base; a hub id is read through the hub's cache, offline where HF_HUB_OFFLINE is set.

    Raises Unavailable where the file is missing or unreadable.
    """
    folder = Path(base).expanduser()
    path = folder / name if folder.is_dir() else _fetch(base, name)
    try:
        config = json.loads(path.read_bytes())
    except FileNotFoundError:
        raise Unavailable(f"the base {base!r} has no {name}: it is not a diffusers folder") from None
    except (OSError, ValueError) as error:
        raise Unavailable(f"the base {base!r}: {name} cannot be read ({error})") from None
    return config if isinstance(config, dict) else {}


def missing_base(base: str) -> Unavailable:
    """Make the error for a base that is neither a folder here nor available from the hub."""
    offline = " (HF_HUB_OFFLINE is set)" if os.environ.get("HF_HUB_OFFLINE") else ""
    return Unavailable(
        f"the base {base!r} is neither a folder here nor available from the hub{offline}: "
        "give a diffusers folder, or fetch it first with `hf download`",
        base=base,
    )


def _fetch(base: str, name: str) -> Path:
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import HFValidationError

    try:
        return Path(hf_hub_download(base, name))
    except (OSError, HFValidationError) as error:
        raise missing_base(base) from error


def _architecture(base: str) -> tuple[Family, str]:
    index = read_config(base, "model_index.json")
    if "unet" in index:
        config = read_config(base, "unet/config.json")
        dim = config.get("cross_attention_dim")
        widths = tuple(config.get("block_out_channels") or ())
        if config.get("encoder_hid_dim") == 4096 and widths == _SDXL_WIDTHS:
            return "kolors", "its UNet reads ChatGLM text (encoder_hid_dim 4096)"
        family = _UNETS.get((dim, widths), "unknown") if isinstance(dim, int) else "unknown"
        kin = "; Pony, Illustrious and NoobAI look the same" if family == "sdxl" else ""
        return family, f"its UNet has cross_attention_dim {dim} and widths {'-'.join(map(str, widths))}{kin}"
    if "transformer" in index:
        name = str(read_config(base, "transformer/config.json").get("_class_name"))
        return _TRANSFORMERS.get(name, "unknown"), f"its transformer is a {name}"
    return "unknown", "it has neither a UNet nor a transformer"
