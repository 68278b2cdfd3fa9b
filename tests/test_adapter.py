"""Reading adapter files: four formats of one adapter, alphas, and tensors that make no sense."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
import torch

from stylus_gen.tools.errors import AdapterRejected
from stylus_gen.tools.generate import Pipeline
from tests.fixtures import tiny
from tests.fixtures.weights import BOTH, canonical

pytestmark = tiny.DIFFUSERS_WARNS


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
