from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from stylus_gen.tools.errors import AdapterRejected
from stylus_gen.tools.lora.contents import require_adapter
from stylus_gen.tools.lora.header import Header, TensorInfo
from stylus_gen.tools.store.database import Database
from tests.fixtures import loras

MODULE = "down_blocks.1.attentions.0.transformer_blocks.0.attn2.to_k"
KOHYA = "lora_unet_" + MODULE.replace(".", "_")


def look(*names: str, shape: tuple[int, ...] = (4, 64), **shapes: tuple[int, ...]) -> None:
    tensors = {name: TensorInfo("F16", shape) for name in names} | {
        name: TensorInfo("F16", shape) for name, shape in shapes.items()
    }
    require_adapter(Header({}, tensors, 0), Path("a.safetensors"))


@pytest.mark.parametrize(
    ("names", "what"),
    [
        (["model.diffusion_model.input_blocks.0.0.weight", "first_stage_model.decoder.conv_in.weight"], "checkpoint"),
        (["model.diffusion_model.double_blocks.0.img_attn.qkv.weight", "vae.decoder.conv_in.weight"], "checkpoint"),
        (["down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_q.weight"], "UNet or transformer of a checkpoint"),
        (["double_blocks.0.img_attn.qkv.weight", "img_in.weight"], "UNet or transformer of a checkpoint"),
        (["model.diffusion_model.blocks.0.self_attn.q.weight"], "checkpoint"),
        (["blocks.0.self_attn.q.weight", "patch_embedding.weight"], "UNet or transformer of a checkpoint"),
        (["first_stage_model.decoder.conv_in.weight"], "a VAE"),
        (["encoder.down.0.block.0.conv1.weight", "decoder.up.0.block.0.conv1.weight", "quant_conv.weight"], "a VAE"),
        (["encoder.down_blocks.0.resnets.0.conv1.weight", "decoder.mid_block.resnets.0.conv1.weight"], "a VAE"),
        (["encoder.downsamples.0.residual.0.gamma", "decoder.conv1.weight"], "a VAE"),
        (["encoder.0.weight", "encoder.2.conv.0.weight"], "a VAE"),
        (["text_model.encoder.layers.0.self_attn.q_proj.weight"], "a text encoder"),
        (["encoder.block.0.layer.0.SelfAttention.k.weight", "shared.weight"], "a text encoder"),
        (["model.layers.0.self_attn.q_proj.weight", "model.embed_tokens.weight"], "a text encoder"),
        (["transformer.resblocks.0.attn.in_proj_weight", "token_embedding.weight"], "a text encoder"),
        (["vision_model.encoder.layers.0.self_attn.q_proj.weight"], "an image encoder"),
        (["emb_params"], "an embedding"),
        (["clip_l", "clip_g"], "an embedding"),
        (["<cat-toy>"], "an embedding"),
        (["control_model.input_blocks.0.0.weight"], "a ControlNet"),
        (["controlnet_cond_embedding.conv_in.weight", "down_blocks.0.resnets.0.conv1.weight"], "a ControlNet"),
        (["lora_controlnet", "input_blocks.1.1.proj_in.down", "input_blocks.1.1.proj_in.up"], "a ControlNet"),
        (["lllite_unet_input_blocks_4_1_transformer_blocks_0_attn1_to_q.down.0.weight"], "a ControlNet"),
        (["ip_adapter.1.to_k_ip.weight", "image_proj.proj.weight"], "an IP-Adapter"),
        (["body.0.in_conv.weight", "conv_in.weight"], "a T2I-Adapter"),
        (["down_blocks.0.motion_modules.0.temporal_transformer.proj_in.weight"], "a motion module"),
        (["model.0.weight", "model.1.sub.0.RDB1.conv1.0.weight"], "an upscaler"),
        (["conv_first.weight", "body.0.rdb1.conv1.weight"], "an upscaler"),
        (["layers.0.residual_group.blocks.0.attn.qkv.weight"], "an upscaler"),
        (["body.0.weight", "body.1.weight"], "an upscaler"),
        (["decoder.act.alpha", "something.weight"], "something else"),
    ],
)
def test_what_is_no_adapter_is_refused_with_what_it_is(names: list[str], what: str) -> None:
    with pytest.raises(AdapterRejected, match=rf"'a\.safetensors' is .*{what}.*, not a LoRA") as refused:
        look(*names)
    assert refused.value.facts["code"] == "not_an_adapter"


def test_an_embedding_is_known_by_its_width_whatever_its_word_is() -> None:
    with pytest.raises(AdapterRejected, match="an embedding"):
        look("mycat", shape=(8, 768))


@pytest.mark.parametrize(
    "name",
    [
        f"{KOHYA}.lora_down.weight",
        f"unet.{MODULE}.lora_A.weight",
        f"unet.{MODULE}.lora_A.style.weight",
        f"unet.{MODULE.removesuffix('to_k')}processor.to_k_lora.down.weight",
        "double_blocks.0.processor.qkv_lora1.down.weight",
        "base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight",
        f"{KOHYA}.hada_w1_a",
        f"{KOHYA}.lokr_w1",
        f"{KOHYA}.oft_blocks",
        f"{KOHYA}.a1.weight",
        f"{KOHYA}.diff",
        f"diffusion_model.{MODULE}.diff_b",
        f"diffusion_model.{MODULE}.boft_R",
        "motion_modules.0.temporal_transformer.to_q.lora_A.weight",
        "controlnet_blocks.0.lora_A.weight",
    ],
)
def test_every_form_of_adapter_is_one(name: str) -> None:
    look(name)


@pytest.mark.parametrize(
    ("part", "shape", "expected"),
    [
        ("lora_down.weight", (0, 768), "has 0×768 as .*, expected a matrix"),
        ("lora_down.weight", (), "has a single number as .*, expected a matrix"),
        ("lora_up.weight", (320,), "has 320 as .*, expected a matrix"),
        ("hada_w1_a", (4,), "expected a matrix"),
        ("lokr_w2", (), "expected a matrix"),
        ("diff", (), "expected a list of numbers"),
        ("diff_b", (0,), "expected a list of numbers"),
        ("alpha", (0,), "expected numbers"),
    ],
)
def test_tensors_that_are_no_matrices_are_refused(part: str, shape: tuple[int, ...], expected: str) -> None:
    with pytest.raises(AdapterRejected, match=expected):
        look(f"{KOHYA}.lora_mid.weight", **{f"{KOHYA}.{part}": shape})


def test_an_import_leaves_out_what_is_no_adapter_and_says_what_it_is(db: Database, tmp_path: Path) -> None:
    loras.adapter(tmp_path / "fox.safetensors")
    save_file({"decoder.conv_in.weight": np.zeros((2, 2), np.float32)}, tmp_path / "vae.safetensors")
    save_file({f"{KOHYA}.lora_down.weight": np.zeros((0, 768), np.float32)}, tmp_path / "empty.safetensors")
    summary = loras.run(db, tmp_path)
    assert (summary.taken, summary.skipped) == (1, 2)
    assert {p.where: p.why.split(":")[0] for p in summary.problems} == {
        "empty.safetensors": f"the file 'empty.safetensors' has 0×768 as '{KOHYA}.lora_down.weight', expected a matrix",
        "vae.safetensors": "the file 'vae.safetensors' is a VAE, not a LoRA (it holds 'decoder.conv_in.weight')",
    }


@pytest.mark.parametrize("part", ["alpha", "dora_scale", "lora_magnitude_vector"])
def test_a_file_of_nothing_but_scales_is_refused(part: str) -> None:
    with pytest.raises(AdapterRejected, match="holds nothing that can be applied, only scales such as") as refused:
        look(f"{KOHYA}.{part}", f"lora_unet_mid_block_attentions_0_proj_in.{part}")
    assert refused.value.facts["code"] == "broken_file"


@pytest.mark.parametrize(
    "config",
    [
        f'{{"unet.lora_alpha": {"9" * 4000}}}',
        f'{{"lora_alpha": {"9" * 40_000}}}',
        '{"text_encoder.lora_alpha": "many"}',
        '{"lora_alpha": NaN}',
        '{"lora_alpha": 8, "alpha_pattern": {"to_q": 1e99}}',
        "[8]",
        "{",
    ],
)
def test_alphas_in_the_header_that_make_no_sense_are_refused_at_import(
    db: Database, tmp_path: Path, config: str
) -> None:
    loras.adapter(tmp_path / "fox.safetensors", {"lora_adapter_metadata": config})
    loras.adapter(tmp_path / "crow.safetensors", {"lora_adapter_metadata": '{"unet.lora_alpha": 8}'}, fill=1)
    summary = loras.run(db, tmp_path)
    assert (summary.taken, [p.where for p in summary.problems]) == (1, ["fox.safetensors"])
    assert "lora_adapter_metadata" in summary.problems[0].why
