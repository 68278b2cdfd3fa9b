"""Adapter files that are refused: another family, other shapes, parts that nothing reads, damaged files."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest
import torch
from diffusers import DiffusionPipeline

from stylus_gen.tools.errors import AdapterRejected
from stylus_gen.tools.generate import Pipeline, load_base
from tests.fixtures import tiny
from tests.fixtures.weights import bits, same_bits

pytestmark = tiny.DIFFUSERS_WARNS


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
    with pytest.raises(AdapterRejected, match=r"lora_B\.bias.*no form of adapter"):
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
    with pytest.raises(AdapterRejected, match="cannot be found") as refused:
        pipeline.cache.get(tmp_path / "gone.safetensors")
    assert refused.value.facts["code"] == "no_file"
