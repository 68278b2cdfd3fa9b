"""Opening a base: its family, its declared defaults, its device, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from stylus_gen.tools.diffusion.base import base_family
from stylus_gen.tools.errors import BadRequest, Unavailable
from stylus_gen.tools.generate import Pipeline, load_base
from tests.fixtures import tiny

pytestmark = tiny.DIFFUSERS_WARNS


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
