"""Merging adapters of every form: the same as diffusers and peft apply them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import DiffusionPipeline, UNet2DConditionModel

from stylus_gen.tools.diffusion.apply import AdapterRuntime
from stylus_gen.tools.errors import AdapterRejected
from stylus_gen.tools.generate import Pipeline, load_base
from stylus_gen.tools.lora.adapter import read_adapter
from stylus_gen.tools.lora.conversion import name_converter
from tests.fixtures import tiny
from tests.fixtures.weights import BOTH, CONVOLUTIONS, canonical

pytestmark = tiny.DIFFUSERS_WARNS


def pixels(pipe: Any) -> torch.Tensor:
    generator = torch.Generator().manual_seed(1)
    result = pipe("a fox", num_inference_steps=2, guidance_scale=5.0, generator=generator, output_type="np")
    return torch.from_numpy(result.images)


def by_diffusers(folder: Path, loras: list[tuple[Path, float]]) -> torch.Tensor:
    """The same picture, with the adapters loaded diffusers' way."""
    pipe = DiffusionPipeline.from_pretrained(folder, use_safetensors=True)
    pipe.set_progress_bar_config(disable=True)
    names = [f"adapter{i}" for i in range(len(loras))]
    for name, (path, _) in zip(names, loras, strict=True):
        pipe.load_lora_weights(path, adapter_name=name)
    pipe.set_adapters(names, [weight for _, weight in loras])
    return pixels(pipe)


def by_us(pipeline: Pipeline, loras: list[tuple[Path, float]]) -> torch.Tensor:
    pipeline.runtime.apply([(pipeline.cache.get(path), weight) for path, weight in loras])
    return pixels(pipeline.pipe)


@pytest.mark.parametrize("form", ["kohya", "peft"])
def test_our_merge_draws_what_diffusers_draws(pipeline: Pipeline, folder: Path, tmp_path: Path, form: str) -> None:
    loras = []
    for i, (rank, alpha, weight) in enumerate([(4, 2.0, 0.7), (2, 5.0, -0.4)]):
        lora = tiny.make_lora(pipeline.pipe, components=BOTH, rank=rank, alpha=alpha, seed=i)
        tensors = tiny.kohya_tensors(lora) if form == "kohya" else tiny.peft_tensors(lora)
        metadata = tiny.peft_metadata(lora) if form == "peft" else None
        loras.append((tiny.write(tmp_path / f"{i}.safetensors", tensors, metadata), weight))
    base, theirs, ours = pixels(pipeline.pipe), by_diffusers(folder, loras), by_us(pipeline, loras)
    assert (theirs - base).abs().max() > 0.01
    assert (ours - theirs).abs().max() <= 1e-5


def test_convolutions_merge_as_diffusers_applies_them(pipeline: Pipeline, folder: Path, tmp_path: Path) -> None:
    lora = tiny.make_lora(pipeline.pipe, rank=4, alpha=2.0, pick=CONVOLUTIONS)
    assert {a.shape[2:] for a, _, _ in lora.values()} == {(3, 3), (1, 1), ()}
    path = tiny.write(tmp_path / "locon.safetensors", tiny.kohya_tensors(lora))
    base, theirs, ours = pixels(pipeline.pipe), by_diffusers(folder, [(path, 0.8)]), by_us(pipeline, [(path, 0.8)])
    assert (theirs - base).abs().max() > 0.01
    assert (ours - theirs).abs().max() <= 1e-5


def test_sdxl_adapters_merge_under_the_names_kohya_gives_them(tmp_path: Path) -> None:
    folder = tiny.save_tiny_sdxl(tmp_path / "xl")
    pipeline = load_base(str(folder))
    lora = tiny.make_lora(pipeline.pipe, components=("unet", "text_encoder", "text_encoder_2"), rank=4, alpha=2.0)
    tensors = tiny.kohya_tensors(lora, two_encoders=True)
    path = tiny.write(tmp_path / "diffusers_names.safetensors", tensors)
    original = {tiny.ldm_name(name): tensor for name, tensor in tensors.items()}
    assert any("input_blocks_" in n for n in original) and any("output_blocks_" in n for n in original)
    older = tiny.write(tmp_path / "original_names.safetensors", original)
    assert canonical(pipeline.cache.get(older)).keys() == canonical(pipeline.cache.get(path)).keys()
    assert pipeline.cache.get(older).unmatched == ()
    theirs = by_diffusers(folder, [(path, 0.7)])
    assert (by_us(pipeline, [(path, 0.7)]) - theirs).abs().max() <= 1e-5
    assert (by_us(pipeline, [(older, 0.7)]) - theirs).abs().max() <= 1e-5


def test_dora_merges_as_peft_applies_it(pipeline: Pipeline, folder: Path, tmp_path: Path) -> None:
    from peft import LoraConfig
    from peft.utils import get_peft_model_state_dict

    unet = UNet2DConditionModel.from_pretrained(folder / "unet")
    unet.add_adapter(LoraConfig(r=4, lora_alpha=2, target_modules=["to_q", "conv1"], use_dora=True))
    randomise(unet)
    tensors = {f"unet.{name}": t for name, t in get_peft_model_state_dict(unet, adapter_name="default").items()}
    assert any("magnitude" in name for name in tensors)
    config = {"unet.r": 4, "unet.lora_alpha": 2, "unet.use_dora": True}
    path = tiny.write(tmp_path / "a.safetensors", tensors, {"lora_adapter_metadata": json.dumps(config)})
    pipeline.runtime.apply([(pipeline.cache.get(path), 1.0)])
    assert (noise(pipeline.pipe.unet) - noise(unet)).abs().max() <= 1e-5
    pipeline.runtime.restore()
    assert (noise(pipeline.pipe.unet) - noise(unet)).abs().max() > 1e-3


@pytest.mark.parametrize("kind", ["LoHa", "LoKr"])
def test_lycoris_forms_merge_as_peft_applies_them(pipeline: Pipeline, folder: Path, tmp_path: Path, kind: str) -> None:
    import peft

    unet = UNet2DConditionModel.from_pretrained(folder / "unet")
    # rank 1: peft scales LoKr factors that are whole matrices, LyCORIS, whose format this is, does not
    config = getattr(peft, f"{kind}Config")(r=1, alpha=2, target_modules=["to_q", "conv1", "proj_in"])
    peft.inject_adapter_in_model(config, unet)
    randomise(unet)
    parts = {n: p for n, p in unet.named_parameters() if "hada" in n or "lokr" in n}
    tensors = {f"lora_unet_{kohya_name(n)}": p.detach() for n, p in parts.items()}
    tensors |= {f"{n.rpartition('.')[0]}.alpha": torch.tensor(2.0) for n in tensors}
    path = tiny.write(tmp_path / "a.safetensors", tensors)
    pipeline.runtime.apply([(pipeline.cache.get(path), 1.0)])
    assert (noise(pipeline.pipe.unet) - noise(unet)).abs().max() <= 1e-5
    pipeline.runtime.restore()
    assert (noise(pipeline.pipe.unet) - noise(unet)).abs().max() > 1e-3


def test_flux_adapters_under_kohyas_names_merge_as_diffusers_applies_them(tmp_path: Path) -> None:
    pipe = tiny.make_flux()
    runtime, convert = AdapterRuntime(pipe), name_converter(pipe)
    tensors = tiny.flux_kohya_tensors(pipe)
    path = tiny.write(tmp_path / "a.safetensors", tensors)
    adapter = read_adapter(path, runtime.sites, base="flux", convert=convert)
    assert adapter.unmatched == ()
    base = tiny.flux_noise(pipe)
    runtime.apply([(adapter, 0.7)])
    ours = tiny.flux_noise(pipe)
    runtime.restore()
    assert torch.equal(tiny.flux_noise(pipe), base)
    pipe.load_lora_weights(path, adapter_name="a")
    pipe.set_adapters(["a"], [0.7])
    assert (tiny.flux_noise(pipe) - base).abs().max() > 0.01
    assert (tiny.flux_noise(pipe) - ours).abs().max() <= 1e-5


def test_what_a_converter_would_drop_is_refused(tmp_path: Path) -> None:
    pipe = tiny.make_flux()
    tensors = tiny.flux_kohya_tensors(pipe) | {"lora_unet_double_blocks_0_img_attn_proj.dora_scale": torch.ones(32)}
    path = tiny.write(tmp_path / "a.safetensors", tensors)
    with pytest.raises(AdapterRejected, match="dora_scale"):
        read_adapter(path, AdapterRuntime(pipe).sites, base="flux", convert=name_converter(pipe))


def kohya_name(parameter: str) -> str:
    module, _, part = parameter.removesuffix(".default").rpartition(".")
    return f"{module.replace('.', '_')}.{part}"


def randomise(model: torch.nn.Module) -> None:
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if any(part in name for part in ("lora_", "hada_", "lokr_")):
                parameter.add_(torch.randn(parameter.shape, generator=generator) * 0.1)


def noise(unet: Any) -> torch.Tensor:
    generator = torch.Generator().manual_seed(2)
    latents, text = torch.randn(1, 4, 8, 8, generator=generator), torch.randn(1, 77, 32, generator=generator)
    with torch.no_grad():
        out: torch.Tensor = unet(latents, 10, text).sample
    return out


def test_a_full_difference_is_added_to_weight_and_bias(pipeline: Pipeline, tmp_path: Path) -> None:
    conv = pipeline.pipe.unet.conv_in
    tensors = {"lora_unet_conv_in.diff": torch.ones_like(conv.weight), "lora_unet_conv_in.diff_b": torch.ones(32)}
    weight, bias = conv.weight.clone(), conv.bias.clone()
    pipeline.runtime.apply([(pipeline.cache.get(tiny.write(tmp_path / "a.safetensors", tensors)), 0.5)])
    assert torch.equal(conv.weight, weight + 0.5) and torch.equal(conv.bias, bias + 0.5)


def test_every_adapter_keeps_its_own_alpha_and_weight(pipeline: Pipeline, tmp_path: Path) -> None:
    weak, strong = (
        tiny.write(
            tmp_path / f"{i}.safetensors", tiny.kohya_tensors(tiny.make_lora(pipeline.pipe, alpha=alpha, seed=i))
        )
        for i, alpha in enumerate([1.0, 8.0])
    )
    alone = by_us(pipeline, [(strong, 0.5)])
    by_us(pipeline, [(weak, 0.9)])
    assert torch.equal(by_us(pipeline, [(strong, 0.5)]), alone)
