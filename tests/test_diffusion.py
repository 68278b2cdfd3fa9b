"""Adapters on a live model: read from every format, merged, and taken out without a trace."""

from __future__ import annotations

import json
import struct
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import tiny
import torch
from diffusers import DiffusionPipeline, UNet2DConditionModel

from stylus_gen.tools.diffusion.apply import AdapterRuntime
from stylus_gen.tools.diffusion.base import base_family
from stylus_gen.tools.errors import AdapterRejected, BadRequest, Unavailable
from stylus_gen.tools.generate import Pipeline, load_base
from stylus_gen.tools.lora.adapter import Adapter, read_adapter
from stylus_gen.tools.lora.cache import AdapterCache
from stylus_gen.tools.lora.conversion import name_converter
from stylus_gen.tools.lora.sites import Site

pytestmark = [  # diffusers' own; what we run of it is silenced where we run it, see draw.py
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:Already found a `peft_config`:UserWarning"),
]

BOTH = ("unet", "text_encoder")
CONVOLUTIONS = ("conv1", "conv_shortcut", "proj_in", "to_q")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.save_tiny_sd(tmp_path_factory.mktemp("base") / "sd")


@pytest.fixture(scope="module")
def opened(folder: Path) -> Pipeline:
    return load_base(str(folder))


@pytest.fixture
def pipeline(opened: Pipeline) -> Iterator[Pipeline]:
    with opened.restored():
        yield opened


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


def bits(pipeline: Pipeline) -> dict[str, torch.Tensor]:
    models = (pipeline.pipe.unet, pipeline.pipe.text_encoder)
    return {f"{i}.{name}": t.clone() for i, m in enumerate(models) for name, t in m.state_dict().items()}


def same_bits(one: dict[str, torch.Tensor], two: dict[str, torch.Tensor]) -> bool:
    return one.keys() == two.keys() and all(torch.equal(one[name], two[name]) for name in one)


def canonical(adapter: Adapter) -> dict[Site, tuple[torch.Tensor, torch.Tensor, float]]:
    return {site: (p.parts["A"], p.parts["B"], p.scale) for (site, _), p in adapter.patches.items()}


# Reading


def test_four_formats_of_one_adapter_are_the_same_tensors(pipeline: Pipeline, tmp_path: Path) -> None:
    lora = tiny.make_lora(pipeline.pipe, components=BOTH)
    files = [
        tiny.write(tmp_path / "kohya.safetensors", tiny.kohya_tensors(lora)),
        tiny.write(tmp_path / "peft.safetensors", tiny.peft_tensors(lora)),
        tiny.write(tmp_path / "peft_config.safetensors", tiny.peft_tensors(lora), tiny.peft_metadata(lora)),
        tiny.write(tmp_path / "diffusers.safetensors", tiny.old_diffusers_tensors(lora)),
    ]
    for path in files:
        found = canonical(pipeline.cache.get(path))
        assert {tuple(site) for site in found} == set(lora)
        for site, (a, b, scale) in found.items():
            wanted_a, wanted_b, _ = lora[tuple(site)]
            assert torch.equal(a, wanted_a) and torch.equal(b, wanted_b) and scale == 1.0


def test_alpha_is_read_beside_the_tensors_and_from_the_header(pipeline: Pipeline, tmp_path: Path) -> None:
    lora = tiny.make_lora(pipeline.pipe, components=BOTH, rank=4, alpha=1.0)
    kohya = tiny.write(tmp_path / "kohya.safetensors", tiny.kohya_tensors(lora))
    peft = tiny.write(tmp_path / "peft.safetensors", tiny.peft_tensors(lora), tiny.peft_metadata(lora))
    for path in (kohya, peft):
        assert {scale for _, _, scale in canonical(pipeline.cache.get(path)).values()} == {0.25}


def test_alpha_patterns_are_names_and_never_run_as_expressions(pipeline: Pipeline, tmp_path: Path) -> None:
    lora = tiny.make_lora(pipeline.pipe, rank=4, pick=("to_q",))
    one = next(module for _, module in lora)
    config = {"unet.r": 4, "unet.lora_alpha": 4, "unet.alpha_pattern": {"(a+)+$": 9, f"^{one}$": 2}}
    metadata = {"lora_adapter_metadata": json.dumps(config)}
    path = tiny.write(tmp_path / "a.safetensors", tiny.peft_tensors(lora), metadata)
    scales = {site.module: scale for site, (_, _, scale) in canonical(pipeline.cache.get(path)).items()}
    assert scales.pop(one) == 0.5
    assert set(scales.values()) == {1.0}


def test_rank_stabilised_adapters_divide_by_the_root_of_the_rank(pipeline: Pipeline, tmp_path: Path) -> None:
    lora = tiny.make_lora(pipeline.pipe, rank=4, pick=("to_q",))
    config = {"unet.r": 4, "unet.lora_alpha": 4, "unet.use_rslora": True}
    path = tiny.write(
        tmp_path / "a.safetensors", tiny.peft_tensors(lora), {"lora_adapter_metadata": json.dumps(config)}
    )
    assert {scale for _, _, scale in canonical(pipeline.cache.get(path)).values()} == {2.0}


@pytest.mark.parametrize(
    "text",
    [
        *("{", "[]", '{"unet.lora_alpha": "4"}', '{"unet.lora_alpha": NaN}', "[" * 100_000),
        *(
            f'{{"unet.lora_alpha": {number}}}'
            for number in ("9" * 4000, "-" + "9" * 4000, "9" * 5000, "1e400", "1e300")
        ),
        '{"unet.lora_alpha": 1, "unet.alpha_pattern": {"to_q": %s}}' % ("9" * 4000),
    ],
)
def test_a_nonsensical_peft_configuration_is_refused(pipeline: Pipeline, tmp_path: Path, text: str) -> None:
    lora = tiny.make_lora(pipeline.pipe, pick=("to_q",))
    path = tiny.write(tmp_path / "a.safetensors", tiny.peft_tensors(lora), {"lora_adapter_metadata": text})
    with pytest.raises(AdapterRejected, match="lora_adapter_metadata"):
        pipeline.cache.get(path)


def test_two_hundred_thousand_alpha_patterns_are_looked_up_at_once(pipeline: Pipeline, tmp_path: Path) -> None:
    lora = tiny.make_lora(pipeline.pipe, rank=4)
    config = {"unet.lora_alpha": 4, "unet.alpha_pattern": {f"x{n}": 9 for n in range(150_000)} | {"to_q": 2}}
    metadata = {"lora_adapter_metadata": json.dumps(config)}
    path = tiny.write(tmp_path / "a.safetensors", tiny.peft_tensors(lora), metadata)
    started = time.process_time()
    scales = {
        (site.module.endswith("to_q"), scale) for site, (_, _, scale) in canonical(pipeline.cache.get(path)).items()
    }
    assert scales == {(True, 0.5), (False, 1.0)}
    assert time.process_time() - started < 5


@pytest.mark.parametrize(
    ("part", "shape"),
    [
        ("lora_A.weight", (0, 32)),
        ("lora_A.weight", ()),
        ("lora_A.weight", (32,)),
        ("lora_B.weight", ()),
        ("lora_B.weight", (32, 0)),
        ("lora_A.weight", (4, 32, 3, 3, 3, 3)),
        ("alpha", (0,)),
        ("alpha", (2,)),
        ("diff_b", ()),
        ("lora_magnitude_vector", (0,)),
        ("lora_magnitude_vector", (5, 7)),
        ("dora_scale", (1, 5, 1, 1)),
        ("dora_scale", (1, 0)),
    ],
)
def test_a_tensor_that_makes_no_sense_is_refused(
    pipeline: Pipeline, tmp_path: Path, part: str, shape: tuple[int, ...]
) -> None:
    tensors = tiny.peft_tensors(tiny.make_lora(pipeline.pipe, rank=4, pick=("to_q",)))
    name = next(iter(tensors)).removesuffix(".lora_A.weight")
    path = tiny.write(tmp_path / "a.safetensors", tensors | {f"{name}.{part}": torch.ones(shape)})
    with pytest.raises(AdapterRejected):
        pipeline.cache.get(path)


@pytest.mark.parametrize("form", ["lora", "loha", "lokr", "diff"])
def test_dora_on_a_weight_that_is_no_matrix_is_refused(pipeline: Pipeline, tmp_path: Path, form: str) -> None:
    norm = "unet.down_blocks.1.attentions.0.transformer_blocks.0.norm1"
    parts = {
        "lora": {"lora_A.weight": (1, 1), "lora_B.weight": (32, 1)},
        "loha": {"hada_w1_a": (32, 1), "hada_w1_b": (1, 1), "hada_w2_a": (32, 1), "hada_w2_b": (1, 1)},
        "lokr": {"lokr_w1": (32, 1), "lokr_w2": (1, 1)},
        "diff": {"diff": (32,)},
    }[form]
    tensors = {f"{norm}.{part}": torch.ones(shape) for part, shape in {**parts, "dora_scale": (1, 1)}.items()}
    with pytest.raises(AdapterRejected):
        pipeline.cache.get(tiny.write(tmp_path / "a.safetensors", tensors))


def test_a_text_encoder_adapter_without_out_proj_is_read(pipeline: Pipeline, tmp_path: Path) -> None:
    lora = tiny.make_lora(pipeline.pipe, components=("text_encoder",), pick=("q_proj", "v_proj"))
    adapter = pipeline.cache.get(tiny.write(tmp_path / "te.safetensors", tiny.kohya_tensors(lora)))
    assert adapter.matched == len(lora) and adapter.unmatched == ()


def test_a_file_is_read_once_until_it_changes(pipeline: Pipeline, tmp_path: Path) -> None:
    lora = tiny.make_lora(pipeline.pipe, pick=("to_q",))
    path = tiny.write(tmp_path / "a.safetensors", tiny.kohya_tensors(lora))
    first = pipeline.cache.get(path)
    assert pipeline.cache.get(path) is first
    tiny.write(path, tiny.peft_tensors(lora))
    assert pipeline.cache.get(path).sha256 != first.sha256


def test_threads_that_read_together_leave_the_process_sound(pipeline: Pipeline, tmp_path: Path) -> None:
    paths = [
        tiny.write(tmp_path / f"{i}.safetensors", tiny.kohya_tensors(tiny.make_lora(pipeline.pipe, seed=i)))
        for i in range(8)
    ]
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        with ThreadPoolExecutor(8) as pool:
            adapters = list(pool.map(pipeline.cache.get, paths))
    finally:
        sys.setswitchinterval(interval)
    assert len({a.sha256 for a in adapters}) == 8
    assert torch.nn.Linear(2, 2).weight.device.type == "cpu"


# Refusing


def test_an_adapter_for_another_family_is_refused_naming_both(folder: Path, tmp_path: Path) -> None:
    xl = DiffusionPipeline.from_pretrained(tiny.save_tiny_sdxl(tmp_path / "xl"), use_safetensors=True)
    lora = tiny.kohya_tensors(tiny.make_lora(xl), two_encoders=True)
    path = tiny.write(tmp_path / "xl.safetensors", lora, {"ss_base_model_version": "sdxl_base_v1-0"})
    pipeline = load_base(str(folder), family="sd15")
    before = bits(pipeline)
    with pytest.raises(AdapterRejected, match=r"this adapter is for SDXL, the base is SD 1\.5") as refused:
        pipeline.cache.get(path)
    assert refused.value.facts["code"] == "wrong_family"
    assert same_bits(before, bits(pipeline))


def test_one_weight_of_another_size_refuses_the_whole_file(pipeline: Pipeline, tmp_path: Path) -> None:
    tensors = tiny.kohya_tensors(tiny.make_lora(pipeline.pipe))
    name = next(n for n in tensors if n.endswith("lora_down.weight"))
    tensors[name] = torch.zeros(4, 33)
    with pytest.raises(AdapterRejected, match=r"its weight for '.*' is 32×33, the base's is 32×32"):
        pipeline.cache.get(tiny.write(tmp_path / "a.safetensors", tensors))


def test_an_adapter_that_matches_nothing_is_refused(pipeline: Pipeline, tmp_path: Path) -> None:
    tensors = {f"transformer.blocks.{i}.attn.to_q.lora_{x}.weight": torch.ones(2, 2) for i in range(3) for x in "AB"}
    with pytest.raises(AdapterRejected, match="0 of its 3 modules exist there"):
        pipeline.cache.get(tiny.write(tmp_path / "a.safetensors", tensors))


def test_modules_that_the_base_lacks_are_counted_up_to_half(pipeline: Pipeline, tmp_path: Path) -> None:
    tensors = tiny.kohya_tensors(tiny.make_lora(pipeline.pipe, pick=("to_q",)))
    modules = len(tensors) // 3
    for i in range(modules - 1):
        tensors |= {f"lora_unet_elsewhere_{i}.lora_{x}.weight": torch.ones(2, 2) for x in ("down", "up")}
    adapter = pipeline.cache.get(tiny.write(tmp_path / "a.safetensors", tensors))
    assert (adapter.matched, len(adapter.unmatched)) == (modules, modules - 1)
    tensors |= {f"lora_unet_elsewhere_more.lora_{x}.weight": torch.ones(2, 2) for x in ("down", "up")}
    with pytest.raises(AdapterRejected, match="modules exist there"):
        pipeline.cache.get(tiny.write(tmp_path / "b.safetensors", tensors))


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_not_numbers_are_refused(pipeline: Pipeline, tmp_path: Path, value: float) -> None:
    tensors = tiny.peft_tensors(tiny.make_lora(pipeline.pipe))
    next(iter(tensors.values()))[0, 0] = value
    with pytest.raises(AdapterRejected, match="NaN or infinite"):
        pipeline.cache.get(tiny.write(tmp_path / "a.safetensors", tensors))


def test_a_part_of_no_known_form_is_refused_and_not_dropped(pipeline: Pipeline, tmp_path: Path) -> None:
    tensors = tiny.peft_tensors(tiny.make_lora(pipeline.pipe))
    name = next(iter(tensors)).replace(".lora_A.weight", "")
    with pytest.raises(AdapterRejected, match=r"lora_B\.bias.*no adapter form"):
        pipeline.cache.get(tiny.write(tmp_path / "a.safetensors", tensors | {f"{name}.lora_B.bias": torch.ones(32)}))


def test_half_a_pair_is_refused(pipeline: Pipeline, tmp_path: Path) -> None:
    tensors = tiny.peft_tensors(tiny.make_lora(pipeline.pipe))
    del tensors[next(iter(tensors))]
    with pytest.raises(AdapterRejected, match=r"has the parts \['B'\]"):
        pipeline.cache.get(tiny.write(tmp_path / "a.safetensors", tensors))


def test_a_file_cut_in_half_is_refused(pipeline: Pipeline, tmp_path: Path) -> None:
    path = tiny.write(tmp_path / "a.safetensors", tiny.peft_tensors(tiny.make_lora(pipeline.pipe)))
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(AdapterRejected, match="cut short"):
        pipeline.cache.get(path)


def test_a_header_that_claims_ten_gigabytes_is_refused(pipeline: Pipeline, tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    path.write_bytes(struct.pack("<Q", 10 * 2**30) + b"{}")
    with pytest.raises(AdapterRejected):
        pipeline.cache.get(path)


def test_pickles_are_refused_unread(pipeline: Pipeline, tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    torch.save(tiny.peft_tensors(tiny.make_lora(pipeline.pipe)), path)
    with pytest.raises(AdapterRejected):
        pipeline.cache.get(path)


def test_a_file_that_is_not_there_is_refused(pipeline: Pipeline, tmp_path: Path) -> None:
    with pytest.raises(AdapterRejected, match="not there") as refused:
        pipeline.cache.get(tmp_path / "gone.safetensors")
    assert refused.value.facts["code"] == "no_file"


# Merging


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


# Giving the base back


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
def test_twenty_swaps_leave_no_trace(folder: Path, tmp_path: Path, dtype: str) -> None:
    pipeline = load_base(str(folder), dtype=dtype)
    before = bits(pipeline)
    adapters = [
        pipeline.cache.get(
            tiny.write(
                tmp_path / f"{i}.safetensors",
                tiny.kohya_tensors(tiny.make_lora(pipeline.pipe, components=BOTH, seed=i)),
            )
        )
        for i in range(3)
    ]
    for i in range(20):
        pipeline.runtime.apply([(adapters[i % 3], 0.1 * i), (adapters[(i + 1) % 3], -0.3)])
        assert not same_bits(before, bits(pipeline))
    pipeline.runtime.restore()
    assert same_bits(before, bits(pipeline))


def test_order_repetition_and_weight_zero_change_no_bit(pipeline: Pipeline, tmp_path: Path) -> None:
    one, two, three = (
        pipeline.cache.get(
            tiny.write(tmp_path / f"{i}.safetensors", tiny.kohya_tensors(tiny.make_lora(pipeline.pipe, seed=i)))
        )
        for i in range(3)
    )
    results = []
    for adapters in (
        [(one, 0.7), (two, 0.3)],
        [(two, 0.3), (one, 0.7)],
        [(two, 0.3), (three, 0.0), (one, 0.2), (one, 0.7)],
    ):
        pipeline.runtime.apply([(three, 1.0)])
        pipeline.runtime.apply(adapters)
        results.append(bits(pipeline))
    assert same_bits(results[0], results[1]) and same_bits(results[0], results[2])


def test_an_overflow_is_refused_and_the_base_given_back(folder: Path, tmp_path: Path) -> None:
    pipeline = load_base(str(folder), dtype="float16")
    before = bits(pipeline)
    lora = tiny.make_lora(pipeline.pipe, size=300.0)
    adapter = pipeline.cache.get(tiny.write(tmp_path / "a.safetensors", tiny.kohya_tensors(lora)))
    with pytest.raises(AdapterRejected, match="overflow float16"):
        pipeline.runtime.apply([(adapter, 5.0)])
    assert same_bits(before, bits(pipeline))


def test_an_interrupted_merge_gives_the_base_back(
    pipeline: Pipeline, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = bits(pipeline)
    path = tiny.write(tmp_path / "a.safetensors", tiny.kohya_tensors(tiny.make_lora(pipeline.pipe)))
    adapter = pipeline.cache.get(path)
    done = []

    def interrupt_after_three(*args: Any) -> None:
        done.append(args[0].add_(1))
        if len(done) == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr("stylus_gen.tools.diffusion.apply.add_patch", interrupt_after_three)
    with pytest.raises(KeyboardInterrupt):
        pipeline.runtime.apply([(adapter, 1.0)])
    assert len(done) == 3
    assert same_bits(before, bits(pipeline))


# Opening


def test_the_family_is_told_by_the_configuration_and_not_by_the_name(tmp_path: Path) -> None:
    unets = {
        "sd15": {"cross_attention_dim": 768, "block_out_channels": [320, 640, 1280, 1280]},
        "sd2": {"cross_attention_dim": 1024, "block_out_channels": [320, 640, 1280, 1280]},
        "sdxl": {"cross_attention_dim": 2048, "block_out_channels": [320, 640, 1280]},
        "unknown": {"cross_attention_dim": 768, "block_out_channels": [32, 64]},
    }
    for family, config in unets.items():
        folder = tmp_path / f"flux-not-{family}"
        (folder / "unet").mkdir(parents=True)
        (folder / "model_index.json").write_text('{"unet": ["diffusers", "UNet2DConditionModel"]}')
        (folder / "unet" / "config.json").write_text(json.dumps(config))
        assert base_family(str(folder))[0] == family
    (folder / "unet").rename(folder / "transformer")
    (folder / "model_index.json").write_text('{"transformer": ["diffusers", "FluxTransformer2DModel"]}')
    (folder / "transformer" / "config.json").write_text('{"_class_name": "FluxTransformer2DModel"}')
    assert base_family(str(folder)) == ("flux", "its transformer is a FluxTransformer2DModel")


def test_a_folder_declares_its_family_and_its_defaults(tmp_path: Path) -> None:
    folder = tiny.save_tiny_sd(tmp_path / "sd")
    (folder / "stylus.json").write_text('{"family": "world", "defaults": {"steps": 7, "scheduler": "euler"}}')
    pipeline = load_base(str(folder))
    assert (pipeline.family, pipeline.why["family"]) == ("world", "its folder declares the small world")
    assert (pipeline.defaults.steps, pipeline.defaults.scheduler, pipeline.defaults.width) == (7, "euler", 16)
    assert load_base(str(folder), family="sd15").family == "sd15"


def test_a_folder_that_declares_what_it_is_not_is_refused(tmp_path: Path) -> None:
    (tmp_path / "unet").mkdir()
    (tmp_path / "model_index.json").write_text('{"unet": ["diffusers", "UNet2DConditionModel"]}')
    config = {"cross_attention_dim": 768, "block_out_channels": [320, 640, 1280, 1280]}
    (tmp_path / "unet" / "config.json").write_text(json.dumps(config))
    for text in ('{"family": "sdxl"}', '{"family": "nonsense"}', '{"famly": "sd15"}'):
        (tmp_path / "stylus.json").write_text(text)
        with pytest.raises(BadRequest, match=r"stylus\.json"):
            base_family(str(tmp_path))


@pytest.mark.parametrize("base", ["/no/such/folder", "nobody/nothing", "not a name at all", "../x"])
def test_a_base_that_is_not_there_says_how_to_get_one(base: str) -> None:
    with pytest.raises(Unavailable, match="diffusers folder"):
        load_base(base)


def test_a_base_without_safetensors_is_refused(tmp_path: Path) -> None:
    folder = tiny.save_tiny_sd(tmp_path / "sd")
    weights = folder / "unet" / "diffusion_pytorch_model.safetensors"
    torch.save({}, weights.with_suffix(".bin"))
    weights.unlink()
    with pytest.raises(Unavailable, match="safetensors"):
        load_base(str(folder))


def test_a_base_cut_in_half_is_refused(tmp_path: Path) -> None:
    folder = tiny.save_tiny_sd(tmp_path / "sd")
    weights = folder / "unet" / "diffusion_pytorch_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(Unavailable, match="cannot be loaded"):
        load_base(str(folder))


def test_device_and_dtype_are_chosen_with_a_reason_or_refused(folder: Path, opened: Pipeline) -> None:
    assert set(opened.why) == {"family", "device", "dtype"}
    with pytest.raises(BadRequest, match="cpu, cuda"):
        load_base(str(folder), device="gpu")
    with pytest.raises(BadRequest, match="float32"):
        load_base(str(folder), dtype="int8")
    with pytest.raises(Unavailable, match="cuda:99"):
        load_base(str(folder), device="cuda:99")


def test_the_fingerprint_follows_the_weights_and_not_the_folder(opened: Pipeline, tmp_path: Path) -> None:
    copy = load_base(str(tiny.save_tiny_sd(tmp_path / "elsewhere")))
    other = load_base(str(tiny.save_tiny_sd(tmp_path / "other", seed=1)))
    assert copy.fingerprint == opened.fingerprint != other.fingerprint


def test_the_least_recently_used_adapters_are_forgotten_above_the_limit(pipeline: Pipeline, tmp_path: Path) -> None:
    lora = [tiny.make_lora(pipeline.pipe, seed=i) for i in range(3)]
    paths = [tiny.write(tmp_path / f"{i}.safetensors", tiny.kohya_tensors(one)) for i, one in enumerate(lora)]
    read: list[Path] = []

    def count(path: Path) -> Adapter:
        read.append(path)
        return read_adapter(path, pipeline.runtime.sites, base="unknown")

    cache = AdapterCache(count, limit=2 * paths[0].stat().st_size + 100)
    for i in (0, 1, 0, 2, 0, 1):
        cache.get(paths[i])
    assert [path.stem for path in read] == ["0", "1", "2", "1"]
