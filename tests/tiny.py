"""A tiny Stable Diffusion (16×16 pixels) and tiny LoRAs for it, built from configs and seeds: no file, no network.

Everything is saved in the ordinary layouts, so that the code under test cannot tell it from the real thing.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = "1"  # read when the libraries are imported

import torch
from diffusers import (
    AutoencoderKL,
    DDIMScheduler,
    EulerDiscreteScheduler,
    FlowMatchEulerDiscreteScheduler,
    FluxPipeline,
    FluxTransformer2DModel,
    StableDiffusionPipeline,
    StableDiffusionXLPipeline,
    UNet2DConditionModel,
)
from safetensors.torch import save_file
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer

torch.set_num_threads(1)  # matrices this small only get slower with more

# (component, module) -> (A, B, alpha): what all four file formats must come out as.
Lora = dict[tuple[str, str], tuple[torch.Tensor, torch.Tensor, float]]

_BETAS = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}


def tokenizer() -> CLIPTokenizer:
    """A byte-level CLIP tokenizer without merges: one token a letter."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    letters = [chr(b) for b in printable] + [chr(256 + i) for i in range(256 - len(printable))]
    words = [*letters, *(f"{letter}</w>" for letter in letters), "<|startoftext|>", "<|endoftext|>"]
    return CLIPTokenizer(vocab={word: i for i, word in enumerate(words)}, merges=[], model_max_length=77)


def text_config(width: int = 32) -> CLIPTextConfig:
    return CLIPTextConfig(
        hidden_size=width,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        projection_dim=width,
        vocab_size=514,
        bos_token_id=512,
        eos_token_id=513,
        pad_token_id=513,
    )


def vae() -> AutoencoderKL:
    return AutoencoderKL(
        block_out_channels=(16, 32),
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
        latent_channels=4,
        norm_num_groups=8,
        sample_size=16,
    )


def save_tiny_sd(folder: Path, *, seed: int = 0, width: int = 32) -> Path:
    """Save a Stable Diffusion whose text width is ``width`` (768 makes its configs look like SD 1.5's)."""
    torch.manual_seed(seed)
    unet = UNet2DConditionModel(
        sample_size=8,
        block_out_channels=(32, 64),
        layers_per_block=1,
        cross_attention_dim=width,
        attention_head_dim=8,
        norm_num_groups=8,
        down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
    )
    pipe = StableDiffusionPipeline(
        vae=vae(),
        text_encoder=CLIPTextModel(text_config(width)),
        tokenizer=tokenizer(),
        unet=unet,
        scheduler=DDIMScheduler(**_BETAS, clip_sample=False, set_alpha_to_one=False, steps_offset=1),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    pipe.save_pretrained(folder)
    return folder


def save_tiny_sdxl(folder: Path, *, seed: int = 0) -> Path:
    torch.manual_seed(seed)
    unet = UNet2DConditionModel(
        sample_size=8,
        block_out_channels=(32, 64),
        layers_per_block=2,
        cross_attention_dim=64,
        attention_head_dim=(2, 4),
        norm_num_groups=8,
        transformer_layers_per_block=(1, 2),
        use_linear_projection=True,
        addition_embed_type="text_time",
        addition_time_embed_dim=8,
        projection_class_embeddings_input_dim=6 * 8 + 32,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
    )
    pipe = StableDiffusionXLPipeline(
        vae=vae(),
        text_encoder=CLIPTextModel(text_config()),
        text_encoder_2=CLIPTextModelWithProjection(text_config()),
        tokenizer=tokenizer(),
        tokenizer_2=tokenizer(),
        unet=unet,
        scheduler=EulerDiscreteScheduler(**_BETAS),
        add_watermarker=False,
    )
    pipe.save_pretrained(folder)
    return folder


def make_flux() -> FluxPipeline:
    """A Flux without text encoders and VAE: its transformer is all that adapters change."""
    torch.manual_seed(0)
    transformer = FluxTransformer2DModel(
        num_layers=1,
        num_single_layers=1,
        attention_head_dim=16,
        num_attention_heads=2,
        joint_attention_dim=32,
        pooled_projection_dim=32,
        axes_dims_rope=(4, 4, 8),
        in_channels=4,
    )
    absent = dict.fromkeys(("vae", "text_encoder", "tokenizer", "text_encoder_2", "tokenizer_2"))
    return FluxPipeline(scheduler=FlowMatchEulerDiscreteScheduler(), transformer=transformer, **absent)


def flux_kohya_tensors(pipe: FluxPipeline) -> dict[str, torch.Tensor]:
    """Kohya's names for Flux, fused q, k and v among them; diffusers' converter knows ``linear1`` only at full size."""
    generator, tensors = torch.Generator().manual_seed(0), {}
    width = pipe.transformer.inner_dim
    blocks = {"single_blocks_0_linear2": (1, 5), "single_blocks_0_modulation_lin": (3, 1)}
    for side in ("img", "txt"):
        shapes = {"attn_qkv": (3, 1), "attn_proj": (1, 1), "mlp_0": (4, 1), "mlp_2": (1, 4), "mod_lin": (6, 1)}
        blocks |= {f"double_blocks_0_{side}_{name}": shape for name, shape in shapes.items()}
    for name, (rows, columns) in blocks.items():
        tensors[f"lora_unet_{name}.lora_down.weight"] = torch.randn(4, columns * width, generator=generator) * 0.2
        tensors[f"lora_unet_{name}.lora_up.weight"] = torch.randn(rows * width, 4, generator=generator) * 0.2
        tensors[f"lora_unet_{name}.alpha"] = torch.tensor(2.0)
    return tensors


def flux_noise(pipe: FluxPipeline) -> torch.Tensor:
    generator = torch.Generator().manual_seed(1)
    sizes = {"hidden_states": (1, 16, 4), "encoder_hidden_states": (1, 5, 32), "pooled_projections": (1, 32)}
    given = {name: torch.randn(size, generator=generator) for name, size in sizes.items()}
    with torch.no_grad():
        return pipe.transformer(
            **given, timestep=torch.tensor([0.5]), img_ids=torch.zeros(16, 3), txt_ids=torch.zeros(5, 3)
        ).sample


def make_lora(
    pipe: object,
    *,
    components: tuple[str, ...] = ("unet",),
    rank: int = 4,
    alpha: float | None = None,
    size: float = 0.3,
    seed: int = 0,
    pick: tuple[str, ...] = ("to_q", "to_k", "to_v", "to_out.0", "q_proj", "k_proj", "v_proj", "out_proj"),
) -> Lora:
    """Draw random A (r, in, …) and B (out, r, …) for every module of ``components`` whose name ends in ``pick``."""
    generator = torch.Generator().manual_seed(seed)
    lora: Lora = {}
    for component in components:
        for name, module in getattr(pipe, component).named_modules():
            if not name.endswith(pick) or not hasattr(module, "weight"):
                continue
            out, *rest = module.weight.shape
            ones = [1] * (len(rest) - 1)
            a = torch.randn(rank, *rest, generator=generator) * size / rest[0] ** 0.5
            b = torch.randn(out, rank, *ones, generator=generator) * size
            lora[component, name] = (a, b, float(rank if alpha is None else alpha))
    return lora


def _text_prefix(component: str, module: str) -> str:
    plain = module.removeprefix("text_model.")  # there in CLIPTextModelWithProjection, gone from CLIPTextModel
    return f"text_model.{plain}" if component.startswith("text_encoder") else module


def kohya_tensors(lora: Lora, *, two_encoders: bool = False) -> dict[str, torch.Tensor]:
    te = {"text_encoder": "te1" if two_encoders else "te", "text_encoder_2": "te2", "unet": "unet"}
    tensors: dict[str, torch.Tensor] = {}
    for (component, module), (a, b, alpha) in lora.items():
        stem = f"lora_{te[component]}_{_text_prefix(component, module).replace('.', '_')}"
        tensors |= {f"{stem}.lora_down.weight": a, f"{stem}.lora_up.weight": b, f"{stem}.alpha": torch.tensor(alpha)}
    return tensors


_LDM = {
    "down_blocks_1_attentions_0": "input_blocks_4_1",
    "down_blocks_1_attentions_1": "input_blocks_5_1",
    "mid_block_attentions_0": "middle_block_1",
    "up_blocks_0_attentions_0": "output_blocks_0_1",
    "up_blocks_0_attentions_1": "output_blocks_1_1",
    "up_blocks_0_attentions_2": "output_blocks_2_1",
}


def ldm_name(name: str) -> str:
    """Rename a tensor of the tiny SDXL as kohya's SDXL trainer does, by the original code's blocks, counted by hand."""
    return next((name.replace(new, old) for new, old in _LDM.items() if new in name), name)


def peft_tensors(lora: Lora) -> dict[str, torch.Tensor]:
    """Peft has no alpha tensors: write `peft_metadata` beside them where alpha differs from the rank."""
    tensors: dict[str, torch.Tensor] = {}
    for (component, module), (a, b, _) in lora.items():
        stem = f"{component}.{_text_prefix(component, module)}"
        tensors |= {f"{stem}.lora_A.weight": a, f"{stem}.lora_B.weight": b}
    return tensors


def peft_metadata(lora: Lora) -> dict[str, str]:
    config: dict[str, object] = {}
    for (component, _), (a, _, alpha) in lora.items():
        config |= {f"{component}.r": a.shape[0], f"{component}.lora_alpha": alpha}
        config |= {f"{component}.target_modules": sorted({m for c, m in lora if c == component})}
    return {"lora_adapter_metadata": json.dumps(config)}


def old_diffusers_tensors(lora: Lora) -> dict[str, torch.Tensor]:
    """What diffusers wrote before peft: ``unet.….lora.down.weight``, no alpha."""
    tensors: dict[str, torch.Tensor] = {}
    for (component, module), (a, b, _) in lora.items():
        stem = f"{component}.{_text_prefix(component, module)}"
        word = "lora_linear_layer" if component.startswith("text_encoder") else "lora"
        tensors |= {f"{stem}.{word}.down.weight": a, f"{stem}.{word}.up.weight": b}
    return tensors


def write(path: Path, tensors: Mapping[str, torch.Tensor], metadata: dict[str, str] | None = None) -> Path:
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, path, metadata=metadata)
    return path
