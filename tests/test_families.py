from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from stylus_gen.tools.families import family_of
from stylus_gen.tools.lora.family import family_of_tensors, sniff_family
from stylus_gen.tools.lora.header import Header, TensorInfo
from stylus_gen.tools.store.adapters import get_card
from stylus_gen.tools.store.database import Database
from tests.fixtures import loras

Module = tuple[str, int, int]  # its name, features in, features out

FLUX_ATTENTION = ("double_blocks.0.img_attn.qkv", 3072, 9216)  # of FLUX.1, FLUX.2 Klein 4B, Chroma, HunyuanVideo


def header_of(*modules: Module, kohya: bool = False, **metadata: str) -> Header:
    tensors = {}
    for name, inputs, outputs in modules:
        stem = f"lora_unet_{name.replace('.', '_')}" if kohya else f"diffusion_model.{name}"
        down, up = ("lora_down", "lora_up") if kohya else ("lora_A", "lora_B")
        tensors[f"{stem}.{down}.weight"] = TensorInfo("F16", (8, inputs))
        tensors[f"{stem}.{up}.weight"] = TensorInfo("F16", (outputs, 8))
    return Header({key.replace("__", "."): value for key, value in metadata.items()}, tensors, 0)


@pytest.mark.parametrize("kohya", [False, True])
@pytest.mark.parametrize(
    ("module", "family"),
    [
        (("single_blocks.0.linear1", 3072, 27648), "flux2"),
        (("single_blocks.0.linear1", 3072, 21504), "flux"),
        (("single_blocks.0.linear2", 12288, 3072), "flux2"),
        (("single_blocks.0.linear2", 15360, 3072), "flux"),
        (("double_blocks.0.img_mlp.0", 3072, 18432), "flux2"),
        (("double_blocks.0.img_mlp.0", 3072, 12288), "flux"),
        (("double_blocks.0.txt_mlp.2", 9216, 3072), "flux2"),
        (("double_blocks.0.txt_mlp.2", 12288, 3072), "flux"),
        (("double_blocks.0.img_attn.qkv", 4096, 12288), "flux2"),
        (("single_blocks.38.linear1", 6144, 55296), "flux2"),
        (("single_transformer_blocks.0.attn.to_qkv_mlp_proj", 3072, 27648), "flux2"),
        (("transformer_blocks.0.ff.linear_in", 3072, 18432), "flux2"),
        (("double_stream_modulation_img.lin", 3072, 18432), "flux2"),
        (("txt_in", 7680, 3072), "flux2"),
        (("distilled_guidance_layer.layers.0.in_layer", 5120, 5120), "chroma"),
        (("double_blocks.0.img_mod.lin", 3072, 18432), "flux"),
        (("single_blocks.39.linear1", 3072, 21504), "hunyuan"),
        (("double_blocks.0.img_attn_qkv", 3584, 10752), "unknown"),
        (("double_blocks.19.img_attn_qkv", 3584, 10752), "hunyuan"),
        (("transformer_blocks.59.attn.to_q", 3072, 3072), "qwen"),
        (("transformer_blocks.0.img_mlp.net.0.proj", 3072, 12288), "qwen"),
        (("joint_transformer_blocks.0.attn.to_q", 3072, 3072), "unknown"),
        (("single_transformer_blocks.31.ff.linear_1", 3072, 8192), "unknown"),
        (("transformer_blocks.0.attn1.to_q", 3072, 3072), "unknown"),  # Mochi, CogVideoX
        (("blocks.0.self_attn.q_proj", 5120, 5120), "unknown"),  # Cosmos Predict
        (("transformer_blocks.20.attn.to_q", 6144, 6144), "unknown"),  # Krea 2
        (("blocks.0.self_attn.q", 5120, 5120), "wan"),
        (("blocks.0.attn1.to_q", 3072, 3072), "wan"),
        (("transformer_blocks.0.attn1.to_q", 2048, 2048), "ltx"),
        (("transformer_blocks.0.audio_attn1.to_q", 2048, 2048), "ltx"),
        (("layers.0.attention.to_q", 3840, 3840), "zimage"),
        (("layers.0.self_attn.q_proj", 3840, 4096), "unknown"),  # Gemma 3, a language model
        (("layers.0.attention.qkv", 2304, 4608), "lumina"),
    ],
)
def test_widths_decide_where_names_fit_several_families(module: Module, family: str, kohya: bool) -> None:
    told, reason = sniff_family(header_of(module, kohya=kohya))
    assert told == family, reason


@pytest.mark.parametrize(
    ("module", "metadata", "family"),
    [
        (FLUX_ATTENTION, {}, "flux"),
        (FLUX_ATTENTION, {"modelspec__architecture": "chroma"}, "chroma"),
        (FLUX_ATTENTION, {"modelspec__architecture": "flux-1-dev", "ss_base_model_version": "chroma"}, "chroma"),
        (FLUX_ATTENTION, {"modelspec__architecture": "chroma", "ss_base_model_version": "flux1"}, "chroma"),
        (FLUX_ATTENTION, {"modelspec__architecture": "flux2-klein-4b/lora"}, "flux2"),
        (
            FLUX_ATTENTION,
            {"ss_base_model_version": "flux1", "ss_sd_model_name": "flux-2-klein-4b"},
            "flux2",
        ),
        (FLUX_ATTENTION, {"ss_base_model_version": "hunyuan_video"}, "hunyuan"),
        (FLUX_ATTENTION, {"modelspec__architecture": "stable-diffusion-xl-v1-base"}, "flux"),
        (FLUX_ATTENTION, {"modelspec__architecture": "flux.3"}, "unknown"),
        (("single_blocks.0.linear1", 3072, 27648), {"modelspec__architecture": "flux-1-dev"}, "flux2"),
        (("single_blocks.0.linear1", 3072, 27648), {"modelspec__architecture": "chroma"}, "flux2"),
        (("double_blocks.0.img_mod.lin", 3072, 18432), {"modelspec__architecture": "chroma"}, "flux"),
        (("transformer_blocks.0.attn.to_q", 3072, 3072), {"base_model": "black-forest-labs/FLUX.1-dev"}, "flux"),
        (("mid_block.attentions.0.transformer_blocks.0.attn2.to_k", 2048, 1280), {"base_model": "Kolors"}, "kolors"),
        (("mid_block.attentions.0.transformer_blocks.0.attn2.to_k", 2048, 1280), {"base_model": "SSD-1B"}, "unknown"),
        (("mid_block.attentions.0.transformer_blocks.0.attn2.to_k", 768, 1280), {"base_model": "AuraFlow"}, "sd15"),
        (("layers.0.attention.to_q", 3840, 3840), {"base_model": "Tongyi-MAI/Z-Image-Turbo"}, "zimage-turbo"),
        (("joint_transformer_blocks.0.attn.to_q", 3072, 3072), {"ss_sd_model_name": "ponyDiffusionV6"}, "unknown"),
    ],
)
def test_a_header_s_word_beats_a_guess_and_not_the_tensors(
    module: Module, metadata: dict[str, str], family: str
) -> None:
    told, reason = sniff_family(header_of(module, **metadata))
    assert told == family, reason


@pytest.mark.parametrize(
    ("name", "family"),
    [
        *((name, "unknown") for name in ("Pony V7", "PonyV7", "pony-v7-base", "pony_diffusion_v7", "AuraFlow")),
        *((name, "unknown") for name in ("SSD-1B", "Flux.3", "Sana", "CogVideoX", "Mochi", "Anima", "Kandinsky 5", "")),
        *((name, "unknown") for name in ("swanMix", "illuminati", "Krea 2", "LongCat-Image", "Other", "nothing")),
        *((name, "pony") for name in ("Pony", "ponyDiffusionV6XL", "Pony V6", "pony 70s", "PonyRealism_v2.1")),
        *((name, "chroma") for name in ("Chroma", "chroma1-hd", "flux1-chroma", "lodestones/Chroma")),
        *((name, "flux") for name in ("Flux.1 D", "Flux.1 Kontext", "FLUX.1 Krea", "fluxchromatic", "flux_20steps")),
        *((name, "flux2") for name in ("Flux.2 D", "Flux.2 Klein 4B-base", "FLUX.2-klein-9B", "flux2", "flux-2-dev")),
        *((name, "wan") for name in ("Wan Video 14B t2v", "wan2.1", "wan_v2.1_14b", "Wan-AI/Wan2.2", "WanVideo")),
        *((name, "qwen") for name in ("Qwen", "qwen_image", "Qwen-Image-Edit")),
        *((name, "zimage-turbo") for name in ("ZImageTurbo", "Z-Image-Turbo")),
        *((name, "sd15") for name in ("SD 1.5", "SD 1.4", "SD 1.5 LCM", "v1-5-pruned", "sd_v1", "v1")),
        *((name, "sd2") for name in ("SD 2.1 768", "v2-1_768-ema-pruned", "sd_v2_v", "v2")),
        *((name, "sd3") for name in ("SD 3.5 Large", "sd3_m", "stable-diffusion-3-5-large")),
        *((name, "lumina") for name in ("Lumina", "lumina-2", "NetaYume Lumina")),
    ],
)
def test_a_base_is_known_by_what_people_call_it(name: str, family: str) -> None:
    assert family_of(name) == family


@pytest.mark.parametrize(
    ("module", "base_model", "family"),
    [
        (FLUX_ATTENTION, "Chroma", "chroma"),
        (FLUX_ATTENTION, "Flux.2 Klein 4B", "flux2"),
        (FLUX_ATTENTION, "SDXL 1.0", "flux"),
        (FLUX_ATTENTION, "Other", "flux"),
        (("single_blocks.0.linear1", 3072, 27648), "Flux.1 D", "flux2"),
        (("joint_transformer_blocks.0.attn.to_q", 3072, 3072), "Pony V7", "unknown"),
        (("mid_block.attentions.0.transformer_blocks.0.attn2.to_k", 2048, 1280), "Kolors", "kolors"),
        (("mid_block.attentions.0.transformer_blocks.0.attn2.to_k", 2048, 1280), "Pony", "pony"),
    ],
)
def test_a_catalogue_s_word_beats_a_guess_and_not_the_tensors(
    db: Database, tmp_path: Path, module: Module, base_model: str, family: str
) -> None:
    tensors = {name: np.zeros(t.shape, np.float16) for name, t in header_of(module).tensors.items()}
    save_file(tensors, tmp_path / "fox.safetensors")
    sha = loras.sha256(tmp_path / "fox.safetensors")
    note = {**loras.version(files=[loras.file(sha=sha)], baseModel=base_model), "modelId": 1, "model": {"name": "Fox"}}
    (tmp_path / "fox.civitai.info").write_text(json.dumps(note))
    loras.run(db, tmp_path)
    assert get_card(db, sha).family == family


FLUX_1 = ("single_blocks.37.linear1", 3072, 21504)  # as wide in Chroma, HunyuanVideo, and not in FLUX.2
AURA = ("joint_transformer_blocks.0.attn.to_q", 3072, 3072)


@pytest.mark.parametrize("order", ["header first", "site first"])
@pytest.mark.parametrize(
    ("modules", "header", "site", "family"),
    [
        ([FLUX_ATTENTION, FLUX_1], "flux2", "", "flux"),
        ([FLUX_ATTENTION, FLUX_1], "", "Flux.2 Klein 4B", "flux"),
        ([FLUX_ATTENTION, FLUX_1], "chroma", "Flux.2 Klein 4B", "chroma"),
        ([FLUX_ATTENTION, FLUX_1], "flux2", "Chroma", "chroma"),
        ([FLUX_ATTENTION, FLUX_1], "flux1", "SDXL 1.0", "flux"),
        ([FLUX_ATTENTION], "flux2", "", "flux2"),
        ([AURA], "", "Pony", "unknown"),
        ([AURA], "pony", "", "unknown"),
        ([("transformer_blocks.59.attn.to_q", 3072, 3072)], "flux1", "Flux.1 D", "qwen"),
    ],
)
def test_a_word_chooses_only_among_the_families_that_the_tensors_allow(
    db: Database, tmp_path: Path, modules: list[Module], header: str, site: str, family: str, order: str
) -> None:
    tensors = {name: np.zeros(t.shape, np.float16) for name, t in header_of(*modules, kohya=True).tensors.items()}
    path = tmp_path / "loras" / "fox.safetensors"
    path.parent.mkdir()
    save_file(tensors, path, {"ss_base_model_version": header} if header else None)
    sha = loras.sha256(path)
    row = loras.model(modelVersions=[loras.version(files=[loras.file(sha=sha)], baseModel=site)])
    sources = [path.parent, *([loras.write(tmp_path / "site.json", row)] if site else [])]
    for source in sources if order == "header first" else reversed(sources):
        loras.run(db, source)
    assert get_card(db, sha).family == family


def test_a_file_with_more_modules_than_any_base_is_looked_at_in_part() -> None:
    tensors = {f"x.{n}.lora_A.weight": TensorInfo("F16", (1, 1)) for n in range(25_000)}
    assert family_of_tensors(Header({}, tensors, 0)).guess == "unknown"
